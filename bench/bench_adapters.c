/* What do adapters cost?
 *
 *     quern-bench-adapters MODEL_DIR FILE...
 *
 * Opens the model without adapters, and with each file loaded eight times, which stand for different
 * adapters. Of one sequence, of eight and of a prompt, the kinds of use take turns in short bursts, so
 * that all meet the same machine; prints the median of a burst's time over that without adapters. */
#include "engine/clock.h"
#include "importer/adapter.h"
#include "importer/model.h"
#include "server/pack_cache.h"
#include "server/timeline.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SEQUENCES = 8,
    DEPTH = 64, /* of the sequences at first */
    PROMPT = 512,
    STEPS = 3, /* of a burst of decoding */
    ROUNDS_MAX = 25,
    POSITIONS = PROMPT, /* more than the sequences grow to */
};
_Static_assert((int)DEPTH + 2 * (ROUNDS_MAX + 1) * (int)STEPS <= (int)POSITIONS, "they have room");

/* How the rows of a step use adapters. */
enum use { NOT_LOADED, LOADED, ONE, EACH, USE_COUNT };
static const char *const use_names[USE_COUNT] = {"none loaded", "loaded, not used", "one",
                                                 "one each"};

enum load { DECODE_ONE, DECODE_EIGHT, READ_PROMPT, LOAD_COUNT };
static const struct {
    const char *name;
    size_t rounds;
} loads[LOAD_COUNT] = {
    [DECODE_ONE] = {"decode, 1 sequence", ROUNDS_MAX},
    [DECODE_EIGHT] = {"decode, 8 sequences", ROUNDS_MAX},
    [READ_PROMPT] = {"prompt of 512", 3},
};

/* The sequences of one kind of use. */
struct user {
    struct timeline timelines[SEQUENCES];
    struct timeline prompt;
};

struct bench {
    struct model *model;
    struct adapter *adapters[SEQUENCES];
    struct decoder decoders[2]; /* without and with adapters */
    struct user users[USE_COUNT];
    int32_t tokens[PROMPT];
    double seconds[LOAD_COUNT][USE_COUNT][ROUNDS_MAX];
};

/* Both have the same weights: those of the pack file. */
static bool open_decoder(struct bench *bench, const char *folder, bool loaded, struct error *err) {
    const struct plan_low_rank_pair *pairs[SEQUENCES];
    for (size_t i = 0; loaded && i < SEQUENCES; i++) {
        pairs[i] = adapter_pairs(bench->adapters[i]);
    }
    struct decoder_options options = {
        .adapters = {.adapters = pairs, .count = loaded ? SEQUENCES : 0},
        .kv_type = KV_F16,
        .kv_positions = (size_t)USE_COUNT * (SEQUENCES + 1) * (POSITIONS + KV_PAGE_POSITIONS),
        .rows_max = PROMPT,
        .wanted_max = SEQUENCES,
    };
    const struct pack_cache_options cache_options = {.on = true};
    struct pack_cache cache;
    pack_cache_open(&cache, &cache_options, folder, false, &options.packing);
    bool opened = decoder_open(&bench->decoders[loaded], &bench->model->plan, &options, err);
    pack_cache_close(&cache);
    return opened;
}

static bool open_user(struct bench *bench, enum use use, struct error *err) {
    struct user *user = &bench->users[use];
    struct decoder *decoder = &bench->decoders[use != NOT_LOADED];
    if (!timeline_open(&user->prompt, decoder, POSITIONS, err)) {
        return false;
    }
    user->prompt.adapter = use == ONE || use == EACH;
    for (size_t i = 0; i < SEQUENCES; i++) {
        struct timeline *timeline = &user->timelines[i];
        if (!timeline_open(timeline, decoder, POSITIONS, err)) {
            return false;
        }
        timeline->adapter = use == ONE ? 1 : use == EACH ? i + 1 : 0;
        if (!timeline_run(timeline, bench->tokens + i, DEPTH, TIMELINE_NONE, NULL, err)) {
            return false;
        }
    }
    return true;
}

static bool run(struct bench *bench, struct user *user, enum load load, struct error *err) {
    if (load == READ_PROMPT) {
        timeline_rewind(&user->prompt);
        return timeline_run(&user->prompt, bench->tokens, PROMPT, TIMELINE_LAST, NULL, err);
    }
    const size_t count = load == DECODE_ONE ? 1 : SEQUENCES;
    bool ok = true;
    for (size_t i = 0; ok && i < STEPS; i++) {
        ok = timeline_run_together(user->timelines, bench->tokens + i, count, NULL, err);
    }
    return ok;
}

/* Every use in turn, round by round; of the first round only the warmth is kept. */
static bool measure(struct bench *bench, enum load load, struct error *err) {
    for (size_t round = 0; round <= loads[load].rounds; round++) {
        for (size_t use = 0; use < USE_COUNT; use++) {
            double start = clock_seconds();
            if (!run(bench, &bench->users[use], load, err)) {
                return false;
            }
            if (round > 0) {
                bench->seconds[load][use][round - 1] = clock_seconds() - start;
            }
        }
    }
    return true;
}

static int compare(const void *a, const void *b) {
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_load(const struct bench *bench, enum load load) {
    printf("  %-20s", loads[load].name);
    for (size_t use = 0; use < USE_COUNT; use++) {
        double ratios[ROUNDS_MAX];
        for (size_t round = 0; round < loads[load].rounds; round++) {
            ratios[round] =
                bench->seconds[load][use][round] / bench->seconds[load][NOT_LOADED][round];
        }
        qsort(ratios, loads[load].rounds, sizeof *ratios, compare);
        printf(" %*.3f", (int)(sizeof "loaded, not used"), ratios[loads[load].rounds / 2]);
    }
    printf("\n");
}

static bool open_bench(struct bench *bench, const char *folder, const char *file,
                       struct error *err) {
    if (!model_open(&bench->model, folder, NULL, err)) {
        return false;
    }
    for (size_t i = 0; i < PROMPT; i++) {
        bench->tokens[i] = (int32_t)((i * 7919 + 2) % bench->model->plan.vocabulary_size);
    }
    for (size_t i = 0; i < SEQUENCES; i++) {
        if (!adapter_open(&bench->adapters[i], bench->model, file, err)) {
            return false;
        }
    }
    bool opened = open_decoder(bench, folder, false, err) && open_decoder(bench, folder, true, err);
    for (enum use use = 0; opened && use < USE_COUNT; use++) {
        opened = open_user(bench, use, err);
    }
    return opened;
}

static void close_bench(struct bench *bench) {
    for (size_t use = 0; use < USE_COUNT; use++) {
        timeline_close(&bench->users[use].prompt);
        for (size_t i = 0; i < SEQUENCES; i++) {
            timeline_close(&bench->users[use].timelines[i]);
        }
    }
    decoder_close(&bench->decoders[0]);
    decoder_close(&bench->decoders[1]);
    for (size_t i = 0; i < SEQUENCES; i++) {
        adapter_close(bench->adapters[i]);
    }
    model_close(bench->model);
}

static bool run_file(const char *folder, const char *file, struct error *err) {
    struct bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory");
    }
    bool ok = open_bench(bench, folder, file, err);
    for (enum load load = 0; ok && load < LOAD_COUNT; load++) {
        ok = measure(bench, load, err);
    }
    if (ok) {
        printf("%s: %.1f MB each, beside %.1f MB of weights\n  %-20s", file,
               (double)adapters_bytes(bench->decoders[1].adapters) / SEQUENCES / 1e6,
               (double)weights_bytes(bench->decoders[1].weights) / 1e6, "");
        for (size_t use = 0; use < USE_COUNT; use++) {
            printf(" %*s", (int)(sizeof "loaded, not used"), use_names[use]);
        }
        printf("\n");
        for (enum load load = 0; load < LOAD_COUNT; load++) {
            print_load(bench, load);
        }
        fflush(stdout);
    }
    close_bench(bench);
    free(bench);
    return ok;
}

int main(int argc, char **argv) {
    struct error err = {0};
    bool ok = argc > 2 || error_set(&err, ERROR_INVALID, "usage: MODEL_DIR FILE...");
    for (int i = 2; ok && i < argc; i++) {
        ok = run_file(argv[1], argv[i], &err);
    }
    if (!ok) {
        fprintf(stderr, "quern-bench-adapters: %s\n", err.text);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
