/* The chat template that a model folder brings, and the special tokens that it may name.
 *
 * The template is chat_template.jinja, else "chat_template" in tokenizer_config.json: one text, or
 * a list of named ones, of which "default" is for all conversations and "tool_use", if there is
 * one, for those with tools. The tokens (bos_token, eos_token, …) are those of
 * tokenizer_config.json and, where it has none of that name, special_tokens_map.json.
 *
 * Nothing of the files stays mapped. Constant once open; any thread may read. */
#ifndef QUERN_IMPORTER_CHAT_TEMPLATE_H
#define QUERN_IMPORTER_CHAT_TEMPLATE_H

#include "engine/arena.h"
#include "engine/error.h"
#include "engine/text/template/template.h"
#include "engine/text/template/value.h"
#include "engine/text/vocabulary.h"
#include "importer/model_dir.h"

#include <stdbool.h>

struct chat_template {
    struct template *usual;
    struct template *with_tools;  /* NULL: the usual one serves */
    struct token_text source;     /* of the one that serves with tools */
    struct template_dict *tokens; /* name to text */
    struct arena arena;
};

/* ERROR_UNSUPPORTED where the folder has no template, ERROR_BAD_FILE where it cannot be read; the
 * message names the file and, for a template, its line. */
bool chat_template_open(struct chat_template **out, struct model_dir *directory, struct error *err);
void chat_template_close(struct chat_template *chat);

#endif
