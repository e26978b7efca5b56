/* Lowering of MoE and QMoE: the numbers of every expert's matrices in the plan, against the
 * operator's definition on the tensors of the graph. */
#include "importer/passes/passes.h"
#include "small_graph.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXPERTS = 3, WIDTH = 20, HIDDEN = 14, VOCABULARY = 32 };
enum { ELEMENTS_MAX = EXPERTS * 2 * HIDDEN * WIDTH };

struct variant {
    const char *name;
    unsigned bits;      /* 0: MoE, else QMoE */
    int64_t block_size; /* 0: a scale for each row */
    bool zero_points;
    bool biases;
    int64_t fusion;
    bool fc3;
    const char *activation;
};

static const struct variant variants[] = {
    {.name = "interleaved, blocks of 16, the last one cut",
     .bits = 4,
     .block_size = 16,
     .biases = true,
     .fusion = 1,
     .activation = "swiglu"},
    {.name = "halves, zero points of blocks",
     .bits = 4,
     .block_size = 16,
     .zero_points = true,
     .biases = true,
     .fusion = 2,
     .activation = "swiglu"},
    {.name = "a scale and a zero point for each row",
     .bits = 4,
     .zero_points = true,
     .fusion = 1,
     .activation = "geglu"},
    {.name = "8 bits, fc3",
     .bits = 8,
     .block_size = 32,
     .zero_points = true,
     .biases = true,
     .fc3 = true,
     .activation = "silu"},
    {.name = "8 bits, a scale for each row", .bits = 8, .zero_points = true, .activation = "gelu"},
    {.name = "numbers, interleaved", .biases = true, .fusion = 1, .activation = "swiglu"},
    {.name = "numbers, fc3", .fc3 = true, .activation = "swiglu"},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* One of fc1, fc2 and fc3, before it is packed. */
struct fc {
    size_t rows;
    size_t columns;
    size_t block_size;
    size_t blocks;
    float numbers[ELEMENTS_MAX];
    uint8_t codes[ELEMENTS_MAX];
    float scales[ELEMENTS_MAX];
    uint8_t zero_points[ELEMENTS_MAX];
    float bias[EXPERTS * 2 * HIDDEN];
};

static void fill(struct fc *fc, const struct variant *variant, size_t rows, size_t columns,
                 uint32_t seed) {
    const unsigned mask = (1u << variant->bits) - 1;
    fc->rows = rows;
    fc->columns = columns;
    fc->block_size = variant->block_size > 0 ? (size_t)variant->block_size : columns;
    fc->blocks = (columns + fc->block_size - 1) / fc->block_size;
    for (size_t i = 0; i < ELEMENTS_MAX; i++) {
        seed = seed * 1664525u + 1013904223u;
        fc->numbers[i] = (float)(seed >> 16) - 32768.0f;
        fc->codes[i] = (uint8_t)((seed >> 9) & mask);
        fc->scales[i] = (float)(seed >> 20) * 0x1p-12f - 0.5f;
        fc->zero_points[i] = (uint8_t)((seed >> 24) & mask);
        fc->bias[i % (EXPERTS * 2 * HIDDEN)] = fc->scales[i];
    }
}

/* W[row][k], row counted over all experts. */
static float number_of(const struct fc *fc, const struct variant *variant, size_t row, size_t k) {
    size_t at = row * fc->columns + k;
    size_t block = row * fc->blocks + k / fc->block_size;
    if (variant->bits == 0) {
        return fc->numbers[at];
    }
    int zero = variant->zero_points ? fc->zero_points[block] : 1 << (variant->bits - 1);
    return (float)(fc->codes[at] - zero) * fc->scales[block];
}

/* `count` codes in runs of `run`, each of which begins a byte. */
static void pack(const uint8_t *codes, size_t count, size_t run, unsigned bits, uint8_t *bytes) {
    const size_t run_bytes = (run * bits + 7) / 8;
    memset(bytes, 0, ELEMENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t byte = i / run * run_bytes + i % run * bits / 8;
        bytes[byte] |= (uint8_t)(codes[i] << (bits == 4 && i % run % 2 == 1 ? 4 : 0));
    }
}

static void add_fc(struct graph *graph, const struct variant *variant, const struct fc *fc,
                   const char *name) {
    uint8_t bytes[ELEMENTS_MAX];
    char text[32];
    const int64_t rows = (int64_t)fc->rows;
    const int64_t columns = (int64_t)fc->columns;
    const int64_t blocks = (int64_t)fc->blocks;
    if (variant->bits == 0) {
        snprintf(text, sizeof text, "%s", name);
        add_floats(graph, text, 3, (const int64_t[]){EXPERTS, rows, columns}, fc->numbers);
    } else {
        pack(fc->codes, EXPERTS * fc->rows * fc->columns, fc->columns, variant->bits, bytes);
        add_elements(graph, name, TENSOR_U8, 3,
                     (const int64_t[]){EXPERTS, rows, columns * variant->bits / 8}, bytes);
        snprintf(text, sizeof text, "%s_scales", name);
        add_floats(graph, text, variant->block_size > 0 ? 3 : 2,
                   (const int64_t[]){EXPERTS, rows, blocks}, fc->scales);
        size_t run = variant->block_size > 0 ? fc->blocks : fc->rows;
        size_t count = EXPERTS * fc->rows * fc->blocks;
        pack(fc->zero_points, count, run, variant->bits, bytes);
        int64_t packed = (int64_t)(count / run * ((run * variant->bits + 7) / 8));
        snprintf(text, sizeof text, "%s_zeros", name);
        add_elements(graph, text, TENSOR_U8, 2, (const int64_t[]){EXPERTS, packed / EXPERTS},
                     bytes);
    }
    snprintf(text, sizeof text, "%s_bias", name);
    add_floats(graph, text, 2, (const int64_t[]){EXPERTS, rows}, fc->bias);
}

struct experts_graph {
    struct graph *graph;
    struct graph_node *node;
    struct fc fc1;
    struct fc fc2;
    struct fc fc3;
};

/* ids -> embedding -> router, experts -> logits */
static struct experts_graph *begin(const struct variant *variant) {
    static const float zeros[VOCABULARY * WIDTH];
    struct experts_graph *g = calloc(1, sizeof *g);
    struct graph *graph = small_graph();
    g->graph = graph;
    fill(&g->fc1, variant, variant->fusion != 0 ? 2 * HIDDEN : HIDDEN, WIDTH, 1);
    fill(&g->fc2, variant, WIDTH, HIDDEN, 2);
    fill(&g->fc3, variant, HIDDEN, WIDTH, 3);
    add_fc(graph, variant, &g->fc1, "fc1");
    add_fc(graph, variant, &g->fc2, "fc2");
    add_fc(graph, variant, &g->fc3, "fc3");
    add_input(graph, "input_ids", TENSOR_I64, 2);
    add_floats(graph, "table", 2, (const int64_t[]){VOCABULARY, WIDTH}, zeros);
    add_floats(graph, "w_router", 2, (const int64_t[]){WIDTH, EXPERTS}, zeros);
    add_floats(graph, "w_head", 2, (const int64_t[]){WIDTH, VOCABULARY}, zeros);
    add_integers(graph, "router_shape", 1, (const int64_t[]){2}, (const int64_t[]){-1, EXPERTS});
    add_node(graph, "", "Gather", "table,input_ids", "x");
    add_node(graph, "", "MatMul", "x,w_router", "router_rows");
    add_node(graph, "", "Reshape", "router_rows,router_shape", "router");

    char inputs[256];
    const char *b1 = variant->biases ? "fc1_bias" : "";
    const char *b2 = variant->biases ? "fc2_bias" : "";
    const char *b3 = variant->biases && variant->fc3 ? "fc3_bias" : "";
    const char *w3 = variant->fc3 ? "fc3" : "";
    if (variant->bits == 0) {
        snprintf(inputs, sizeof inputs, "x,router,fc1,%s,fc2,%s,%s,%s", b1, b2, w3, b3);
    } else {
        bool zeros_given = variant->zero_points;
        snprintf(inputs, sizeof inputs,
                 "x,router,fc1,fc1_scales,%s,fc2,fc2_scales,%s,%s,%s,%s,%s,%s,%s,", b1, b2, w3,
                 variant->fc3 ? "fc3_scales" : "", b3, zeros_given ? "fc1_zeros" : "",
                 zeros_given ? "fc2_zeros" : "", zeros_given && variant->fc3 ? "fc3_zeros" : "");
    }
    g->node = add_node(graph, MICROSOFT_DOMAIN, variant->bits == 0 ? "MoE" : "QMoE", inputs, "m");
    graph_set_int(g->node, "k", 2);
    graph_set_int(g->node, "swiglu_fusion", variant->fusion);
    graph_set_int(g->node, "expert_weight_bits", variant->bits);
    graph_set_int(g->node, "block_size", variant->block_size);
    graph_set_float(g->node, "activation_alpha", 1.5f);
    graph_set_float(g->node, "activation_beta", 0.5f);
    set_text(g->node, "activation_type", variant->activation);
    add_node(graph, "", "MatMul", "m,w_head", "logits");
    return g;
}

static void end(struct experts_graph *g, struct plan *plan) {
    plan_deinit(plan);
    graph_close(g->graph);
    free(g);
}

static const struct plan_experts *experts_of(const struct plan *plan) {
    size_t i = 0;
    while (plan->instructions[i].kind != PLAN_EXPERTS) {
        i++;
        cr_assert_lt(i, plan->instruction_count, "no experts");
    }
    return &plan->instructions[i].experts;
}

/* Row n of an expert's projection is row first + n * step of the expert's part of fc. */
static void check_projection(const struct plan *plan, const struct variant *variant,
                             const struct plan_expert_matrix *projection, const struct fc *fc,
                             size_t first, size_t step, size_t rows) {
    for (size_t e = 0; e < EXPERTS; e++) {
        const struct plan_weight *weight = &plan->weights[(size_t)projection->weights + e];
        cr_assert_eq(weight->rows, rows);
        cr_assert_eq(weight->columns, fc->columns);
        for (size_t n = 0; n < rows; n++) {
            size_t row = e * fc->rows + first + n * step;
            for (size_t k = 0; k < fc->columns; k++) {
                float want = number_of(fc, variant, row, k);
                float got = weight_at(weight, n, k);
                cr_assert_eq(got, want, "%s: %s (%zu, %zu) is %g, expected %g", variant->name,
                             weight->name, n, k, (double)got, (double)want);
            }
            cr_assert_eq(projection->bias != PLAN_NONE, variant->biases);
            if (variant->biases) {
                cr_assert_eq(plan->vectors[projection->bias].values[e * rows + n], fc->bias[row]);
            }
        }
    }
}

Test(lower_experts, every_number_is_where_the_operator_has_it) {
    for (size_t v = 0; v < VARIANTS; v++) {
        const struct variant *variant = &variants[v];
        struct experts_graph *g = begin(variant);
        struct plan plan;
        char *reasons = lower_small_graph(g->graph, &plan);
        cr_assert(reasons == NULL, "%s: %s", variant->name, reasons);
        const struct plan_experts *experts = experts_of(&plan);
        const size_t step = variant->fusion == 1 ? 2 : 1;
        check_projection(&plan, variant, &experts->gate, &g->fc1, 0, step, HIDDEN);
        if (variant->fusion != 0) {
            size_t first = variant->fusion == 1 ? 1 : HIDDEN;
            check_projection(&plan, variant, &experts->up, &g->fc1, first, step, HIDDEN);
        } else if (variant->fc3) {
            check_projection(&plan, variant, &experts->up, &g->fc3, 0, 1, HIDDEN);
        } else {
            cr_assert_eq(experts->up.weights, PLAN_NONE);
        }
        check_projection(&plan, variant, &experts->down, &g->fc2, 0, 1, WIDTH);
        end(g, &plan);
    }
}

/* Of the matrix whose product is that register. */
static bool is_full_precision(const struct plan *plan, int reg) {
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_linear *linear = &plan->instructions[i].linear;
        if (plan->instructions[i].kind == PLAN_LINEAR && linear->outputs[0].output == reg) {
            return plan->weights[linear->outputs[0].weight].full_precision;
        }
    }
    cr_assert_fail("no matrix writes register %d", reg);
    return false;
}

Test(lower_experts, only_the_router_keeps_its_input_exact) {
    struct experts_graph *g = begin(&variants[0]);
    struct plan plan;
    cr_assert_null(lower_small_graph(g->graph, &plan));
    cr_assert(is_full_precision(&plan, experts_of(&plan)->router));
    cr_assert_not(is_full_precision(&plan, plan.logits));
    end(g, &plan);
}

Test(lower_experts, attributes_become_the_instruction) {
    struct experts_graph *g = begin(&variants[0]);
    struct plan plan;
    graph_set_float(g->node, "swiglu_limit", 7);
    char *reasons = lower_small_graph(g->graph, &plan);
    cr_assert(reasons == NULL, "%s", reasons);
    const struct plan_experts *experts = experts_of(&plan);
    cr_assert(experts->swiglu && experts->chosen == 2 && experts->experts == EXPERTS);
    cr_assert(experts->alpha == 1.5f && experts->beta == 0.5f && experts->limit == 7.0f);
    cr_assert_not(experts->softmax_over_all, "QMoE ignores normalize_routing_weights");
    end(g, &plan);

    g = begin(&variants[5]);
    cr_assert_null(lower_small_graph(g->graph, &plan));
    cr_assert(experts_of(&plan)->softmax_over_all, "MoE does not");
    cr_assert_eq(experts_of(&plan)->limit, INFINITY);
    end(g, &plan);
}

/* Each spoils the sound first variant in one way. */
static void spoil_activation(struct experts_graph *g) {
    set_text(g->node, "activation_type", "tanh");
}
static void spoil_numbers(struct experts_graph *g) {
    set_text(g->node, "quant_type", "fp4");
}
static void spoil_mixer(struct experts_graph *g) {
    graph_set_int(g->node, "use_sparse_mixer", 1);
}
static void spoil_packing(struct experts_graph *g) {
    graph_set_int(g->node, "weights_prepacked", 1);
}
static void spoil_router_weights(struct experts_graph *g) {
    g->node->inputs[14] = graph_find(g->graph, "router");
}
static void spoil_count(struct experts_graph *g) {
    graph_set_int(g->node, "k", 4);
}
static void spoil_bits(struct experts_graph *g) {
    graph_set_int(g->node, "expert_weight_bits", 3);
}
static void spoil_one_bits(struct experts_graph *g) {
    graph_set_int(g->node, "fc2_expert_weight_bits", 8);
}
static void spoil_fusion(struct experts_graph *g) {
    graph_set_int(g->node, "swiglu_fusion", 0);
}
static void spoil_limit(struct experts_graph *g) {
    graph_set_float(g->node, "swiglu_limit", -1);
}
static void spoil_block_size(struct experts_graph *g) {
    graph_set_int(g->node, "block_size", 24);
}
static void spoil_scales(struct experts_graph *g) {
    g->node->inputs[3] = graph_find(g->graph, "fc2_scales");
}
static void spoil_zero_points(struct experts_graph *g) {
    g->node->inputs[11] = graph_find(g->graph, "fc1");
}
static void spoil_bias(struct experts_graph *g) {
    g->node->inputs[4] = graph_find(g->graph, "fc2_bias");
}
static void spoil_shape(struct experts_graph *g) {
    g->node->inputs[2] = graph_find(g->graph, "fc2");
}
static void spoil_router(struct experts_graph *g) {
    g->node->inputs[1] = graph_find(g->graph, "x");
}

Test(lower_experts, what_cannot_be_done_is_named) {
    static const struct {
        void (*spoil)(struct experts_graph *g);
        const char *expected;
    } cases[] = {
        {spoil_activation, "activation_type \"tanh\" has no instruction"},
        {spoil_numbers, "quant_type \"fp4\" has no kernel"},
        {spoil_mixer, "use_sparse_mixer"},
        {spoil_packing, "packed for another runtime"},
        {spoil_router_weights, "input 14 (router_weights) has no instruction"},
        {spoil_count, "k 4 of 3 experts, expected 1 to 3"},
        {spoil_bits, "weights of 3 bits"},
        {spoil_one_bits, "input 5 is u8 (3, 20, 7), expected (experts, outputs, 14)"},
        {spoil_fusion, "swiglu_fusion 0 with activation_type swiglu and no fc3"},
        {spoil_limit, "limit -1"},
        {spoil_block_size, "block_size 24 is neither 0 nor a power of two from 16"},
        {spoil_scales, "input 3 3 x 28 x 2 constant scales"},
        {spoil_zero_points, "input 11 must be 84 bytes of constant zero points"},
        {spoil_bias, "input 4 must be 3 x 28 constant floats"},
        {spoil_shape, "input 2 is u8 (3, 20, 7), expected (experts, outputs, 10)"},
        {spoil_router, "20 router logits for 3 experts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experts_graph *g = begin(&variants[0]);
        struct plan plan;
        cases[i].spoil(g);
        char *reasons = lower_small_graph(g->graph, &plan);
        expect_reason(reasons, cases[i].expected);
        free(reasons);
        end(g, &plan);
    }
}
