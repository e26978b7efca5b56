/* Sets of characters as ranges of code points. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_CODE_RANGES_H
#define QUERN_ENGINE_TEXT_GRAMMAR_CODE_RANGES_H

#include <stddef.h>
#include <stdint.h>

struct code_range {
    uint32_t first;
    uint32_t last;
};

#define CODE_LAST UINT32_C(0x10FFFF)

/* Sorts the ranges, leaves out those that are empty and joins those that overlap or touch. Returns how
 * many are left. */
size_t code_ranges_join(struct code_range *ranges, size_t count);

/* All other code points. The ranges are joined; there is room for count + 1 of them. Returns how many
 * there are now. */
size_t code_ranges_complement(struct code_range *ranges, size_t count);

#endif
