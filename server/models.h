/* The models of the daemon: loaded when it starts or when a request wants them, unloaded when nobody
 * does, within one memory budget.
 *
 *                  a request wants it            another thread         enough memory is free
 *     unloaded ────────────────────────▶ queued ───────────────▶ opened ─────────────────────▶ starting
 *        ▲                                  ▲  \                    │                             │
 *        │                                  │   └──▶ failed ◀───────┼─────────────────────────────┤
 *        │                    a request, later         │            │ nobody wants it any more    ▼
 *        └───────────── closing ◀──────────────────────────────────┴──────────────────────── ready
 *                    another thread                                       idle, evicted, or removed
 *
 * Opening, starting and closing take long: one thread does it for one model at a time, while the
 * others answer requests. Requests for a model that is not ready are answered with 503 or, where it has
 * failed, 500. To make room for a model, those that nobody uses are unloaded, the one that has been
 * unused for longest first; one that is in use never is, and one that a client was told to wait for not
 * before that has come again, for a while.
 *
 * Whoever keeps a service beyond its handler holds it. All on the loop's thread. */
#ifndef QUERN_SERVER_MODELS_H
#define QUERN_SERVER_MODELS_H

#include "server/api_error.h"
#include "server/serve_options.h"
#include "server/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct models;

/* `common` is what all services have in common, and stays where it is; its `http` may come before
 * models_begin. Engines call `wake` from their threads. */
bool models_open(struct models **out, uv_loop_t *loop, const struct service *common,
                 void (*wake)(void *context), void *wake_context, struct error *err);

/* Why the model of [model] cannot be had at the start. */
struct models_failure {
    const char *text;
    bool opened; /* its files can be read, but the engine cannot be started */
};

/* The loop runs from now on: models that are to be loaded at the start are. `settled` is called once, when
 * the one of [model] is ready (NULL) or has failed; where there are only sections, when none of theirs is on its
 * way any more (NULL), ready or not. */
void models_begin(struct models *models,
                  void (*settled)(void *context, const struct models_failure *failure),
                  void *context);

/* Has `settled` been called? */
bool models_are_settled(const struct models *models);

/* Is the other thread at work on a model, so that models_stop would wait for it? If so, nobody will: the
 * process must end now. */
bool models_abandon_task(struct models *models);

/* The options have changed. Models that are gone from them are unloaded once nobody uses them; those
 * whose options have changed, too, and loaded again when they are wanted. */
void models_configure(struct models *models);

/* Stops all engines, once the other thread is done and nobody holds a model any more, for which the loop
 * is run; sessions have been released. */
void models_stop(struct models *models);

/* Behind the loop. */
void models_close(struct models *models);

/* ---- For requests ---- */

/* The model of that name, or for NULL the default one, ready; for the name of an adapter, or
 * MODEL:ADAPTER, the model with that. NULL: `error` is the answer. */
const struct service *models_find(struct models *models, const char *name, struct api_error *error);

/* For whoever has read a body whole: is this a name of the model that answers? NULL is, as well. */
bool models_check_name(const struct service *service, const char *name, struct api_error *error);

/* The model will not be unloaded until it is released. */
void models_hold(const struct service *service);
void models_release(const struct service *service);

/* ---- For those who tell of them ---- */

/* The first one of the configuration. */
const struct service *models_default(const struct models *models);

/* The model of that name, ready or not, and which of its adapters is meant, from 1 on; 0: none.
 * NULL: `error` is the answer. */
const struct service *models_look_up(const struct models *models, const char *name, size_t *adapter,
                                     struct api_error *error);

/* All of them, one after the other; NULL is before the first, and behind the last. */
const struct service *models_next(const struct models *models, const struct service *before);

/* "ready", "loading", "waiting" (for memory), "unloaded", "unloading" or "failed". */
const char *models_state(const struct service *service);

/* Is one on its way that is to be there from the start? */
bool models_are_starting(const struct models *models);

/* Of all engines together; see struct engine_status. */
struct models_load {
    size_t running;
    size_t waiting;
    size_t pages_used;
    size_t pages_cached;
    size_t pages_total;
};
struct models_load models_get_load(const struct models *models);

/* Has every engine done something since the last call, or nothing to do? See engine_has_progressed. */
bool models_have_progressed(struct models *models);

#endif
