/* What a reply must look like, as requests say it: by a regular expression, by choices, by a grammar, by
 * a JSON Schema.
 *
 * Names are those of OpenAI, vLLM and llama-server, whoever has the parameter; only one of them may be
 * given. Loop thread. */
#ifndef QUERN_SERVER_STRUCTURED_OUTPUT_H
#define QUERN_SERVER_STRUCTURED_OUTPUT_H

#include "server/api_error.h"
#include "server/reply_form.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Reads the parameters from a request, which must outlive the form. Also after an error the form must be
 * deinitialized; it is none if the request asks for nothing. */
bool structured_output_read(struct reply_form *form, const cJSON *request, struct api_error *error);

#endif
