/* For GET /openapi.json: the parameters of bodies that are not read by a table of parameters, because
 * chat templates want all there is in them (conversation.h, messages_prompt.h). Each adds them to an
 * object of JSON Schema; false when memory is out. See parameters_describe. */
#ifndef QUERN_SERVER_OPENAPI_BODIES_H
#define QUERN_SERVER_OPENAPI_BODIES_H

#include "server/service.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

bool openapi_describe_conversation(const struct service *service, cJSON *schema);
bool openapi_describe_chat(const struct service *service, cJSON *schema);
bool openapi_describe_responses(const struct service *service, cJSON *schema);
bool openapi_describe_messages(const struct service *service, cJSON *schema);
bool openapi_describe_messages_tokens(const struct service *service, cJSON *schema);

#endif
