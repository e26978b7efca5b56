#include "engine/text/tokenizer.h"

#include "engine/text/tokenizer_internal.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for tokenized text");
}

void tokenizer_close(struct tokenizer *tokenizer) {
    if (tokenizer == NULL) {
        return;
    }
    vocabulary_deinit(&tokenizer->vocabulary);
    bpe_deinit(&tokenizer->bpe);
    added_tokens_deinit(&tokenizer->raw_added);
    added_tokens_deinit(&tokenizer->normalized_added);
    free(tokenizer->special);
    text_steps_deinit(&tokenizer->normalizer);
    pre_tokenizer_deinit(&tokenizer->pre_tokenizer);
    token_decoder_deinit(&tokenizer->decoder);
    token_list_deinit(&tokenizer->before);
    token_list_deinit(&tokenizer->after);
    free(tokenizer);
}

/* ---- Encoding ---- */

/* One text on its way to ids, and the memory that its parts use by turns. */
struct encoding {
    const struct tokenizer *tokenizer;
    bool literal; /* special tokens in the text are text */
    struct token_list *ids;
    struct text_buffer normal;
    struct pieces pieces;
    struct bpe_word word;
    struct error *err;
};

/* A stretch of text that has no added token in it; `first`: the whole input begins with it. */
typedef bool encode_stretch(struct encoding *encoding, struct token_text text, bool first);

static bool encode_pieces(struct encoding *encoding, struct token_text text, bool first) {
    const struct tokenizer *tokenizer = encoding->tokenizer;
    struct pieces *pieces = &encoding->pieces;
    if (!pre_tokenizer_apply(&tokenizer->pre_tokenizer, text, first, pieces, encoding->err)) {
        return false;
    }
    for (size_t i = 0; i < pieces->list.count; i++) {
        struct piece piece = pieces->list.pieces[i];
        if (!bpe_encode(&tokenizer->bpe, &tokenizer->vocabulary, pieces->text + piece.begin,
                        piece.end - piece.begin, &encoding->word, encoding->ids, encoding->err)) {
            return false;
        }
    }
    return true;
}

/* Encodes what lies between the added tokens with `encode_rest`, and the added tokens as
 * themselves. */
static bool encode_between(struct encoding *encoding, const struct added_tokens *added,
                           struct token_text text, bool first, encode_stretch *encode_rest) {
    struct added_search search = {
        .added = added, .text = text.bytes, .length = text.length, .literal = encoding->literal};
    for (;;) {
        const size_t from = search.taken;
        struct added_match match = added_search_next(&search);
        if (from < match.begin &&
            !encode_rest(encoding, (struct token_text){text.bytes + from, match.begin - from},
                         first && from == 0)) {
            return false;
        }
        if (match.token == NULL) {
            return true;
        }
        if (!token_list_push(encoding->ids, match.token->id)) {
            return no_memory(encoding->err);
        }
    }
}

static bool encode_unnormalized(struct encoding *encoding, struct token_text text, bool first) {
    const struct tokenizer *tokenizer = encoding->tokenizer;
    if (tokenizer->normalizer.count > 0) {
        encoding->normal.length = 0;
        if (!text_steps_apply(&tokenizer->normalizer, text, &encoding->normal, encoding->err)) {
            return false;
        }
        text = (struct token_text){encoding->normal.bytes, encoding->normal.length};
    }
    return encode_between(encoding, &tokenizer->normalized_added, text, first, encode_pieces);
}

/* Copies text with U+FFFD in place of each byte that is not part of a valid character. */
static bool repair(const char *text, size_t length, struct text_buffer *repaired) {
    for (size_t at = 0; at < length;) {
        size_t valid = utf8_valid_prefix(text + at, length - at);
        if (!text_buffer_append(repaired, text + at, valid)) {
            return false;
        }
        at += valid;
        if (at < length) {
            at++;
            if (!text_buffer_append(repaired, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT))) {
                return false;
            }
        }
    }
    return true;
}

/* Whatever happens, the encoding's memory is freed. */
static bool encode(struct encoding *encoding, const char *text, size_t length, bool add_special) {
    const struct tokenizer *tokenizer = encoding->tokenizer;
    struct token_list *ids = encoding->ids;
    struct error *err = encoding->err;
    struct text_buffer repaired = {0};
    bool ok = true;
    if (utf8_valid_prefix(text, length) < length) {
        ok = repair(text, length, &repaired) || no_memory(err);
        text = repaired.bytes;
        length = repaired.length;
    }
    ok = ok && (!add_special || token_list_append(ids, &tokenizer->before) || no_memory(err));
    ok = ok && encode_between(encoding, &tokenizer->raw_added, (struct token_text){text, length},
                              true, encode_unnormalized);
    ok = ok && (!add_special || token_list_append(ids, &tokenizer->after) || no_memory(err));
    text_buffer_deinit(&encoding->normal);
    pieces_deinit(&encoding->pieces);
    bpe_word_deinit(&encoding->word);
    text_buffer_deinit(&repaired);
    return ok;
}

bool tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                      bool add_special, struct token_list *ids, struct error *err) {
    struct encoding encoding = {.tokenizer = tokenizer, .ids = ids, .err = err};
    return encode(&encoding, text, length, add_special);
}

bool tokenizer_encode_literal(const struct tokenizer *tokenizer, const char *text, size_t length,
                              bool add_special, struct token_list *ids, struct error *err) {
    struct encoding encoding = {.tokenizer = tokenizer, .literal = true, .ids = ids, .err = err};
    return encode(&encoding, text, length, add_special);
}

/* ---- Asking ---- */

size_t tokenizer_vocabulary_size(const struct tokenizer *tokenizer) {
    return tokenizer->vocabulary.size;
}

bool tokenizer_has(const struct tokenizer *tokenizer, int64_t id) {
    return id >= 0 && id < TOKEN_ID_LIMIT &&
           vocabulary_text(&tokenizer->vocabulary, (int32_t)id).bytes != NULL;
}

static int32_t find_added(const struct tokenizer *tokenizer, const struct added_tokens *added,
                          struct token_text content) {
    for (size_t i = 0; i < added->count; i++) {
        struct token_text text = vocabulary_text(&tokenizer->vocabulary, added->tokens[i].id);
        if (text.length == content.length && memcmp(text.bytes, content.bytes, text.length) == 0) {
            return added->tokens[i].id;
        }
    }
    return -1;
}

int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *content) {
    struct token_text text = {content, strlen(content)};
    int32_t id = vocabulary_find(&tokenizer->vocabulary, content, text.length);
    id = id >= 0 ? id : find_added(tokenizer, &tokenizer->raw_added, text);
    return id >= 0 ? id : find_added(tokenizer, &tokenizer->normalized_added, text);
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (size_t)id < tokenizer->vocabulary.size && tokenizer->special[id] != 0;
}
