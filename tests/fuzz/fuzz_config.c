/* Any bytes as genai_config.json, or behind a first byte of 'h' as config.json. */
#include "importer/model_config.h"
#include "importer/model_dir.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

/* The one folder of the process, entered; it is removed when the process ends. */
static void enter_folder(void) {
    static char path[] = "/tmp/quern-fuzz-XXXXXX";
    if (path[sizeof path - 2] == 'X') {
        require(mkdtemp(path) != NULL && chdir(path) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    bool hugging_face = size > 0 && bytes[0] == 'h';
    const char *name = hugging_face ? "config.json" : "genai_config.json";
    struct model_dir *dir = NULL;
    struct model_config config;
    struct error err = {0};
    enter_folder();
    FILE *file = fopen(name, "wb");
    require(file != NULL);
    fwrite(bytes + hugging_face, 1, size - hugging_face, file);
    require(fclose(file) == 0 && model_dir_open(&dir, ".", &err));
    if (model_config_read(&config, dir, &err)) {
        size_t layer;
        model_config_layer(config.past_key, "past_key_values.3.key", &layer);
        model_config_deinit(&config);
    } else {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
    }
    model_dir_close(dir);
    unlink(name);
    return 0;
}
