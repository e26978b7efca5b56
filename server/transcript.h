/* The conversation at a terminal: its messages, the prompt that the model's chat template makes of
 * them, and the file that it can be saved to. Used by one thread. */
#ifndef QUERN_SERVER_TRANSCRIPT_H
#define QUERN_SERVER_TRANSCRIPT_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "importer/chat_template.h"

#include <stdbool.h>
#include <stddef.h>

struct transcript_message {
    const char *role; /* "user" or "assistant" */
    struct text_buffer text;
};

/* Start from {0}. */
struct transcript {
    struct text_buffer system; /* empty: none */
    struct transcript_message *messages;
    size_t count;
    size_t capacity;
};

void transcript_deinit(struct transcript *transcript);

/* Texts are copied; bytes that are not UTF-8 become U+FFFD. `role` is a constant. */
bool transcript_set_system(struct transcript *transcript, const char *text, struct error *err);
bool transcript_add(struct transcript *transcript, const char *role, const char *text,
                    size_t length, struct error *err);

/* Forgets all messages but the first `count`. The system message stays. */
void transcript_cut(struct transcript *transcript, size_t count);

/* Appends the prompt that asks for the next message of the assistant. */
bool transcript_prompt(const struct transcript *transcript, const struct chat_template *chat,
                       struct text_buffer *prompt, struct error *err);

/* Writes {"messages": [...]} to a new file that only its owner may read. A file that is there is
 * left alone, and an error. */
bool transcript_save(const struct transcript *transcript, const char *path, struct error *err);

#endif
