/* quern bench: how fast a model runs here, and how near that is to what the memory allows.
 *
 * One decoded token reads every packed weight once, but of experts only those that it chose, and
 * the keys and values that its attention sees. So the ceiling of decoding is read bandwidth over
 * bytes per token; the bandwidth is measured by reading the packed weights themselves, on the same
 * threads, and doing nothing with them. */
#include "engine/clock.h"
#include "engine/sizes.h"
#include "importer/model.h"
#include "server/commands.h"
#include "server/options.h"
#include "server/pack_cache.h"
#include "server/timeline.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct bench_options {
    const char *folder;
    size_t prompt;
    size_t generate;
    struct option_list depth;
    struct option_list batch;
    size_t chunk;
    size_t threads;
    double seconds;
    const char *kernels;
    bool exact;
    bool stages;
    bool json;
    struct pack_cache_options cache;
};

enum {
    TOKENS_MAX = 1000000,
    CHUNK_MAX = 4096,
    BATCH_MAX = 256,
    THREADS_MAX = 1024,
    BANDWIDTH_PASSES = 12,
    READ_STREAMS = 4,
    LINE_WORDS = CACHE_LINE_BYTES / sizeof(uint64_t),
    WARMUP_STEPS = 2,
    STAGE_STEPS = 16, /* that --stages times more closely */
    BARRIER_PASSES = 5,
    BARRIERS = 10000,
};

#define FIELD(name) .offset = offsetof(struct bench_options, name)

/* An option is a few lines, its help the last. */
/* clang-format off */
static const struct option options_table[] = {
    {.name = "prompt", .type = OPTION_SIZE, FIELD(prompt), .argument = "N", .minimum = 1,
     .maximum = TOKENS_MAX, .fallback = "512",
     .help = "tokens of the prompt to time"},
    {.name = "generate", .type = OPTION_SIZE, FIELD(generate), .argument = "N",
     .minimum = 1, .maximum = TOKENS_MAX, .fallback = "64",
     .help = "tokens to decode"},
    {.name = "depth", .type = OPTION_LIST, FIELD(depth), .argument = "LIST", .minimum = 1,
     .maximum = TOKENS_MAX, .fallback = "64",
     .help = "numbers of tokens that each sequence holds before decoding starts, separated by "
             "commas"},
    {.name = "batch", .type = OPTION_LIST, FIELD(batch), .argument = "LIST", .minimum = 1,
     .maximum = BATCH_MAX, .fallback = "1",
     .help = "numbers of sequences to decode together, separated by commas"},
    {.name = "chunk", .type = OPTION_SIZE, FIELD(chunk), .argument = "N", .minimum = 1,
     .maximum = CHUNK_MAX, .fallback = "512",
     .help = "prompt tokens of one step"},
    {.name = "threads", .type = OPTION_SIZE, FIELD(threads), .argument = "N", .minimum = 1,
     .maximum = THREADS_MAX,
     .help = "compute threads, otherwise one for each processor"},
    {.name = "seconds", .type = OPTION_NUMBER, FIELD(seconds), .argument = "S",
     .minimum = 0.1, .maximum = 3600, .fallback = "30",
     .help = "of each measurement, after which it is cut short"},
    {.name = "kernels", .type = OPTION_TEXT, FIELD(kernels), .argument = "NAME",
     .choices = kernels_names, .help = "instruction set, instead of the best there is"},
    {.name = "exact", .type = OPTION_FLAG, FIELD(exact),
     .help = "activations and KV cache in f32"},
    {.name = "stages", .type = OPTION_FLAG, FIELD(stages),
     .help = "also time the stages of a decode step, and the barriers between them"},
    {.name = "json", .type = OPTION_FLAG, FIELD(json),
     .help = "print one JSON object instead of a table"},
    PACK_CACHE_OPTIONS(offsetof(struct bench_options, cache)),
};
/* clang-format on */

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .offset = offsetof(struct bench_options, folder),
     .help =
         "folder with an ONNX model, or the ONNX file in it; without it, the embedded demo model"},
};

const struct command_line bench_command_line = {
    .command = "bench",
    .description = "Times prompts and decoding of a model, and sets decoding against the read "
                   "bandwidth that the same threads reach on the same weights.",
    .operands = operands,
    .operand_count = 1,
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

/* Tokens, and the seconds they took. */
struct rate {
    size_t tokens;
    double seconds;
};

struct decoding {
    size_t batch;
    size_t depth;
    struct rate rate;
    double bytes_per_step; /* weights that are used once, keys and values of each sequence */
    double resident_bytes; /* of the process, at the end of this decoding */
    struct stage_time stages[EXECUTOR_STAGE_NAMES_MAX]; /* of STAGE_STEPS steps */
    size_t stage_count;
};

struct bench {
    const struct bench_options *options;
    struct model *model;
    struct decoder decoder;
    struct timeline *timelines; /* [batch_max] */
    size_t batch_max;
    size_t depth_max;
    int32_t *tokens; /* longer than any prompt here */
    double load_seconds;
    double bandwidth; /* bytes per second */
    double barrier_seconds;
    struct rate prefill;
    struct decoding *decodings; /* each batch at each depth, in the order of the options */
    size_t decoding_count;
};

static double per_second(struct rate rate) {
    return rate.seconds > 0 ? (double)rate.tokens / rate.seconds : 0;
}

/* ---- Read bandwidth ---- */

struct streaming {
    const struct bench *bench;
    size_t threads;
    atomic_ullong sink; /* so that the reads are not optimized away */
};

/* Thread t reads the t-th share of each matrix: one word of each line, in a few streams. One stream
 * alone leaves prefetchers idle: a processor with AVX2 read 27 GB/s so, and 46 GB/s in four. */
static void stream_weights(void *context, size_t thread) {
    struct streaming *streaming = context;
    const struct plan *plan = streaming->bench->decoder.plan;
    uint64_t sums[READ_STREAMS] = {0};
    for (size_t w = 0; w < plan->weight_count; w++) {
        const struct packed_matrix *matrix =
            weights_matrix(streaming->bench->decoder.weights, (int)w);
        if (matrix->bytes == NULL) {
            continue;
        }
        const uint64_t *words = (const uint64_t *)(const void *)matrix->bytes;
        size_t lines = matrix->tiles * matrix->tile_bytes / CACHE_LINE_BYTES;
        size_t first = lines * thread / streaming->threads;
        size_t length = (lines * (thread + 1) / streaming->threads - first) / READ_STREAMS;
        for (size_t i = 0; i < length; i++) {
            for (size_t s = 0; s < READ_STREAMS; s++) {
                sums[s] ^= words[(first + s * length + i) * LINE_WORDS];
            }
        }
    }
    atomic_fetch_xor(&streaming->sink, sums[0] ^ sums[1] ^ sums[2] ^ sums[3]);
}

/* The best of a few passes: what the memory can do when nothing disturbs it. */
static double measure_bandwidth(const struct bench *bench) {
    struct streaming streaming = {.bench = bench, .threads = workers_count(bench->decoder.workers)};
    double best = 0;
    for (int pass = 0; pass < BANDWIDTH_PASSES; pass++) {
        double start = clock_seconds();
        workers_parallel(bench->decoder.workers, stream_weights, &streaming);
        best =
            fmax(best, (double)weights_bytes(bench->decoder.weights) / (clock_seconds() - start));
    }
    return best;
}

/* ---- Barriers ---- */

static void meet(void *context, size_t thread) {
    (void)thread;
    for (int i = 0; i < BARRIERS; i++) {
        workers_barrier(context);
    }
}

/* Seconds of a barrier where all threads arrive together; the best of a few passes. */
static double measure_barrier(struct workers *workers) {
    double best = HUGE_VAL;
    for (int pass = 0; pass < BARRIER_PASSES; pass++) {
        double start = clock_seconds();
        workers_parallel(workers, meet, workers);
        best = fmin(best, (clock_seconds() - start) / BARRIERS);
    }
    return best;
}

/* ---- Bytes ---- */

/* Bytes of keys and values that one row at `position` reads. */
static double kv_bytes(const struct bench *bench, size_t position) {
    const struct plan *plan = bench->decoder.plan;
    size_t number_bytes = bench->options->exact ? sizeof(float) : sizeof(uint16_t);
    double bytes = 0;
    for (size_t i = 0; i < plan->kv_layer_count; i++) {
        const struct plan_kv_layer *layer = &plan->kv_layers[i];
        bool windowed = layer->window > 0 && layer->window < position + 1;
        size_t seen = windowed ? layer->window : position + 1;
        bytes += (double)(2 * seen * layer->kv_heads * layer->head_dim * number_bytes);
    }
    return bytes;
}

/* A line of /proc/self/status in bytes ("VmRSS": resident now, "VmHWM": at most so far); 0 where it
 * cannot be read. */
static double status_bytes(const char *name) {
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        size_t length = strlen(name);
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            kilobytes = strtod(line + length + 1, NULL);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kilobytes * 1024;
}

/* ---- Measurements ---- */

/* Runs the tokens that are missing until the timeline holds `length`; from the start, where it
 * holds more. */
static bool run_prompt(struct bench *bench, struct timeline *timeline, size_t length,
                       struct error *err) {
    size_t chunk = bench->options->chunk;
    if (timeline->position > length) {
        timeline_rewind(timeline);
    }
    for (size_t at = timeline_expect(timeline, length); at < length; at += chunk) {
        size_t count = length - at < chunk ? length - at : chunk;
        enum timeline_wanted wanted = at + count == length ? TIMELINE_LAST : TIMELINE_NONE;
        if (!timeline_run(timeline, bench->tokens + at, count, wanted, NULL, err)) {
            return false;
        }
    }
    return true;
}

/* Whole prompts: one to warm up, then 1 to 5, as the time allows, of which the fastest counts. */
static bool measure_prefill(struct bench *bench, struct error *err) {
    enum { REPEATS = 5 };
    double begin = clock_seconds();
    for (int i = 0; i <= REPEATS && (i < 2 || clock_seconds() - begin < bench->options->seconds);
         i++) {
        timeline_rewind(&bench->timelines[0]);
        double start = clock_seconds();
        if (!run_prompt(bench, &bench->timelines[0], bench->options->prompt, err)) {
            return false;
        }
        double seconds = clock_seconds() - start;
        if (i > 0 && (i == 1 || seconds < bench->prefill.seconds)) {
            bench->prefill = (struct rate){bench->options->prompt, seconds};
        }
    }
    return true;
}

/* `batch` sequences of the depth asked for, then one token for each of them a step. What the
 * sequences hold from a lesser depth, they keep. */
static bool measure_decode(struct bench *bench, struct decoding *decoding, struct error *err) {
    const struct bench_options *options = bench->options;
    size_t batch = decoding->batch;
    for (size_t i = batch; i < bench->batch_max; i++) {
        timeline_rewind(&bench->timelines[i]);
    }
    for (size_t i = 0; i < batch; i++) {
        if (!run_prompt(bench, &bench->timelines[i], decoding->depth, err)) {
            return false;
        }
    }
    double start = clock_seconds();
    double bytes_read = 0;
    size_t steps = 0;
    for (size_t i = 0; i < WARMUP_STEPS + options->generate; i++) {
        if (i == WARMUP_STEPS) {
            start = clock_seconds();
        }
        if (!timeline_run_together(bench->timelines, bench->tokens + i, batch, NULL, err)) {
            return false;
        }
        if (i >= WARMUP_STEPS) {
            bytes_read += kv_bytes(bench, decoding->depth + i) * (double)batch;
            bytes_read += (double)executor_weight_bytes(bench->decoder.executor);
            steps++;
            if (clock_seconds() - start > options->seconds) {
                break;
            }
        }
    }
    decoding->rate = (struct rate){steps * batch, clock_seconds() - start};
    decoding->bytes_per_step = bytes_read / (double)steps;
    decoding->resident_bytes = status_bytes("VmRSS");
    return true;
}

/* A few steps more, with a clock at each stage. */
static bool measure_stages(struct bench *bench, struct decoding *decoding, struct error *err) {
    executor_time_stages(bench->decoder.executor, true);
    for (size_t i = 0; i < STAGE_STEPS; i++) {
        if (!timeline_run_together(bench->timelines, bench->tokens + i, decoding->batch, NULL,
                                   err)) {
            return false;
        }
    }
    decoding->stage_count = executor_stage_times(bench->decoder.executor, decoding->stages);
    executor_time_stages(bench->decoder.executor, false);
    return true;
}

/* The decoder for the longest timeline, and as many others as decode together. */
static bool open_decoder(struct bench *bench, size_t longest, size_t decoded, struct error *err) {
    const struct bench_options *options = bench->options;
    struct decoder_options decoder_options = {
        .exact = options->exact,
        .kv_type = options->exact ? KV_F32 : KV_F16,
        .threads = options->threads,
        .pin_threads = true,
        .kernels = options->kernels,
        .kv_positions = larger(longest, bench->batch_max * (decoded + KV_PAGE_POSITIONS)),
        .rows_max = larger(options->chunk, bench->batch_max),
        .wanted_max = bench->batch_max,
    };
    struct pack_cache cache;
    pack_cache_open(&cache, &options->cache, options->folder, options->exact,
                    &decoder_options.packing);
    bool opened = decoder_open(&bench->decoder, &bench->model->plan, &decoder_options, err);
    if (opened) {
        pack_cache_report(&cache, bench->decoder.weights);
    }
    pack_cache_close(&cache);
    return opened;
}

static bool open_timelines(struct bench *bench, size_t longest, size_t decoded, struct error *err) {
    size_t token_count = longest + bench->batch_max;
    bench->timelines = calloc(bench->batch_max, sizeof *bench->timelines);
    bench->tokens = calloc(token_count, sizeof *bench->tokens);
    if (bench->timelines == NULL || bench->tokens == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu sequences", bench->batch_max);
    }
    /* Any tokens do; a different one each time, as text has. */
    for (size_t i = 0; i < token_count; i++) {
        bench->tokens[i] = (int32_t)((i * 7919 + 2) % bench->model->plan.vocabulary_size);
    }
    for (size_t i = 0; i < bench->batch_max; i++) {
        size_t positions = i == 0 ? longest : decoded;
        if (!timeline_open(&bench->timelines[i], &bench->decoder, positions, err)) {
            return false;
        }
    }
    return true;
}

static bool open_bench(struct bench *bench, struct error *err) {
    const struct bench_options *options = bench->options;
    for (size_t i = 0; i < options->batch.count; i++) {
        bench->batch_max = larger(bench->batch_max, (size_t)options->batch.items[i]);
    }
    for (size_t i = 0; i < options->depth.count; i++) {
        bench->depth_max = larger(bench->depth_max, (size_t)options->depth.items[i]);
    }
    size_t decoded = bench->depth_max + WARMUP_STEPS + options->generate;
    decoded += options->stages ? STAGE_STEPS : 0;
    size_t longest = larger(options->prompt, decoded);
    double start = clock_seconds();
    if (!model_open(&bench->model, options->folder, NULL, err) ||
        !open_decoder(bench, longest, decoded, err)) {
        return false;
    }
    bench->load_seconds = clock_seconds() - start;
    bench->decoding_count = options->batch.count * options->depth.count;
    bench->decodings = calloc(bench->decoding_count, sizeof *bench->decodings);
    if (bench->decodings == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu measurements",
                         bench->decoding_count);
    }
    return open_timelines(bench, longest, decoded, err);
}

static void close_bench(struct bench *bench) {
    for (size_t i = 0; bench->timelines != NULL && i < bench->batch_max; i++) {
        timeline_close(&bench->timelines[i]);
    }
    free(bench->timelines);
    free(bench->decodings);
    free(bench->tokens);
    decoder_close(&bench->decoder);
    model_close(bench->model);
}

static bool measure(struct bench *bench, struct error *err) {
    bench->bandwidth = measure_bandwidth(bench);
    if (bench->options->stages) {
        bench->barrier_seconds = measure_barrier(bench->decoder.workers);
    }
    if (!measure_prefill(bench, err)) {
        return false;
    }
    const struct option_list *depths = &bench->options->depth;
    for (size_t i = 0; i < bench->decoding_count; i++) {
        struct decoding *decoding = &bench->decodings[i];
        decoding->batch = (size_t)bench->options->batch.items[i / depths->count];
        decoding->depth = (size_t)depths->items[i % depths->count];
        if (!measure_decode(bench, decoding, err) ||
            (bench->options->stages && !measure_stages(bench, decoding, err))) {
            return false;
        }
    }
    return true;
}

/* ---- Report ---- */

/* Bytes per second that decoding reads. */
static double decode_bandwidth(const struct decoding *decoding) {
    double steps = (double)decoding->rate.tokens / (double)decoding->batch;
    return decoding->bytes_per_step * steps / decoding->rate.seconds;
}

/* Seconds of a step that the stages of one name take, as all threads pass them together. */
static double stage_seconds(const struct bench *bench, const struct stage_time *stage) {
    double threads = (double)workers_count(bench->decoder.workers);
    return (stage->working + stage->waiting) / threads / STAGE_STEPS;
}

/* How much of that time the threads had work. */
static double working_share(const struct stage_time *stage) {
    double all = stage->working + stage->waiting;
    return all > 0 ? stage->working / all : 0;
}

static double stages_seconds(const struct bench *bench, const struct decoding *decoding) {
    double sum = 0;
    for (size_t i = 0; i < decoding->stage_count; i++) {
        sum += stage_seconds(bench, &decoding->stages[i]);
    }
    return sum;
}

static void print_stages(const struct bench *bench, const struct decoding *decoding) {
    for (size_t i = 0; i < decoding->stage_count; i++) {
        const struct stage_time *stage = &decoding->stages[i];
        double seconds = stage_seconds(bench, stage);
        printf("  %-18s %6zu stages, %8.3f ms of a step: %4.1f %%, threads at work %.0f %% of it\n",
               stage->name, stage->stages, 1e3 * seconds,
               100 * seconds / stages_seconds(bench, decoding), 100 * working_share(stage));
    }
}

static void print_table(const struct bench *bench) {
    const double mega = 1e6;
    const double giga = 1e9;
    printf("%-18s %s, %s kernels, %zu threads\n", "model", bench->model->id,
           bench->decoder.kernels->name, workers_count(bench->decoder.workers));
    printf("%-18s %10.2f s\n", "load", bench->load_seconds);
    printf("%-18s %10.1f MB packed\n", "weights",
           (double)weights_bytes(bench->decoder.weights) / mega);
    printf("%-18s %10.1f MB now, %.1f MB at most\n", "resident", status_bytes("VmRSS") / mega,
           status_bytes("VmHWM") / mega);
    printf("%-18s %10.2f GB/s reading the packed weights\n", "memory", bench->bandwidth / giga);
    if (bench->options->stages) {
        printf("%-18s %10.2f us where all threads arrive together\n", "barrier",
               bench->barrier_seconds * mega);
    }
    printf("%-18s %10.1f tokens/s (%zu tokens)\n", "prefill", per_second(bench->prefill),
           bench->prefill.tokens);
    for (size_t i = 0; i < bench->decoding_count; i++) {
        const struct decoding *decoding = &bench->decodings[i];
        double reached = decode_bandwidth(decoding);
        printf("decode, batch %-4zu %10.1f tokens/s behind %zu, %.1f MB per token, %.2f GB/s: "
               "%.0f %% of memory\n",
               decoding->batch, per_second(decoding->rate), decoding->depth,
               decoding->bytes_per_step / (double)decoding->batch / mega, reached / giga,
               100 * reached / bench->bandwidth);
        print_stages(bench, decoding);
    }
}

static void print_stages_json(const struct bench *bench, const struct decoding *decoding) {
    for (size_t i = 0; i < decoding->stage_count; i++) {
        const struct stage_time *stage = &decoding->stages[i];
        printf("%s{\"name\": \"%s\", \"stages\": %zu, \"seconds\": %.9f, \"working_share\": %.4f}",
               i > 0 ? ", " : "", stage->name, stage->stages, stage_seconds(bench, stage),
               working_share(stage));
    }
}

static void print_json(const struct bench *bench) {
    printf("{\"kernels\": \"%s\", \"threads\": %zu, \"load_seconds\": %.4f, "
           "\"weights_bytes\": %zu, \"resident_bytes\": %.0f, \"resident_bytes_peak\": %.0f, "
           "\"read_bytes_per_second\": %.0f, \"barrier_seconds\": %.9f, \"prompt_tokens\": %zu, "
           "\"prefill_tokens_per_second\": %.2f, \"decode\": [",
           bench->decoder.kernels->name, workers_count(bench->decoder.workers), bench->load_seconds,
           weights_bytes(bench->decoder.weights), status_bytes("VmRSS"), status_bytes("VmHWM"),
           bench->bandwidth, bench->barrier_seconds, bench->prefill.tokens,
           per_second(bench->prefill));
    for (size_t i = 0; i < bench->decoding_count; i++) {
        const struct decoding *decoding = &bench->decodings[i];
        printf("%s{\"batch\": %zu, \"depth\": %zu, \"tokens\": %zu, "
               "\"tokens_per_second\": %.2f, \"resident_bytes\": %.0f, "
               "\"bytes_per_token\": %.0f, \"share_of_read_bandwidth\": %.4f, \"stages\": [",
               i > 0 ? ", " : "", decoding->batch, decoding->depth, decoding->rate.tokens,
               per_second(decoding->rate), decoding->resident_bytes,
               decoding->bytes_per_step / (double)decoding->batch,
               decode_bandwidth(decoding) / bench->bandwidth);
        print_stages_json(bench, decoding);
        printf("]}");
    }
    printf("]}\n");
}

int cmd_bench(int argc, char **argv) {
    struct bench_options options = {0};
    int status;
    if (!options_start(&bench_command_line, argc, argv, &options, &status)) {
        return status;
    }
    status = EXIT_SUCCESS;
    struct error err = {0};
    struct bench bench = {.options = &options};
    if (open_bench(&bench, &err) && measure(&bench, &err)) {
        (options.json ? print_json : print_table)(&bench);
    } else {
        status = options_report("bench", &err);
    }
    close_bench(&bench);
    options_free(&bench_command_line, &options);
    return status;
}
