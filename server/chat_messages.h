/* The messages of a chat completion, checked, and brought into the form that a chat template takes.
 *
 *     {"role": "developer", "content": [{"type": "text", "text": "Be"},
 *                                       {"type": "text", "text": "brief"}]}
 *     {"role": "assistant", "tool_calls": [{… "arguments": "{\"city\": \"Ulm\"}"}]}
 *
 * of which a template that knows no such role and no parts gets
 *
 *     {"role": "system", "content": "Be\nbrief"}
 *     {"role": "assistant", "content": none, "tool_calls": [{… "arguments": {"city": "Ulm"}}]}
 *
 * Which form that is, chat_traits.h has found out. Members that are not known here are kept: the
 * template may know them. Errors name the message, as "messages[1].content". */
#ifndef QUERN_SERVER_CHAT_MESSAGES_H
#define QUERN_SERVER_CHAT_MESSAGES_H

#include "engine/arena.h"
#include "engine/text/template/value.h"
#include "server/api_error.h"
#include "server/chat_traits.h"

#include <stdbool.h>

/* What is new in *out lives in the arena; the rest is shared with `messages`. */
bool chat_messages_read(struct arena *arena, const struct chat_traits *traits,
                        struct template_value messages, struct template_value *out,
                        struct api_error *error);

/* Is this a list of functions, and are they of any use with the template? */
bool chat_messages_check_tools(const struct chat_traits *traits, struct template_value tools,
                               struct api_error *error);

#endif
