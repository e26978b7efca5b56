#include "engine/text/token_search.h"

#include <string.h>

static void set_bit(uint64_t *bits, size_t token) {
    bits[token / 64] |= UINT64_C(1) << token % 64;
}

/* Most tokens hold none of the texts' first bytes. */
static bool contains_one(struct token_text token, const bool first_bytes[256],
                         const char *const *texts, size_t count) {
    bool may = false;
    for (size_t i = 0; i < token.length && !may; i++) {
        may = first_bytes[(unsigned char)token.bytes[i]];
    }
    for (size_t i = 0; may && i < count; i++) {
        if (memmem(token.bytes, token.length, texts[i], strlen(texts[i])) != NULL) {
            return true;
        }
    }
    return false;
}

static bool append_run(const struct tokenizer *tokenizer, const char *text, uint64_t *bits,
                       struct token_list *runs, struct error *err) {
    struct token_list ids = {0};
    bool ok = tokenizer_encode(tokenizer, text, strlen(text), false, &ids, err);
    if (ok && ids.length == 1) {
        set_bit(bits, (size_t)ids.ids[0]);
    } else if (ok && ids.length > 1) {
        ok = token_list_push(runs, (int32_t)ids.length);
        for (size_t i = 0; ok && i < ids.length; i++) {
            ok = token_list_push(runs, ids.ids[i]);
        }
        if (!ok) {
            error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the tokens of a text");
        }
    }
    token_list_deinit(&ids);
    return ok;
}

bool token_search(const struct tokenizer *tokenizer, const struct token_bytes *tokens,
                  const char *const *texts, size_t count, uint64_t *bits, struct token_list *runs,
                  struct error *err) {
    bool first_bytes[256] = {false};
    for (size_t i = 0; i < count; i++) {
        first_bytes[(unsigned char)texts[i][0]] = true;
        if (!append_run(tokenizer, texts[i], bits, runs, err)) {
            return false;
        }
    }
    for (size_t id = 0; id < tokens->size; id++) {
        if (contains_one(token_bytes_of(tokens, id), first_bytes, texts, count)) {
            set_bit(bits, id);
        }
    }
    return true;
}
