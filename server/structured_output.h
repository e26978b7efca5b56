/* What a reply must look like, as requests say it: by a regular expression, by choices, by a grammar, by
 * a JSON Schema.
 *
 *     {"guided_regex": "[a-z]+"} ─▶ constraint ─▶ grammar_builder ─▶ grammar
 *                                        └──────── cache ────────────▶┘
 *
 * Names are those of OpenAI, vLLM and llama-server, whoever has the parameter; only one of them may be
 * given. Loop thread. */
#ifndef QUERN_SERVER_STRUCTURED_OUTPUT_H
#define QUERN_SERVER_STRUCTURED_OUTPUT_H

#include "engine/text/grammar/grammar.h"
#include "server/api_error.h"
#include "server/service.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Reads the parameters from a request. *out is to be released: NULL if the request asks for nothing. */
bool structured_output_read(struct grammar **out, const struct service *service,
                            const cJSON *request, struct api_error *error);

#endif
