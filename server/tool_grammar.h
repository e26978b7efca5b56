/* A reply that must call a tool: how it begins, which is part of the prompt, and the grammar of the rest.
 *
 *     <tool_call>\n{"name": "find", "arguments":      in the prompt, marks as special tokens
 *      {"city": "…"}                                  by the JSON Schema of the tool
 *
 * Of several tools the model writes the name, too. The reply ends with the arguments: it has one call.
 *
 * Loop thread. */
#ifndef QUERN_SERVER_TOOL_GRAMMAR_H
#define QUERN_SERVER_TOOL_GRAMMAR_H

#include "server/api_error.h"
#include "server/conversation.h"
#include "server/generation.h"
#include "server/tool_choice.h"

#include <stdbool.h>

/* Nothing if the choice requires no call. Else sets the opening of the conversation's reply, and the
 * form of the generation, which must have none. The choice must outlive it. */
bool tool_grammar_require(const struct tool_choice *choice, struct conversation *conversation,
                          struct generation *generation, struct api_error *error);

#endif
