/* What bytes each token of a vocabulary adds to a text.
 *
 *     id        0          1      ...  262143
 *     offsets   0    5     8           N          token i: pool[offsets[i], offsets[i + 1])
 *     pool      <pad>  the  ...
 *
 * A token is taken as it stands amid a text: "▁the" is " the", <0x41> is "A". Special tokens have no
 * bytes: they are no text. 2 to 4 MB for 262144 tokens. Constant once made; any thread. */
#ifndef QUERN_ENGINE_TEXT_TOKEN_BYTES_H
#define QUERN_ENGINE_TEXT_TOKEN_BYTES_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends what token `id` adds to a text, a special one its content. Fails like tokenizer_decode. */
bool tokenizer_token_bytes(const struct tokenizer *tokenizer, int32_t id, struct text_buffer *bytes,
                           struct error *err);

struct token_bytes {
    char *pool;
    uint32_t *offsets; /* [size + 1] */
    size_t size;
};

bool token_bytes_open(struct token_bytes **out, const struct tokenizer *tokenizer,
                      struct error *err);
void token_bytes_close(struct token_bytes *tokens);

static inline struct token_text token_bytes_of(const struct token_bytes *tokens, size_t id) {
    return (struct token_text){tokens->pool + tokens->offsets[id],
                               tokens->offsets[id + 1] - tokens->offsets[id]};
}

#endif
