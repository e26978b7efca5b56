/* Any bytes as tokenizer.json; should they make a tokenizer, any text through it and back. The text
 * is the input itself, which in a corpus of tokenizers holds their added tokens and odd bytes. */
#include "importer/tokenizer_file.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

static void stream(const struct tokenizer *tokenizer, const struct token_list *ids) {
    struct detokenizer *detokenizer = NULL;
    struct text_buffer text = {0};
    require(detokenizer_open(&detokenizer, tokenizer, false, NULL));
    for (size_t i = 0; i < ids->length; i++) {
        require(detokenizer_push(detokenizer, ids->ids[i], &text, NULL));
    }
    require(detokenizer_finish(detokenizer, &text, NULL));
    detokenizer_close(detokenizer);
    text_buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    struct token_list ids = {0};
    struct text_buffer text = {0};
    if (!tokenizer_file_load(&tokenizer, bytes, size, &err)) {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
        return 0;
    }
    require(tokenizer_encode(tokenizer, (const char *)bytes, size, true, &ids, &err));
    for (size_t i = 0; i < ids.length; i++) {
        require(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tokenizer_vocabulary_size(tokenizer));
    }
    require(tokenizer_decode(tokenizer, ids.ids, ids.length, true, &text, &err));
    stream(tokenizer, &ids);
    text_buffer_deinit(&text);
    token_list_deinit(&ids);
    tokenizer_close(tokenizer);
    return 0;
}
