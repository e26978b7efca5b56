#include "engine/text/grammar/code_ranges.h"

#include <stdlib.h>

static int compare_ranges(const void *a, const void *b) {
    const struct code_range *x = a;
    const struct code_range *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

size_t code_ranges_join(struct code_range *ranges, size_t count) {
    size_t kept = 0;
    if (count > 1) {
        qsort(ranges, count, sizeof *ranges, compare_ranges);
    }
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first > ranges[i].last) {
            continue;
        }
        if (kept > 0 && ranges[i].first <= (uint64_t)ranges[kept - 1].last + 1) {
            if (ranges[i].last > ranges[kept - 1].last) {
                ranges[kept - 1].last = ranges[i].last;
            }
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

size_t code_ranges_complement(struct code_range *ranges, size_t count) {
    size_t gaps = 0;
    uint32_t next = 0; /* the first code point behind the last range */
    for (size_t i = 0; i < count; i++) {
        struct code_range range = ranges[i];
        if (range.first > next) {
            ranges[gaps++] = (struct code_range){next, range.first - 1};
        }
        next = range.last + 1;
    }
    if (next <= CODE_LAST) {
        ranges[gaps++] = (struct code_range){next, CODE_LAST};
    }
    return gaps;
}
