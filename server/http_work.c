#include "server/http_work.h"

#include "server/api_error.h"
#include "server/models.h"

#include <stdlib.h>

struct running_work {
    uv_work_t request;
    const struct http_work *work;
    void *context;
    const struct service *service;
    struct http_exchange *exchange; /* NULL: it is over */
    bool computed;
};

static void free_work(struct running_work *running) {
    models_release(running->service);
    free(running);
}

static void close_context(uv_work_t *request) {
    struct running_work *running = request->data;
    running->work->close(running->context);
}

static void on_closed(uv_work_t *request, int status) {
    (void)status;
    free_work(request->data);
}

static void end_work(struct running_work *running) {
    if (uv_queue_work(running->request.loop, &running->request, close_context, on_closed) != 0) {
        close_context(&running->request);
        free_work(running);
    }
}

static void compute(uv_work_t *request) {
    struct running_work *running = request->data;
    running->work->compute(running->context);
}

static void on_computed(uv_work_t *request, int status) {
    struct running_work *running = request->data;
    running->computed = true;
    if (status == UV_ECANCELED) { /* there is not much to free yet */
        close_context(request);
        free_work(running);
    } else if (running->exchange == NULL) {
        end_work(running);
    } else {
        http_server_advance(http_exchange_server(running->exchange));
    }
}

static void advance(struct http_exchange *exchange, void *context) {
    struct running_work *running = context;
    if (running->computed) {
        running->work->respond(exchange, running->context);
    }
}

static void cancel(struct http_exchange *exchange, void *context) {
    (void)context;
    api_refuse(exchange, API_DRAINING, NULL, "The server is shutting down");
}

static void close_work(struct http_exchange *exchange, void *context, bool delivered) {
    (void)exchange, (void)delivered;
    struct running_work *running = context;
    running->exchange = NULL;
    if (running->computed) {
        end_work(running);
    } else {
        uv_cancel((uv_req_t *)&running->request); /* unless it has begun */
    }
}

void http_work_begin(struct http_exchange *exchange, const struct service *service,
                     const struct http_work *work, void *context) {
    static const struct http_task task = {advance, cancel, close_work};
    struct running_work *running = calloc(1, sizeof *running);
    http_defer(exchange, NULL, NULL); /* whoever has deferred it leaves it to the work */
    if (running == NULL) {
        work->close(context);
        api_refuse(exchange, API_INTERNAL, NULL, "Out of memory");
        return;
    }
    *running = (struct running_work){
        .work = work, .context = context, .service = service, .exchange = exchange};
    models_hold(service);
    running->request.data = running;
    uv_loop_t *loop = http_server_loop(http_exchange_server(exchange));
    if (uv_queue_work(loop, &running->request, compute, on_computed) != 0) {
        close_context(&running->request);
        free_work(running);
        api_refuse(exchange, API_INTERNAL, NULL, "The work cannot be queued");
        return;
    }
    http_defer(exchange, &task, running);
}
