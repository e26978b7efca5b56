#include "engine/decoder.h"

#include "engine/checked.h"
#include "engine/memory_limit.h"

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

static bool open_weights(struct decoder *decoder, const struct decoder_options *options,
                         size_t memory_max, struct error *err) {
    struct weights_options packing = options->packing;
    packing.exact = options->exact;
    packing.bytes_max = memory_max;
    return weights_open(&decoder->weights, decoder->plan, &packing, decoder->workers, err) &&
           adapters_open(&decoder->adapters, decoder->plan, &options->adapters, options->exact,
                         memory_max - weights_bytes(decoder->weights), err);
}

static bool open_cache(struct decoder *decoder, const struct decoder_options *options,
                       size_t memory_max, struct error *err) {
    const size_t weights = weights_bytes(decoder->weights) + adapters_bytes(decoder->adapters);
    const size_t room = memory_max - weights;
    size_t pages;
    size_t pages_least; /* for one step of one sequence */
    if (!pool_pages(decoder->plan, options, &pages, err) ||
        !kv_plan_pages(decoder->plan, decoder->rows_max, decoder->rows_max, &pages_least, err) ||
        !kv_cache_open(&decoder->cache, decoder->plan, options->kv_type, pages, err)) {
        return false;
    }
    size_t page_bytes = kv_cache_page_bytes(decoder->cache);
    if (pages == 0 || page_bytes <= room / pages) {
        return true;
    }
    size_t pages_that_fit = room / page_bytes;
    if (options->kv_positions > 0 || pages_that_fit < pages_least) {
        size_t asked = options->kv_positions > 0 ? pages : pages_least;
        return error_set(err, ERROR_TOO_LARGE,
                         "the KV cache needs %zu MB and the weights %zu MB, but %s leaves them %zu "
                         "MB; ask for fewer KV positions, or raise the limit",
                         asked * page_bytes / 1000000, weights / 1000000,
                         options->memory_max > 0 ? "the memory of all models"
                                                 : memory_limit_get().source,
                         memory_max / 1000000);
    }
    kv_cache_close(decoder->cache);
    decoder->cache = NULL;
    return kv_cache_open(&decoder->cache, decoder->plan, options->kv_type, pages_that_fit, err);
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
    const size_t memory_max =
        options->memory_max > 0 ? options->memory_max : memory_limit_for_data();
    if (!choose_kernels(decoder, options->kernels, err) ||
        !workers_open(&decoder->workers, options->threads, options->pin_threads, err) ||
        !open_weights(decoder, options, memory_max, err) ||
        !open_cache(decoder, options, memory_max, err)) {
        decoder_close(decoder);
        return false;
    }
    struct executor_parts parts = {
        .plan = plan,
        .weights = decoder->weights,
        .adapters = decoder->adapters,
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

bool decoder_plan_bytes(const struct plan *plan, const struct decoder_options *options,
                        size_t *bytes, struct error *err) {
    struct kv_cache *cache; /* of no pages: it knows how large they would be */
    size_t pages;
    size_t pool;
    size_t adapters;
    if (!weights_plan_bytes(plan, options->exact, bytes, err) ||
        !adapters_plan_bytes(plan, &options->adapters, &adapters, err) ||
        !pool_pages(plan, options, &pages, err) ||
        !kv_cache_open(&cache, plan, options->kv_type, 0, err)) {
        return false;
    }
    bool fits = checked_multiply(pages, kv_cache_page_bytes(cache), &pool) &&
                checked_add(*bytes, pool, bytes) && checked_add(*bytes, adapters, bytes);
    kv_cache_close(cache);
    return fits || error_set(err, ERROR_TOO_LARGE, "a KV pool of %zu pages is too large", pages);
}

/* A pool without a page for one position has none for anybody's first step, either. */
bool decoder_warm_up(struct decoder *decoder, struct error *err) {
    struct kv_sequence sequence = {0};
    if (!kv_sequence_open(&sequence, decoder->cache, 1, err)) {
        return false;
    }
    if (kv_sequence_reserve(&sequence, decoder->cache, 1)) {
        const struct executor_row row = {
            .token = 0,
            .position = 0,
            .sequence = &sequence,
            .wanted = true,
            .long_rope = plan_uses_long_rope(decoder->plan, 1),
        };
        executor_run(decoder->executor, &row, 1);
    }
    kv_sequence_close(&sequence, decoder->cache);
    return true;
}

void decoder_close(struct decoder *decoder) {
    executor_close(decoder->executor);
    kv_cache_close(decoder->cache);
    adapters_close(decoder->adapters);
    weights_close(decoder->weights);
    workers_close(decoder->workers);
    *decoder = (struct decoder){0};
}
