/* How a model writes its replies to conversations, by what its chat template shows: thoughts between
 * marks, calls of tools. Found once, when the model is opened; constant from then on. */
#ifndef QUERN_SERVER_CHAT_FORMAT_H
#define QUERN_SERVER_CHAT_FORMAT_H

#include "engine/text/tokenizer.h"
#include "importer/chat_template.h"
#include "server/reasoning.h"
#include "server/tool_format.h"

#include <stddef.h>
#include <stdint.h>

enum { REASONING_MARKS_MAX = 2 };

struct chat_format {
    const struct reasoning_marks *reasoning; /* NULL: the model tells no thoughts */
    const struct tool_format *tools;
    /* Marks that are special tokens, but part of the text: those of thoughts, those of calls. */
    int32_t marks[REASONING_MARKS_MAX + TOOL_MARKS_MAX];
    size_t reasoning_mark_count;
    size_t mark_count;
};

struct chat_format chat_format_find(const struct chat_template *chat,
                                    const struct tokenizer *tokenizer);

#endif
