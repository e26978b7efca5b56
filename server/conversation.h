/* A request's conversation on its way to a prompt.
 *
 *     body ─▶ open ─▶ its members as values, numbers as they were written
 *                          │ read: messages, tools, … checked, in the form that the model's chat
 *                          ▼       template takes (chat_messages.h)
 *                     variables ─▶ render ─▶ prompt ─▶ encode ─▶ token ids
 *
 * An endpoint whose messages have another form builds those of OpenAI's chat completions of them, in
 * the arena, and sets them; templates know no others.
 *
 * Special tokens that stand in the prompt are special tokens, whoever wrote them: as in llama-server
 * and vLLM, the template's text and what it quotes are not told apart. What begins the prompt is the
 * template's business, too, so that no BOS is put before the one that it writes.
 *
 * Owned by one request, on one thread at a time. */
#ifndef QUERN_SERVER_CONVERSATION_H
#define QUERN_SERVER_CONVERSATION_H

#include "engine/arena.h"
#include "engine/text/template/value.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/service.h"

#include <stdbool.h>
#include <stddef.h>

struct conversation {
    const struct service *service;
    struct arena arena;
    const char *parameter;           /* that has the messages, for errors: "messages" */
    struct template_dict *request;   /* the members of the body */
    struct template_dict *variables; /* of the template */
    bool continues;                  /* the reply goes on within the last message */
    bool add_special_tokens;         /* also what the tokenizer would put around a text (BOS) */
    struct text_buffer opening;      /* of the reply, which is to go on from there */
    struct text_buffer prompt;       /* what it has been rendered to */
};

/* The body must have passed json_parse. Also after an error the conversation must be
 * deinitialized. */
bool conversation_open(struct conversation *conversation, const struct service *service,
                       const char *body, size_t length, struct api_error *error);
void conversation_deinit(struct conversation *conversation);

/* Reads what a chat completion says of its prompt: messages, tools, documents, reasoning_effort,
 * chat_template_kwargs, add_generation_prompt, continue_final_message, add_special_tokens. */
bool conversation_read(struct conversation *conversation, struct api_error *error);

/* Of these, what only some templates know: documents, reasoning_effort, chat_template_kwargs. */
bool conversation_read_variables(struct conversation *conversation, struct api_error *error);

/* The same, for those who build it of something else. The values live in the arena. */
bool conversation_set_messages(struct conversation *conversation, struct template_value messages,
                               struct api_error *error);
bool conversation_set_tools(struct conversation *conversation, struct template_value tools,
                            struct api_error *error);
bool conversation_set(struct conversation *conversation, const char *name,
                      struct template_value value, struct api_error *error);

/* Makes the prompt as text; once. */
bool conversation_render(struct conversation *conversation, struct api_error *error);

/* Makes the prompt, once, and appends its token ids, of which there are some, but fewer than the
 * context holds. */
bool conversation_encode(struct conversation *conversation, struct token_list *ids,
                         struct api_error *error);

#endif
