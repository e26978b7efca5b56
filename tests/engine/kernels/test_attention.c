#include "engine/kernels/kernels.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_POSITIONS = KV_PAGE_POSITIONS * KV_CHUNK_PAGES };

#define EACH_TABLE(table)                                                                          \
    for (const char *const *name_ = kernels_available(); *name_ != NULL; name_++)                  \
        for (const struct kernels *table = kernels_select(*name_); table != NULL; table = NULL)

/* Rows at the last positions of a sequence, the group of query heads of one KV head. */
struct attention_case {
    size_t head_dim;
    size_t group;
    size_t rows;
    size_t positions;
    size_t window; /* 0: none */
    float softcap;
    bool sinks; /* each head has one, of its own index */
};

static const struct attention_case cases[] = {
    {.head_dim = 8, .group = 1, .rows = 1, .positions = 1},
    {.head_dim = 20, .group = 3, .rows = 5, .positions = 40, .softcap = 3.0f},
    {.head_dim = 64, .group = 7, .rows = 8, .positions = 100, .window = 24},
    {.head_dim = 128, .group = 1, .rows = 8, .positions = 300},
    {.head_dim = 256, .group = 4, .rows = 8, .positions = 523, .window = 260},
    {.head_dim = 96, .group = 8, .rows = 2, .positions = 256, .softcap = 20.0f},
    {.head_dim = 80, .group = 5, .rows = 7, .positions = 290, .window = 1, .sinks = true},
    {.head_dim = 112,
     .group = 2,
     .rows = 8,
     .positions = 40,
     .window = 5,
     .softcap = 2.0f,
     .sinks = true},
    {.head_dim = 192, .group = 3, .rows = 8, .positions = 600, .window = 270, .sinks = true},
    {.head_dim = 512, .group = 1, .rows = 1, .positions = 33},
    {.head_dim = 2, .group = 64, .rows = 8, .positions = 272, .window = 17},
};

struct setup {
    struct attention_case shape;
    size_t chunks;
    float *queries; /* (rows, group, head_dim) */
    float *keys;    /* (positions, head_dim) */
    float *values;
    uint8_t *memory;
    const uint8_t **pages;
};

static float sink_of(const struct attention_case *shape, size_t head) {
    return shape->sinks ? (float)head : -INFINITY;
}

static float *random_numbers(size_t n, uint32_t seed) {
    float *numbers = malloc(n * sizeof *numbers);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        numbers[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    return numbers;
}

static size_t first_visible(const struct attention_case *shape, size_t row) {
    size_t end = shape->positions - shape->rows + row + 1;
    return shape->window != 0 && end > shape->window ? end - shape->window : 0;
}

static size_t end_visible(const struct attention_case *shape, size_t row) {
    return shape->positions - shape->rows + row + 1;
}

/* Slots that nothing was stored to, and positions that no row sees, hold NaN (all bits set). */
static struct setup set_up(const struct kernels *kernels, struct attention_case shape,
                           enum kv_type type) {
    struct setup s = {.shape = shape};
    size_t page_bytes = kv_head_bytes(type, shape.head_dim);
    s.chunks = (shape.positions + CHUNK_POSITIONS - 1) / CHUNK_POSITIONS;
    s.queries = random_numbers(shape.rows * shape.group * shape.head_dim, 1);
    s.keys = random_numbers(shape.positions * shape.head_dim, 2);
    s.values = random_numbers(shape.positions * shape.head_dim, 3);
    size_t pages = s.chunks * KV_CHUNK_PAGES;
    s.memory = aligned_alloc(64, pages * page_bytes);
    memset(s.memory, 0xff, pages * page_bytes);
    s.pages = calloc(pages, sizeof *s.pages);
    for (size_t p = first_visible(&shape, 0); p < shape.positions; p++) {
        uint8_t *page = s.memory + p / KV_PAGE_POSITIONS * page_bytes;
        s.pages[p / KV_PAGE_POSITIONS] = page;
        kernels->kv_store[type](page, shape.head_dim, p % KV_PAGE_POSITIONS,
                                s.keys + p * shape.head_dim, s.values + p * shape.head_dim);
    }
    return s;
}

static void tear_down(struct setup *s) {
    free(s->queries);
    free(s->keys);
    free(s->values);
    free(s->memory);
    free(s->pages);
}

/* Heads [head, head + heads) of rows [row, row + rows), to y (rows, heads, head_dim). */
static void attend(const struct kernels *kernels, const struct setup *s, enum kv_type type,
                   size_t row, size_t rows, size_t head, size_t heads, float *y) {
    const struct attention_case *shape = &s->shape;
    size_t floats = attention_state_floats(shape->head_dim);
    float *states = aligned_alloc(64, s->chunks * rows * heads * floats * sizeof(float));
    for (size_t chunk = 0; chunk < s->chunks; chunk++) {
        struct attention_task task = {
            .queries = s->queries + (row * shape->group + head) * shape->head_dim,
            .query_stride = shape->group * shape->head_dim,
            .rows = rows,
            .group = heads,
            .head_dim = shape->head_dim,
            .scale = 1.5f,
            .softcap = shape->softcap,
            .kv_type = type,
            .pages = s->pages + chunk * KV_CHUNK_PAGES,
            .chunk_begin = chunk * CHUNK_POSITIONS,
            .states = states + chunk * rows * heads * floats,
        };
        for (size_t r = 0; r < rows; r++) {
            task.first_visible[r] = first_visible(shape, row + r);
            task.end_visible[r] = end_visible(shape, row + r);
        }
        kernels->attention_chunk(&task);
    }
    for (size_t i = 0; i < rows * heads; i++) {
        for (size_t chunk = 1; chunk < s->chunks; chunk++) {
            kernels->attention_merge(states + i * floats,
                                     states + (chunk * rows * heads + i) * floats, shape->head_dim);
        }
        kernels->attention_finish(states + i * floats, shape->head_dim,
                                  sink_of(shape, head + i % heads), y + i * shape->head_dim);
    }
    free(states);
}

/* The same in double precision, straight from the definition. */
static void attend_slowly(const struct setup *s, size_t row, size_t head, double *y) {
    const struct attention_case *shape = &s->shape;
    const float *query = s->queries + (row * shape->group + head) * shape->head_dim;
    double total = exp((double)sink_of(shape, head));
    memset(y, 0, shape->head_dim * sizeof *y);
    for (size_t p = first_visible(shape, row); p < end_visible(shape, row); p++) {
        double score = 0;
        for (size_t d = 0; d < shape->head_dim; d++) {
            score += (double)query[d] * (double)s->keys[p * shape->head_dim + d];
        }
        score *= 1.5;
        if (shape->softcap > 0) {
            score = (double)shape->softcap * tanh(score / (double)shape->softcap);
        }
        total += exp(score);
        for (size_t d = 0; d < shape->head_dim; d++) {
            y[d] += exp(score) * (double)s->values[p * shape->head_dim + d];
        }
    }
    for (size_t d = 0; d < shape->head_dim; d++) {
        y[d] /= total;
    }
}

#define EACH_CASE(index) for (size_t index = 0; index < sizeof cases / sizeof *cases; index++)

/* Keys and values of KV_F16 and KV_INT8 are rounded; scores of magnitude 10 carry that on. */
static const double tolerances[KV_TYPE_COUNT] = {
    [KV_F32] = 1e-5, [KV_F16] = 3e-3, [KV_INT8] = 6e-2};

Test(attention, agrees_with_double_precision) {
    EACH_TABLE(kernels) EACH_CASE(c) for (int type = 0; type < KV_TYPE_COUNT; type++) {
        struct setup s = set_up(kernels, cases[c], (enum kv_type)type);
        size_t dim = s.shape.head_dim, group = s.shape.group;
        float *y = calloc(s.shape.rows * group * dim, sizeof *y);
        attend(kernels, &s, (enum kv_type)type, 0, s.shape.rows, 0, group, y);
        for (size_t i = 0; i < s.shape.rows * group; i++) {
            double want[HEAD_DIM_MAX];
            attend_slowly(&s, i / group, i % group, want);
            for (size_t d = 0; d < dim; d++) {
                cr_assert_float_eq(y[i * dim + d], want[d], tolerances[type],
                                   "%s, case %zu, type %d: row %zu, head %zu, dim %zu: %g, not %g",
                                   kernels->name, c, type, i / group, i % group, d,
                                   (double)y[i * dim + d], want[d]);
            }
        }
        free(y);
        tear_down(&s);
    }
}

Test(attention, every_table_gives_the_bits_of_the_scalar_one) {
    const struct kernels *scalar = kernels_select("scalar");
    EACH_TABLE(kernels) EACH_CASE(c) for (int type = 0; type < KV_TYPE_COUNT; type++) {
        size_t count = cases[c].rows * cases[c].group * cases[c].head_dim;
        float *y[2];
        const struct kernels *tables[2] = {scalar, kernels};
        for (int i = 0; i < 2; i++) {
            struct setup s = set_up(tables[i], cases[c], (enum kv_type)type);
            y[i] = calloc(count, sizeof(float));
            attend(tables[i], &s, (enum kv_type)type, 0, cases[c].rows, 0, cases[c].group, y[i]);
            tear_down(&s);
        }
        for (size_t i = 0; i < count; i++) {
            cr_assert_eq(y[0][i], y[1][i], "%s, case %zu, type %d: number %zu is %.9g, not %.9g",
                         kernels->name, c, type, i, (double)y[1][i], (double)y[0][i]);
        }
        free(y[0]);
        free(y[1]);
    }
}

Test(attention, a_row_and_head_has_the_same_bits_alone_as_in_company) {
    EACH_TABLE(kernels) EACH_CASE(c) for (int type = 0; type < KV_TYPE_COUNT; type++) {
        struct setup s = set_up(kernels, cases[c], (enum kv_type)type);
        size_t dim = s.shape.head_dim, group = s.shape.group;
        float *together = calloc(s.shape.rows * group * dim, sizeof *together);
        attend(kernels, &s, (enum kv_type)type, 0, s.shape.rows, 0, group, together);
        for (size_t i = 0; i < s.shape.rows * group; i++) {
            float alone[HEAD_DIM_MAX];
            attend(kernels, &s, (enum kv_type)type, i / group, 1, i % group, 1, alone);
            cr_assert_eq(memcmp(alone, together + i * dim, dim * sizeof(float)), 0,
                         "%s, case %zu, type %d: row %zu, head %zu differs", kernels->name, c, type,
                         i / group, i % group);
        }
        free(together);
        tear_down(&s);
    }
}

Test(attention, an_empty_state_finishes_as_zeros) {
    EACH_TABLE(kernels) {
        _Alignas(64) float state[64], y[40];
        struct attention_task nothing_visible = {
            .rows = 1, .group = 1, .head_dim = 40, .states = state};
        kernels->attention_chunk(&nothing_visible);
        cr_assert_eq(attention_state_floats(40), 64);
        kernels->attention_finish(state, 40, 0.0f, y);
        for (size_t d = 0; d < 40; d++) {
            cr_assert_eq(y[d], 0.0f);
        }
    }
}
