#include "engine/decoder.h"

#include <string.h>

static bool choose_kernels(struct decoder *decoder, const char *name, struct error *err) {
    decoder->kernels = kernels_select(name);
    if (decoder->kernels != NULL) {
        return true;
    }
    char names[128] = "";
    for (const char *const *available = kernels_available(); *available != NULL; available++) {
        strncat(names, names[0] == '\0' ? "" : ", ", sizeof names - strlen(names) - 1);
        strncat(names, *available, sizeof names - strlen(names) - 1);
    }
    return error_set(err, ERROR_INVALID,
                     "kernels \"%.40s\" cannot run on this processor; it can run: %s", name, names);
}

/* How many pages the pool gets. Windowed layers hold far fewer positions of a long sequence than of
 * several short ones, so room for many short sequences is counted in full. */
static bool pool_pages(const struct plan *plan, const struct decoder_options *options,
                       size_t *pages, struct error *err) {
    size_t positions = options->kv_positions;
    if (positions > 0) {
        return kv_plan_pages(plan, positions, positions, pages, err);
    }
    size_t one_long;
    size_t several_short;
    if (!kv_plan_pages(plan, plan->context_length, options->rows_max, &one_long, err) ||
        !kv_plan_pages(plan, KV_POSITIONS_DEFAULT, KV_POSITIONS_DEFAULT, &several_short, err)) {
        return false;
    }
    *pages = one_long > several_short ? one_long : several_short;
    return true;
}

/* The longest sequence that the pool can hold, up to the plan's context. */
static size_t context_that_fits(const struct decoder *decoder) {
    size_t pages = kv_cache_pages_total(decoder->cache);
    size_t fits = 0;
    size_t beyond = decoder->plan->context_length + 1;
    while (beyond - fits > 1) {
        size_t middle = fits + (beyond - fits) / 2;
        if (kv_cache_pages_needed(decoder->cache, middle, decoder->rows_max) <= pages) {
            fits = middle;
        } else {
            beyond = middle;
        }
    }
    return fits;
}

bool decoder_open(struct decoder *decoder, const struct plan *plan,
                  const struct decoder_options *options, struct error *err) {
    *decoder = (struct decoder){.plan = plan, .rows_max = options->rows_max};
    size_t pages;
    if (!choose_kernels(decoder, options->kernels, err) ||
        !pool_pages(plan, options, &pages, err) ||
        !workers_open(&decoder->workers, options->threads, options->pin_threads, err) ||
        !weights_open(&decoder->weights, plan, options->exact, decoder->workers, err) ||
        !kv_cache_open(&decoder->cache, plan, options->kv_type, pages, err)) {
        decoder_close(decoder);
        return false;
    }
    struct executor_parts parts = {
        .plan = plan,
        .weights = decoder->weights,
        .cache = decoder->cache,
        .kv_type = options->kv_type,
        .kernels = decoder->kernels,
        .workers = decoder->workers,
        .rows_max = options->rows_max,
        .wanted_max = options->wanted_max,
        .exact = options->exact,
    };
    if (!executor_open(&decoder->executor, &parts, err)) {
        decoder_close(decoder);
        return false;
    }
    decoder->context_length = context_that_fits(decoder);
    return true;
}

void decoder_close(struct decoder *decoder) {
    executor_close(decoder->executor);
    kv_cache_close(decoder->cache);
    weights_close(decoder->weights);
    workers_close(decoder->workers);
    *decoder = (struct decoder){0};
}
