/* The form that a reply must have, from what a request says to a grammar.
 *
 *     loop    structured_output_read or tool_grammar_require ─▶ reply_form_find: was it made before?
 *                                                                     │ no
 *     pool                                                            └─▶ reply_form_make
 *
 * Making a grammar may take a second where a stranger wants it to, and the first one also waits for the
 * trie of the vocabulary: so the loop only looks into the cache. (Of a long body all of it is done in the
 * pool, see preparation.h.) Equal requests that come at once
 * wait in the queue of the pool, and find what the first of them has made. */
#ifndef QUERN_SERVER_REPLY_FORM_H
#define QUERN_SERVER_REPLY_FORM_H

#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"
#include "server/service.h"

#include <stdbool.h>

/* {0}: any reply will do. */
struct reply_form {
    struct text_buffer key; /* finds the grammar again */
    grammar_expression (*build)(struct grammar_builder *builder, const void *context);
    void *context; /* owned */
    void (*close)(void *context);
    char parameter[64];      /* that asks for it, for messages */
    const char *complaint;   /* what goes before the reason for which it is refused */
    struct grammar *grammar; /* NULL until it is found or made */
};

void reply_form_deinit(struct reply_form *form);

static inline bool reply_form_is_wanted(const struct reply_form *form) {
    return form->build != NULL;
}

/* Has its grammar been made before? */
bool reply_form_find(struct reply_form *form, const struct service *service);

/* Finds or makes it. On any thread. */
bool reply_form_make(struct reply_form *form, const struct service *service,
                     struct api_error *error);

#endif
