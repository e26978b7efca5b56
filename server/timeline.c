#include "server/timeline.h"

#include <stdlib.h>

bool timeline_open(struct timeline *timeline, struct decoder *decoder, size_t positions,
                   struct error *err) {
    *timeline = (struct timeline){.decoder = decoder};
    if (positions > decoder->context_length) {
        return error_set(err, ERROR_TOO_LARGE, "%zu tokens do not fit into the context of %zu",
                         positions, decoder->context_length);
    }
    return kv_sequence_open(&timeline->sequence, decoder->cache, positions, err);
}

void timeline_close(struct timeline *timeline) {
    if (timeline->decoder != NULL) {
        kv_sequence_close(&timeline->sequence, timeline->decoder->cache);
    }
    *timeline = (struct timeline){0};
}

void timeline_rewind(struct timeline *timeline) {
    kv_sequence_clear(&timeline->sequence, timeline->decoder->cache);
    timeline->position = 0;
}

/* Pages for `count` more tokens, and back with those that they cannot see. */
static bool advance(struct timeline *timeline, size_t count, struct error *err) {
    struct kv_cache *cache = timeline->decoder->cache;
    kv_sequence_reclaim(&timeline->sequence, cache, timeline->position);
    if (!kv_sequence_reserve(&timeline->sequence, cache, timeline->position + count)) {
        return error_set(err, ERROR_TOO_LARGE,
                         "the KV cache of %zu pages has none left for position %zu",
                         kv_cache_pages_total(cache), timeline->position + count);
    }
    timeline->position += count;
    return true;
}

static bool run_rows(struct decoder *decoder, struct executor_row *rows, size_t count,
                     float **logits, struct error *err) {
    if (rows == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a step of %zu rows", count);
    }
    float *result = executor_run(decoder->executor, rows, count);
    if (logits != NULL) {
        *logits = result;
    }
    return true;
}

bool timeline_run(struct timeline *timeline, const int32_t *tokens, size_t count,
                  enum timeline_wanted wanted, float **logits, struct error *err) {
    size_t first = timeline->position;
    if (!advance(timeline, count, err)) {
        return false;
    }
    struct executor_row *rows = calloc(count, sizeof *rows);
    for (size_t i = 0; rows != NULL && i < count; i++) {
        bool last = i + 1 == count;
        rows[i] = (struct executor_row){
            .token = tokens[i],
            .position = first + i,
            .sequence = &timeline->sequence,
            .wanted = wanted == TIMELINE_ALL || (wanted == TIMELINE_LAST && last),
        };
    }
    bool ran = run_rows(timeline->decoder, rows, count, logits, err);
    free(rows);
    return ran;
}

bool timeline_run_together(struct timeline *timelines, const int32_t *tokens, size_t count,
                           float **logits, struct error *err) {
    struct executor_row *rows = calloc(count, sizeof *rows);
    bool ran = true;
    for (size_t i = 0; ran && rows != NULL && i < count; i++) {
        rows[i] = (struct executor_row){
            .token = tokens[i],
            .position = timelines[i].position,
            .sequence = &timelines[i].sequence,
            .wanted = true,
        };
        ran = advance(&timelines[i], 1, err);
    }
    ran = ran && run_rows(timelines[0].decoder, rows, count, logits, err);
    free(rows);
    return ran;
}
