/* A mixture of experts on its own: a plan that looks rows up, routes them and sends them through
 * their experts, against the same in double precision, and against itself. */
#include "engine/executor.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 72, /* of inputs and outputs: more than one item, and no whole ones */
    HIDDEN = 88,
    EXPERTS = 5,
    ROWS = 100, /* so many choose an expert that they do not fit into an item at once */
};

enum router { ROUTER_RANDOM, ROUTER_TIED, ROUTER_INFINITE };

struct mixture {
    const char *name;
    struct weight_form form; /* of the experts; rows and columns are filled in */
    size_t chosen;
    bool has_up;
    bool has_biases;
    bool swiglu;
    bool softmax_over_all;
    enum plan_activation activation;
    float limit;
    enum router router;
};

static const struct mixture mixtures[] = {
    {.name = "swiglu of 4 bits",
     .form = {.bits = 4, .type = ELEMENT_F16, .block_size = 32, .unpadded = true, .row_skip = 1},
     .chosen = 2,
     .has_up = true,
     .has_biases = true,
     .swiglu = true,
     .limit = 0.5f},
    {.name = "silu of 8 bits",
     .form = {.bits = 8, .type = ELEMENT_F32, .block_size = 64, .zero_points = true},
     .chosen = 1,
     .has_up = true,
     .activation = PLAN_ACTIVATION_SILU},
    {.name = "gelu of f32 without up",
     .form = {.type = ELEMENT_F32},
     .chosen = EXPERTS,
     .has_biases = true,
     .softmax_over_all = true,
     .activation = PLAN_ACTIVATION_GELU_TANH},
    {.name = "swiglu of f16",
     .form = {.type = ELEMENT_F16},
     .chosen = 3,
     .has_up = true,
     .swiglu = true,
     .softmax_over_all = true,
     .limit = INFINITY},
    {.name = "equal logits",
     .form = {.type = ELEMENT_F32},
     .chosen = 2,
     .activation = PLAN_ACTIVATION_SILU,
     .router = ROUTER_TIED},
    {.name = "infinite logits",
     .form = {.type = ELEMENT_F32},
     .chosen = 2,
     .activation = PLAN_ACTIVATION_SILU,
     .router = ROUTER_INFINITE},
};
enum { MIXTURES = sizeof mixtures / sizeof mixtures[0] };

enum { WEIGHTS = 2 + 3 * EXPERTS };

struct setup {
    const struct mixture *mixture;
    struct plan plan;
    struct plan_weight sources[WEIGHTS]; /* in the order of the plan */
    struct plan_experts experts;
};

static int add_weight(struct setup *s, struct weight_form form, size_t rows, size_t columns) {
    form.rows = rows;
    form.columns = columns;
    struct plan_weight weight = random_weight(form, (unsigned)s->plan.weight_count + 3);
    s->sources[s->plan.weight_count] = weight;
    return plan_add_weight(&s->plan, &weight);
}

static struct plan_expert_matrix add_projection(struct setup *s, size_t rows, size_t columns) {
    struct plan_expert_matrix projection = {.bias = PLAN_NONE};
    for (size_t e = 0; e < EXPERTS; e++) {
        int weight = add_weight(s, s->mixture->form, rows, columns);
        projection.weights = e == 0 ? weight : projection.weights;
    }
    if (s->mixture->has_biases) {
        float *values;
        projection.bias = plan_add_vector(&s->plan, "bias", EXPERTS * rows, &values);
        for (size_t i = 0; i < EXPERTS * rows; i++) {
            values[i] = (float)(i % 13) * 0.05f - 0.3f;
        }
    }
    return projection;
}

/* Registers: 0 input, 1 router logits, 2 output, which counts as the logits. */
static struct setup *set_up(const struct mixture *mixture) {
    struct setup *s = calloc(1, sizeof *s);
    s->mixture = mixture;
    plan_init(&s->plan);
    const struct weight_form numbers = {.type = ELEMENT_F32};
    plan_add_register(&s->plan, WIDTH);
    plan_add_register(&s->plan, EXPERTS);
    plan_add_register(&s->plan, WIDTH);
    struct plan_instruction embed = {
        .kind = PLAN_EMBED,
        .name = "embed",
        .embed = {.table = add_weight(s, numbers, WIDTH, WIDTH), .scale = 1, .output = 0}};
    struct plan_instruction router = {.kind = PLAN_LINEAR, .name = "router", .linear.count = 1};
    router.linear.outputs[0].weight = add_weight(s, numbers, EXPERTS, WIDTH);
    router.linear.outputs[0].bias = PLAN_NONE;
    router.linear.outputs[0].low_rank = PLAN_NONE;
    router.linear.outputs[0].output = 1;
    if (mixture->router != ROUTER_RANDOM) {
        uint8_t *bytes = (uint8_t *)(uintptr_t)s->sources[1].data.bytes;
        memset(bytes, 0, EXPERTS * WIDTH * sizeof(float));
    }
    if (mixture->router == ROUTER_INFINITE) {
        float *values;
        router.linear.outputs[0].bias = plan_add_vector(&s->plan, "inf", EXPERTS, &values);
        for (size_t e = 0; e < EXPERTS; e++) {
            values[e] = INFINITY;
        }
    }
    s->experts = (struct plan_experts){
        .input = 0,
        .router = 1,
        .output = 2,
        .experts = EXPERTS,
        .chosen = mixture->chosen,
        .softmax_over_all = mixture->softmax_over_all,
        .swiglu = mixture->swiglu,
        .activation = mixture->activation,
        .alpha = 1.702f,
        .beta = 1,
        .limit = mixture->limit,
        .gate = add_projection(s, HIDDEN, WIDTH),
        .up = {PLAN_NONE, PLAN_NONE},
    };
    if (mixture->has_up) {
        s->experts.up = add_projection(s, HIDDEN, WIDTH);
    }
    s->experts.down = add_projection(s, WIDTH, HIDDEN);
    struct plan_instruction mix = {.kind = PLAN_EXPERTS, .name = "experts", .experts = s->experts};
    cr_assert(plan_append(&s->plan, &embed) && plan_append(&s->plan, &router) &&
              plan_append(&s->plan, &mix));
    s->plan.vocabulary_size = WIDTH;
    s->plan.context_length = ROWS;
    s->plan.logits = 2;
    struct error err = {0};
    cr_assert(plan_verify(&s->plan, &err), "%s: %s", mixture->name, err.text);
    return s;
}

static void tear_down(struct setup *s) {
    for (size_t i = 0; i < s->plan.weight_count; i++) {
        random_weight_free(&s->sources[i]);
    }
    plan_deinit(&s->plan);
    free(s);
}

/* ---- The same, slowly ---- */

static double project(const struct setup *s, const struct plan_expert_matrix *projection, size_t e,
                      size_t n, const double *x) {
    const struct plan_weight *weight = &s->sources[(size_t)projection->weights + e];
    double sum = projection->bias != PLAN_NONE
                     ? (double)s->plan.vectors[projection->bias].values[e * weight->rows + n]
                     : 0.0;
    for (size_t k = 0; k < weight->columns; k++) {
        sum += (double)weight_at(weight, n, k) * x[k];
    }
    return sum;
}

static double hidden_number(const struct setup *s, size_t e, size_t n, const double *x) {
    const struct plan_experts *experts = &s->experts;
    double g = project(s, &experts->gate, e, n, x);
    double u = experts->up.weights != PLAN_NONE ? project(s, &experts->up, e, n, x) : 1.0;
    if (experts->swiglu) {
        double limit = (double)experts->limit;
        g = fmin(g, limit);
        u = fmax(fmin(u, limit), -limit);
        return g / (1.0 + exp(-(double)experts->alpha * g)) * (u + (double)experts->beta);
    }
    if (experts->activation == PLAN_ACTIVATION_SILU) {
        return g / (1.0 + exp(-g)) * u;
    }
    return 0.5 * g * (1.0 + tanh(0.7978845608028654 * (g + 0.044715 * g * g * g))) * u;
}

/* Is expert e among the chosen? It is if fewer than that many are better, or as good and later. */
static bool is_chosen(const struct setup *s, const double *logits, size_t e) {
    size_t better = 0;
    for (size_t other = 0; other < EXPERTS; other++) {
        better += logits[other] > logits[e] || (logits[other] == logits[e] && other > e);
    }
    return better < s->experts.chosen;
}

static void mix_slowly(const struct setup *s, size_t token, double *output) {
    double x[WIDTH];
    double logits[EXPERTS];
    double hidden[HIDDEN];
    double sum = 0;
    for (size_t k = 0; k < WIDTH; k++) {
        x[k] = (double)weight_at(&s->sources[0], token, k);
        output[k] = 0;
    }
    for (size_t e = 0; e < EXPERTS; e++) {
        const struct plan_expert_matrix router = {.weights = 1, .bias = PLAN_NONE};
        logits[e] = 0;
        for (size_t k = 0; k < WIDTH; k++) {
            logits[e] += (double)weight_at(&s->sources[router.weights], e, k) * x[k];
        }
    }
    for (size_t e = 0; e < EXPERTS; e++) {
        bool counts = s->experts.softmax_over_all || is_chosen(s, logits, e);
        sum += counts ? exp(logits[e]) : 0;
    }
    for (size_t e = 0; e < EXPERTS; e++) {
        if (!is_chosen(s, logits, e)) {
            continue;
        }
        for (size_t n = 0; n < HIDDEN; n++) {
            hidden[n] = hidden_number(s, e, n, x);
        }
        for (size_t n = 0; n < WIDTH; n++) {
            output[n] += exp(logits[e]) / sum * project(s, &s->experts.down, e, n, hidden);
        }
    }
}

/* ---- Running ---- */

struct machine {
    struct workers *workers;
    struct weights *weights;
    struct executor *executor;
};

static struct machine open_machine(const struct setup *s, const char *kernels, size_t threads,
                                   bool exact) {
    struct machine machine;
    struct error err = {0};
    cr_assert(workers_open(&machine.workers, threads, false, &err), "%s", err.text);
    cr_assert(weights_open(&machine.weights, &s->plan, &(struct weights_options){.exact = exact},
                           NULL, &err),
              "%s", err.text);
    struct executor_parts parts = {
        .plan = &s->plan,
        .weights = machine.weights,
        .kernels = kernels_select(kernels),
        .workers = machine.workers,
        .rows_max = ROWS,
        .wanted_max = ROWS,
        .exact = exact,
    };
    cr_assert(executor_open(&machine.executor, &parts, &err), "%s", err.text);
    return machine;
}

static void close_machine(struct machine *machine) {
    executor_close(machine->executor);
    weights_close(machine->weights);
    workers_close(machine->workers);
}

/* Outputs of rows [first, first + count), (count, WIDTH). */
static void run(const struct machine *machine, size_t first, size_t count, float *outputs) {
    struct executor_row rows[ROWS] = {0};
    for (size_t r = 0; r < count; r++) {
        rows[r] = (struct executor_row){
            .token = (int32_t)((first + r) * 7 % WIDTH), .position = first + r, .wanted = true};
    }
    const float *step = executor_run(machine->executor, rows, count);
    for (size_t r = 0; r < count; r++) {
        memcpy(outputs + r * WIDTH, step + r * executor_logits_stride(machine->executor),
               WIDTH * sizeof *outputs);
    }
}

Test(experts, exact_mode_agrees_with_double_precision) {
    static float got[ROWS * WIDTH];
    for (size_t m = 0; m < MIXTURES; m++) {
        struct setup *s = set_up(&mixtures[m]);
        struct machine machine = open_machine(s, NULL, 2, true);
        run(&machine, 0, ROWS, got);
        for (size_t r = 0; r < ROWS; r++) {
            double want[WIDTH];
            double greatest = 1;
            mix_slowly(s, r * 7 % WIDTH, want);
            for (size_t n = 0; n < WIDTH; n++) {
                want[n] = mixtures[m].router == ROUTER_INFINITE ? 0 : want[n];
                greatest = fmax(greatest, fabs(want[n]));
            }
            for (size_t n = 0; n < WIDTH; n++) {
                double error = fabs((double)got[r * WIDTH + n] - want[n]);
                cr_assert_leq(error, 1e-5 * greatest, "%s, row %zu, output %zu: %g, not %g",
                              mixtures[m].name, r, n, (double)got[r * WIDTH + n], want[n]);
            }
        }
        close_machine(&machine);
        tear_down(s);
    }
}

/* Rows in steps of 1, of 7 and all at once, on 1 and on 3 threads, with every kernel table but the
 * scalar one, which says what is expected. */
static void check_bits(const struct setup *s, bool exact) {
    static const size_t steps[] = {1, 7, ROWS};
    static float want[ROWS * WIDTH];
    static float got[ROWS * WIDTH];
    struct machine machine = open_machine(s, "scalar", 1, exact);
    run(&machine, 0, ROWS, want);
    close_machine(&machine);
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        for (size_t i = 0; i < 3 && strcmp(*name, "scalar") != 0; i++) {
            machine = open_machine(s, *name, i == 1 ? 3 : 1, exact);
            for (size_t r = 0; r < ROWS; r += steps[i]) {
                size_t count = ROWS - r < steps[i] ? ROWS - r : steps[i];
                run(&machine, r, count, got + r * WIDTH);
            }
            close_machine(&machine);
            cr_assert(memcmp(got, want, sizeof got) == 0, "%s, %s, steps of %zu: other bits",
                      s->mixture->name, *name, steps[i]);
        }
    }
}

Test(experts, a_row_has_the_same_bits_in_any_company) {
    for (size_t m = 0; m < MIXTURES; m++) {
        struct setup *s = set_up(&mixtures[m]);
        check_bits(s, true);
        check_bits(s, false);
        tear_down(s);
    }
}

Test(experts, fast_mode_is_near_exact_mode) {
    static float exact[ROWS * WIDTH];
    static float fast[ROWS * WIDTH];
    struct setup *s = set_up(&mixtures[0]);
    for (int i = 0; i < 2; i++) {
        struct machine machine = open_machine(s, NULL, 1, i == 0);
        run(&machine, 0, ROWS, i == 0 ? exact : fast);
        close_machine(&machine);
    }
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        error += ((double)fast[i] - (double)exact[i]) * ((double)fast[i] - (double)exact[i]);
        size += (double)exact[i] * (double)exact[i];
    }
    cr_assert(error > 0 && error < 1e-4 * size, "error %g of %g", sqrt(error), sqrt(size));
    tear_down(s);
}

Test(experts, weights_of_experts_that_no_row_chose_are_not_read) {
    static float outputs[ROWS * WIDTH];
    struct setup *s = set_up(&mixtures[0]);
    struct machine machine = open_machine(s, NULL, 1, false);
    size_t expert = 0;
    for (size_t i = 2; i < s->plan.weight_count; i += EXPERTS) {
        const struct packed_matrix *matrix = weights_matrix(machine.weights, (int)i);
        expert += matrix->tiles * matrix->tile_bytes;
    }
    size_t all = weights_bytes(machine.weights);
    run(&machine, 0, 1, outputs);
    cr_assert_eq(executor_weight_bytes(machine.executor), all - (EXPERTS - 2) * expert);
    run(&machine, 0, ROWS, outputs);
    cr_assert_eq(executor_weight_bytes(machine.executor), all);
    close_machine(&machine);
    tear_down(s);
}

/* Each spoils the sound plan of the first mixture in one way. */
static void spoil_count(struct plan *plan) {
    plan->instructions[2].experts.chosen = EXPERTS + 1;
}
static void spoil_range(struct plan *plan) {
    plan->instructions[2].experts.down.weights++;
}
static void spoil_last(struct plan *plan) {
    plan->weights[(size_t)plan->instructions[2].experts.up.weights + EXPERTS - 1].columns--;
}
static void spoil_type(struct plan *plan) {
    plan->weights[(size_t)plan->instructions[2].experts.gate.weights + 1].bits = 8;
}
static void spoil_bias(struct plan *plan) {
    plan->vectors[plan->instructions[2].experts.down.bias].length--;
}
static void spoil_up(struct plan *plan) {
    plan->instructions[2].experts.up.weights = PLAN_NONE;
}
static void spoil_limit(struct plan *plan) {
    plan->instructions[2].experts.limit = NAN;
}
static void spoil_router(struct plan *plan) {
    plan->instructions[2].experts.router = 0;
}

Test(experts, verify_names_what_is_wrong) {
    static const struct {
        void (*spoil)(struct plan *plan);
        const char *expected;
    } cases[] = {
        {spoil_count, "6 of 5 experts chosen"},
        {spoil_range, "weight 17 does not exist"},
        {spoil_last, "up of expert 4 is (88, 71), expected (88, 72)"},
        {spoil_type, "gate of expert 1 has another type"},
        {spoil_bias, "has 359 elements, expected 360"},
        {spoil_up, "up weights -1"},
        {spoil_limit, "limit nan"},
        {spoil_router, "reads register 0 of width 72, expected 5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct setup *s = set_up(&mixtures[0]);
        struct error err = {0};
        cases[i].spoil(&s->plan);
        cr_expect_not(plan_verify(&s->plan, &err), "case %zu (%s) passed", i, cases[i].expected);
        cr_expect(strstr(err.text, cases[i].expected) != NULL,
                  "case %zu: \"%s\" does not say \"%s\"", i, err.text, cases[i].expected);
        tear_down(s);
    }
}
