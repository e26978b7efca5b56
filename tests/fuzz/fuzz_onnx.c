/* Any bytes as model.onnx: read, rewritten, lowered, verified. What gets so far is run, too, since
 * plan_verify promises that the engine need not check anything behind it. */
#include "engine/decoder.h"
#include "importer/lower.h"
#include "importer/model_config.h"
#include "importer/model_dir.h"
#include "importer/onnx_file.h"
#include "importer/passes/passes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONTEXT = 48, TOKENS = 6, WEIGHT_BYTES_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

/* A folder without any file, so that names and limits are the defaults. */
static struct model_dir *empty_folder(void) {
    static struct model_dir *dir;
    if (dir == NULL) {
        char path[] = "/tmp/quern-fuzz-XXXXXX";
        require(mkdtemp(path) != NULL && model_dir_open(&dir, path, NULL));
        remove(path);
    }
    return dir;
}

/* Six tokens behind each other in a step of four and one of two. */
static void run(struct decoder *decoder) {
    struct kv_sequence sequence;
    struct executor_row rows[4];
    require(kv_sequence_open(&sequence, decoder->cache, TOKENS, NULL));
    for (size_t first = 0, end; first < TOKENS; first = end) {
        end = first + 4 < TOKENS ? first + 4 : TOKENS;
        require(kv_sequence_reserve(&sequence, decoder->cache, end));
        for (size_t i = first; i < end; i++) {
            rows[i - first] = (struct executor_row){.token = (int32_t)(i % 2),
                                                    .position = i,
                                                    .sequence = &sequence,
                                                    .wanted = i + 1 == end};
        }
        require(executor_run(decoder->executor, rows, end - first) != NULL);
    }
    kv_sequence_close(&sequence, decoder->cache);
}

static void decode(const struct plan *plan, bool exact) {
    struct decoder decoder = {0};
    struct error err = {0};
    const struct decoder_options options = {
        .exact = exact,
        .kv_type = exact ? KV_F32 : KV_F16,
        .threads = 1,
        .kernels = "scalar",
        .kv_positions = TOKENS,
        .rows_max = 4,
        .wanted_max = 1,
        .packing = {.bytes_max = WEIGHT_BYTES_MAX},
    };
    if (decoder_open(&decoder, plan, &options, &err)) {
        run(&decoder);
    } else {
        require(err.text[0] != '\0');
    }
    decoder_close(&decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct graph *graph;
    struct model_config config;
    struct plan plan;
    struct error err = {0};
    char *reasons = NULL;
    if (!onnx_file_parse(&graph, empty_folder(), bytes, size, &err)) {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
        return 0;
    }
    require(model_config_read(&config, empty_folder(), &err));
    config.context_length = CONTEXT;
    plan_init(&plan);
    if (passes_run(graph, &config, &err) && lower(&plan, graph, &config, &reasons, &err) &&
        plan_insert_select_rows(&plan) && plan_verify(&plan, &err) && plan.vocabulary_size > 1) {
        decode(&plan, true);
        decode(&plan, false);
    }
    free(reasons);
    plan_deinit(&plan);
    model_config_deinit(&config);
    graph_close(graph);
    return 0;
}
