/* A conversation in the form of Anthropic's messages, brought into that of a chat completion:
 *
 *     {"system": "Be brief", "messages": [
 *         {"role": "assistant", "content": [{"type": "text", "text": "I look."},
 *             {"type": "tool_use", "id": "a", "name": "find", "input": {"city": "Ulm"}}]},
 *         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"},
 *             {"type": "text", "text": "Well?"}]}]}
 *
 *     {"role": "system", "content": "Be brief"}
 *     {"role": "assistant", "content": [text "I look."], "tool_calls": [{"id": "a", "type":
 *         "function", "function": {"name": "find", "arguments": {"city": "Ulm"}}}]}
 *     {"role": "tool", "tool_call_id": "a", "name": "find", "content": [text "1"]}
 *     {"role": "user", "content": [text "Well?"]}
 *
 * Messages of one role that follow each other become one, as Anthropic has it, so that templates that
 * want roles to alternate take them. A last message of the assistant is the beginning of the reply.
 * Thinking is passed on as reasoning_content. What a model of text cannot read is refused by its
 * type. Loop thread. */
#ifndef QUERN_SERVER_MESSAGES_PROMPT_H
#define QUERN_SERVER_MESSAGES_PROMPT_H

#include "server/api_error.h"
#include "server/conversation.h"

#include <stdbool.h>

/* Sets the conversation's variables from the members of its request: system, messages, tools and
 * thinking. */
bool messages_prompt_read(struct conversation *conversation, struct api_error *error);

#endif
