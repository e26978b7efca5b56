/* What a chat template can do with a conversation, found out by trying it.
 *
 * Templates do not say which forms of a message they know. Some print a list of content parts as
 * Python would, some lose it, some take nothing else; some want the arguments of a call as a
 * mapping, some as text. So each question is a small conversation with words that occur nowhere
 * else, and the answer is where those words turn up in the prompt.
 *
 * Asked once, when the model is opened. */
#ifndef QUERN_SERVER_CHAT_TRAITS_H
#define QUERN_SERVER_CHAT_TRAITS_H

#include "importer/chat_template.h"

#include <stdbool.h>

struct chat_traits {
    bool takes_parts;       /* content may be a list: [{"type": "text", "text": …}] */
    bool needs_parts;       /* and nothing else */
    bool knows_developer;   /* the role has a form of its own */
    bool knows_tools;       /* the functions that may be called are part of the prompt */
    bool takes_no_content;  /* a message that calls a function may have none as its content */
    bool arguments_as_text; /* the arguments of a call are JSON text, where others want a mapping */
};

struct chat_traits chat_traits_find(const struct chat_template *chat);

#endif
