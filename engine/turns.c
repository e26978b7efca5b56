#include "engine/turns.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

/* Numbers are drawn as in a bakery. */
struct turns {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t drawn;  /* the next number that is drawn */
    uint64_t called; /* the number whose turn it is */
};

bool turns_open(struct turns **out, struct error *err) {
    struct turns *turns = calloc(1, sizeof *turns);
    if (turns == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the turns of engines");
    }
    pthread_mutex_init(&turns->mutex, NULL);
    pthread_cond_init(&turns->changed, NULL);
    *out = turns;
    return true;
}

void turns_close(struct turns *turns) {
    if (turns != NULL) {
        pthread_mutex_destroy(&turns->mutex);
        pthread_cond_destroy(&turns->changed);
        free(turns);
    }
}

bool turns_take(struct turns *turns) {
    if (turns == NULL) {
        return false;
    }
    pthread_mutex_lock(&turns->mutex);
    uint64_t number = turns->drawn++;
    bool waits = turns->called != number;
    while (turns->called != number) {
        pthread_cond_wait(&turns->changed, &turns->mutex);
    }
    pthread_mutex_unlock(&turns->mutex);
    return waits;
}

void turns_give(struct turns *turns) {
    if (turns == NULL) {
        return;
    }
    pthread_mutex_lock(&turns->mutex);
    turns->called++;
    pthread_cond_broadcast(&turns->changed);
    pthread_mutex_unlock(&turns->mutex);
}
