#include "server/encoding.h"

#include "server/http_work.h"

#include <stdlib.h>

/* Bytes of a body whose encoding takes less than some 10 ms. */
enum { SHORT_BODY = 32 << 10 };

struct long_request {
    const struct encoding *encoding;
    void *request;
    bool encoded;
    struct api_error error;
};

static void compute(void *context) {
    struct long_request *work = context;
    work->encoded = work->encoding->encode(work->request, &work->error);
}

static void respond(struct http_exchange *exchange, void *context) {
    struct long_request *work = context;
    if (work->encoded) {
        work->encoding->start(exchange, work->request);
    } else {
        api_error_respond(exchange, &work->error);
    }
}

static void close_work(void *context) {
    struct long_request *work = context;
    work->encoding->close(work->request);
    free(work);
}

static void encode_now(struct http_exchange *exchange, const struct encoding *encoding,
                       void *request) {
    struct api_error error;
    if (encoding->encode(request, &error)) {
        encoding->start(exchange, request);
    } else {
        api_error_respond(exchange, &error);
    }
    encoding->close(request);
}

bool encoding_takes_long(size_t length) {
    return length > SHORT_BODY;
}

void encoding_begin(struct http_exchange *exchange, const struct service *service,
                    const struct encoding *encoding, void *request, bool takes_long) {
    static const struct http_work http_work = {compute, respond, close_work};
    if (!takes_long) {
        encode_now(exchange, encoding, request);
        return;
    }
    struct long_request *work = calloc(1, sizeof *work);
    if (work == NULL) {
        encoding->close(request);
        api_refuse(exchange, API_INTERNAL, NULL, "Out of memory");
        return;
    }
    *work = (struct long_request){.encoding = encoding, .request = request};
    http_work_begin(exchange, service, &http_work, work);
}
