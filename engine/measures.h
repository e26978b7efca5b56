/* What the engine measures of sessions and steps: how often, how much in all, and in which bucket.
 *
 *     submitted ──queue──▶ admitted ──prefill──▶ first token ──inter-token──▶ … ──▶ last token
 *         └───────────────first token────────────────▶├──────────decode──────────────▶│
 *         └──────────────────────────────session─────────────────────────────────────▶│
 *
 * Times are of the engine's thread, when it has sampled a token, not when a client reads it; the tokens of a
 * step have no time between them. The engine's thread writes, without locks; any thread reads. */
#ifndef QUERN_ENGINE_MEASURES_H
#define QUERN_ENGINE_MEASURES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum measure {
    MEASURE_QUEUE, /* seconds */
    MEASURE_PREFILL,
    MEASURE_FIRST_TOKEN,
    MEASURE_INTER_TOKEN,
    MEASURE_DECODE,
    MEASURE_SESSION,
    MEASURE_STEP,     /* seconds of one step */
    MEASURE_ROWS,     /* of one step */
    MEASURE_SESSIONS, /* with rows in one step */
    MEASURE_COUNT,
};

enum { MEASURE_BUCKETS = 20 };

struct measure_scale {
    double unit; /* of a stored value: 1e-9 for nanoseconds */
    uint64_t bounds
        [MEASURE_BUCKETS]; /* upper ends, which belong to the bucket, in that unit; 0: no more */
};
const struct measure_scale *measure_scale(enum measure measure);

struct histogram {
    _Atomic uint64_t buckets[MEASURE_BUCKETS + 1]; /* the last one used is for what is beyond */
    _Atomic uint64_t sum;
};

struct measures {
    struct histogram histograms[MEASURE_COUNT];
};

/* The value is in the scale's unit. */
void measures_add(struct measures *measures, enum measure measure, uint64_t value);

/* A copy that can be printed: counts up to each bound, in all, and the sum in seconds or things. Values that
 * are added meanwhile are in all of it or only in some. */
struct measured {
    size_t bounds; /* how many there are */
    uint64_t up_to[MEASURE_BUCKETS];
    uint64_t count;
    double sum;
};
void measures_read(const struct measures *measures, enum measure measure,
                   struct measured *measured);

/* Nanoseconds that only go forward. */
uint64_t measures_now(void);

#endif
