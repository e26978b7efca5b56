#include "engine/turns.h"

#include <criterion/criterion.h>
#include <pthread.h>
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
