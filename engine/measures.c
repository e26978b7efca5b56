#include "engine/measures.h"

#include <time.h>

#define MS 1000000ull
#define S  1000000000ull

static const struct measure_scale waits = {1e-9,
                                           {1 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS,
                                            250 * MS, 500 * MS, 1 * S, 2500 * MS, 5 * S, 10 * S,
                                            30 * S, 60 * S, 120 * S, 300 * S}};
static const struct measure_scale steps = {1e-9,
                                           {1 * MS, 2 * MS, 5 * MS, 10 * MS, 15 * MS, 20 * MS,
                                            30 * MS, 40 * MS, 50 * MS, 75 * MS, 100 * MS, 200 * MS,
                                            500 * MS, 1 * S, 5 * S}};
static const struct measure_scale things = {1, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}};

const struct measure_scale *measure_scale(enum measure measure) {
    static const struct measure_scale *const scales[MEASURE_COUNT] = {
        [MEASURE_QUEUE] = &waits,       [MEASURE_PREFILL] = &waits, [MEASURE_FIRST_TOKEN] = &waits,
        [MEASURE_INTER_TOKEN] = &steps, [MEASURE_DECODE] = &waits,  [MEASURE_SESSION] = &waits,
        [MEASURE_STEP] = &steps,        [MEASURE_ROWS] = &things,   [MEASURE_SESSIONS] = &things,
    };
    return scales[measure];
}

static size_t count_bounds(const struct measure_scale *scale) {
    size_t count = 0;
    while (count < MEASURE_BUCKETS && scale->bounds[count] != 0) {
        count++;
    }
    return count;
}

void measures_add(struct measures *measures, enum measure measure, uint64_t value) {
    const struct measure_scale *scale = measure_scale(measure);
    struct histogram *histogram = &measures->histograms[measure];
    size_t bucket = 0;
    while (bucket < MEASURE_BUCKETS && scale->bounds[bucket] != 0 &&
           value > scale->bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

void measures_read(const struct measures *measures, enum measure measure,
                   struct measured *measured) {
    const struct measure_scale *scale = measure_scale(measure);
    const struct histogram *histogram = &measures->histograms[measure];
    *measured = (struct measured){.bounds = count_bounds(scale)};
    measured->sum =
        (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) * scale->unit;
    for (size_t i = 0; i <= measured->bounds; i++) {
        measured->count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (i < measured->bounds) {
            measured->up_to[i] = measured->count;
        }
    }
}

uint64_t measures_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * S + (uint64_t)time.tv_nsec;
}
