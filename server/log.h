/* Lines for people and for collectors of logs, on standard error, each written at once:
 *
 *     text     quern: POST /v1/completions 200 id=req-1f client=127.0.0.1 ms=31.4 prompt=5
 *     logfmt   time=2026-03-01T12:00:00.123Z level=info msg="POST /v1/completions 200" id=req-1f …
 *     json     {"time":"2026-03-01T12:00:00.123Z","level":"info","msg":"POST …","id":"req-1f",…}
 *
 * Where standard error leads to systemd's journal, text goes there as entries with fields (journal.h), or, if
 * that is not possible, with the priority before it ("<6>POST …"), as sd-daemon(3) has it. Nothing that a
 * request says can break a line or make a field of its own.
 *
 * There is one log, as there is one standard error. Any thread. */
#ifndef QUERN_SERVER_LOG_H
#define QUERN_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* As in syslog(3). */
enum log_priority {
    PRIORITY_ERROR = 3,
    PRIORITY_WARNING = 4,
    PRIORITY_NOTICE = 5,
    PRIORITY_INFO = 6, /* one for each request */
};

/* What settings may say, ended by NULL. */
extern const char *const log_format_names[];
extern const char *const log_level_names[];

/* Names from these lists. */
void log_configure(const char *format, const char *level);

void log_say(enum log_priority priority, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct log_field {
    const char *name;
    const char *value; /* NULL: the field is left out */
};

/* A message with fields, and behind them those of `more`, "name=value name=value". */
void log_fields(enum log_priority priority, const char *message, const struct log_field *fields,
                size_t count, const char *more);

#endif
