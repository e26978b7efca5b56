#include "engine/text/token_search.h"
#include "importer/model.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {"he", "\n", "e th", "thinking"};
enum { TEXTS = 4 };

/* With the tokenizer of a fixture's model. */
static bool is_set(const uint64_t *bits, size_t token) {
    return (bits[token / 64] >> (token % 64) & 1) != 0;
}

Test(token_search, finds_the_tokens_that_contain_a_text_and_the_runs_that_are_one) {
    struct model *model = NULL;
    struct token_bytes *tokens = NULL;
    struct error err = {0};
    cr_assert(model_open(&model, "models/gemma3-int4", NULL, &err), "%s", err.text);
    cr_assert(token_bytes_open(&tokens, model->tokenizer, &err), "%s", err.text);
    uint64_t *bits = calloc(tokens->size / 64 + 1, sizeof *bits);
    struct token_list runs = {0};
    cr_assert(token_search(model->tokenizer, tokens, texts, TEXTS, bits, &runs, &err), "%s",
              err.text);
    size_t found = 0;
    for (size_t id = 0; id < tokens->size; id++) {
        struct text_buffer bytes = {0};
        bool contains = false;
        cr_assert(tokenizer_token_bytes(model->tokenizer, (int32_t)id, &bytes, &err));
        for (size_t t = 0; t < TEXTS && bytes.length > 0; t++) {
            contains = contains || strstr(bytes.bytes, texts[t]) != NULL;
        }
        contains = contains && !tokenizer_is_special(model->tokenizer, (int32_t)id);
        cr_assert_eq(is_set(bits, id), contains, "token %zu \"%s\"", id, bytes.bytes);
        found += contains;
        text_buffer_deinit(&bytes);
    }
    cr_assert_gt(found, 4);
    size_t run_count = 0;
    for (size_t i = 0; i < runs.length; i += 1 + (size_t)runs.ids[i]) {
        struct text_buffer text = {0};
        cr_assert_gt(runs.ids[i], 1);
        cr_assert(tokenizer_decode(model->tokenizer, runs.ids + i + 1, (size_t)runs.ids[i], false,
                                   &text, &err));
        cr_assert(strcmp(text.bytes, "e th") == 0 || strcmp(text.bytes, "thinking") == 0, "\"%s\"",
                  text.bytes);
        run_count++;
        text_buffer_deinit(&text);
    }
    cr_assert_eq(run_count, 2);
    token_list_deinit(&runs);
    free(bits);
    token_bytes_close(tokens);
    model_close(model);
}
