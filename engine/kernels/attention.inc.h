/* Attention kernels, written once over lanes: each instruction set's file includes its lanes_*.h
 * and rows.inc.h, then this.
 *
 * The unit of work is a *pair*: one row and one query head. Pairs are taken in blocks of as many as
 * there are registers to accumulate in; a block walks over the pages of the chunk, and while one
 * page is in hand every K and V number is loaded and converted once for the whole block:
 *
 *     scores   16 positions in the lanes, one register a pair, a multiply-add for each dimension
 *     softmax  within the register: new maximum, weights, and what old sums must be scaled by
 *     values   16 dimensions in the lanes, one register a pair, a multiply-add for each position
 *
 * A pair sees the same operations in the same order however large its block is, so its bits depend
 * on its own query and its own visible positions only. Where the visible range differs within a
 * block (the page of the rows themselves, the page where a window begins), the block is served in
 * runs of equal range. */

#include "engine/kernels/attention_layout.h"
#include "engine/kernels/expanded.h"
#include "engine/kernels/kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A block leaves registers for the K or V number, its conversion and broadcasts. */
enum { PAIRS_MAX = LANES_REGISTERS >= 32 ? 8 : 4 };

struct attention_pair {
    const float *query; /* (head_dim) */
    float *state;
    size_t row; /* of the task */
};

/* 16 numbers of keys or values, from number `index` on; the scales of KV_INT8 are applied later. */
EXPANDED lanes kv_load(enum kv_type type, const uint8_t *numbers, size_t index) {
    const void *at = numbers + index * kv_element_bytes(type);
    switch (type) {
    case KV_F32:
        return lanes_load(at);
    case KV_F16:
        return lanes_load_f16(at);
    default:
        return lanes_load_int8(at);
    }
}

/* How far the page that will be next lies ahead of this one; 0: there is none, or it was read a
 * moment ago. Pages lie anywhere, so that no prefetcher of the processor finds the
 * way from one to the next. */
typedef ptrdiff_t page_distance;

/* To be called with each number's address: asks for the same line of the next page. */
EXPANDED void prefetch_page(const uint8_t *numbers, size_t offset, page_distance next) {
    if (next != 0 && offset % CACHE_LINE_BYTES == 0) {
        __builtin_prefetch((const void *)((uintptr_t)(numbers + offset) + (uintptr_t)next));
    }
}

/* Where dimensions [dim, dim + 16) of a position's value lie; dim is a multiple of 16. */
static inline size_t value_index(size_t dim, size_t slot) {
    return dim * KV_PAGE_POSITIONS + slot * LANES;
}

/* scores[i] = q_i . k for the 16 positions of a page. */
EXPANDED void page_scores(enum kv_type type, size_t count, const struct attention_pair *pairs,
                          size_t head_dim, const uint8_t *keys, page_distance next, lanes *scores) {
    lanes sums[PAIRS_MAX];
    const float *queries[PAIRS_MAX];
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        sums[i] = lanes_zero();
        queries[i] = pairs[i].query;
    }
    for (size_t d = 0; d < head_dim; d++) {
        lanes k = kv_load(type, keys, d * KV_PAGE_POSITIONS);
        prefetch_page(keys, d * KV_PAGE_POSITIONS * kv_element_bytes(type), next);
#pragma GCC unroll 8
        for (size_t i = 0; i < count; i++) {
            sums[i] = lanes_fma(lanes_set(queries[i][d]), k, sums[i]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        scores[i] = sums[i];
    }
}

/* What is done to q . k before the softmax. */
static inline lanes finish_scores(const struct attention_task *task, lanes scores) {
    scores = lanes_mul(scores, lanes_set(task->scale));
    if (task->softcap > 0.0f) {
        lanes cap = lanes_set(task->softcap);
        scores = lanes_mul(cap, lanes_tanh(lanes_div(scores, cap)));
    }
    return scores;
}

/* a_i = corrections[i] a_i + sum_j weights[i, j] v_j over positions [first, end) of a page, for 16
 * dimensions from `dim` on. */
EXPANDED void page_values(enum kv_type type, size_t count, const struct attention_pair *pairs,
                          size_t dim, const uint8_t *values, size_t first, size_t end,
                          page_distance next, const float *weights, const float *corrections) {
    lanes sums[PAIRS_MAX];
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        sums[i] = lanes_mul(lanes_load(pairs[i].state + dim), lanes_set(corrections[i]));
    }
    for (size_t j = first; j < end; j++) {
        lanes v = kv_load(type, values, value_index(dim, j));
        prefetch_page(values, value_index(dim, j) * kv_element_bytes(type), next);
#pragma GCC unroll 8
        for (size_t i = 0; i < count; i++) {
            sums[i] = lanes_fma(lanes_set(weights[i * LANES + j]), v, sums[i]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        lanes_store(pairs[i].state + dim, sums[i]);
    }
}

/* Adds positions [first, end) of one page to the states of `count` pairs. */
EXPANDED void attend_page(enum kv_type type, size_t count, const struct attention_task *task,
                          const struct attention_pair *pairs, const uint8_t *page,
                          page_distance next, size_t first, size_t end) {
    const size_t head_dim = task->head_dim;
    const size_t padded_dim = attention_padded_dim(head_dim);
    lanes scores[PAIRS_MAX];
    page_scores(type, count, pairs, head_dim, page, next, scores);

    const lanes_mask visible = lanes_mask_range(first, end);
    float weights[PAIRS_MAX * LANES]; /* (count, 16) */
    float sums[LANES] = {0};
    float greatest_before[LANES] = {0};
    float greatest[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        lanes score = scores[i];
        if (type == KV_INT8) {
            const void *key_scales = page + kv_key_scales_offset(type, head_dim);
            score = lanes_mul(score, lanes_load(key_scales));
        }
        score = lanes_select(visible, finish_scores(task, score), lanes_set(-INFINITY));
        float here = lanes_greatest(score);
        greatest_before[i] = pairs[i].state[padded_dim];
        greatest[i] = here > greatest_before[i] ? here : greatest_before[i];
        lanes weight = lanes_exp(lanes_sub(score, lanes_set(greatest[i])));
        sums[i] = lanes_sum(weight);
        if (type == KV_INT8) {
            const void *value_scales = page + kv_value_scales_offset(type, head_dim);
            weight = lanes_mul(weight, lanes_load(value_scales));
        }
        lanes_store(weights + i * LANES, weight);
    }

    /* One lane a pair: e^(m before - m), which is 0 for a state that was empty. */
    float corrections[LANES];
    lanes_store(corrections,
                lanes_exp(lanes_sub(lanes_load(greatest_before), lanes_load(greatest))));
    for (size_t i = 0; i < count; i++) {
        float *state = pairs[i].state;
        state[padded_dim] = greatest[i];
        state[padded_dim + 1] = state[padded_dim + 1] * corrections[i] + sums[i];
    }

    const uint8_t *values = page + kv_values_offset(type, head_dim);
    for (size_t dim = 0; dim < padded_dim; dim += LANES) {
        page_values(type, count, pairs, dim, values, first, end, next, weights, corrections);
    }
}

/* attend_page for any number of pairs up to PAIRS_MAX, by code for 8, 4, 2 and 1. */
EXPANDED void attend_run(enum kv_type type, size_t count, const struct attention_task *task,
                         const struct attention_pair *pairs, const uint8_t *page,
                         page_distance next, size_t first, size_t end) {
    if (PAIRS_MAX == 8 && count == 8) {
        attend_page(type, 8, task, pairs, page, next, first, end);
        return;
    }
    if ((count & 4) != 0) {
        attend_page(type, 4, task, pairs, page, next, first, end);
        pairs += 4;
    }
    if ((count & 2) != 0) {
        attend_page(type, 2, task, pairs, page, next, first, end);
        pairs += 2;
    }
    if ((count & 1) != 0) {
        attend_page(type, 1, task, pairs, page, next, first, end);
    }
}

static void attend_run_f32(const struct attention_task *task, const struct attention_pair *pairs,
                           size_t count, const uint8_t *page, page_distance next, size_t first,
                           size_t end) {
    attend_run(KV_F32, count, task, pairs, page, next, first, end);
}

static void attend_run_f16(const struct attention_task *task, const struct attention_pair *pairs,
                           size_t count, const uint8_t *page, page_distance next, size_t first,
                           size_t end) {
    attend_run(KV_F16, count, task, pairs, page, next, first, end);
}

static void attend_run_int8(const struct attention_task *task, const struct attention_pair *pairs,
                            size_t count, const uint8_t *page, page_distance next, size_t first,
                            size_t end) {
    attend_run(KV_INT8, count, task, pairs, page, next, first, end);
}

static void (*const attend_run_by_type[KV_TYPE_COUNT])(const struct attention_task *,
                                                       const struct attention_pair *, size_t,
                                                       const uint8_t *, page_distance, size_t,
                                                       size_t) = {
    [KV_F32] = attend_run_f32,
    [KV_F16] = attend_run_f16,
    [KV_INT8] = attend_run_int8,
};

/* `position` as a slot of the page that begins at `page_begin`, bounded to [0, 16]. */
static inline size_t slot_of(size_t position, size_t page_begin) {
    size_t slot = position > page_begin ? position - page_begin : 0;
    return slot < KV_PAGE_POSITIONS ? slot : KV_PAGE_POSITIONS;
}

static inline page_distance distance_to_next(const struct attention_task *task, size_t page) {
    if (page + 1 == KV_CHUNK_PAGES || task->pages[page + 1] == NULL) {
        return 0;
    }
    return (page_distance)((uintptr_t)task->pages[page + 1] - (uintptr_t)task->pages[page]);
}

/* All pages of the chunk for one block of pairs. Only the first block finds them not yet read. */
static void attend_block(const struct attention_task *task, const struct attention_pair *pairs,
                         size_t count, bool first_block) {
    for (size_t page = 0; page < KV_CHUNK_PAGES; page++) {
        size_t page_begin = task->chunk_begin + page * KV_PAGE_POSITIONS;
        size_t run_end;
        for (size_t i = 0; i < count; i = run_end) {
            size_t first = slot_of(task->first_visible[pairs[i].row], page_begin);
            size_t end = slot_of(task->end_visible[pairs[i].row], page_begin);
            run_end = i + 1;
            while (run_end < count &&
                   slot_of(task->first_visible[pairs[run_end].row], page_begin) == first &&
                   slot_of(task->end_visible[pairs[run_end].row], page_begin) == end) {
                run_end++;
            }
            if (first < end) {
                page_distance next = first_block ? distance_to_next(task, page) : 0;
                attend_run_by_type[task->kv_type](task, pairs + i, run_end - i, task->pages[page],
                                                  next, first, end);
            }
        }
    }
}

static void attention_chunk(const struct attention_task *task) {
    const size_t padded_dim = attention_padded_dim(task->head_dim);
    const size_t state_floats = attention_state_floats(task->head_dim);
    const size_t total = task->rows * task->group;
    for (size_t begin = 0; begin < total; begin += PAIRS_MAX) {
        struct attention_pair pairs[PAIRS_MAX];
        size_t count = total - begin < PAIRS_MAX ? total - begin : PAIRS_MAX;
        for (size_t i = 0; i < count; i++) {
            size_t row = (begin + i) / task->group;
            size_t head = (begin + i) % task->group;
            pairs[i].row = row;
            pairs[i].query = task->queries + row * task->query_stride + head * task->head_dim;
            pairs[i].state = task->states + (begin + i) * state_floats;
            memset(pairs[i].state, 0, state_floats * sizeof(float));
            pairs[i].state[padded_dim] = -INFINITY;
        }
        attend_block(task, pairs, count, begin == 0);
    }
}

static void attention_merge(float *state, const float *next, size_t head_dim) {
    const size_t padded_dim = attention_padded_dim(head_dim);
    float *m = state + padded_dim;
    float *l = state + padded_dim + 1;
    const float next_m = next[padded_dim];
    const float next_l = next[padded_dim + 1];
    /* Merging with an empty state must not change a bit. */
    if (next_m == -INFINITY) {
        return;
    }
    if (*m == -INFINITY) {
        memcpy(state, next, attention_state_floats(head_dim) * sizeof(float));
        return;
    }
    const float greatest = next_m > *m ? next_m : *m;
    const float distances[LANES] = {*m - greatest, next_m - greatest};
    float factors[LANES];
    lanes_store(factors, lanes_exp(lanes_load(distances)));
    const lanes factor = lanes_set(factors[0]);
    const lanes next_factor = lanes_set(factors[1]);
    for (size_t i = 0; i < padded_dim; i += LANES) {
        lanes kept = lanes_mul(lanes_load(state + i), factor);
        lanes_store(state + i, lanes_fma(lanes_load(next + i), next_factor, kept));
    }
    *l = *l * factors[0] + next_l * factors[1];
    *m = greatest;
}

static void attention_finish(const float *state, size_t head_dim, float sink, float *y) {
    const float m = state[attention_padded_dim(head_dim)];
    const float l = state[attention_padded_dim(head_dim) + 1];
    /* Where the sink is so great that the exponential stops at e^88, y is 0 all the same. */
    const lanes total = lanes_add(lanes_set(l), lanes_exp(lanes_set(sink - m)));
    for (size_t i = 0; i < head_dim; i += LANES) {
        lanes average = l > 0.0f ? lanes_div(lanes_load(state + i), total) : lanes_zero();
        row_store(y, i, head_dim, average);
    }
}

/* ---- Storing keys and values ---- */

/* max|x| / 127, and its inverse (0 where all codes are to be 0). */
static float int8_scale(const float *x, size_t n, float *inverse) {
    lanes most = lanes_zero();
    for (size_t i = 0; i < n; i += LANES) {
        most = lanes_max(lanes_abs(row_load(x, i, n)), most);
    }
    float greatest = lanes_greatest(most);
    bool empty = !(greatest > 127.0f / FLT_MAX);
    *inverse = empty ? 0.0f : 127.0f / greatest;
    return empty ? 0.0f : greatest / 127.0f;
}

/* 16 numbers in the form of the page; `inverse` is that of the scale of KV_INT8. */
EXPANDED void kv_convert(enum kv_type type, lanes x, lanes inverse, uint8_t *to) {
    switch (type) {
    case KV_F32:
        lanes_store((float *)(void *)to, x);
        break;
    case KV_F16:
        lanes_store_f16(to, x);
        break;
    default:
        int_lanes_store_int8((int8_t *)to, lanes_round_to_int(lanes_mul(x, inverse)));
        break;
    }
}

EXPANDED void kv_store(enum kv_type type, uint8_t *page_head, size_t head_dim, size_t slot,
                       const float *key, const float *value) {
    const size_t element = kv_element_bytes(type);
    float key_inverse = 0.0f;
    float value_inverse = 0.0f;
    if (type == KV_INT8) {
        float key_scale = int8_scale(key, head_dim, &key_inverse);
        float value_scale = int8_scale(value, head_dim, &value_inverse);
        size_t key_scales = kv_key_scales_offset(type, head_dim);
        size_t value_scales = kv_value_scales_offset(type, head_dim);
        memcpy(page_head + key_scales + slot * sizeof(float), &key_scale, sizeof(float));
        memcpy(page_head + value_scales + slot * sizeof(float), &value_scale, sizeof(float));
    }

    uint8_t *values = page_head + kv_values_offset(type, head_dim);
    for (size_t i = 0; i < head_dim; i += LANES) {
        lanes x = row_load(value, i, head_dim);
        kv_convert(type, x, lanes_set(value_inverse), values + value_index(i, slot) * element);

        /* A key is a column of the page. */
        _Alignas(float) uint8_t numbers[LANES * sizeof(float)];
        kv_convert(type, row_load(key, i, head_dim), lanes_set(key_inverse), numbers);
        size_t count = head_dim - i < LANES ? head_dim - i : LANES;
        for (size_t d = 0; d < count; d++) {
            uint8_t *to = page_head + ((i + d) * KV_PAGE_POSITIONS + slot) * element;
            memcpy(to, numbers + d * element, element);
        }
    }
}

static void kv_store_f32(uint8_t *page_head, size_t head_dim, size_t slot, const float *key,
                         const float *value) {
    kv_store(KV_F32, page_head, head_dim, slot, key, value);
}

static void kv_store_f16(uint8_t *page_head, size_t head_dim, size_t slot, const float *key,
                         const float *value) {
    kv_store(KV_F16, page_head, head_dim, slot, key, value);
}

static void kv_store_int8(uint8_t *page_head, size_t head_dim, size_t slot, const float *key,
                          const float *value) {
    kv_store(KV_INT8, page_head, head_dim, slot, key, value);
}

#define ATTENTION_KERNELS                                                                          \
    .kv_store = {[KV_F32] = kv_store_f32, [KV_F16] = kv_store_f16, [KV_INT8] = kv_store_int8},     \
    .attention_chunk = attention_chunk, .attention_merge = attention_merge,                        \
    .attention_finish = attention_finish
