/* Prompts of requests, with a template that prints what it is given: for tests of what reads the forms of
 * different APIs. */
#ifndef QUERN_TESTS_SERVER_PROMPT_FIXTURE_H
#define QUERN_TESTS_SERVER_PROMPT_FIXTURE_H

#include "server/conversation.h"

#include <stdbool.h>

struct prompt_fixture {
    const char *printing; /* the template */
    bool (*read)(struct conversation *conversation, struct api_error *error);
};

/* The body's prompt, or the message of its error, is this. */
void prompt_check(const struct prompt_fixture *fixture, const char *body, const char *expected);

/* Or has it as a part. */
void prompt_check_part(const struct prompt_fixture *fixture, const char *body,
                       const char *expected);

#endif
