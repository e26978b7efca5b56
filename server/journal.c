#include "server/journal.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_stderr;
static int journal = -1;

static void connect_journal(void) {
    const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                        .sun_path = "/run/systemd/journal/socket"};
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal >= 0 && connect(journal, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(journal);
        journal = -1;
    }
}

/* Standard error may have been redirected since systemd set the variable. */
static void find_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device = 0, inode = 0;
    struct stat status;
    has_stderr = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                 fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
                 status.st_ino == inode;
    if (has_stderr) {
        connect_journal();
    }
}

bool journal_has_stderr(void) {
    pthread_once(&once, find_journal);
    return has_stderr;
}

/* Fields whose names say too little without the line around them; the others are in capitals. */
static const char *const names[][2] = {
    {"id", "REQUEST_ID"},        {"ms", "DURATION_MS"},         {"prompt", "PROMPT_TOKENS"},
    {"cached", "CACHED_TOKENS"}, {"generated", "REPLY_TOKENS"}, {"finish", "FINISH_REASON"},
};

static void write_name(const char *name, char *text, size_t size) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i][0]) == 0) {
            name = names[i][1];
        }
    }
    size_t length = 0;
    for (; name[length] != '\0' && length < size - 1; length++) {
        text[length] = (char)toupper((unsigned char)name[length]);
    }
    text[length] = '\0';
}

void journal_entry_add(struct journal_entry *entry, const char *name, const char *value) {
    char field[64];
    write_name(name, field, sizeof field);
    size_t room = JOURNAL_ENTRY_BYTES - entry->length;
    char *begin = entry->bytes + entry->length;
    int length = snprintf(begin, room, "%s=%s\n", field, value);
    if (length < 0 || (size_t)length >= room) {
        return;
    }
    for (char *at = begin; at < begin + length - 1; at++) {
        *at = (unsigned char)*at < ' ' || *at == 127 ? '?' : *at;
    }
    entry->length += (size_t)length;
}

bool journal_send(const struct journal_entry *entry) {
    return journal >= 0 && send(journal, entry->bytes, entry->length,
                                MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)entry->length;
}
