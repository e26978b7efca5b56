#include "engine/allocation_guard.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

static void *volatile memory; /* so that no call is optimized away */

Test(allocation_guard, allows_what_lies_outside) {
    no_allocations_begin();
    no_allocations_begin();
    no_allocations_end();
    no_allocations_end();
    memory = malloc(1);
    cr_assert_not_null(memory);
    free(memory);
}

Test(allocation_guard, ends_the_process_within, .signal = SIGABRT) {
    no_allocations_begin();
    no_allocations_begin();
    no_allocations_end();
    memory = malloc(1);
    free(memory);
}
