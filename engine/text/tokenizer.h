/* The tokenizer: text to token ids and back, as Hugging Face tokenizer.json files define it.
 *
 *     text ─▶ cut at added tokens ─▶ normalize ─▶ pre-tokenize ─▶ BPE ─▶ ids ─▶ post-process (BOS)
 *             added_tokens           text_steps   pre_tokenizer   bpe
 *     ids ─▶ texts of tokens ─▶ decoder steps ─▶ text
 *            vocabulary         token_decoder
 *
 * Built (tokenizer_builder.h) by whoever read its definition (importer/tokenizer_file); this module
 * knows no JSON. Immutable once built: any number of threads may encode and decode. */
#ifndef QUERN_ENGINE_TEXT_TOKENIZER_H
#define QUERN_ENGINE_TEXT_TOKENIZER_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;  /* made by a tokenizer_builder */
struct token_text; /* vocabulary.h */

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
struct token_text
text_buffer_text(const struct text_buffer *buffer); /* not NULL where it is empty */

/* Appends the ids of `length` bytes of `text` to `ids`. Bytes that are not UTF-8 count as U+FFFD.
 * add_special puts what the post-processor says (BOS) around them. Fails when memory is out, and with
 * ERROR_UNSUPPORTED for a text that takes too many steps of one of the tokenizer's patterns. */
bool tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                      bool add_special, struct token_list *ids, struct error *err);

/* Likewise, but special tokens that the text spells are text like any other. */
bool tokenizer_encode_literal(const struct tokenizer *tokenizer, const char *text, size_t length,
                              bool add_special, struct token_list *ids, struct error *err);

/* Appends the text of the ids. skip_special leaves out special tokens; ids that are not in the
 * vocabulary are left out. Fails like tokenizer_encode. */
bool tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                      bool skip_special, struct text_buffer *text, struct error *err);

/* Ids are in [0, size). Not each of them need be a token's. */
size_t tokenizer_vocabulary_size(const struct tokenizer *tokenizer);
bool tokenizer_has(const struct tokenizer *tokenizer, int64_t id);

/* The id of the token whose content is exactly `content`, or -1. */
int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *content);
bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id);

/* ---- Streaming: one token at a time to text that is always whole UTF-8 characters ----
 *
 * What is said in pieces is, together, what tokenizer_decode says of all the ids. */

struct detokenizer;

bool detokenizer_open(struct detokenizer **out, const struct tokenizer *tokenizer,
                      bool skip_special, struct error *err);
void detokenizer_close(struct detokenizer *detokenizer);

/* Before the first token: what is said goes on from a text, as a reply goes on from its prompt. Some
 * tokenizers drop the space with which a text begins; this one begins amid a text. */
void detokenizer_continue(struct detokenizer *detokenizer);

/* Special tokens that are part of the text, although others are skipped. Borrows the ids. */
void detokenizer_show(struct detokenizer *detokenizer, const int32_t *ids, size_t count);

/* Appends to `text` what token `id` lets be said now; the rest waits for the next token. A run of byte
 * tokens (<0x0A>) waits for its end: what it spells is not known before (token_decoder.h). */
bool detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct text_buffer *text,
                      struct error *err);

/* How many characters wait, as far as it is known by now. */
size_t detokenizer_waiting(const struct detokenizer *detokenizer);

/* At the end of the reply: what still waits comes out. */
bool detokenizer_finish(struct detokenizer *detokenizer, struct text_buffer *text,
                        struct error *err);

#endif
