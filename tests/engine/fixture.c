#include "fixture.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const adapter_names[FIXTURE_ADAPTERS] = {"one", "two"};

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = calloc(size + 1, 1);
    cr_assert(bytes != NULL && fread(bytes, 1, size, file) == size);
    fclose(file);
    return bytes;
}

static uint32_t base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '=' ? digits : strchr(digits, c);
    cr_assert(at != NULL && c != '\0', "not base64: %c", c);
    return (uint32_t)(at - digits);
}

static float *decode_floats(const char *text, size_t count) {
    uint8_t *bytes = malloc(count * sizeof(float) + 3);
    size_t written = 0;
    for (const char *c = text; *c != '\0' && written < count * sizeof(float); c += 4) {
        uint32_t word = base64_digit(c[0]) << 18 | base64_digit(c[1]) << 12 |
                        base64_digit(c[2]) << 6 | base64_digit(c[3]);
        bytes[written++] = (uint8_t)(word >> 16);
        bytes[written++] = (uint8_t)(word >> 8);
        bytes[written++] = (uint8_t)word;
    }
    cr_assert_geq(written, count * sizeof(float), "%zu bytes of logits, expected %zu", written,
                  count * sizeof(float));
    return (float *)(void *)bytes;
}

static void read_case(struct fixture_case *test, const cJSON *json, size_t vocabulary) {
    const cJSON *prompt = cJSON_GetObjectItem(json, "prompt");
    const cJSON *greedy = cJSON_GetObjectItem(json, "greedy");
    test->prompt_length = (size_t)cJSON_GetArraySize(prompt);
    test->length = test->prompt_length + (size_t)cJSON_GetArraySize(greedy);
    test->tokens = calloc(test->length, sizeof *test->tokens);
    size_t n = 0;
    const cJSON *token;
    cJSON_ArrayForEach(token, prompt) test->tokens[n++] = token->valueint;
    cJSON_ArrayForEach(token, greedy) test->tokens[n++] = token->valueint;
    test->first_row = (size_t)cJSON_GetObjectItem(json, "first_row_position")->valueint;
    test->onnxruntime_error =
        cJSON_GetObjectItem(json, "onnxruntime_as_exported_rms_error")->valuedouble;
    const cJSON *adapter = cJSON_GetObjectItem(json, "adapter");
    for (size_t i = 0; adapter != NULL && i < FIXTURE_ADAPTERS; i++) {
        bool same = strcmp(adapter->valuestring, adapter_names[i]) == 0;
        test->adapter = same ? i + 1 : test->adapter;
    }
    const char *base64 = cJSON_GetObjectItem(json, "logits_f32le_base64")->valuestring;
    test->logits = decode_floats(base64, (test->length - test->first_row) * vocabulary);
}

static void open_adapters(struct fixture *fixture, const char *name) {
    for (size_t i = 0; i < FIXTURE_ADAPTERS; i++) {
        struct error err = {0};
        char path[256];
        snprintf(path, sizeof path, "models/%s/%s.onnx_adapter", name, adapter_names[i]);
        if (access(path, F_OK) == 0) {
            cr_assert(adapter_open(&fixture->adapters[i], fixture->model, path, &err), "%s",
                      err.text);
            fixture->pairs[fixture->adapter_count++] = adapter_pairs(fixture->adapters[i]);
        }
    }
}

struct adapters_source fixture_adapters(const struct fixture *fixture) {
    return (struct adapters_source){.adapters = fixture->pairs, .count = fixture->adapter_count};
}

struct fixture fixture_open(const char *name) {
    struct fixture fixture = {0};
    struct error err = {0};
    char path[256];
    snprintf(path, sizeof path, "models/%s", name);
    cr_assert(model_open(&fixture.model, path, NULL, &err), "%s", err.text);
    open_adapters(&fixture, name);
    snprintf(path, sizeof path, "models/%s/expected.json", name);
    char *text = read_file(path);
    cJSON *json = cJSON_Parse(text);
    const cJSON *cases = cJSON_GetObjectItem(json, "cases");
    fixture.case_count = (size_t)cJSON_GetArraySize(cases);
    fixture.cases = calloc(fixture.case_count, sizeof *fixture.cases);
    for (size_t i = 0; i < fixture.case_count; i++) {
        read_case(&fixture.cases[i], cJSON_GetArrayItem(cases, (int)i),
                  fixture.model->plan.vocabulary_size);
    }
    cJSON_Delete(json);
    free(text);
    return fixture;
}

void fixture_close(struct fixture *fixture) {
    for (size_t i = 0; i < fixture->case_count; i++) {
        free(fixture->cases[i].tokens);
        free(fixture->cases[i].logits);
    }
    free(fixture->cases);
    for (size_t i = 0; i < fixture->adapter_count; i++) {
        adapter_close(fixture->adapters[i]);
    }
    model_close(fixture->model);
}

float *fixture_run(struct decoder *decoder, const struct fixture_case *test, size_t chunk) {
    size_t vocabulary = decoder->plan->vocabulary_size;
    float *logits = calloc((test->length - test->first_row) * vocabulary, sizeof *logits);
    struct executor_row *rows = calloc(chunk, sizeof *rows);
    struct kv_sequence sequence;
    cr_assert(logits != NULL && rows != NULL &&
              kv_sequence_open(&sequence, decoder->cache, test->length, NULL));
    size_t written = 0;
    for (size_t done = 0; done < test->length;) {
        size_t left = done < test->prompt_length ? test->prompt_length - done : 1;
        size_t count = left < chunk ? left : chunk;
        size_t wanted = 0;
        cr_assert(kv_sequence_reserve(&sequence, decoder->cache, done + count),
                  "the KV pool is too small");
        for (size_t r = 0; r < count; r++) {
            rows[r] = (struct executor_row){.token = test->tokens[done + r],
                                            .position = done + r,
                                            .sequence = &sequence,
                                            .adapter = test->adapter,
                                            .wanted = done + r >= test->first_row};
            wanted += rows[r].wanted;
        }
        const float *step = executor_run(decoder->executor, rows, count);
        for (size_t i = 0; i < wanted; i++) {
            memcpy(logits + written++ * vocabulary,
                   step + i * executor_logits_stride(decoder->executor),
                   vocabulary * sizeof *logits);
        }
        done += count;
        kv_sequence_reclaim(&sequence, decoder->cache, done);
    }
    kv_sequence_close(&sequence, decoder->cache);
    free(rows);
    return logits;
}
