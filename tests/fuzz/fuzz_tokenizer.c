/* Any bytes as tokenizer.json; should they make a tokenizer, any text through it and back. The text
 * is the input itself, which in a corpus of tokenizers holds their added tokens and odd bytes. */
#include "engine/text/utf8.h"
#include "importer/tokenizer_file.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

/* Says the ids one by one: the text must be that of all of them, and at any time whole characters. */
static void stream(const struct tokenizer *tokenizer, const struct token_list *ids,
                   const struct text_buffer *expected) {
    struct detokenizer *detokenizer = NULL;
    struct text_buffer text = {0};
    size_t checked = 0;
    require(detokenizer_open(&detokenizer, tokenizer, true, NULL) &&
            text_buffer_append(&text, "", 0));
    for (size_t i = 0; i < ids->length; i++) {
        require(detokenizer_push(detokenizer, ids->ids[i], &text, NULL));
        checked += utf8_valid_prefix(text.bytes + checked, text.length - checked);
        require(checked == text.length);
    }
    require(detokenizer_finish(detokenizer, &text, NULL));
    require(text.length == expected->length &&
            memcmp(text.bytes, expected->bytes, text.length) == 0);
    detokenizer_close(detokenizer);
    text_buffer_deinit(&text);
}

/* A pattern may take too many steps, and says so; nothing else may fail. */
static bool is_allowed(bool ok, const struct error *err) {
    return ok || err->code == ERROR_UNSUPPORTED;
}

static void encode_and_decode(const struct tokenizer *tokenizer, const char *input, size_t size) {
    struct error err = {0};
    struct token_list ids = {0};
    struct text_buffer text = {0};
    bool ok = tokenizer_encode(tokenizer, input, size, true, &ids, &err);
    require(is_allowed(ok, &err));
    for (size_t i = 0; ok && i < ids.length; i++) {
        require(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tokenizer_vocabulary_size(tokenizer));
    }
    ok = ok && tokenizer_decode(tokenizer, ids.ids, ids.length, true, &text, &err);
    require(is_allowed(ok, &err));
    if (ok) {
        stream(tokenizer, &ids, &text);
    }
    text_buffer_deinit(&text);
    token_list_deinit(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    if (!tokenizer_file_load(&tokenizer, bytes, size, &err)) {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
        return 0;
    }
    encode_and_decode(tokenizer, (const char *)bytes, size);
    tokenizer_close(tokenizer);
    return 0;
}
