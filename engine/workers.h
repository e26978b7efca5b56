/* Workers: the compute threads, created once, and the barrier where they meet.
 *
 * The thread that calls workers_parallel is thread 0 and works too. A decode step is one
 * workers_parallel call within which all threads walk the same list of stages and meet at
 * workers_barrier after each: some hundred times in about ten milliseconds. So the barrier spins
 * for a few microseconds before it sleeps in the kernel; between steps the workers wait at the same
 * kind of barrier and are asleep soon.
 *
 * One caller at a time; the functions themselves may be called on any thread. */
#ifndef QUERN_ENGINE_WORKERS_H
#define QUERN_ENGINE_WORKERS_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>

struct workers;

/* `threads` threads including the caller's; 0: as many as this process may run on. With `pin` each
 * stays on one processor (thread 0 is pinned by its first workers_parallel). */
bool workers_open(struct workers **out, size_t threads, bool pin, struct error *err);
void workers_close(struct workers *workers);

size_t workers_count(const struct workers *workers);

/* Calls work(context, thread) once on every thread, 0 <= thread < workers_count, and returns when
 * all have returned. */
void workers_parallel(struct workers *workers, void (*work)(void *context, size_t thread),
                      void *context);

/* Within workers_parallel: waits until every thread has arrived. What any of them wrote before is
 * visible after. */
void workers_barrier(struct workers *workers);

/* Calls work(context, thread, item) for each item in [0, items), spread over the threads as they
 * become free, and returns when all are done. workers may be NULL: then on this thread alone. */
void workers_run(struct workers *workers, void (*work)(void *context, size_t thread, size_t item),
                 void *context, size_t items);

#endif
