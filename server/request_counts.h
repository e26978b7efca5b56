/* How many requests have been answered, by route and status: for /metrics. On the loop's thread. */
#ifndef QUERN_SERVER_REQUEST_COUNTS_H
#define QUERN_SERVER_REQUEST_COUNTS_H

#include <stddef.h>
#include <stdint.h>

enum {
    COUNTED_ROUTES_MAX = 64,
    COUNTED_STATUSES = 13,
};

struct request_counts {
    uint64_t answered[COUNTED_ROUTES_MAX][COUNTED_STATUSES];
};

/* The statuses that are told apart, and 0 for all others. */
extern const unsigned counted_statuses[COUNTED_STATUSES];

/* A route beyond the last one counts as the last one. */
void request_counts_add(struct request_counts *counts, size_t route, unsigned status);

#endif
