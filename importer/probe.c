#include "importer/probe.h"

#include "importer/interpret.h"

#include <string.h>

static const struct probe_batch batches[] = {
    {.size = 1, .past = 0, .fresh = 5, .lengths = {5}},
    {.size = 1, .past = 7, .fresh = 1, .lengths = {8}},
    {.size = 1, .past = 3, .fresh = 4, .lengths = {7}},
    {.size = 2, .past = 0, .fresh = 6, .lengths = {6, 4}},
};

/* ---- Inputs ---- */

static struct tensor *integers(struct interpretation *run, size_t rows, size_t columns,
                               int64_t **values, struct error *err) {
    struct tensor *tensor = arena_allocate(&run->arena, 1, sizeof *tensor);
    int64_t dims[] = {(int64_t)rows, (int64_t)columns};
    if (tensor == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a probe");
        return NULL;
    }
    *values = (int64_t *)(void *)tensor_allocate(tensor, &run->arena, TENSOR_I64, 2, dims, err);
    return *values != NULL ? tensor : NULL;
}

/* An input of which only the shape matters. */
static bool feed_shape(struct interpretation *run, int input, enum tensor_type type, size_t rank,
                       const int64_t *dims, struct error *err) {
    struct tensor *tensor = arena_allocate(&run->arena, 1, sizeof *tensor);
    if (tensor == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a probe");
    }
    if (tensor_set_shape(tensor, type, rank, dims, NULL)) {
        tensor->shape_only = true;
        interpretation_feed(run, input, tensor);
    }
    return true; /* what depends on a shape that cannot be is refused where it matters */
}

/* Ones up to the length (mask), or past + s (positions). */
static bool feed_integers(struct interpretation *run, const struct probe_batch *batch, int input,
                          bool is_mask, struct error *err) {
    size_t columns = is_mask ? batch->past + batch->fresh : batch->fresh;
    int64_t *values;
    struct tensor *tensor = integers(run, batch->size, columns, &values, err);
    if (tensor == NULL) {
        return false;
    }
    for (size_t b = 0; b < batch->size; b++) {
        for (size_t i = 0; i < columns; i++) {
            values[b * columns + i] = is_mask ? i < batch->lengths[b] : (int64_t)(batch->past + i);
        }
    }
    interpretation_feed(run, input, tensor);
    return true;
}

/* (batch, heads, past, head_dim), as declared or else configured; halves are computed as f32. */
static bool feed_past(struct interpretation *run, const struct probe_batch *batch, int input,
                      const struct model_config *config, struct error *err) {
    const struct graph_value *value = &run->graph->values[input];
    int64_t heads = config->kv_heads > 0 ? (int64_t)config->kv_heads : 1;
    int64_t head_dim = config->head_dim > 0 ? (int64_t)config->head_dim : 1;
    const int64_t dims[4] = {(int64_t)batch->size, value->dims[1] > 0 ? value->dims[1] : heads,
                             (int64_t)batch->past, value->dims[3] > 0 ? value->dims[3] : head_dim};
    enum tensor_type type = tensor_type_is_float(value->type) ? TENSOR_F32 : value->type;
    return feed_shape(run, input, type, 4, dims, err);
}

bool probe_feed(struct interpretation *run, const struct probe_batch *batch,
                const struct model_config *config, struct error *err) {
    for (size_t i = 0; i < run->graph->input_count; i++) {
        int input = run->graph->inputs[i];
        const struct graph_value *value = &run->graph->values[input];
        bool fed = true;
        if (strcmp(value->name, config->input_ids) == 0) {
            int64_t dims[] = {(int64_t)batch->size, (int64_t)batch->fresh};
            fed = feed_shape(run, input, TENSOR_I64, 2, dims, err);
        } else if (strcmp(value->name, config->attention_mask) == 0) {
            fed = feed_integers(run, batch, input, true, err);
        } else if (strcmp(value->name, config->position_ids) == 0) {
            fed = feed_integers(run, batch, input, false, err);
        } else if (value->rank == 4) {
            fed = feed_past(run, batch, input, config, err);
        }
        if (!fed) {
            return false;
        }
    }
    return true;
}

/* ---- Expectations ---- */

static bool mismatch(const char *what, int64_t found, int64_t expected, struct error *err) {
    return error_set(err, ERROR_UNSUPPORTED, "%s is %lld where an ordinary causal decoder has %lld",
                     what, (long long)found, (long long)expected);
}

static bool check_seqlens(struct interpretation *run, const struct probe_batch *batch, int value,
                          struct error *err) {
    const struct tensor *tensor = interpretation_value(run, value, err);
    if (tensor == NULL) {
        return error_prefix(err, "seqlens_k");
    }
    if (tensor->count != batch->size) {
        return mismatch("the size of seqlens_k", (int64_t)tensor->count, (int64_t)batch->size, err);
    }
    for (size_t b = 0; b < batch->size; b++) {
        int64_t expected = (int64_t)batch->lengths[b] - 1;
        if (tensor_integer(tensor, b) != expected) {
            return mismatch("seqlens_k", tensor_integer(tensor, b), expected, err);
        }
    }
    return true;
}

static bool check_total(struct interpretation *run, const struct probe_batch *batch, int value,
                        struct error *err) {
    const struct tensor *tensor = interpretation_value(run, value, err);
    if (tensor == NULL) {
        return error_prefix(err, "total_sequence_length");
    }
    if (tensor->count != 1) {
        return mismatch("the size of total_sequence_length", (int64_t)tensor->count, 1, err);
    }
    int64_t expected = (int64_t)(batch->past + batch->fresh);
    return tensor_integer(tensor, 0) == expected ||
           mismatch("total_sequence_length", tensor_integer(tensor, 0), expected, err);
}

bool probe_lengths(const struct graph *graph, const struct model_config *config, int seqlens_k,
                   int total, struct error *err) {
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        struct interpretation run;
        if (!interpretation_init(&run, graph, err)) {
            return false;
        }
        bool sound = probe_feed(&run, &batches[i], config, err) &&
                     check_seqlens(&run, &batches[i], seqlens_k, err) &&
                     check_total(&run, &batches[i], total, err);
        interpretation_deinit(&run);
        if (!sound) {
            return false;
        }
    }
    return true;
}
