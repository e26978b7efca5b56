/* The body of POST /v1/responses, checked: what api_responses runs. */
#ifndef QUERN_SERVER_RESPONSES_REQUEST_H
#define QUERN_SERVER_RESPONSES_REQUEST_H

#include "server/api_error.h"
#include "server/chat_request.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct responses_request {
    struct chat_request chat; /* what is the same in a chat completion */
    cJSON *told;              /* owned: what the answer repeats of the request */
};

/* Also after an error the request must be deinitialized. */
bool responses_request_read(struct responses_request *request, const struct service *service,
                            const char *body, size_t length, struct api_error *error);
void responses_request_deinit(struct responses_request *request);

/* Adds the parameters to an object of JSON Schema; see parameters_describe. */
bool responses_request_describe(const struct service *service, cJSON *schema);

#endif
