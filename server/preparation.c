#include "server/preparation.h"

#include "server/http_work.h"
#include "server/models.h"

#include <stdlib.h>

/* Bytes of a body that is read and encoded in less than some 10 ms. */
enum { SHORT_BODY = 32 << 10 };

struct prepared {
    const struct preparation *preparation;
    const struct service *service;
    struct text_buffer body; /* a long one */
    bool fine;
    struct api_error error; /* if it is not */
    _Alignas(max_align_t) char request[];
};

static void read_request(struct prepared *work, const char *body, size_t length) {
    work->fine = work->preparation->read(work->request, work->service, body, length, &work->error);
}

static void encode(void *context) {
    struct prepared *work = context;
    work->fine = work->fine && work->preparation->encode(work->request, &work->error);
}

static void read_and_encode(void *context) {
    struct prepared *work = context;
    read_request(work, work->body.bytes, work->body.length);
    text_buffer_deinit(&work->body);
    encode(work);
}

/* The route chose the service by the name that it found in the body: is it the one that was read? */
static bool check_model(struct prepared *work) {
    size_t at = work->preparation->model;
    return at == 0 ||
           models_check_name(work->service, *(const char **)(work->request + at), &work->error);
}

static void respond(struct http_exchange *exchange, void *context) {
    struct prepared *work = context;
    if (work->fine && check_model(work)) {
        work->preparation->start(exchange, work->request);
    } else {
        api_error_respond(exchange, &work->error);
    }
}

static void close_work(void *context) {
    struct prepared *work = context;
    work->preparation->close(work->request);
    text_buffer_deinit(&work->body);
    free(work);
}

static void prepare_short(struct http_exchange *exchange, struct prepared *work) {
    static const struct http_work encoding = {encode, respond, close_work};
    size_t length;
    const char *body = http_body(exchange, &length);
    read_request(work, body, length);
    if (work->fine && work->preparation->takes_long != NULL &&
        work->preparation->takes_long(work->request)) {
        http_work_begin(exchange, work->service, &encoding, work);
        return;
    }
    encode(work);
    respond(exchange, work);
    close_work(work);
}

void preparation_begin(struct http_exchange *exchange, const struct service *service,
                       const struct preparation *preparation) {
    static const struct http_work reading = {read_and_encode, respond, close_work};
    size_t length;
    http_body(exchange, &length);
    struct prepared *work = calloc(1, sizeof *work + preparation->size);
    if (work == NULL) {
        api_refuse(exchange, API_INTERNAL, NULL, "Out of memory");
        return;
    }
    work->preparation = preparation;
    work->service = service;
    if (length <= SHORT_BODY) {
        prepare_short(exchange, work);
        return;
    }
    http_take_body(exchange, &work->body);
    http_work_begin(exchange, service, &reading, work);
}
