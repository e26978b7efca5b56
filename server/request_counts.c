#include "server/request_counts.h"

const unsigned counted_statuses[COUNTED_STATUSES] = {200, 204, 400, 401, 404, 405, 408,
                                                     413, 415, 429, 500, 503, 0};

void request_counts_add(struct request_counts *counts, size_t route, unsigned status) {
    size_t i = 0;
    while (i < COUNTED_STATUSES - 1 && counted_statuses[i] != status) {
        i++;
    }
    counts->answered[route < COUNTED_ROUTES_MAX ? route : COUNTED_ROUTES_MAX - 1][i]++;
}
