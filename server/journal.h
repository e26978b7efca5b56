/* systemd's journal, by its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): an entry is a datagram of
 * fields, so that a collector need not take a line apart.
 *
 *     MESSAGE=POST /v1/completions 200 id=req-1f client=127.0.0.1 …
 *     PRIORITY=6
 *     SYSLOG_IDENTIFIER=quern
 *     REQUEST_ID=req-1f
 *     CLIENT=127.0.0.1
 *
 * Any thread. */
#ifndef QUERN_SERVER_JOURNAL_H
#define QUERN_SERVER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

enum { JOURNAL_ENTRY_BYTES = 6144 }; /* of a datagram; far below what any socket takes */

struct journal_entry {
    char bytes[JOURNAL_ENTRY_BYTES];
    size_t length;
};

/* What standard error leads to: is that the journal ($JOURNAL_STREAM says which file it reads)? */
bool journal_has_stderr(void);

/* A field of the log ("prompt") under the name that the journal has for it ("PROMPT_TOKENS"). Bytes of the value
 * that would end it become '?'; a field that does not fit is left out. */
void journal_entry_add(struct journal_entry *entry, const char *name, const char *value);

/* False if the journal does not take it now, or does not listen. */
bool journal_send(const struct journal_entry *entry);

#endif
