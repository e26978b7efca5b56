#include "engine/mapped_files.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILES_MAX = 256, /* a model has two or three, split weights some dozens */
    NAME_BYTES = 256,
};

/* A place is free where size is 0. The handler reads without the lock: the size is written last, and
 * taken away first. */
static struct {
    atomic_uintptr_t begin;
    atomic_size_t size;
    char name[NAME_BYTES];
} files[FILES_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void mapped_files_add(const void *bytes, size_t size, const char *name) {
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < FILES_MAX && atomic_load(&files[i].size) != 0) {
        i++;
    }
    if (i < FILES_MAX) {
        snprintf(files[i].name, NAME_BYTES, "%s", name);
        atomic_store(&files[i].begin, (uintptr_t)bytes);
        atomic_store(&files[i].size, size);
    }
    pthread_mutex_unlock(&lock);
}

void mapped_files_remove(const void *bytes) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (atomic_load(&files[i].begin) == (uintptr_t)bytes) {
            atomic_store(&files[i].size, 0);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* ---- In the signal handler: nothing that is not async-signal-safe ---- */

static const char *name_at(uintptr_t address) {
    for (size_t i = 0; i < FILES_MAX; i++) {
        size_t size = atomic_load(&files[i].size);
        if (address - atomic_load(&files[i].begin) < size) {
            return files[i].name;
        }
    }
    return NULL;
}

static void say(const char *text) {
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* there is nobody else to tell */
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    (void)context;
    const char *name = name_at((uintptr_t)info->si_addr);
    if (name == NULL) {
        signal(number, SIG_DFL); /* it is met again when we return */
        return;
    }
    say("quern: ");
    say(name);
    say(" became shorter, or can no longer be read, while it was in use. A file is to be "
        "replaced by renaming another one to its name, never by writing into it.\n");
    _exit(EXIT_FAILURE);
}

void mapped_files_explain_loss(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
}
