#include "engine/text/grammar/grammar.h"

#include <stdlib.h>

struct grammar *grammar_acquire(struct grammar *grammar) {
    atomic_fetch_add(&grammar->holders, 1);
    return grammar;
}

void grammar_release(struct grammar *grammar) {
    if (grammar == NULL || atomic_fetch_sub(&grammar->holders, 1) > 1) {
        return;
    }
    free(grammar->program);
    free(grammar->costs);
    free(grammar->sets);
    free(grammar->loops);
    free(grammar);
}

size_t grammar_bytes(const struct grammar *grammar) {
    return sizeof *grammar + grammar->length * (sizeof *grammar->program + sizeof *grammar->costs) +
           grammar->set_count * sizeof *grammar->sets +
           grammar->loop_count * sizeof *grammar->loops;
}
