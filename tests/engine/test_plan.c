#include "engine/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The smallest decoder: one layer of one head, a gated MLP and a tied embedding.
 *
 *   0 embed      -> r0          3 attention r2 r3 r4 -> r5     6 gate   r7 r8 -> r9
 *   1 norm    r0 -> r1          4 linear r5 -> r6              7 linear r9    -> r10 (logits)
 *   2 linear  r1 -> r2 r3 r4    5 linear r6 -> r7 r8
 */
enum { HIDDEN = 8, HEAD = 4, VOCABULARY = 32 };

static const uint8_t bytes[VOCABULARY * HIDDEN * 4];

static int add_weight(struct plan *plan, size_t rows, size_t columns) {
    struct plan_weight weight = {.name = "weight",
                                 .rows = rows,
                                 .columns = columns,
                                 .type = ELEMENT_F32,
                                 .data = {.bytes = bytes, .row = columns, .step = 1}};
    return plan_add_weight(plan, &weight);
}

static void append_linear(struct plan *plan, int input, size_t columns, size_t count,
                          const size_t *rows, int first_output) {
    struct plan_instruction instruction = {.kind = PLAN_LINEAR, .name = "linear"};
    instruction.linear.input = input;
    instruction.linear.count = count;
    for (size_t i = 0; i < count; i++) {
        instruction.linear.outputs[i].weight = add_weight(plan, rows[i], columns);
        instruction.linear.outputs[i].bias = PLAN_NONE;
        instruction.linear.outputs[i].low_rank = PLAN_NONE;
        instruction.linear.outputs[i].output = first_output + (int)i;
    }
    cr_assert(plan_append(plan, &instruction));
}

static void build(struct plan *plan) {
    static const size_t widths[] = {HIDDEN, HIDDEN, HEAD, HEAD, HEAD,      HEAD,
                                    HIDDEN, 12,     12,   12,   VOCABULARY};
    plan_init(plan);
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        cr_assert_eq(plan_add_register(plan, widths[i]), (int)i);
    }
    float *values;
    int norm = plan_add_vector(plan, "norm", HIDDEN, &values);
    struct plan_angles angles = {
        .positions = 16, .cosines = bytes, .sines = bytes, .frequencies = PLAN_NONE};
    struct plan_rope rope = {
        .name = "rope", .half = HEAD / 2, .angles = angles, .long_angles = angles};
    int table = plan_add_rope(plan, &rope);
    struct plan_kv_layer layer = {.kv_heads = 1, .head_dim = HEAD};
    cr_assert_eq(plan_add_kv_layer(plan, &layer), 0);
    plan->vocabulary_size = VOCABULARY;
    plan->context_length = 16;
    plan->logits = 10;

    struct plan_instruction embed = {
        .kind = PLAN_EMBED,
        .name = "embed",
        .embed = {.table = add_weight(plan, VOCABULARY, HIDDEN), .scale = 1, .output = 0}};
    struct plan_instruction normalize = {.kind = PLAN_NORM,
                                         .name = "norm",
                                         .norm = {.kind = PLAN_NORM_RMS,
                                                  .input = 0,
                                                  .residual = PLAN_NONE,
                                                  .sum = PLAN_NONE,
                                                  .output = 1,
                                                  .weight = norm,
                                                  .bias = PLAN_NONE,
                                                  .group = HIDDEN,
                                                  .epsilon = 1e-6f}};
    struct plan_instruction attend = {.kind = PLAN_ATTENTION,
                                      .name = "attention",
                                      .attention = {.query = {.reg = 2},
                                                    .key = {.reg = 3},
                                                    .value = {.reg = 4},
                                                    .output = 5,
                                                    .heads = 1,
                                                    .scale = 0.5f,
                                                    .rope = table,
                                                    .q_norm = PLAN_NONE,
                                                    .k_norm = PLAN_NONE,
                                                    .sinks = PLAN_NONE,
                                                    .k_scales = PLAN_NONE,
                                                    .v_scales = PLAN_NONE}};
    struct plan_instruction gate = {
        .kind = PLAN_GATE,
        .name = "gate",
        .gate = {
            .activation = PLAN_ACTIVATION_SILU, .gate = {.reg = 7}, .up = {.reg = 8}, .output = 9}};
    cr_assert(plan_append(plan, &embed) && plan_append(plan, &normalize));
    append_linear(plan, 1, HIDDEN, 3, (const size_t[]){HEAD, HEAD, HEAD}, 2);
    cr_assert(plan_append(plan, &attend));
    append_linear(plan, 5, HEAD, 1, (const size_t[]){HIDDEN}, 6);
    append_linear(plan, 6, HIDDEN, 2, (const size_t[]){12, 12}, 7);
    cr_assert(plan_append(plan, &gate));
    append_linear(plan, 9, 12, 1, (const size_t[]){VOCABULARY}, 10);
}

Test(plan, a_sound_plan_verifies) {
    struct plan plan;
    struct error err = {0};
    build(&plan);
    cr_assert(plan_verify(&plan, &err), "%s", err.text);
    plan_deinit(&plan);
}

Test(plan, rows_are_selected_right_behind_the_last_attention) {
    struct plan plan;
    struct error err = {0};
    build(&plan);
    cr_assert(plan_insert_select_rows(&plan));
    cr_assert_eq(plan.instruction_count, 9);
    cr_assert_eq(plan.instructions[3].kind, PLAN_ATTENTION);
    cr_assert_eq(plan.instructions[4].kind, PLAN_SELECT_ROWS);
    cr_assert_eq(plan.instructions[8].linear.input, 9);
    cr_assert(plan_verify(&plan, &err), "%s", err.text);
    plan_deinit(&plan);
}

/* Each case spoils one thing of the sound plan; the message must name the instruction or the rule. */
static void spoil_unwritten(struct plan *plan) {
    plan->instructions[1].norm.input = 9;
}
static void spoil_twice_written(struct plan *plan) {
    plan->instructions[1].norm.output = 0;
}
static void spoil_register_index(struct plan *plan) {
    plan->instructions[6].gate.up.reg = 99;
}
static void spoil_gate_width(struct plan *plan) {
    plan->registers[8].width = 13;
}
static void spoil_norm_group(struct plan *plan) {
    plan->instructions[1].norm.group = 3;
}
static void spoil_linear_columns(struct plan *plan) {
    plan->weights[plan->instructions[4].linear.outputs[0].weight].columns = 5;
}
static void spoil_linear_count(struct plan *plan) {
    plan->instructions[2].linear.count = PLAN_LINEAR_OUTPUTS_MAX + 1;
}
static void spoil_operand(struct plan *plan) {
    plan->instructions[3].attention.key.first = 1;
}
static void spoil_heads(struct plan *plan) {
    plan->instructions[3].attention.key.step = 1;
}
static void spoil_last_head(struct plan *plan) {
    plan->instructions[3].attention.heads = 2;
    plan->instructions[3].attention.query.step = 100;
}
static void spoil_kv_layer(struct plan *plan) {
    plan->instructions[3].attention.layer = 1;
}
static void spoil_rope_length(struct plan *plan) {
    plan->context_length = 17;
}
static void spoil_long_rope(struct plan *plan) {
    plan->short_rope_length = 15;
    plan->ropes[0].angles.positions = 15;
    plan->ropes[0].long_angles.positions = 14;
}
static void spoil_table_rows(struct plan *plan) {
    plan->weights[0].rows = VOCABULARY - 1;
}
static void spoil_positions(struct plan *plan) {
    struct plan_embed *embed = &plan->instructions[0].embed;
    embed->by_position = true;
    embed->first_position = VOCABULARY - plan->context_length + 1;
}
static void spoil_first_position(struct plan *plan) {
    struct plan_embed *embed = &plan->instructions[0].embed;
    embed->by_position = true;
    embed->first_position = SIZE_MAX;
}
static void spoil_late_embedding(struct plan *plan) {
    struct plan_instruction select = {.kind = PLAN_SELECT_ROWS, .name = "select_rows"};
    cr_assert(plan_append(plan, &select));
    cr_assert(plan_append(plan, &plan->instructions[0]));
    plan->instructions[plan->instruction_count - 1].embed.output = plan_add_register(plan, HIDDEN);
}
static void spoil_logits(struct plan *plan) {
    plan->logits = 9;
}
static void spoil_block_size(struct plan *plan) {
    plan->weights[1].bits = 4;
    plan->weights[1].block_size = 0;
    plan->weights[1].scales.bytes = bytes;
}
static void spoil_activation(struct plan *plan) {
    plan->instructions[6].gate.activation = PLAN_ACTIVATION_COUNT;
}
static void spoil_sum(struct plan *plan) {
    plan->instructions[6] = (struct plan_instruction){
        .kind = PLAN_ADD,
        .name = "add",
        .add = {.first = 7, .second = PLAN_NONE, .vector = PLAN_NONE, .output = 9}};
}
static void spoil_factor(struct plan *plan) {
    plan->instructions[6] =
        (struct plan_instruction){.kind = PLAN_SCALE,
                                  .name = "scale",
                                  .scale = {.input = 7, .factor = 1, .softcap = -1, .output = 9}};
}
static void spoil_order(struct plan *plan) {
    struct plan_instruction select = {.kind = PLAN_SELECT_ROWS, .name = "select_rows"};
    plan->instructions[1] = select;
    plan->instructions[2] = select;
}

Test(plan, verify_names_what_is_wrong) {
    static const struct {
        void (*spoil)(struct plan *plan);
        const char *expected;
    } cases[] = {
        {spoil_unwritten, "reads register 9 before anything writes it"},
        {spoil_twice_written, "writes register 0 a second time"},
        {spoil_register_index, "register 99 does not exist"},
        {spoil_gate_width, "of width 13, expected 12"},
        {spoil_norm_group, "in groups of 3"},
        {spoil_linear_columns, "of width 4, expected 5"},
        {spoil_linear_count, "5 outputs, expected 1 to 4"},
        {spoil_operand, "key is columns 1 to 5 of register 3, which has 4"},
        {spoil_heads, "lie 1 apart"},
        {spoil_last_head, "query is columns 0 to 104 of register 2"},
        {spoil_kv_layer, "KV layer 1 does not exist"},
        {spoil_rope_length, "16 positions for 17"},
        {spoil_long_rope, "14 positions for 16"},
        {spoil_table_rows, "31 rows for a vocabulary of 32"},
        {spoil_positions, "a table of 32 positions, from 17 on, for a context of 16"},
        {spoil_first_position, "for a context of 16"},
        {spoil_late_embedding, "an embedding behind select_rows"},
        {spoil_logits, "does not write logits"},
        {spoil_block_size, "4 bits in blocks of 0"},
        {spoil_order, "a second select_rows"},
        {spoil_activation, "activation 8 does not exist"},
        {spoil_sum, "adds neither or both of a register and a vector"},
        {spoil_factor, "factor 1 and softcap -1 must be finite"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plan plan;
        struct error err = {0};
        build(&plan);
        cases[i].spoil(&plan);
        cr_expect_not(plan_verify(&plan, &err), "case %zu (%s) passed", i, cases[i].expected);
        cr_expect(strstr(err.text, cases[i].expected) != NULL,
                  "case %zu: \"%s\" does not say \"%s\"", i, err.text, cases[i].expected);
        plan_deinit(&plan);
    }
}

struct visits {
    int read[8];
    size_t read_count;
    int written[8];
    size_t written_count;
};

static void note(void *context, int reg, bool written) {
    struct visits *visits = context;
    if (written) {
        visits->written[visits->written_count++] = reg;
    } else {
        cr_assert_eq(visits->written_count, 0, "reads come before writes");
        visits->read[visits->read_count++] = reg;
    }
}

Test(plan, registers_are_visited_reads_first) {
    struct plan plan;
    struct visits visits = {0};
    build(&plan);
    plan_instruction_registers(&plan.instructions[3], note, &visits);
    cr_assert_eq(visits.read_count, 3);
    cr_assert_eq(visits.read[0], 2);
    cr_assert_eq(visits.read[2], 4);
    cr_assert_eq(visits.written_count, 1);
    cr_assert_eq(visits.written[0], 5);
    plan_deinit(&plan);
}

Test(plan, prints_one_line_an_instruction) {
    struct plan plan;
    char *text = NULL;
    size_t size = 0;
    build(&plan);
    FILE *out = open_memstream(&text, &size);
    plan_print(&plan, out);
    fclose(out);
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    cr_assert_eq(lines, plan.instruction_count, "%s", text);
    cr_assert(strstr(text, "r7[12] * r8[12] -> r9[12]  silu") != NULL, "%s", text);
    free(text);
    plan_deinit(&plan);
}
