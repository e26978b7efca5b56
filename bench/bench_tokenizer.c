/* How fast is a tokenizer?
 *
 *     quern-bench-tokenizer TOKENIZER_JSON TEXT_FILE
 *
 * Loads the tokenizer, then encodes the text in requests of 8 KB, and decodes what came out, each for
 * half a second at least. Prints one line of JSON; the checksum is that of the ids. One thread. */
#include "engine/text/tokenizer.h"
#include "importer/tokenizer_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REQUEST_BYTES = 8192 };

static const double MEASURE_SECONDS = 0.5;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "quern-bench-tokenizer: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail(path, "cannot be read");
    }
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) {
        fail(path, "cannot be read");
    }
    fclose(file);
    return bytes;
}

/* Where the request that begins at `begin` ends: at a character. */
static size_t request_end(const char *text, size_t size, size_t begin) {
    size_t end = begin + REQUEST_BYTES < size ? begin + REQUEST_BYTES : size;
    while (end < size && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end++;
    }
    return end;
}

static void encode_all(const struct tokenizer *tokenizer, const char *text, size_t size,
                       struct token_list *ids) {
    struct error err = {0};
    ids->length = 0;
    for (size_t begin = 0; begin < size;) {
        size_t end = request_end(text, size, begin);
        if (!tokenizer_encode(tokenizer, text + begin, end - begin, false, ids, &err)) {
            fail("encoding", err.text);
        }
        begin = end;
    }
}

int main(int argc, char **argv) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    struct token_list ids = {0};
    struct text_buffer back = {0};
    size_t size;
    size_t text_size;
    if (argc != 3) {
        fail("usage", "quern-bench-tokenizer TOKENIZER_JSON TEXT_FILE");
    }
    char *text = read_file(argv[2], &text_size);
    double begin = now();
    char *json = read_file(argv[1], &size);
    if (!tokenizer_file_load(&tokenizer, (const uint8_t *)json, size, &err)) {
        fail(argv[1], err.text);
    }
    free(json);
    double loaded = now();
    size_t rounds = 0;
    double start = now();
    double seconds = 0;
    while (seconds < MEASURE_SECONDS) {
        encode_all(tokenizer, text, text_size, &ids);
        rounds++;
        seconds = now() - start;
    }
    double encoded = (double)(rounds * text_size) / seconds / 1e6;
    uint32_t checksum = 0;
    for (size_t i = 0; i < ids.length; i++) {
        checksum = checksum * 31 + (uint32_t)ids.ids[i];
    }
    rounds = 0;
    start = now();
    seconds = 0;
    while (seconds < MEASURE_SECONDS) {
        back.length = 0;
        if (!tokenizer_decode(tokenizer, ids.ids, ids.length, false, &back, &err)) {
            fail("decoding", err.text);
        }
        rounds++;
        seconds = now() - start;
    }
    printf("{\"load_seconds\": %.3f, \"encode_megabytes_per_second\": %.2f, "
           "\"decode_tokens_per_second\": %.0f, \"tokens\": %zu, \"checksum\": %u}\n",
           loaded - begin, encoded, (double)(rounds * ids.length) / seconds, ids.length, checksum);
    tokenizer_close(tokenizer);
    token_list_deinit(&ids);
    text_buffer_deinit(&back);
    free(text);
    return EXIT_SUCCESS;
}
