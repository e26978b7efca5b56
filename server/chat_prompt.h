/* The prompt of a conversation: the model's chat template, run on what a request says. */
#ifndef QUERN_SERVER_CHAT_PROMPT_H
#define QUERN_SERVER_CHAT_PROMPT_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "importer/chat_template.h"

#include <stdbool.h>

/* Appends the prompt that the template makes of the variables: messages, tools,
 * add_generation_prompt and whatever else it knows. Its special tokens are variables, too, unless
 * one of that name is given; tools and documents that are not given are none, as Hugging Face
 * transformers passes them. ERROR_INVALID: the template refuses the conversation or has no sense
 * for it. */
bool chat_prompt_render(const struct chat_template *chat, const struct template_dict *variables,
                        struct text_buffer *prompt, struct error *err);

#endif
