#include "engine/adapters.h"

#include "engine/checked.h"
#include "engine/weights_pack.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

struct adapters {
    size_t count;
    size_t places;
    size_t rank;
    struct packed_low_rank *list; /* (count, places) */
    uint8_t *memory;
    size_t bytes;
};

static const struct plan_low_rank_pair *source_pair(const struct plan *plan,
                                                    const struct adapters_source *source,
                                                    size_t adapter, size_t place) {
    return adapter == 0 ? &plan->low_ranks[place].own : &source->adapters[adapter - 1][place];
}

/* Lays out one matrix behind the others, of `*total` bytes so far. */
static bool lay_out(const struct plan_weight *weight, bool narrow, struct packed_matrix *matrix,
                    size_t *total, struct error *err) {
    const struct pack_form form = {.decoded = narrow};
    size_t bytes;
    return (pack_layout(weight, form, matrix) &&
            checked_multiply(matrix->tiles, matrix->tile_bytes, &bytes) &&
            checked_add(*total, bytes, total)) ||
           error_set(err, ERROR_TOO_LARGE, "\"%.200s\" (%zu, %zu) is too large", weight->name,
                     weight->rows, weight->columns);
}

/* Numbers become f16 where `narrows`, and where that keeps them. */
static bool lay_out_pair(const struct plan_low_rank_pair *pair, bool narrows,
                         struct packed_low_rank *packed, size_t *total, struct error *err) {
    *packed = (struct packed_low_rank){0};
    return pair->down.rows == 0 ||
           (lay_out(&pair->down, narrows && source_suits_f16(&pair->down), &packed->down, total,
                    err) &&
            lay_out(&pair->up, narrows && source_suits_f16(&pair->up), &packed->up, total, err));
}

bool adapters_plan_bytes(const struct plan *plan, const struct adapters_source *source,
                         size_t *bytes, struct error *err) {
    *bytes = 0;
    for (size_t a = 0; a <= source->count; a++) {
        for (size_t p = 0; p < plan->low_rank_count; p++) {
            struct packed_low_rank packed;
            if (!lay_out_pair(source_pair(plan, source, a, p), false, &packed, bytes, err)) {
                return false;
            }
        }
    }
    return true;
}

/* Fills the list, but for the places of the bytes, and says how many there will be. */
static bool lay_out_all(struct adapters *adapters, const struct plan *plan,
                        const struct adapters_source *source, bool exact, size_t *total,
                        struct error *err) {
    size_t items;
    adapters->list = checked_multiply(adapters->count, adapters->places, &items)
                         ? calloc(items + 1, sizeof *adapters->list)
                         : NULL;
    if (adapters->list == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the list of adapters");
    }
    *total = 0;
    for (size_t a = 0; a < adapters->count; a++) {
        for (size_t p = 0; p < adapters->places; p++) {
            if (!lay_out_pair(source_pair(plan, source, a, p), !exact,
                              &adapters->list[a * adapters->places + p], total, err)) {
                return false;
            }
        }
    }
    return true;
}

static bool take_memory(struct adapters *adapters, size_t bytes, size_t bytes_max,
                        struct error *err) {
    if (bytes > bytes_max) {
        return error_set(err, ERROR_TOO_LARGE,
                         "the adapters need %zu MB, but the memory limit leaves them %zu MB",
                         bytes / 1000000, bytes_max / 1000000);
    }
    if (bytes == 0) {
        return true;
    }
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu MB of adapters",
                         bytes / 1000000);
    }
    madvise(memory, bytes, MADV_HUGEPAGE); /* fewer page faults, where there are such */
    adapters->memory = memory;
    adapters->bytes = bytes;
    return true;
}

/* Returns where the next matrix goes. */
static uint8_t *pack(const struct plan_weight *weight, struct packed_matrix *matrix, uint8_t *to) {
    pack_tiles(weight, matrix, 0, matrix->tiles, to);
    matrix->bytes = to;
    return to + matrix->tiles * matrix->tile_bytes;
}

static void pack_all(struct adapters *adapters, const struct plan *plan,
                     const struct adapters_source *source) {
    uint8_t *to = adapters->memory;
    for (size_t a = 0; a < adapters->count; a++) {
        for (size_t p = 0; p < adapters->places; p++) {
            const struct plan_low_rank_pair *pair = source_pair(plan, source, a, p);
            struct packed_low_rank *packed = &adapters->list[a * adapters->places + p];
            if (pair->down.rows > 0) {
                to = pack(&pair->down, &packed->down, to);
                to = pack(&pair->up, &packed->up, to);
            }
            adapters->rank = pair->down.rows > adapters->rank ? pair->down.rows : adapters->rank;
        }
    }
}

bool adapters_open(struct adapters **out, const struct plan *plan,
                   const struct adapters_source *source, bool exact, size_t bytes_max,
                   struct error *err) {
    struct adapters *adapters = calloc(1, sizeof *adapters);
    if (adapters == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the list of adapters");
    }
    adapters->count = source->count + 1;
    adapters->places = plan->low_rank_count;
    size_t bytes;
    if (!lay_out_all(adapters, plan, source, exact, &bytes, err) ||
        !take_memory(adapters, bytes, bytes_max, err)) {
        adapters_close(adapters);
        return false;
    }
    pack_all(adapters, plan, source);
    *out = adapters;
    return true;
}

void adapters_close(struct adapters *adapters) {
    if (adapters == NULL) {
        return;
    }
    if (adapters->memory != NULL) {
        munmap(adapters->memory, adapters->bytes);
    }
    free(adapters->list);
    free(adapters);
}

const struct packed_low_rank *adapters_find(const struct adapters *adapters, size_t adapter,
                                            int place) {
    assert(adapter < adapters->count && place >= 0 && (size_t)place < adapters->places);
    const struct packed_low_rank *packed =
        &adapters->list[adapter * adapters->places + (size_t)place];
    return packed->down.bytes != NULL ? packed : NULL;
}

size_t adapters_count(const struct adapters *adapters) {
    return adapters->count;
}

size_t adapters_rank(const struct adapters *adapters) {
    return adapters->rank;
}

size_t adapters_bytes(const struct adapters *adapters) {
    return adapters->bytes;
}
