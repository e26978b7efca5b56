#include "engine/workers.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 200, ITEMS = 1000 };

static struct workers *open_workers(size_t threads) {
    struct workers *workers = NULL;
    struct error err = {0};
    cr_assert(workers_open(&workers, threads, false, &err), "%s", err.text);
    return workers;
}

static void count_item(void *context, size_t thread, size_t item) {
    atomic_int *counts = context;
    cr_assert_lt(thread, THREADS);
    atomic_fetch_add(&counts[item], 1);
}

Test(workers, every_item_is_done_exactly_once) {
    static atomic_int counts[ITEMS];
    struct workers *workers = open_workers(THREADS);
    workers_run(workers, count_item, counts, ITEMS);
    for (size_t i = 0; i < ITEMS; i++) {
        cr_assert_eq(counts[i], 1, "item %zu was done %d times", i, counts[i]);
    }
    workers_close(workers);
}

struct relay {
    struct workers *workers;
    int values[THREADS]; /* plain memory: the barrier alone makes the neighbour's value visible */
    atomic_int wrong;
};

static void pass_on(void *context, size_t thread) {
    struct relay *relay = context;
    for (int round = 0; round < ROUNDS; round++) {
        relay->values[thread] = round;
        workers_barrier(relay->workers);
        if (relay->values[(thread + 1) % THREADS] != round) {
            atomic_fetch_add(&relay->wrong, 1);
        }
        workers_barrier(relay->workers);
    }
}

Test(workers, what_was_written_before_a_barrier_is_seen_after_it) {
    struct relay relay = {.workers = open_workers(THREADS)};
    workers_parallel(relay.workers, pass_on, &relay);
    cr_assert_eq(relay.wrong, 0, "%d stale values", relay.wrong);
    workers_close(relay.workers);
}

Test(workers, one_thread_needs_no_other) {
    static atomic_int counts[ITEMS];
    struct workers *workers = open_workers(1);
    workers_run(workers, count_item, counts, ITEMS);
    cr_assert_eq(counts[ITEMS - 1], 1);
    workers_close(workers);
    workers_run(NULL, count_item, counts, 1);
    cr_assert_eq(counts[0], 2);
}
