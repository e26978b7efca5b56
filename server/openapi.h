/* The description of the HTTP API, as OpenAPI 3.1: what GET /openapi.json answers, and quern-http(7) is made of.
 *
 *     routes.c: methods, paths, summaries ──┐
 *     parameter tables: bodies ─────────────┼──▶ paths, components/schemas
 *     openapi_answers.json: answers ────────┘
 *
 * Paths and bodies come from the tables by which requests are read. The answers are written by hand: the
 * tests hold real ones against them. */
#ifndef QUERN_SERVER_OPENAPI_H
#define QUERN_SERVER_OPENAPI_H

#include "server/service.h"

#include <cjson/cJSON.h>

/* Defaults are those of the service, which need not have a model. NULL when memory is out. */
cJSON *openapi_create(const struct service *service);

#endif
