#include "server/reply_channels.h"

#include <stdlib.h>
#include <string.h>

struct reply_channels {
    const char *const *names;
    size_t name_count;
    struct text_buffer held;
    size_t start; /* of what has not been said */
    size_t calls; /* that have begun */
    bool finished;
    bool in_body;
    bool begun;                /* something of the body has been said */
    enum tool_event_kind kind; /* of the body */
};

static const char message_mark[] = "<|message|>";

static const struct {
    const char *text;
    bool opens; /* the next header begins with it */
} ends_of_body[] = {
    {"<|end|>", false},  {"<|call|>", false},   {"<|return|>", false},
    {"<|start|>", true}, {"<|channel|>", true},
};

/* ---- Headers ---- */

struct part {
    const char *bytes;
    size_t length;
};

/* The word behind a text in the header, or an empty one. */
static struct part word_behind(struct part header, const char *text) {
    const char *found = memmem(header.bytes, header.length, text, strlen(text));
    if (found == NULL) {
        return (struct part){"", 0};
    }
    struct part word = {found + strlen(text), 0};
    const char *end = header.bytes + header.length;
    while (word.bytes + word.length < end && word.bytes[word.length] != ' ' &&
           word.bytes[word.length] != '<') {
        word.length++;
    }
    return word;
}

static bool part_is(struct part part, const char *text) {
    return strlen(text) == part.length && memcmp(part.bytes, text, part.length) == 0;
}

static bool is_known(const struct reply_channels *channels, struct part name) {
    for (size_t i = 0; i < channels->name_count; i++) {
        if (part_is(name, channels->names[i])) {
            return true;
        }
    }
    return false;
}

/* Takes in a whole header. True if a call begins, of the tool that is its recipient. */
static bool read_header(struct reply_channels *channels, struct part header, struct part *name) {
    static const char functions[] = "functions.";
    size_t length = sizeof functions - 1;
    *name = word_behind(header, "to=");
    if (name->length > length && memcmp(name->bytes, functions, length) == 0) {
        name->bytes += length;
        name->length -= length;
    }
    channels->in_body = true;
    channels->begun = false;
    if (is_known(channels, *name)) {
        channels->kind = TOOL_EVENT_ARGUMENTS;
        return true;
    }
    channels->kind = part_is(word_behind(header, "<|channel|>"), "analysis") ? TOOL_EVENT_REASONING
                                                                             : TOOL_EVENT_TEXT;
    return false;
}

/* Can what is held be the beginning of a header? */
static bool is_header(const struct reply_channels *channels) {
    static const char *const beginnings[] = {"<|channel|>", "<|start|>", "<|message|>",
                                             " to=", "assistant"};
    const char *bytes = channels->held.bytes + channels->start;
    size_t left = channels->held.length - channels->start;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        size_t length = strlen(beginnings[i]);
        if (memcmp(bytes, beginnings[i], left < length ? left : length) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- Bodies ---- */

/* Where the body ends, or a mark may begin. *mark: which, or none that is whole. */
static size_t find_end(const struct reply_channels *channels, size_t *mark) {
    const struct text_buffer *held = &channels->held;
    size_t count = sizeof ends_of_body / sizeof *ends_of_body;
    *mark = count;
    for (size_t at = channels->start; at < held->length; at++) {
        size_t left = held->length - at;
        for (size_t i = 0; held->bytes[at] == '<' && i < count; i++) {
            size_t length = strlen(ends_of_body[i].text);
            bool whole = left >= length;
            if ((whole || !channels->finished) &&
                memcmp(held->bytes + at, ends_of_body[i].text, whole ? length : left) == 0) {
                *mark = whole ? i : count;
                return at;
            }
        }
    }
    return held->length;
}

/* ---- Events ---- */

enum progress { WAIT, GO_ON, SAY };

static enum progress say(struct reply_channels *channels, struct tool_event *event,
                         enum tool_event_kind kind, struct part part) {
    *event = (struct tool_event){
        .kind = kind,
        .call = channels->calls - (channels->calls > 0),
        .bytes = part.bytes,
        .length = part.length,
    };
    return SAY;
}

/* Text, of which nothing is lost, the first byte of a mark included. */
static enum progress refuse_header(struct reply_channels *channels, struct tool_event *event) {
    struct part first = {channels->held.bytes + channels->start, 1};
    channels->in_body = true;
    channels->kind = TOOL_EVENT_TEXT;
    if (*first.bytes != '<') {
        return GO_ON;
    }
    channels->start++;
    return say(channels, event, TOOL_EVENT_TEXT, first);
}

static enum progress run_header(struct reply_channels *channels, struct tool_event *event) {
    const char *bytes = channels->held.bytes + channels->start;
    size_t left = channels->held.length - channels->start;
    if (left == 0) {
        return WAIT;
    }
    const char *mark = memmem(bytes, left, message_mark, sizeof message_mark - 1);
    bool too_long = mark == NULL && (channels->finished || left > CHANNEL_HEADER_MAX);
    if (!is_header(channels) || too_long) {
        return refuse_header(channels, event);
    }
    if (mark == NULL) {
        return WAIT;
    }
    struct part name;
    channels->start += (size_t)(mark - bytes) + sizeof message_mark - 1;
    if (!read_header(channels, (struct part){bytes, (size_t)(mark - bytes)}, &name)) {
        return GO_ON;
    }
    channels->calls++;
    return say(channels, event, TOOL_EVENT_BEGIN, name);
}

/* White space before arguments is none of them. */
static void skip_space(struct reply_channels *channels) {
    const struct text_buffer *held = &channels->held;
    while (channels->start < held->length &&
           memchr(" \n", held->bytes[channels->start], 2) != NULL) {
        channels->start++;
    }
}

static enum progress run_body(struct reply_channels *channels, struct tool_event *event) {
    size_t mark;
    if (channels->kind == TOOL_EVENT_ARGUMENTS && !channels->begun) {
        skip_space(channels);
    }
    size_t end = find_end(channels, &mark);
    struct part part = {channels->held.bytes + channels->start, end - channels->start};
    if (part.length > 0) {
        channels->begun = true;
        channels->start = end;
        return say(channels, event, channels->kind, part);
    }
    bool whole = mark < sizeof ends_of_body / sizeof *ends_of_body;
    if (!whole && !channels->finished) {
        return WAIT;
    }
    channels->in_body = false;
    channels->start += whole && !ends_of_body[mark].opens ? strlen(ends_of_body[mark].text) : 0;
    return channels->kind == TOOL_EVENT_ARGUMENTS
               ? say(channels, event, TOOL_EVENT_END, (struct part){"", 0})
               : GO_ON;
}

/* ---- Public ---- */

bool reply_channels_open(struct reply_channels **out, const char *const *names, size_t name_count,
                         struct error *err) {
    struct reply_channels *channels = calloc(1, sizeof *channels);
    if (channels == NULL || !text_buffer_append(&channels->held, "", 0)) {
        free(channels);
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for reading the channels of a reply");
    }
    channels->names = names;
    channels->name_count = name_count;
    *out = channels;
    return true;
}

void reply_channels_close(struct reply_channels *channels) {
    if (channels != NULL) {
        text_buffer_deinit(&channels->held);
        free(channels);
    }
}

bool reply_channels_push(struct reply_channels *channels, const char *bytes, size_t length) {
    struct text_buffer *held = &channels->held;
    held->length -= channels->start;
    memmove(held->bytes, held->bytes + channels->start, held->length);
    channels->start = 0;
    return text_buffer_append(held, bytes, length);
}

void reply_channels_finish(struct reply_channels *channels) {
    channels->finished = true;
}

bool reply_channels_next(struct reply_channels *channels, struct tool_event *event) {
    enum progress progress = GO_ON;
    while (progress == GO_ON) {
        progress = channels->in_body ? run_body(channels, event) : run_header(channels, event);
    }
    return progress == SAY;
}
