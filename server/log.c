#include "server/log.h"

#include "engine/text/utf8.h"
#include "server/journal.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048, MESSAGE_BYTES = 1024, VALUE_BYTES = 512 };

enum log_format { FORMAT_TEXT, FORMAT_LOGFMT, FORMAT_JSON };

const char *const log_format_names[] = {"text", "logfmt", "json", NULL};
const char *const log_level_names[] = {"error", "warning", "notice", "info", NULL};

static _Atomic(enum log_format) chosen_format = FORMAT_TEXT;
static _Atomic(enum log_priority) least = PRIORITY_INFO;

static size_t index_of(const char *const *names, const char *name) {
    size_t i = 0;
    while (names[i] != NULL && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

void log_configure(const char *format, const char *level) {
    chosen_format = (enum log_format)index_of(log_format_names, format);
    least = (enum log_priority)(PRIORITY_ERROR + index_of(log_level_names, level));
}

/* ---- A line in the making: what does not fit is cut, the end of the line is not ---- */

struct line {
    char bytes[LINE_BYTES];
    size_t length;
};

static void add_bytes(struct line *line, const char *bytes, size_t length) {
    enum { END_BYTES = 4 }; /* a quote, a brace, the newline */
    size_t room = LINE_BYTES - END_BYTES - line->length;
    length = length < room ? length : room;
    memcpy(line->bytes + line->length, bytes, length);
    line->length += length;
}

static void add(struct line *line, const char *text) {
    add_bytes(line, text, strlen(text));
}

/* Control characters, and bytes that are not UTF-8, become '?'; those in `escaped` get a '\'. */
static void add_clean(struct line *line, const char *text, const char *escaped) {
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        size_t width = utf8_character(text + at, length - at);
        bool plain = width > 1 || (width == 1 && (unsigned char)text[at] >= ' ' && text[at] != 127);
        if (!plain) {
            add(line, "?");
        } else {
            if (strchr(escaped, text[at]) != NULL) {
                add(line, "\\");
            }
            add_bytes(line, text + at, width);
        }
        at += width > 0 ? width : 1;
    }
}

static void add_quoted(struct line *line, const char *text) {
    add(line, "\"");
    add_clean(line, text, "\"\\");
    line->bytes[line->length++] = '"'; /* even where the text was cut */
}

/* As JSON has them, too. */
static bool is_number(const char *text) {
    size_t whole = strspn(text, "0123456789");
    const char *rest = text + whole;
    if (*rest == '.') {
        size_t fraction = strspn(rest + 1, "0123456789");
        rest += fraction > 0 ? 1 + fraction : 0;
    }
    return whole > 0 && whole < 16 && (whole == 1 || text[0] != '0') && *rest == '\0';
}

static void add_field(struct line *line, const char *name, const char *value) {
    bool json = chosen_format == FORMAT_JSON;
    add(line, json ? ",\"" : " ");
    add(line, name);
    add(line, json ? "\":" : "=");
    bool bare = json ? is_number(value) : value[0] != '\0' && strpbrk(value, " =\"") == NULL;
    if (bare) {
        add_clean(line, value, "");
    } else {
        add_quoted(line, value);
    }
}

static void add_time(struct line *line) {
    struct timespec now;
    struct tm calendar;
    char day[32], text[48];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &calendar);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &calendar);
    snprintf(text, sizeof text, "%s.%03ldZ", day, now.tv_nsec / 1000000);
    add(line, text);
}

static void begin(struct line *line, enum log_priority priority, const char *message) {
    const char *level = log_level_names[priority - PRIORITY_ERROR];
    switch (atomic_load(&chosen_format)) {
    case FORMAT_TEXT:
        if (journal_has_stderr()) {
            add(line, (const char[]){'<', (char)('0' + priority), '>', '\0'});
        } else {
            add(line, "quern: ");
        }
        add_clean(line, message, "");
        break;
    case FORMAT_LOGFMT:
        add(line, "time=");
        add_time(line);
        add_field(line, "level", level);
        add(line, " msg=");
        add_quoted(line, message);
        break;
    case FORMAT_JSON:
        add(line, "{\"time\":\"");
        add_time(line);
        add(line, "\"");
        add_field(line, "level", level);
        add_field(line, "msg", message);
        break;
    }
}

/* Nobody can be told if the log cannot be written. */
static void write_line(struct line *line) {
    if (chosen_format == FORMAT_JSON) {
        line->bytes[line->length++] = '}';
    }
    line->bytes[line->length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line->bytes, line->length);
    (void)written;
}

/* ---- An entry of the journal beside it ---- */

/* What is logged, in both forms. */
struct record {
    struct line line;
    struct journal_entry entry;
    bool to_journal;
};

static void begin_record(struct record *record, enum log_priority priority, const char *message) {
    record->line.length = 0;
    record->entry.length = 0;
    record->to_journal = atomic_load(&chosen_format) == FORMAT_TEXT && journal_has_stderr();
    begin(&record->line, priority, message);
    if (record->to_journal) {
        journal_entry_add(&record->entry, "priority", (const char[]){(char)('0' + priority), '\0'});
        journal_entry_add(&record->entry, "syslog_identifier", "quern");
    }
}

static void add_to_record(struct record *record, const char *name, const char *value) {
    add_field(&record->line, name, value);
    if (record->to_journal) {
        journal_entry_add(&record->entry, name, value);
    }
}

/* The journal's message is the line without the priority. */
static void end_record(struct record *record) {
    struct line *line = &record->line;
    line->bytes[line->length] = '\0';
    if (record->to_journal) {
        journal_entry_add(&record->entry, "message", line->bytes + strlen("<6>"));
    }
    if (!record->to_journal || !journal_send(&record->entry)) {
        write_line(line);
    }
}

/* ---- Public ---- */

void log_fields(enum log_priority priority, const char *message, const struct log_field *fields,
                size_t count, const char *more) {
    if (priority > least) {
        return;
    }
    struct record record;
    begin_record(&record, priority, message);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].value != NULL) {
            add_to_record(&record, fields[i].name, fields[i].value);
        }
    }
    char words[VALUE_BYTES];
    char *rest = NULL;
    snprintf(words, sizeof words, "%s", more);
    for (char *word = strtok_r(words, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        if (equals != NULL) {
            *equals = '\0';
            add_to_record(&record, word, equals + 1);
        }
    }
    end_record(&record);
}

void log_say(enum log_priority priority, const char *format, ...) {
    char message[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_fields(priority, message, NULL, 0, "");
}
