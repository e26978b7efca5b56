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

/* The one folder of the process, which goes with it. */
static char folder[] = "/tmp/quern-fuzz-XXXXXX";

static void remove_folder(void) {
    rmdir(folder);
}

static void make_folder(void) {
    static bool made;
    if (!made) {
        require(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
        made = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    bool hugging_face = size > 0 && bytes[0] == 'h';
    const char *name = hugging_face ? "config.json" : "genai_config.json";
    struct model_dir *dir = NULL;
    struct model_config config;
    struct error err = {0};
    char path[sizeof folder + 32];
    make_folder();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    require(file != NULL);
    fwrite(bytes + hugging_face, 1, size - hugging_face, file);
    require(fclose(file) == 0 && model_dir_open(&dir, folder, &err));
    if (model_config_read(&config, dir, &err)) {
        size_t layer;
        model_config_layer(config.past_key, "past_key_values.3.key", &layer);
        model_config_deinit(&config);
    } else {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
    }
    model_dir_close(dir);
    unlink(path);
    return 0;
}
