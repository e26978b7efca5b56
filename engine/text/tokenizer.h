/* The tokenizer: text to token ids and back, as Hugging Face tokenizer.json files define it.
 *
 *     text ─▶ cut at added tokens ─▶ normalize ─▶ pre-tokenize ─▶ BPE ─▶ ids ─▶ post-process (BOS)
 *
 * Built (tokenizer_builder.h) by whoever read its definition (importer/tokenizer_file); this module
 * knows no JSON. Immutable once built: any number of threads may encode and decode. */
#ifndef QUERN_ENGINE_TEXT_TOKENIZER_H
#define QUERN_ENGINE_TEXT_TOKENIZER_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer; /* made by a tokenizer_builder */

void tokenizer_close(struct tokenizer *tokenizer);

/* A growing list of ids; start from {0}, free with token_list_deinit. */
struct token_list {
    int32_t *ids;
    size_t length;
    size_t capacity;
};
bool token_list_push(struct token_list *list, int32_t id);
bool token_list_append(struct token_list *list, const struct token_list *more);
void token_list_deinit(struct token_list *list);

/* A growing run of bytes, always zero-terminated once something was appended; start from {0}. */
struct text_buffer {
    char *bytes;
    size_t length;
    size_t capacity;
};
bool text_buffer_reserve(struct text_buffer *buffer, size_t more); /* room for more bytes */
bool text_buffer_append(struct text_buffer *buffer, const char *bytes, size_t length);
void text_buffer_deinit(struct text_buffer *buffer);

/* Appends the ids of `length` bytes of `text` to `ids`. Bytes that are not UTF-8 count as U+FFFD.
 * add_special puts what the post-processor says (BOS) around them. Only fails when memory is out.
 */
bool tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                      bool add_special, struct token_list *ids, struct error *err);

/* Appends the text of the ids. skip_special leaves out special tokens; ids that are not in the
 * vocabulary are left out. Only fails when memory is out. */
bool tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                      bool skip_special, struct text_buffer *text, struct error *err);

/* Ids are in [0, size). */
size_t tokenizer_vocabulary_size(const struct tokenizer *tokenizer);

/* The id of the token whose content is exactly `content`, or -1. */
int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *content);
bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id);

/* ---- Streaming: one token at a time to text that is always whole UTF-8 characters ---- */

struct detokenizer;

bool detokenizer_open(struct detokenizer **out, const struct tokenizer *tokenizer,
                      bool skip_special, struct error *err);
void detokenizer_close(struct detokenizer *detokenizer);

/* Appends to `text` what token `id` lets be said now; bytes of an unfinished character wait for the
 * next token. */
bool detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct text_buffer *text,
                      struct error *err);

/* At the end of the reply: what still waits comes out as U+FFFD. */
bool detokenizer_finish(struct detokenizer *detokenizer, struct text_buffer *text,
                        struct error *err);

#endif
