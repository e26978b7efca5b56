#include "server/timeline.h"

#include <stdlib.h>
#include <string.h>

bool timeline_open(struct timeline *timeline, struct decoder *decoder, size_t positions,
                   struct error *err) {
    *timeline = (struct timeline){.decoder = decoder};
    if (positions > decoder->context_length) {
        return error_set(err, ERROR_TOO_LARGE, "%zu tokens do not fit into the context of %zu",
                         positions, decoder->context_length);
    }
    timeline->tokens = calloc(positions + 1, sizeof *timeline->tokens);
    if (timeline->tokens == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu tokens", positions);
    }
    return kv_sequence_open(&timeline->sequence, decoder->cache, positions, err);
}

void timeline_close(struct timeline *timeline) {
    if (timeline->decoder != NULL) {
        kv_sequence_close(&timeline->sequence, timeline->decoder->cache);
    }
    free(timeline->tokens);
    *timeline = (struct timeline){0};
}

void timeline_rewind(struct timeline *timeline) {
    kv_sequence_clear(&timeline->sequence, timeline->decoder->cache);
    timeline->position = 0;
    timeline->long_rope = false;
}

size_t timeline_expect(struct timeline *timeline, size_t length) {
    if (!timeline->long_rope && plan_uses_long_rope(timeline->decoder->plan, length)) {
        timeline_rewind(timeline);
        timeline->long_rope = true;
    }
    return timeline->position;
}

/* Pages for the rows of `count` more tokens, which become part of the timeline, and back with those
 * that they cannot see. */
static bool add_rows(struct timeline *timeline, const int32_t *tokens, size_t count,
                     enum timeline_wanted wanted, struct executor_row *rows, struct error *err) {
    struct kv_cache *cache = timeline->decoder->cache;
    kv_sequence_reclaim(&timeline->sequence, cache, timeline->position);
    if (!kv_sequence_reserve(&timeline->sequence, cache, timeline->position + count)) {
        return error_set(err, ERROR_TOO_LARGE,
                         "the KV cache of %zu pages has none left for position %zu",
                         kv_cache_pages_total(cache), timeline->position + count);
    }
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        timeline->tokens[timeline->position] = tokens[i];
        rows[i] = (struct executor_row){
            .token = tokens[i],
            .position = timeline->position++,
            .sequence = &timeline->sequence,
            .wanted = wanted == TIMELINE_ALL || (wanted == TIMELINE_LAST && last),
            .long_rope = timeline->long_rope,
            .adapter = timeline->adapter,
        };
    }
    return true;
}

/* Where `count` more tokens outgrow the short RoPE tables, the tokens so far again, with the long
 * ones. `rows` has room for rows_max. */
static bool outgrow_short_rope(struct timeline *timeline, size_t count, struct executor_row *rows,
                               struct error *err) {
    size_t length = timeline->position;
    size_t chunk = timeline->decoder->rows_max;
    for (size_t at = timeline_expect(timeline, length + count); at < length; at += chunk) {
        size_t some = length - at < chunk ? length - at : chunk;
        if (!add_rows(timeline, timeline->tokens + at, some, TIMELINE_NONE, rows, err)) {
            return false;
        }
        executor_run(timeline->decoder->executor, rows, some);
    }
    return true;
}

static struct executor_row *allocate_rows(const struct decoder *decoder, struct error *err) {
    struct executor_row *rows = calloc(decoder->rows_max, sizeof *rows);
    if (rows == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a step of %zu rows", decoder->rows_max);
    }
    return rows;
}

static void run_rows(struct decoder *decoder, const struct executor_row *rows, size_t count,
                     float **logits) {
    float *result = executor_run(decoder->executor, rows, count);
    if (logits != NULL) {
        *logits = result;
    }
}

bool timeline_run(struct timeline *timeline, const int32_t *tokens, size_t count,
                  enum timeline_wanted wanted, float **logits, struct error *err) {
    struct executor_row *rows = allocate_rows(timeline->decoder, err);
    bool ready = rows != NULL && outgrow_short_rope(timeline, count, rows, err) &&
                 add_rows(timeline, tokens, count, wanted, rows, err);
    if (ready) {
        run_rows(timeline->decoder, rows, count, logits);
    }
    free(rows);
    return ready;
}

bool timeline_run_together(struct timeline *timelines, const int32_t *tokens, size_t count,
                           float **logits, struct error *err) {
    struct decoder *decoder = timelines[0].decoder;
    struct executor_row *rows = allocate_rows(decoder, err);
    bool ready = rows != NULL;
    for (size_t i = 0; ready && i < count; i++) {
        ready = outgrow_short_rope(&timelines[i], 1, rows, err);
    }
    for (size_t i = 0; ready && i < count; i++) {
        ready = add_rows(&timelines[i], tokens + i, 1, TIMELINE_ALL, rows + i, err);
    }
    if (ready) {
        run_rows(decoder, rows, count, logits);
    }
    free(rows);
    return ready;
}
