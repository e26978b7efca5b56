#include "server/chat_format.h"

struct chat_format chat_format_find(const struct chat_template *chat,
                                    const struct tokenizer *tokenizer) {
    struct chat_format format = {
        .reasoning = reasoning_marks_of_template(chat->source.bytes, chat->source.length),
        .tools = tool_format_of_template(chat->source.bytes, chat->source.length),
    };
    if (format.reasoning != NULL) {
        const char *const marks[] = {format.reasoning->begin, format.reasoning->end};
        for (size_t i = 0; i < REASONING_MARKS_MAX; i++) {
            int32_t id = tokenizer_find(tokenizer, marks[i]);
            if (id >= 0 && tokenizer_is_special(tokenizer, id)) {
                format.marks[format.reasoning_mark_count++] = id;
            }
        }
    }
    format.mark_count =
        format.reasoning_mark_count +
        tool_format_tokens(format.tools, tokenizer, format.marks + format.reasoning_mark_count);
    if (format.tools->has_channels) {
        format.reasoning_mark_count = format.mark_count;
    }
    return format;
}
