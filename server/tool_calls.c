/*     TEXT ──mark──▶ HEAD ──name known──▶ ARGUMENTS ──▶ END ──▶ TAIL ──▶ TEXT
 *      ▲               │ no call               or WHOLE           │
 *      └───────────────┘           HEAD ◀── the next of a list ───┘
 *
 * Heads and tails are short: they are read anew from their beginning until all of them is there, which
 * needs no state. Arguments may be long; they are followed byte by byte. */
#include "server/tool_calls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct span {
    size_t start;
    size_t length;
};

enum state { TEXT, HEAD, WHOLE, ARGUMENTS, END, TAIL, STATES };

struct tool_calls {
    const struct tool_format *format;
    const char *const *names;
    size_t name_count;
    enum state state;
    bool finished; /* nothing more is pushed */
    size_t count;  /* calls that have begun */
    bool begun;    /* text has been said since the reply or the last call began */

    struct text_buffer held;
    size_t start; /* of what has not been said */
    size_t head;  /* where the mark of a call begins, or of a call within a list, the call */
    bool in_list;
    bool follows; /* the head belongs to a call that follows another one without a mark */

    struct span arguments; /* WHOLE */
    size_t depth;          /* ARGUMENTS: open brackets */
    bool in_string;
    bool escaped;
    bool in_object; /* TAIL: the object of the call goes on behind the arguments */
};

/* ---- Reading what may not have come whole ---- */

enum answer { NO, MORE, YES };

struct cursor {
    const char *bytes;
    size_t length;
    size_t at;
};

static bool is_space(char byte) {
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

/* Letters, digits and whatever else names, numbers and literals are written with. */
static bool is_word(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("_-+.", byte) != NULL);
}

static bool at_end(const struct cursor *cursor) {
    return cursor->at == cursor->length;
}

static void skip_space(struct cursor *cursor) {
    while (!at_end(cursor) && is_space(cursor->bytes[cursor->at])) {
        cursor->at++;
    }
}

static void skip_word(struct cursor *cursor) {
    while (!at_end(cursor) && is_word(cursor->bytes[cursor->at])) {
        cursor->at++;
    }
}

/* Passes over exactly this text. */
static enum answer read_text(struct cursor *cursor, const char *text) {
    size_t length = strlen(text);
    size_t left = cursor->length - cursor->at;
    if (memcmp(cursor->bytes + cursor->at, text, length < left ? length : left) != 0) {
        return NO;
    }
    if (left < length) {
        return MORE;
    }
    cursor->at += length;
    return YES;
}

/* The mark may be NULL, which no text is. */
static enum answer read_mark(struct cursor *cursor, const char *mark) {
    return mark != NULL ? read_text(cursor, mark) : NO;
}

static enum answer read_string(struct cursor *cursor, struct span *content) {
    enum answer opened = read_text(cursor, "\"");
    if (opened != YES) {
        return opened;
    }
    content->start = cursor->at;
    for (; !at_end(cursor); cursor->at++) {
        if (cursor->bytes[cursor->at] == '"') {
            content->length = cursor->at++ - content->start;
            return YES;
        }
        if (cursor->bytes[cursor->at] == '\\' && ++cursor->at == cursor->length) {
            return MORE;
        }
    }
    return MORE;
}

/* Passes over an object or array, by its brackets. */
static enum answer skip_brackets(struct cursor *cursor) {
    size_t depth = 0;
    struct span ignored;
    while (!at_end(cursor)) {
        char byte = cursor->bytes[cursor->at];
        if (byte == '"') {
            if (read_string(cursor, &ignored) == MORE) {
                return MORE;
            }
            continue;
        }
        cursor->at++;
        depth += byte == '{' || byte == '[';
        depth -= byte == '}' || byte == ']';
        if (depth == 0) {
            return YES;
        }
    }
    return MORE;
}

static enum answer skip_value(struct cursor *cursor) {
    struct span ignored;
    if (at_end(cursor)) {
        return MORE;
    }
    char byte = cursor->bytes[cursor->at];
    if (byte == '"') {
        return read_string(cursor, &ignored);
    }
    if (byte == '{' || byte == '[') {
        return skip_brackets(cursor);
    }
    size_t start = cursor->at;
    skip_word(cursor);
    return at_end(cursor) ? MORE : cursor->at > start ? YES : NO;
}

/* ---- Heads: a call up to where its arguments begin ---- */

struct head {
    struct span name;
    bool named;
    bool opened;           /* the arguments go on from arguments.start ... */
    struct span arguments; /* ... or else, this is all of them; of length 0: there are none */
    bool in_list;
    bool in_object;
};

static bool span_is(const struct cursor *cursor, struct span span, const char *text) {
    return strlen(text) == span.length &&
           memcmp(cursor->bytes + span.start, text, span.length) == 0;
}

static bool is_known(const struct tool_calls *calls, const struct cursor *cursor,
                     struct span name) {
    for (size_t i = 0; i < calls->name_count; i++) {
        if (span_is(cursor, name, calls->names[i])) {
            return true;
        }
    }
    return false;
}

static enum answer read_name(const struct tool_calls *calls, struct cursor *cursor,
                             struct head *head) {
    enum answer answer = read_string(cursor, &head->name);
    head->named = true;
    return answer == YES && !is_known(calls, cursor, head->name) ? NO : answer;
}

/* An object, or null. Once the name is known, its beginning is enough. */
static enum answer read_arguments(struct cursor *cursor, struct head *head) {
    struct span span = {cursor->at, 0};
    if (at_end(cursor)) {
        return MORE;
    }
    if (cursor->bytes[cursor->at] != '{') {
        return read_text(cursor, "null");
    }
    head->opened = head->named;
    enum answer answer = head->opened ? YES : skip_brackets(cursor);
    span.length = cursor->at - span.start;
    head->arguments = span;
    return answer;
}

/* A member of a call, key and value. Calls without a mark have no other members than these, lest any
 * JSON were held back. */
static enum answer read_member(const struct tool_calls *calls, struct cursor *cursor,
                               struct head *head, bool marked) {
    struct span key;
    enum answer answer = read_string(cursor, &key);
    if (answer != YES) {
        return answer;
    }
    skip_space(cursor);
    answer = read_text(cursor, ":");
    if (answer != YES) {
        return answer;
    }
    skip_space(cursor);
    if (span_is(cursor, key, "name")) {
        return read_name(calls, cursor, head);
    }
    if (span_is(cursor, key, "arguments") || span_is(cursor, key, "parameters")) {
        return read_arguments(cursor, head);
    }
    return marked || span_is(cursor, key, "type") || span_is(cursor, key, "id") ? skip_value(cursor)
                                                                                : NO;
}

/* {"name": "f", "arguments": {, or in another order, with other members. */
static enum answer read_object(const struct tool_calls *calls, struct cursor *cursor,
                               struct head *head, bool marked) {
    enum answer answer = read_text(cursor, "{");
    head->in_object = true;
    while (answer == YES) {
        skip_space(cursor);
        answer = read_member(calls, cursor, head, marked);
        if (answer != YES || head->opened) {
            return answer;
        }
        skip_space(cursor);
        answer = read_text(cursor, ",");
    }
    if (answer == NO) {
        answer = read_text(cursor, "}");
    }
    return answer == YES && !head->named ? NO : answer;
}

/* f[CALL_ID]x[ARGS]{, of which both marks may be missing. */
static enum answer read_named(const struct tool_calls *calls, struct cursor *cursor,
                              struct head *head) {
    struct span name = {cursor->at, 0};
    skip_word(cursor);
    name.length = cursor->at - name.start;
    if (at_end(cursor)) {
        return MORE;
    }
    if (!is_known(calls, cursor, name)) {
        return NO;
    }
    enum answer id = read_mark(cursor, calls->format->id_mark);
    if (id == YES) {
        skip_word(cursor);
    }
    enum answer arguments = read_mark(cursor, calls->format->arguments_mark);
    if (id == MORE || arguments == MORE || at_end(cursor)) {
        return MORE;
    }
    skip_space(cursor);
    head->name = name;
    head->arguments.start = cursor->at;
    head->opened = true;
    return read_text(cursor, "{");
}

static enum answer read_beginning(const struct tool_calls *calls, struct cursor *cursor) {
    enum answer best = NO;
    for (size_t i = 0; i < TOOL_BEGINNINGS_MAX && best != YES; i++) {
        enum answer answer = read_mark(cursor, calls->format->begins[i]);
        best = answer != NO ? answer : best;
    }
    return best;
}

static enum answer read_head(const struct tool_calls *calls, struct cursor *cursor,
                             struct head *head) {
    bool marked = calls->in_list || (!calls->follows && read_beginning(calls, cursor) == YES);
    head->in_list = calls->in_list;
    skip_space(cursor);
    if (marked && !calls->in_list && read_text(cursor, "[") == YES) {
        head->in_list = true;
        skip_space(cursor);
    }
    if (at_end(cursor)) {
        return MORE;
    }
    bool object = cursor->bytes[cursor->at] == '{';
    return object ? read_object(calls, cursor, head, marked)
           : marked && calls->format->arguments_mark != NULL ? read_named(calls, cursor, head)
                                                             : NO;
}

/* ---- Tails: what belongs to a call behind its arguments ---- */

/* , "id": "x"} */
static enum answer read_rest(struct cursor *cursor) {
    struct span key;
    for (;;) {
        skip_space(cursor);
        enum answer comma = read_text(cursor, ",");
        if (comma != YES) {
            return comma == MORE ? MORE : read_text(cursor, "}");
        }
        skip_space(cursor);
        enum answer answer = read_string(cursor, &key);
        skip_space(cursor);
        answer = answer == YES ? read_text(cursor, ":") : answer;
        skip_space(cursor);
        answer = answer == YES ? skip_value(cursor) : answer;
        if (answer != YES) {
            return answer;
        }
    }
}

/* The separator before another call, up to where that begins. */
static enum answer read_separator(const struct tool_calls *calls, struct cursor *cursor) {
    skip_space(cursor);
    enum answer answer = read_text(cursor, calls->in_list ? "," : ";");
    skip_space(cursor);
    if (answer == NO && calls->in_list) {
        return NO;
    }
    struct cursor ahead = *cursor;
    return answer == MORE ? MORE : read_text(&ahead, "{");
}

/* Passes over what is there. False while more must come; *next: another call follows. */
static bool read_tail(const struct tool_calls *calls, struct cursor *cursor, bool *next) {
    struct cursor ahead = *cursor;
    enum answer answer = calls->in_object ? read_rest(&ahead) : NO;
    if (answer == MORE) {
        return false;
    }
    if (answer == YES) {
        *cursor = ahead;
    }
    ahead = *cursor;
    if (calls->in_list || calls->format->bare) {
        answer = read_separator(calls, &ahead);
        *next = answer == YES;
        if (answer != NO) {
            *cursor = ahead;
            return answer == YES;
        }
        ahead = *cursor;
    }
    skip_space(&ahead);
    if (calls->in_list) {
        answer = read_text(&ahead, "]");
        if (answer != YES) {
            return answer == NO;
        }
        *cursor = ahead;
        skip_space(&ahead);
    }
    answer = read_mark(&ahead, calls->format->end);
    if (answer == YES) {
        *cursor = ahead;
    }
    return answer != MORE;
}

/* ---- The states: each says an event, goes on to another state, or waits for more ---- */

enum progress { WAIT, GO_ON, SAY };

static struct cursor held_from(const struct tool_calls *calls, size_t at) {
    return (struct cursor){calls->held.bytes, calls->held.length, at};
}

static enum progress say(struct tool_calls *calls, struct tool_event *event,
                         enum tool_event_kind kind, struct span span) {
    *event = (struct tool_event){
        .kind = kind,
        .call = calls->count - (calls->count > 0),
        .bytes = span.length > 0 ? calls->held.bytes + span.start : "",
        .length = span.length,
    };
    return SAY;
}

static enum progress say_text(struct tool_calls *calls, struct tool_event *event, size_t end) {
    struct span span = {calls->start, end - calls->start};
    for (size_t i = calls->start; i < end; i++) {
        calls->begun = calls->begun || !is_space(calls->held.bytes[i]);
    }
    calls->start = end;
    return say(calls, event, TOOL_EVENT_TEXT, span);
}

/* Where a call may begin, or the end of what is held; YES if it certainly has a mark. */
static enum answer find_beginning(const struct tool_calls *calls, size_t *at) {
    struct cursor cursor = held_from(calls, calls->start);
    if (calls->format->bare && !calls->begun && calls->count == 0) {
        struct cursor ahead = cursor;
        skip_space(&ahead);
        *at = ahead.at;
        if (read_text(&ahead, "{") == YES) {
            return YES;
        }
    }
    for (; !at_end(&cursor); cursor.at++) {
        struct cursor ahead = cursor;
        enum answer answer = read_beginning(calls, &ahead);
        if (answer == YES || (answer == MORE && !calls->finished)) {
            *at = cursor.at;
            return answer;
        }
    }
    *at = calls->held.length;
    return NO;
}

static enum progress run_text(struct tool_calls *calls, struct tool_event *event) {
    size_t at;
    enum answer found = find_beginning(calls, &at);
    size_t end = at;
    while (end > calls->start && is_space(calls->held.bytes[end - 1])) {
        end--;
    }
    bool spaces_count = calls->finished ? calls->count == 0 || calls->begun || end > calls->start
                                        : at - end > CALL_HEAD_MAX;
    if (found == NO && spaces_count) {
        end = at;
    }
    if (end > calls->start) {
        return say_text(calls, event, end);
    }
    if (found == YES) {
        calls->head = at;
        calls->in_list = false;
        calls->follows = false;
        calls->state = HEAD;
        return GO_ON;
    }
    return WAIT;
}

/* What looked like a call is text, at least its first byte or mark. */
static enum progress refuse_head(struct tool_calls *calls, struct tool_event *event) {
    struct cursor cursor = held_from(calls, calls->head);
    if (calls->follows || read_beginning(calls, &cursor) != YES) {
        cursor.at = calls->head + 1;
    }
    calls->state = TEXT;
    calls->begun = true;
    return say_text(calls, event, cursor.at);
}

static enum progress run_head(struct tool_calls *calls, struct tool_event *event) {
    struct cursor cursor = held_from(calls, calls->head);
    struct head head = {.opened = false};
    enum answer answer = read_head(calls, &cursor, &head);
    bool too_long = calls->held.length - calls->head > CALL_HEAD_MAX;
    if (answer == NO || (answer == MORE && (calls->finished || too_long))) {
        return refuse_head(calls, event);
    }
    if (answer == MORE) {
        return WAIT;
    }
    calls->count++;
    calls->begun = false;
    calls->in_list = head.in_list;
    calls->in_object = head.opened && head.in_object;
    calls->arguments = head.arguments;
    calls->start = head.opened ? head.arguments.start : cursor.at;
    calls->depth = 0;
    calls->in_string = false;
    calls->escaped = false;
    calls->state = head.opened ? ARGUMENTS : WHOLE;
    return say(calls, event, TOOL_EVENT_BEGIN, head.name);
}

static enum progress run_whole(struct tool_calls *calls, struct tool_event *event) {
    static const char none[] = "{}";
    say(calls, event, TOOL_EVENT_ARGUMENTS, calls->arguments);
    if (event->length == 0) {
        event->bytes = none;
        event->length = sizeof none - 1;
    }
    calls->state = END;
    return SAY;
}

/* Follows one byte of the arguments: MORE while they go on, NO where it cannot belong to them. */
static enum answer follow(struct tool_calls *calls, char byte) {
    if (calls->in_string) {
        bool closes = byte == '"' && !calls->escaped;
        calls->escaped = byte == '\\' && !calls->escaped;
        calls->in_string = !closes;
        return MORE;
    }
    calls->in_string = byte == '"';
    if (byte == '{' || byte == '[') {
        calls->depth++;
    } else if (byte == '}' || byte == ']') {
        calls->depth--;
        return calls->depth == 0 ? YES : MORE;
    } else if (!is_space(byte) && !is_word(byte) && memchr("\",:", byte, 3) == NULL) {
        return NO;
    }
    return MORE;
}

static enum progress run_arguments(struct tool_calls *calls, struct tool_event *event) {
    size_t at = calls->start;
    enum answer answer = MORE;
    while (answer == MORE && at < calls->held.length) {
        answer = follow(calls, calls->held.bytes[at]);
        at += answer != NO;
    }
    if (answer != MORE || calls->finished) {
        calls->in_object = calls->in_object && answer == YES;
        calls->state = END;
    }
    struct span span = {calls->start, at - calls->start};
    calls->start = at;
    return span.length > 0             ? say(calls, event, TOOL_EVENT_ARGUMENTS, span)
           : calls->state == ARGUMENTS ? WAIT
                                       : GO_ON;
}

static enum progress run_end(struct tool_calls *calls, struct tool_event *event) {
    calls->state = TAIL;
    return say(calls, event, TOOL_EVENT_END, (struct span){calls->start, 0});
}

static enum progress run_tail(struct tool_calls *calls, struct tool_event *event) {
    (void)event;
    struct cursor cursor = held_from(calls, calls->start);
    bool next = false;
    bool known = read_tail(calls, &cursor, &next);
    bool too_long = calls->held.length - calls->start > CALL_HEAD_MAX;
    if (!known && !calls->finished && !too_long) {
        return WAIT;
    }
    if (!known && calls->finished) {
        cursor.at = calls->held.length; /* the beginning of what belongs to the call */
    }
    calls->start = cursor.at;
    calls->head = cursor.at;
    calls->follows = next;
    calls->state = next ? HEAD : TEXT;
    return GO_ON;
}

/* ---- Public ---- */

bool tool_calls_open(struct tool_calls **out, const struct tool_format *format,
                     const char *const *names, size_t name_count, struct error *err) {
    struct tool_calls *calls = calloc(1, sizeof *calls);
    if (calls == NULL || !text_buffer_append(&calls->held, "", 0)) {
        free(calls);
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for reading calls of tools");
    }
    calls->format = format;
    calls->names = names;
    calls->name_count = name_count;
    *out = calls;
    return true;
}

void tool_calls_close(struct tool_calls *calls) {
    if (calls != NULL) {
        text_buffer_deinit(&calls->held);
        free(calls);
    }
}

bool tool_calls_push(struct tool_calls *calls, const char *bytes, size_t length) {
    assert(calls->state != WHOLE && calls->state != END);
    struct text_buffer *held = &calls->held;
    held->length -= calls->start;
    memmove(held->bytes, held->bytes + calls->start, held->length);
    calls->head -= calls->start < calls->head ? calls->start : calls->head;
    calls->start = 0;
    return text_buffer_append(held, bytes, length);
}

void tool_calls_finish(struct tool_calls *calls) {
    calls->finished = true;
}

bool tool_calls_next(struct tool_calls *calls, struct tool_event *event) {
    static enum progress (*const runs[STATES])(struct tool_calls *, struct tool_event *) = {
        [TEXT] = run_text,           [HEAD] = run_head, [WHOLE] = run_whole,
        [ARGUMENTS] = run_arguments, [END] = run_end,   [TAIL] = run_tail,
    };
    enum progress progress = GO_ON;
    while (progress == GO_ON) {
        progress = runs[calls->state](calls, event);
    }
    return progress == SAY;
}

void tool_call_make_id(char id[TOOL_CALL_ID_SIZE]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t count = sizeof letters - 1;
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        random = (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec;
    }
    for (size_t i = 0; i < TOOL_CALL_ID_SIZE - 1; i++) {
        id[i] = letters[random % count];
        random /= count;
    }
    id[TOOL_CALL_ID_SIZE - 1] = '\0';
}
