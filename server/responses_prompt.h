/* The input of a response, in OpenAI's newer form, brought into that of a chat completion:
 *
 *     {"instructions": "Be brief", "input": [
 *         {"role": "user", "content": [{"type": "input_text", "text": "Ulm?"}]},
 *         {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Look."}], …},
 *         {"type": "function_call", "call_id": "a", "name": "find", "arguments": "{…}"},
 *         {"type": "function_call_output", "call_id": "a", "output": "rain"}],
 *      "tools": [{"type": "function", "name": "find", "parameters": {…}}]}
 *
 *     {"role": "system", "content": [text "Be brief"]}
 *     {"role": "user", "content": [text "Ulm?"]}
 *     {"role": "assistant", "reasoning_content": "Look.", "tool_calls": [{"id": "a", "type":
 *         "function", "function": {"name": "find", "arguments": "{…}"}}]}
 *     {"role": "tool", "tool_call_id": "a", "name": "find", "content": [text "rain"]}
 *
 * What the assistant says in a row is one message, and so are instructions and the system's message
 * behind them. Items that refer to what a server would keep, and those of tools that run elsewhere, are
 * refused by their type. Loop thread. */
#ifndef QUERN_SERVER_RESPONSES_PROMPT_H
#define QUERN_SERVER_RESPONSES_PROMPT_H

#include "server/api_error.h"
#include "server/conversation.h"

#include <stdbool.h>

/* Sets the conversation's variables from the members of its request: instructions, input, tools,
 * reasoning and chat_template_kwargs. */
bool responses_prompt_read(struct conversation *conversation, struct api_error *error);

#endif
