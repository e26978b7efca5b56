/* Tokenizers of families, of up to 33 MB each, that are not part of the source tree: the environment
 * variable QUERN_LARGE_TOKENIZERS names a folder that has them, NAME/tokenizer.json with NAME/cases.json. */
#include "tokenizer_cases.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void check_family(const char *name) {
    const char *folder = getenv("QUERN_LARGE_TOKENIZERS");
    char tokenizer[4096];
    char cases[4096];
    if (folder == NULL) {
        cr_skip_test("QUERN_LARGE_TOKENIZERS is not set");
    }
    snprintf(tokenizer, sizeof tokenizer, "%s/%s/tokenizer.json", folder, name);
    snprintf(cases, sizeof cases, "%s/%s/cases.json", folder, name);
    cr_assert_gt(check_cases(tokenizer, cases), 200);
}

Test(large_tokenizers, gemma3_agrees_with_the_reference) {
    check_family("gemma3");
}

Test(large_tokenizers, llama2_agrees_with_the_reference) {
    check_family("llama2");
}

Test(large_tokenizers, llama3_agrees_with_the_reference) {
    check_family("llama3_1");
}

Test(large_tokenizers, qwen3_agrees_with_the_reference) {
    check_family("qwen3");
}
