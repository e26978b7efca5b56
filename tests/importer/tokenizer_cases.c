#include "tokenizer_cases.h"

#include "engine/text/utf8.h"
#include "importer/json_reader.h"
#include "importer/tokenizer_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    cr_assert(bytes != NULL && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

struct tokenizer *load_tokenizer(const char *path) {
    size_t size;
    char *bytes = read_file(path, &size);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    cr_assert(tokenizer_file_load(&tokenizer, (uint8_t *)bytes, size, &err), "%s: %s", path,
              err.text);
    free(bytes);
    return tokenizer;
}

/* ---- Reference cases ---- */

struct reference {
    struct text_buffer text;
    struct token_list ids;
    struct token_list ids_with_special;
    struct text_buffer decoded;
    struct text_buffer decoded_skip_special;
};

static void read_string(struct json_reader *json, struct text_buffer *text) {
    struct token_text string = {"", 0};
    cr_assert(json_string(json, &string), "%s", json->error.text);
    cr_assert(text_buffer_append(text, string.bytes, string.length));
}

static void read_ids(struct json_reader *json, struct token_list *ids) {
    int64_t id;
    json_begin_array(json);
    while (json_next_element(json) && json_integer(json, &id)) {
        cr_assert(token_list_push(ids, (int32_t)id));
    }
}

static struct reference read_reference(struct json_reader *json) {
    struct reference reference = {0};
    struct token_text key;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "text")) {
            read_string(json, &reference.text);
        } else if (token_text_is(key, "ids")) {
            read_ids(json, &reference.ids);
        } else if (token_text_is(key, "ids_with_special")) {
            read_ids(json, &reference.ids_with_special);
        } else if (token_text_is(key, "decoded")) {
            read_string(json, &reference.decoded);
        } else if (token_text_is(key, "decoded_skip_special")) {
            read_string(json, &reference.decoded_skip_special);
        } else {
            json_skip(json);
        }
    }
    return reference;
}

static void reference_deinit(struct reference *reference) {
    text_buffer_deinit(&reference->text);
    token_list_deinit(&reference->ids);
    token_list_deinit(&reference->ids_with_special);
    text_buffer_deinit(&reference->decoded);
    text_buffer_deinit(&reference->decoded_skip_special);
}

static void check_encode(const struct tokenizer *tokenizer, const struct reference *reference,
                         bool special) {
    const struct token_list *expected = special ? &reference->ids_with_special : &reference->ids;
    struct token_list ids = {0};
    cr_assert(tokenizer_encode(tokenizer, reference->text.bytes, reference->text.length, special,
                               &ids, NULL));
    bool same =
        ids.length == expected->length &&
        (ids.length == 0 || memcmp(ids.ids, expected->ids, ids.length * sizeof *ids.ids) == 0);
    cr_assert(same, "\"%s\": %zu ids, expected %zu", reference->text.bytes, ids.length,
              expected->length);
    token_list_deinit(&ids);
}

static void check_decode(const struct tokenizer *tokenizer, const struct token_list *ids, bool skip,
                         const struct text_buffer *expected) {
    struct text_buffer text = {0};
    cr_assert(tokenizer_decode(tokenizer, ids->ids, ids->length, skip, &text, NULL));
    cr_assert(text.length == expected->length &&
                  memcmp(text.bytes, expected->bytes, text.length) == 0,
              "decoded \"%s\", expected \"%s\"", text.bytes, expected->bytes);
    text_buffer_deinit(&text);
}

/* One token at a time gives the same text, and never a part of a character. */
static void check_stream(const struct tokenizer *tokenizer, const struct token_list *ids,
                         const struct text_buffer *expected) {
    struct detokenizer *detokenizer = NULL;
    struct text_buffer text = {0};
    cr_assert(detokenizer_open(&detokenizer, tokenizer, false, NULL));
    cr_assert(text_buffer_append(&text, "", 0));
    for (size_t i = 0; i < ids->length; i++) {
        cr_assert(detokenizer_push(detokenizer, ids->ids[i], &text, NULL));
        cr_assert_eq(utf8_valid_prefix(text.bytes, text.length), text.length,
                     "a part of a character at the end of \"%s\"", text.bytes);
    }
    cr_assert(detokenizer_finish(detokenizer, &text, NULL));
    cr_assert(text.length == expected->length &&
                  memcmp(text.bytes, expected->bytes, text.length) == 0,
              "streamed \"%s\", expected \"%s\"", text.bytes, expected->bytes);
    detokenizer_close(detokenizer);
    text_buffer_deinit(&text);
}

size_t check_cases(const char *tokenizer_path, const char *cases_path) {
    struct tokenizer *tokenizer = load_tokenizer(tokenizer_path);
    size_t size;
    size_t count = 0;
    char *bytes = read_file(cases_path, &size);
    struct json_reader json;
    struct token_text key;
    json_reader_init(&json, bytes, size);
    json_begin_object(&json);
    while (json_next_key(&json, &key)) {
        bool encode = token_text_is(key, "encode");
        if (!encode && !token_text_is(key, "random_ids_decode")) {
            json_skip(&json);
            continue;
        }
        json_begin_array(&json);
        for (; json_next_element(&json); count++) {
            struct reference reference = read_reference(&json);
            if (encode) {
                check_encode(tokenizer, &reference, false);
                check_encode(tokenizer, &reference, true);
            }
            const struct token_list *skipped =
                encode ? &reference.ids_with_special : &reference.ids;
            check_decode(tokenizer, &reference.ids, false, &reference.decoded);
            check_decode(tokenizer, skipped, true, &reference.decoded_skip_special);
            check_stream(tokenizer, &reference.ids, &reference.decoded);
            reference_deinit(&reference);
        }
    }
    cr_assert_eq(json.error.code, ERROR_NONE, "%s: %s", cases_path, json.error.text);
    json_reader_deinit(&json);
    free(bytes);
    tokenizer_close(tokenizer);
    return count;
}
