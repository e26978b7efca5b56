#include "engine/workers.h"

#include "engine/pause.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* Rounds of pause_briefly before a waiting thread sleeps: some 50 microseconds, longer
     * than the stages of a decode step, much shorter than the gap between requests. */
    BARRIER_SPINS = 2000,
    CACHE_LINE_BYTES = 64,
};

/* A barrier that counts arrivals and numbers its rounds. Invariants:
 *   1. `arrived` is 0 whenever a new round begins, before `round` says so.
 *   2. A sleeper sleeps only while `round` still has the value it saw on arrival (the kernel
 * checks); it says so in `sleepers` first, so the last to arrive either sees it and wakes it, or
 * has changed `round` before. */
struct barrier {
    _Alignas(CACHE_LINE_BYTES) atomic_uint arrived;
    _Alignas(CACHE_LINE_BYTES) atomic_uint round;
    atomic_uint sleepers;
    atomic_uint threads; /* changes only when fewer start than planned, while some already wait */
};

struct worker {
    struct workers *workers;
    size_t index;
    pthread_t thread;
    bool started;
};

struct workers {
    struct barrier barrier;
    size_t count;
    bool pin;
    bool caller_pinned;
    bool stopping; /* written by thread 0 before a barrier, read by the others after it */
    void (*work)(void *context, size_t thread);
    void *context;
    struct worker *members; /* [count]; member 0 is the caller and has no thread of its own */
};

static void barrier_wait(struct barrier *barrier) {
    unsigned round = atomic_load_explicit(&barrier->round, memory_order_acquire);
    unsigned arrived = atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1;
    if (arrived == atomic_load_explicit(&barrier->threads, memory_order_relaxed)) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store(&barrier->round, round + 1);
        if (atomic_load(&barrier->sleepers) > 0) {
            syscall(SYS_futex, &barrier->round, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
        }
        return;
    }
    for (int spins = 0; spins < BARRIER_SPINS; spins++) {
        if (atomic_load_explicit(&barrier->round, memory_order_acquire) != round) {
            return;
        }
        pause_briefly();
    }
    atomic_fetch_add(&barrier->sleepers, 1);
    while (atomic_load(&barrier->round) == round) {
        syscall(SYS_futex, &barrier->round, FUTEX_WAIT_PRIVATE, round, NULL, NULL, 0);
    }
    atomic_fetch_sub(&barrier->sleepers, 1);
}

/* Pins the calling thread to the index-th of the processors that it may run on. Where the system
 * refuses, the thread simply stays free to move. */
static void pin_to_processor(size_t index) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) <= (int)index) {
        return;
    }
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++) {
        if (CPU_ISSET(processor, &allowed) && index-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(processor, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

static size_t processors_allowed(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0) {
        return (size_t)CPU_COUNT(&allowed);
    }
    return 1;
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    struct workers *workers = worker->workers;
    pthread_setname_np(pthread_self(), "quern-compute");
    if (workers->pin) {
        pin_to_processor(worker->index);
    }
    for (;;) {
        barrier_wait(&workers->barrier);
        if (workers->stopping) {
            return NULL;
        }
        workers->work(workers->context, worker->index);
        barrier_wait(&workers->barrier);
    }
}

/* Threads that did start wait at a barrier which would never be full without the missing ones:
 * count only them. */
static void stop_threads(struct workers *workers, size_t started) {
    atomic_store_explicit(&workers->barrier.threads, (unsigned)started, memory_order_relaxed);
    workers->stopping = true;
    barrier_wait(&workers->barrier);
    for (size_t i = 1; i < started; i++) {
        pthread_join(workers->members[i].thread, NULL);
    }
}

bool workers_open(struct workers **out, size_t threads, bool pin, struct error *err) {
    size_t count = threads > 0 ? threads : processors_allowed();
    struct workers *workers = aligned_alloc(CACHE_LINE_BYTES, sizeof *workers);
    struct worker *members = calloc(count, sizeof *members);
    if (workers == NULL || members == NULL) {
        free(workers);
        free(members);
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu worker threads", count);
    }
    memset(workers, 0, sizeof *workers);
    workers->count = count;
    workers->pin = pin;
    workers->members = members;
    atomic_init(&workers->barrier.threads, (unsigned)count);
    for (size_t i = 1; i < count; i++) {
        members[i] = (struct worker){.workers = workers, .index = i};
        int failure = pthread_create(&members[i].thread, NULL, worker_main, &members[i]);
        if (failure != 0) {
            stop_threads(workers, i);
            free(members);
            free(workers);
            return error_set(err, ERROR_IO,
                             "thread %zu of %zu could not be started: %s; ask for fewer threads",
                             i + 1, count, strerror(failure));
        }
    }
    *out = workers;
    return true;
}

void workers_close(struct workers *workers) {
    if (workers == NULL) {
        return;
    }
    stop_threads(workers, workers->count);
    free(workers->members);
    free(workers);
}

size_t workers_count(const struct workers *workers) {
    return workers->count;
}

void workers_parallel(struct workers *workers, void (*work)(void *context, size_t thread),
                      void *context) {
    if (workers->pin && !workers->caller_pinned) {
        workers->caller_pinned = true;
        pin_to_processor(0);
    }
    workers->work = work;
    workers->context = context;
    barrier_wait(&workers->barrier);
    work(context, 0);
    barrier_wait(&workers->barrier);
}

void workers_barrier(struct workers *workers) {
    barrier_wait(&workers->barrier);
}

/* ---- Items ---- */

struct item_run {
    void (*work)(void *context, size_t thread, size_t item);
    void *context;
    size_t items;
    atomic_size_t next;
};

static void run_items(void *context, size_t thread) {
    struct item_run *run = context;
    for (;;) {
        size_t item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (item >= run->items) {
            return;
        }
        run->work(run->context, thread, item);
    }
}

void workers_run(struct workers *workers, void (*work)(void *context, size_t thread, size_t item),
                 void *context, size_t items) {
    struct item_run run = {.work = work, .context = context, .items = items};
    if (workers == NULL || workers->count == 1 || items < 2) {
        run_items(&run, 0);
    } else {
        workers_parallel(workers, run_items, &run);
    }
}
