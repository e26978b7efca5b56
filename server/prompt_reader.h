/* What reading a conversation into the variables of a chat template needs, whichever API's form it has:
 * where one is in the request, for errors that name it, and values that go into the arena.
 *
 * One thread at a time. */
#ifndef QUERN_SERVER_PROMPT_READER_H
#define QUERN_SERVER_PROMPT_READER_H

#include "engine/arena.h"
#include "engine/text/template/value.h"
#include "server/api_error.h"

#include <stdbool.h>

/* Where in the request the values come from that are being read. */
struct reader {
    struct arena *arena;
    struct template_list *messages; /* made so far */
    struct template_dict *called;   /* the id of each call to the name of its tool */
    struct api_error *error;
    char place[48]; /* "input[3]", "messages[3].content[1]" */
};

/* All below that say false, or NULL, have set the error. */

bool reader_no_memory(const struct reader *reader);

/* "input[3] must be …", with the place as the parameter. */
bool reader_refuse(const struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same of a member of what is there: "messages[3].content must be …". */
bool reader_refuse_member(const struct reader *reader, const char *member, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "a string", "an object" …: what a value is, for messages; "missing" for NULL. */
const char *reader_kind(const struct template_value *value);

/* The same, but texts as they begin, in quotes. */
struct reader_found {
    char text[64];
};
struct reader_found reader_found(const struct template_value *value);

/* A NULL dict or list is one that memory was out for. */
bool reader_set(const struct reader *reader, struct template_dict *dict, const char *name,
                struct template_value value);
bool reader_push(const struct reader *reader, struct template_list *list,
                 struct template_value value);

/* The member's list, which is made if there is none. */
struct template_list *reader_list_of(const struct reader *reader, struct template_dict *dict,
                                     const char *name);

/* Adds a part of type "text" to the message's content. A NULL message is one that memory was out for. */
bool reader_add_text(const struct reader *reader, struct template_dict *message,
                     struct template_value text);

/* How much of a text from outside a message quotes. */
int reader_shown(struct template_text text);

struct template_value reader_literal(const char *text);

#endif
