/* Ids to text, all at once or one token at a time. */
#include "engine/text/tokenizer.h"

#include "engine/text/tokenizer_internal.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for decoded text");
}

static int hexadecimal_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int tokenizer_byte_of(const struct tokenizer *tokenizer, int32_t id) {
    struct token_text text = vocabulary_text(&tokenizer->vocabulary, id);
    if (!tokenizer->decodes_bytes || text.length != 6 || memcmp(text.bytes, "<0x", 3) != 0 ||
        text.bytes[5] != '>') {
        return -1;
    }
    int high = hexadecimal_digit(text.bytes[3]);
    int low = hexadecimal_digit(text.bytes[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool append_replacement_characters(struct text_buffer *text, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!text_buffer_append(text, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT))) {
            return false;
        }
    }
    return true;
}

static bool append_token(const struct tokenizer *tokenizer, int32_t id, struct text_buffer *text) {
    struct token_text token = vocabulary_text(&tokenizer->vocabulary, id);
    return token.bytes == NULL ||
           replacements_apply(&tokenizer->decoder, token.bytes, token.length, text);
}

/* A run of byte tokens is the text that it spells, or as many replacement characters as it has
 * bytes if it spells none. (Hugging Face tokenizers, ByteFallback) */
static bool append_bytes(struct text_buffer *run, struct text_buffer *text) {
    bool valid = utf8_valid_prefix(run->bytes, run->length) == run->length;
    bool ok = valid ? text_buffer_append(text, run->bytes, run->length)
                    : append_replacement_characters(text, run->length);
    run->length = 0;
    return ok;
}

bool tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                      bool skip_special, struct text_buffer *text, struct error *err) {
    struct text_buffer run = {0};
    bool ok = text_buffer_append(text, "", 0);
    for (size_t i = 0; ok && i < count; i++) {
        if (skip_special && tokenizer_is_special(tokenizer, ids[i])) {
            continue;
        }
        int byte = tokenizer_byte_of(tokenizer, ids[i]);
        if (byte >= 0) {
            ok = text_buffer_append(&run, &(char){(char)byte}, 1);
        } else {
            ok = append_bytes(&run, text) && append_token(tokenizer, ids[i], text);
        }
    }
    ok = ok && append_bytes(&run, text);
    text_buffer_deinit(&run);
    return ok || no_memory(err);
}

/* ---- Streaming ---- */

enum { CHARACTER_BYTES_MAX = 4 };

struct detokenizer {
    const struct tokenizer *tokenizer;
    bool skip_special;
    char waiting[CHARACTER_BYTES_MAX]; /* the beginning of a character */
    size_t waiting_length;
};

bool detokenizer_open(struct detokenizer **out, const struct tokenizer *tokenizer,
                      bool skip_special, struct error *err) {
    struct detokenizer *detokenizer = calloc(1, sizeof *detokenizer);
    if (detokenizer == NULL) {
        return no_memory(err);
    }
    detokenizer->tokenizer = tokenizer;
    detokenizer->skip_special = skip_special;
    *out = detokenizer;
    return true;
}

void detokenizer_close(struct detokenizer *detokenizer) {
    free(detokenizer);
}

static bool flush(struct detokenizer *detokenizer, struct text_buffer *text) {
    size_t count = detokenizer->waiting_length;
    detokenizer->waiting_length = 0;
    return append_replacement_characters(text, count);
}

static bool push_byte(struct detokenizer *detokenizer, char byte, struct text_buffer *text) {
    char *waiting = detokenizer->waiting;
    waiting[detokenizer->waiting_length++] = byte;
    if (utf8_character(waiting, detokenizer->waiting_length) > 0) {
        size_t length = detokenizer->waiting_length;
        detokenizer->waiting_length = 0;
        return text_buffer_append(text, waiting, length);
    }
    if (utf8_may_continue(waiting, detokenizer->waiting_length)) {
        return true;
    }
    /* The new byte does not belong to what waits; it may begin a character of its own. */
    detokenizer->waiting_length--;
    bool alone = detokenizer->waiting_length == 0;
    return flush(detokenizer, text) &&
           (alone ? append_replacement_characters(text, 1) : push_byte(detokenizer, byte, text));
}

bool detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct text_buffer *text,
                      struct error *err) {
    if (detokenizer->skip_special && tokenizer_is_special(detokenizer->tokenizer, id)) {
        return true;
    }
    int byte = tokenizer_byte_of(detokenizer->tokenizer, id);
    bool ok = byte >= 0
                  ? push_byte(detokenizer, (char)byte, text)
                  : flush(detokenizer, text) && append_token(detokenizer->tokenizer, id, text);
    return ok || no_memory(err);
}

bool detokenizer_finish(struct detokenizer *detokenizer, struct text_buffer *text,
                        struct error *err) {
    return flush(detokenizer, text) || no_memory(err);
}
