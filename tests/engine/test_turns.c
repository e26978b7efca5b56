#include "engine/turns.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { ROUNDS = 2000, ENGINES = 3 };

struct stage {
    struct turns *turns;
    int steps; /* plain memory: the turn alone makes it safe */
    atomic_int inside;
    atomic_int together;
};

static void *run_steps(void *argument) {
    struct stage *stage = argument;
    for (int i = 0; i < ROUNDS; i++) {
        turns_take(stage->turns);
        atomic_fetch_add(&stage->together, atomic_fetch_add(&stage->inside, 1) != 0);
        stage->steps++;
        atomic_fetch_sub(&stage->inside, 1);
        turns_give(stage->turns);
    }
    return NULL;
}

Test(turns, steps_of_several_engines_never_overlap) {
    struct stage stage = {.steps = 0};
    pthread_t threads[ENGINES];
    struct error err = {0};
    cr_assert(turns_open(&stage.turns, &err), "%s", err.text);
    for (int i = 0; i < ENGINES; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, run_steps, &stage), 0);
    }
    for (int i = 0; i < ENGINES; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(stage.steps, ROUNDS * ENGINES);
    cr_assert_eq(stage.together, 0, "%d steps were not alone", stage.together);
    turns_close(stage.turns);
}

struct waiting {
    struct turns *turns;
    bool waited;
};

static void *take_and_give(void *argument) {
    struct waiting *waiting = argument;
    waiting->waited = turns_take(waiting->turns);
    turns_give(waiting->turns);
    return NULL;
}

Test(turns, who_computes_alone_never_waits_and_who_does_not_is_told) {
    struct waiting waiting = {.waited = false};
    struct error err = {0};
    cr_assert(turns_open(&waiting.turns, &err), "%s", err.text);
    cr_assert_not(turns_take(NULL));
    for (int i = 0; i < ROUNDS; i++) {
        cr_assert_not(turns_take(waiting.turns));
        turns_give(waiting.turns);
    }
    /* The thread may come too late to wait, but not again and again. */
    for (int i = 0; i < ROUNDS && !waiting.waited; i++) {
        pthread_t thread;
        turns_take(waiting.turns);
        cr_assert_eq(pthread_create(&thread, NULL, take_and_give, &waiting), 0);
        for (int k = 0; k < i; k++) {
            sched_yield();
        }
        turns_give(waiting.turns);
        pthread_join(thread, NULL);
    }
    cr_assert(waiting.waited);
    turns_close(waiting.turns);
}
