/* A conversation at a terminal: reads entries, answers them, obeys /commands.
 *
 *     >>> Why is the sky blue?
 *     Because …                          Ctrl-C ends the answer, Ctrl-D the conversation
 *     >>> /set temperature 0.2
 *
 * With a chat template the entries and their answers are a conversation, whose beginning the prefix
 * cache knows at every turn. Without one each entry is a text that the model continues. */
#ifndef QUERN_SERVER_REPL_H
#define QUERN_SERVER_REPL_H

#include "server/options.h"
#include "server/speaker.h"

struct repl_options {
    struct speaker *speaker;
    bool chat;
    const char *system;                  /* NULL: none */
    bool statistics;                     /* after each answer */
    struct reply_options *reply;         /* which /set changes */
    const struct command_line *settings; /* what /set knows, within `settings_values` */
    void *settings_values;
};

/* Until the end of input or /exit. Errors of an entry are told, and it goes on; false only where it
 * cannot begin. */
bool repl_run(const struct repl_options *options, struct error *err);

#endif
