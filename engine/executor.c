#include "engine/executor.h"

#include "engine/allocation_guard.h"
#include "engine/checked.h"
#include "engine/clock.h"
#include "engine/executor_internal.h"
#include "engine/sizes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    LINE_BYTES = 64,
    LANE_FLOATS = 16,
    /* Threads take row-wise work in runs of so many rows, so that neighbours in a KV page are
     * stored by one thread, unless that left a thread without work. */
    ROWS_PER_ITEM_MAX = 16,
};

bool executor_quantizes(const struct executor *x, const struct packed_matrix *matrix) {
    return !x->parts.exact && !x->parts.plan->full_precision && !matrix->full_precision &&
           x->parts.kernels->linear_int8[matrix->format] != NULL;
}

/* ---- From instructions to operations ---- */

static void add_op(struct executor *x, enum op_kind kind,
                   const struct plan_instruction *instruction, int reg) {
    x->ops[x->op_count++] = (struct op){.kind = kind, .instruction = instruction, .reg = reg};
}

static void mark_read(void *context, int reg, bool written) {
    struct executor *x = context;
    if (!written) {
        x->registers[reg].wants_values = true;
    }
}

void executor_mark_input(const struct executor *x, struct register_place *place,
                         const struct packed_matrix *matrix) {
    bool quantizes = executor_quantizes(x, matrix);
    place->wants_codes |= quantizes;
    place->codes_by_halves |=
        quantizes && (matrix->fine_inputs || matrix->block < ACTIVATION_BLOCK);
    place->wants_values |= !quantizes;
}

/* Which forms of its registers an instruction reads, and writes in any case. */
static void mark_forms(struct executor *x, const struct plan_instruction *instruction) {
    if (instruction->kind == PLAN_EXPERTS) {
        const struct plan_experts *experts = &instruction->experts;
        executor_mark_experts(x, experts);
        x->registers[experts->router].wants_values = true;
        x->registers[experts->output].wants_values = true;
        return;
    }
    if (instruction->kind != PLAN_LINEAR) {
        plan_instruction_registers(instruction, mark_read, x);
        if (instruction->kind == PLAN_NORM && instruction->norm.sum != PLAN_NONE) {
            x->registers[instruction->norm.sum].wants_values = true; /* scratch holds the output */
        }
        return;
    }
    const struct plan_linear *linear = &instruction->linear;
    for (size_t i = 0; i < linear->count; i++) {
        executor_mark_input(x, &x->registers[linear->input],
                            weights_matrix(x->parts.weights, linear->outputs[i].weight));
        x->registers[linear->outputs[i].output].wants_values = true;
    }
    x->registers[linear->input].wants_values |= executor_has_low_rank(x, linear);
}

struct reader_count {
    int reg;
    size_t readers;
};

static void count_reader(void *context, int reg, bool written) {
    struct reader_count *count = context;
    count->readers += !written && reg == count->reg;
}

static bool only_read_by(const struct plan *plan, const struct plan_instruction *reader, int reg) {
    struct reader_count count = {.reg = reg};
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (&plan->instructions[i] != reader) {
            plan_instruction_registers(&plan->instructions[i], count_reader, &count);
        }
    }
    return count.readers == 0 && reg != plan->logits;
}

/* Are all outputs of the matrices what `attention` reads? */
static bool only_writes(const struct plan_linear *linear, const struct plan_attention *attention) {
    for (size_t i = 0; i < linear->count; i++) {
        int output = linear->outputs[i].output;
        if (output != attention->query.reg && output != attention->key.reg &&
            output != attention->value.reg) {
            return false;
        }
    }
    return true;
}

/* The inputs of attention's matrices are quantized by 16. What is rounded off those of query and key
 * changes where a row looks: these matrices are a tenth to a fifth of a model, and a quarter to half
 * of its error comes from them. Not where other matrices read the same register and would have to
 * follow. */
static void refine_attention(struct executor *x, const struct plan_attention *attention) {
    const struct plan *plan = x->parts.plan;
    x->registers[attention->output].codes_by_halves = true;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &plan->instructions[i];
        if (instruction->kind == PLAN_LINEAR && only_writes(&instruction->linear, attention) &&
            only_read_by(plan, instruction, instruction->linear.input)) {
            x->registers[instruction->linear.input].codes_by_halves = true;
        }
    }
}

/* Is the operand a whole register? */
static bool is_whole(const struct plan *plan, const struct plan_gate *gate,
                     const struct plan_operand *operand) {
    return operand->first == 0 &&
           plan->registers[operand->reg].width == plan->registers[gate->output].width;
}

/* Are gate and up the halves of one register, each of whole tiles? */
static bool are_halves(const struct plan *plan, const struct plan_gate *gate) {
    size_t width = plan->registers[gate->output].width;
    size_t firsts = gate->gate.first + gate->up.first;
    return gate->gate.reg == gate->up.reg && firsts == width &&
           (gate->gate.first == 0 || gate->up.first == 0) && width % TILE_ROWS == 0 &&
           plan->registers[gate->gate.reg].width == 2 * width;
}

/* Whether instruction `index` is a matrix, or two, that only feed the gate which follows. */
static bool feeds_gate(const struct plan *plan, size_t index) {
    if (index + 1 >= plan->instruction_count || plan->instructions[index].kind != PLAN_LINEAR ||
        plan->instructions[index + 1].kind != PLAN_GATE) {
        return false;
    }
    const struct plan_linear *linear = &plan->instructions[index].linear;
    const struct plan_instruction *next = &plan->instructions[index + 1];
    const struct plan_gate *gate = &next->gate;
    int first = linear->outputs[0].output;
    int second = linear->count == 2 ? linear->outputs[1].output : PLAN_NONE;
    if (linear->count > 2 || !only_read_by(plan, next, first)) {
        return false;
    }
    if (linear->count == 1) {
        bool alone = gate->up.reg == PLAN_NONE && is_whole(plan, gate, &gate->gate);
        return first == gate->gate.reg && (alone || are_halves(plan, gate));
    }
    bool both = (first == gate->gate.reg && second == gate->up.reg) ||
                (first == gate->up.reg && second == gate->gate.reg);
    return both && first != second && only_read_by(plan, next, second) &&
           is_whole(plan, gate, &gate->gate) && is_whole(plan, gate, &gate->up);
}

/* What they give stays in scratch. */
static void keep_out_of_memory(struct executor *x, const struct plan_linear *linear) {
    for (size_t i = 0; i < linear->count; i++) {
        x->registers[linear->outputs[i].output].wants_values = false;
    }
}

static const enum op_kind simple_ops[PLAN_KIND_COUNT] = {
    [PLAN_EMBED] = OP_EMBED,
    [PLAN_NORM] = OP_NORM,
    [PLAN_LINEAR] = OP_LINEAR,
    [PLAN_GATE] = OP_GATE,
    [PLAN_ADD] = OP_ADD,
    [PLAN_SCALE] = OP_SCALE,
    [PLAN_SELECT_ROWS] = OP_SELECT_ROWS,
};

static void add_quantize(struct executor *x, const struct plan_instruction *instruction, int reg) {
    if (x->registers[reg].wants_codes) {
        add_op(x, OP_QUANTIZE, instruction, reg);
    }
}

/* What adapters add needs an operation of its own before that of the linear instruction. */
static void add_low_rank(struct executor *x, const struct plan_instruction *instruction) {
    if (instruction->kind == PLAN_LINEAR && executor_has_low_rank(x, &instruction->linear)) {
        add_op(x, OP_LOW_RANK, instruction, PLAN_NONE);
    }
}

static void add_instruction(struct executor *x, const struct plan_instruction *instruction) {
    if (instruction->kind == PLAN_EXPERTS) {
        add_op(x, OP_EXPERTS_ROUTE, instruction, PLAN_NONE);
        add_op(x, OP_EXPERTS_HIDDEN, instruction, PLAN_NONE);
        add_op(x, OP_EXPERTS_OUTPUT, instruction, PLAN_NONE);
        add_quantize(x, instruction, instruction->experts.output);
        return;
    }
    if (instruction->kind == PLAN_ATTENTION) {
        add_op(x, OP_ATTENTION_PREPARE, instruction, PLAN_NONE);
        add_op(x, OP_ATTENTION_SCORE, instruction, PLAN_NONE);
        add_op(x, OP_ATTENTION_FINISH, instruction, PLAN_NONE);
        return;
    }
    add_low_rank(x, instruction);
    add_op(x, simple_ops[instruction->kind], instruction, PLAN_NONE);
    if (instruction->kind == PLAN_LINEAR) {
        for (size_t i = 0; i < instruction->linear.count; i++) {
            add_quantize(x, instruction, instruction->linear.outputs[i].output);
        }
    }
}

/* Neighbouring row-wise operations share a stage. */
static void add_stages(struct executor *x) {
    bool selected = false;
    for (size_t i = 0; i < x->op_count; i++) {
        x->ops[i].selected = selected;
        bool row_wise = executor_op_types[x->ops[i].kind].row != NULL;
        bool joins = i > 0 && row_wise && executor_op_types[x->ops[i - 1].kind].row != NULL;
        if (joins) {
            x->stages[x->stage_count - 1].end = i + 1;
        } else {
            struct stage *stage = &x->stages[x->stage_count++];
            stage->first = i;
            stage->end = i + 1;
            stage->selected = selected;
        }
        selected |= x->ops[i].kind == OP_SELECT_ROWS;
    }
}

static bool compile(struct executor *x, struct error *err) {
    const struct plan *plan = x->parts.plan;
    size_t ops_max = 2;
    for (size_t i = 0; i < plan->instruction_count; i++) {
        ops_max += 3 + PLAN_LINEAR_OUTPUTS_MAX; /* a low rank before, quantized ones behind */
    }
    x->registers = calloc(plan->register_count + 1, sizeof *x->registers);
    x->ops = calloc(ops_max, sizeof *x->ops);
    x->stages = calloc(ops_max, sizeof *x->stages);
    if (x->registers == NULL || x->ops == NULL || x->stages == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the stages of the plan");
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        mark_forms(x, &plan->instructions[i]);
        if (plan->instructions[i].kind == PLAN_ATTENTION) {
            refine_attention(x, &plan->instructions[i].attention);
        }
    }
    x->registers[plan->logits].wants_values = true;
    if (plan->rope_count > 0) {
        add_op(x, OP_ANGLES, NULL, PLAN_NONE);
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (feeds_gate(plan, i)) {
            keep_out_of_memory(x, &plan->instructions[i].linear);
            add_low_rank(x, &plan->instructions[i]);
            add_op(x, OP_GATED_LINEAR, &plan->instructions[i], PLAN_NONE);
            i++;
        } else {
            add_instruction(x, &plan->instructions[i]);
        }
    }
    add_stages(x);
    return true;
}

/* ---- Memory ----
 *
 * A slot is memory for one form of one register at a time. Its rows all have the same stride, so
 * that row r of every register in it lies at the same place: threads may be at different
 * instructions of one row-wise stage, as long as they are at different rows. */

struct slot {
    bool holds_codes; /* rows of codes have another stride: they never share a slot with f32 rows */
    size_t row_bytes;
    size_t rows;
    int user; /* the register in it, or PLAN_NONE */
    size_t offset;
};

struct lifetime {
    size_t written;
    size_t last_read;
};

/* The forms of a register, each in a slot of its own. */
struct forms {
    int values;
    int codes;
};

struct memory_plan {
    struct slot *slots;
    size_t slot_count;
    struct lifetime *lifetimes; /* by register */
    struct forms *forms;        /* by register */
    size_t instruction;         /* the one being visited */
    size_t bytes;
};

static void note_use(void *context, int reg, bool written) {
    struct memory_plan *memory = context;
    if (written) {
        memory->lifetimes[reg].written = memory->instruction;
    }
    memory->lifetimes[reg].last_read = memory->instruction;
}

/* A free slot with that many rows, the one that grows least, or a new one. */
static int take_slot(struct memory_plan *memory, bool codes, size_t row_bytes, size_t rows,
                     int reg) {
    struct slot *best = NULL;
    size_t best_growth = 0;
    for (size_t i = 0; i < memory->slot_count; i++) {
        struct slot *slot = &memory->slots[i];
        size_t growth =
            row_bytes > slot->row_bytes ? row_bytes - slot->row_bytes : slot->row_bytes - row_bytes;
        bool fits = slot->user == PLAN_NONE && slot->rows == rows && slot->holds_codes == codes;
        if (fits && (best == NULL || growth < best_growth)) {
            best = slot;
            best_growth = growth;
        }
    }
    if (best == NULL) {
        best = &memory->slots[memory->slot_count++];
        *best = (struct slot){.holds_codes = codes, .rows = rows};
    }
    best->row_bytes = row_bytes > best->row_bytes ? row_bytes : best->row_bytes;
    best->user = reg;
    return (int)(best - memory->slots);
}

static size_t code_blocks(size_t width) {
    return (width + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK;
}

struct placing {
    struct executor *x;
    struct memory_plan *memory;
    size_t rows; /* of registers written now */
};

static void place_written(void *context, int reg, bool written) {
    struct placing *placing = context;
    const struct register_place *place = &placing->x->registers[reg];
    struct forms *forms = &placing->memory->forms[reg];
    if (!written) {
        return;
    }
    size_t width = placing->x->parts.plan->registers[reg].width;
    if (place->wants_values) {
        size_t bytes = round_up(width, LANE_FLOATS) * sizeof(float);
        forms->values = take_slot(placing->memory, false, bytes, placing->rows, reg);
    }
    if (place->wants_codes) {
        size_t bytes = code_blocks(width) * sizeof(struct quantized_block);
        forms->codes = take_slot(placing->memory, true, bytes, placing->rows, reg);
    }
}

/* Slots whose register is not read after the current instruction are free again. */
static void free_dead_slots(struct memory_plan *memory) {
    for (size_t i = 0; i < memory->slot_count; i++) {
        struct slot *slot = &memory->slots[i];
        if (slot->user != PLAN_NONE &&
            memory->lifetimes[slot->user].last_read <= memory->instruction) {
            slot->user = PLAN_NONE;
        }
    }
}

static void plan_slots(struct executor *x, struct memory_plan *memory) {
    const struct plan *plan = x->parts.plan;
    for (memory->instruction = 0; memory->instruction < plan->instruction_count;
         memory->instruction++) {
        plan_instruction_registers(&plan->instructions[memory->instruction], note_use, memory);
        if (memory->instruction > 0 && feeds_gate(plan, memory->instruction - 1)) {
            note_use(memory, plan->instructions[memory->instruction - 1].linear.input, false);
        }
    }
    memory->lifetimes[plan->logits].last_read = SIZE_MAX;
    struct placing placing = {.x = x, .memory = memory, .rows = x->parts.rows_max};
    size_t selection = SIZE_MAX;
    for (memory->instruction = 0; memory->instruction < plan->instruction_count;
         memory->instruction++) {
        const struct plan_instruction *instruction = &plan->instructions[memory->instruction];
        if (instruction->kind == PLAN_SELECT_ROWS) {
            placing.rows = x->parts.wanted_max;
            selection = memory->instruction;
        }
        plan_instruction_registers(instruction, place_written, &placing);
        free_dead_slots(memory);
    }
    for (size_t reg = 0; reg < plan->register_count; reg++) {
        const struct lifetime *life = &memory->lifetimes[reg];
        x->registers[reg].crosses_selection =
            life->written < selection && life->last_read > selection;
    }
}

/* ---- Sizes of what is not a register ---- */

struct extent {
    size_t row;          /* widest register */
    size_t keys;         /* kv_heads * head_dim */
    size_t angles;       /* cosines and sines of all RoPEs */
    size_t queries;      /* heads * head_dim */
    size_t states;       /* heads * state floats: of one row */
    size_t chunk_states; /* ATTENTION_ROWS_MAX * group * state floats */
};

static void grow(size_t *largest, size_t value) {
    *largest = value > *largest ? value : *largest;
}

static struct extent measure(const struct plan *plan) {
    struct extent extent = {0};
    for (size_t i = 0; i < plan->register_count; i++) {
        if ((int)i != plan->logits) {
            grow(&extent.row, plan->registers[i].width);
        }
    }
    for (size_t i = 0; i < plan->rope_count; i++) {
        extent.angles += 2 * executor_angle_floats(plan->ropes[i].half);
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        if (plan->instructions[i].kind != PLAN_ATTENTION) {
            continue;
        }
        const struct plan_attention *attention = &plan->instructions[i].attention;
        const struct plan_kv_layer *layer = &plan->kv_layers[attention->layer];
        size_t state = attention_state_floats(layer->head_dim);
        grow(&extent.keys, layer->kv_heads * layer->head_dim);
        grow(&extent.queries, attention->heads * layer->head_dim);
        grow(&extent.states, attention->heads * state);
        grow(&extent.chunk_states,
             ATTENTION_ROWS_MAX * (attention->heads / layer->kv_heads) * state);
    }
    return extent;
}

/* Adds `count` floats, or other things of `size` bytes, to the memory that will be mapped; returns
 * their offset. */
static size_t take_bytes(struct memory_plan *memory, size_t count, size_t size) {
    size_t offset = memory->bytes;
    size_t bytes;
    if (offset == SIZE_MAX || !checked_multiply(count, size, &bytes) ||
        !checked_round_up(bytes, LINE_BYTES, &bytes) ||
        !checked_add(memory->bytes, bytes, &memory->bytes)) {
        memory->bytes = SIZE_MAX; /* map_memory refuses it */
    }
    return offset;
}

struct offsets {
    size_t angles;
    size_t queries;
    size_t middles;
    size_t states;
    size_t wanted;
    size_t blocks;
    size_t runs[2];
    size_t routing;
    size_t scratch; /* of thread 0 */
    size_t scratch_bytes;
};

static struct offsets plan_offsets(struct executor *x, struct memory_plan *memory,
                                   const struct extent *extent) {
    size_t rows = x->parts.rows_max;
    size_t threads = workers_count(x->parts.workers);
    size_t context = x->parts.plan->context_length;
    size_t chunk = (size_t)KV_CHUNK_PAGES * KV_PAGE_POSITIONS;
    x->queries_stride = round_up(extent->queries, LANE_FLOATS);
    x->chunks_max = (context + chunk - 1) / chunk + 1;
    x->split_rows_max = 2 * threads < rows ? 2 * threads : rows;
    size_t split_states = x->split_rows_max * x->chunks_max;
    for (size_t i = 0; i < memory->slot_count; i++) {
        memory->slots[i].offset =
            take_bytes(memory, memory->slots[i].rows, memory->slots[i].row_bytes);
    }
    struct offsets offsets;
    x->angles_stride = extent->angles;
    offsets.angles = take_bytes(memory, rows, extent->angles * sizeof(float));
    offsets.queries = take_bytes(memory, rows, x->queries_stride * sizeof(float));
    offsets.middles = take_bytes(memory, PLAN_LINEAR_OUTPUTS_MAX * rows,
                                 x->middle_chunks * x->middle_stride * sizeof(float));
    offsets.states = take_bytes(memory, split_states > rows ? split_states : rows,
                                extent->states * sizeof(float));
    offsets.wanted = take_bytes(memory, x->parts.wanted_max, sizeof *x->wanted);
    offsets.blocks = take_bytes(memory, rows, sizeof *x->blocks);
    offsets.runs[false] = take_bytes(memory, rows, sizeof *x->runs[false].list);
    offsets.runs[true] = take_bytes(memory, x->parts.wanted_max, sizeof *x->runs[true].list);
    executor_measure_experts(x);
    offsets.routing = take_bytes(memory, x->routing.bytes, 1);
    offsets.scratch = take_bytes(memory, 0, 1);
    for (size_t i = 0; i < threads; i++) {
        take_bytes(memory, extent->row, sizeof(float));
        take_bytes(memory, extent->keys, sizeof(float));
        take_bytes(memory, extent->keys, sizeof(float));
        take_bytes(memory, extent->chunk_states, sizeof(float));
        take_bytes(memory, EXECUTOR_GATED_FLOATS, sizeof(float));
        take_bytes(memory, EXECUTOR_RUN_ROWS * x->middle_stride, sizeof(float));
        offsets.scratch_bytes = (memory->bytes - offsets.scratch) / (i + 1);
    }
    return offsets;
}

static float *next_floats(uint8_t **cursor, size_t count) {
    float *floats = (float *)(void *)*cursor;
    *cursor += round_up(count * sizeof(float), LINE_BYTES);
    return floats;
}

static void place_scratch(struct executor *x, const struct offsets *offsets,
                          const struct extent *extent) {
    for (size_t i = 0; i < workers_count(x->parts.workers); i++) {
        uint8_t *cursor = x->memory + offsets->scratch + i * offsets->scratch_bytes;
        struct thread_scratch *scratch = &x->scratch[i];
        scratch->row = next_floats(&cursor, extent->row);
        scratch->keys = next_floats(&cursor, extent->keys);
        scratch->values = next_floats(&cursor, extent->keys);
        scratch->states = next_floats(&cursor, extent->chunk_states);
        scratch->gated = next_floats(&cursor, EXECUTOR_GATED_FLOATS);
        scratch->middles = next_floats(&cursor, EXECUTOR_RUN_ROWS * x->middle_stride);
    }
}

static void place_registers(struct executor *x, const struct memory_plan *memory) {
    for (size_t reg = 0; reg < x->parts.plan->register_count; reg++) {
        struct register_place *place = &x->registers[reg];
        if (place->wants_values) {
            const struct slot *slot = &memory->slots[memory->forms[reg].values];
            place->values = (float *)(void *)(x->memory + slot->offset);
            place->stride = slot->row_bytes / sizeof(float);
        }
        if (place->wants_codes) {
            const struct slot *slot = &memory->slots[memory->forms[reg].codes];
            place->codes = (struct quantized_block *)(void *)(x->memory + slot->offset);
            place->blocks = slot->row_bytes / sizeof(struct quantized_block);
        }
    }
}

static bool map_memory(struct executor *x, const struct memory_plan *memory, struct error *err) {
    if (memory->bytes != SIZE_MAX) {
        void *bytes = mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bytes != MAP_FAILED) {
            x->memory = bytes;
            x->memory_bytes = memory->bytes;
            return true;
        }
    }
    return error_set(err, ERROR_OUT_OF_MEMORY,
                     "no memory for the activations of steps of %zu rows; ask for fewer",
                     x->parts.rows_max);
}

static bool allocate(struct executor *x, struct error *err) {
    const struct plan *plan = x->parts.plan;
    struct memory_plan memory = {
        .slots = calloc(2 * plan->register_count + 1, sizeof *memory.slots),
        .lifetimes = calloc(plan->register_count + 1, sizeof *memory.lifetimes),
        .forms = calloc(plan->register_count + 1, sizeof *memory.forms),
    };
    x->scratch = calloc(workers_count(x->parts.workers), sizeof *x->scratch);
    for (size_t i = 0; i < 2; i++) {
        x->shares[i] = aligned_alloc(_Alignof(struct share),
                                     workers_count(x->parts.workers) * sizeof(struct share));
    }
    bool ok = memory.slots != NULL && memory.lifetimes != NULL && memory.forms != NULL &&
              x->scratch != NULL && x->shares[0] != NULL && x->shares[1] != NULL;
    if (ok) {
        struct extent extent = measure(plan);
        plan_slots(x, &memory);
        struct offsets offsets = plan_offsets(x, &memory, &extent);
        ok = map_memory(x, &memory, err);
        if (ok) {
            x->angles = (float *)(void *)(x->memory + offsets.angles);
            x->queries = (float *)(void *)(x->memory + offsets.queries);
            float *middles = (float *)(void *)(x->memory + offsets.middles);
            x->middles = x->middle_stride > 0 ? middles : NULL;
            x->states = (float *)(void *)(x->memory + offsets.states);
            x->wanted = (size_t *)(void *)(x->memory + offsets.wanted);
            x->blocks = (struct row_block *)(void *)(x->memory + offsets.blocks);
            for (size_t i = 0; i < 2; i++) {
                x->runs[i].list = (struct adapter_run *)(void *)(x->memory + offsets.runs[i]);
            }
            executor_place_experts(x, x->memory + offsets.routing);
            place_scratch(x, &offsets, &extent);
            place_registers(x, &memory);
        }
    } else {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the registers of the plan");
    }
    free(memory.slots);
    free(memory.lifetimes);
    free(memory.forms);
    return ok;
}

/* ---- Open, close ---- */

bool executor_open(struct executor **out, const struct executor_parts *parts, struct error *err) {
    struct executor *x = calloc(1, sizeof *x);
    if (x == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the executor");
    }
    x->parts = *parts;
    executor_measure_low_rank(x);
    if (!compile(x, err) || !allocate(x, err)) {
        executor_close(x);
        return false;
    }
    *out = x;
    return true;
}

void executor_close(struct executor *executor) {
    if (executor == NULL) {
        return;
    }
    if (executor->memory_bytes > 0) {
        munmap(executor->memory, executor->memory_bytes);
    }
    free(executor->registers);
    free(executor->ops);
    free(executor->stages);
    free(executor->scratch);
    free(executor->shares[0]);
    free(executor->shares[1]);
    free(executor);
}

/* ---- A step ---- */

/* Cuts the rows into blocks of neighbours of one sequence, and lists the wanted ones. */
static void begin_step(struct executor *x, const struct executor_row *rows, size_t count) {
    assert(count > 0 && count <= x->parts.rows_max);
    x->rows = rows;
    x->row_count = count;
    x->wanted_count = 0;
    x->block_count = 0;
    x->routing.weight_bytes_read = 0;
    for (size_t r = 0; r < count; r++) {
        struct row_block *block = x->block_count > 0 ? &x->blocks[x->block_count - 1] : NULL;
        bool joins = block != NULL && block->rows < ATTENTION_ROWS_MAX &&
                     rows[r].sequence == rows[r - 1].sequence;
        assert(rows[r].long_rope || !plan_uses_long_rope(x->parts.plan, rows[r].position + 1));
        if (joins) {
            assert(rows[r].position == rows[r - 1].position + 1);
            assert(rows[r].long_rope == rows[r - 1].long_rope);
            block->rows++;
        } else {
            x->blocks[x->block_count++] = (struct row_block){.first_row = r, .rows = 1};
        }
        assert(rows[r].adapter == 0 || rows[r].adapter < adapters_count(x->parts.adapters));
        if (rows[r].wanted) {
            assert(x->wanted_count < x->parts.wanted_max);
            x->wanted[x->wanted_count++] = r;
        }
    }
    executor_find_adapter_runs(x);
    for (size_t thread = 0; thread < workers_count(x->parts.workers); thread++) {
        atomic_store_explicit(&x->shares[0][thread].taken, 0, memory_order_relaxed);
    }
}

static size_t rows_per_item(const struct executor *x, size_t rows) {
    size_t even = rows / workers_count(x->parts.workers);
    return even > ROWS_PER_ITEM_MAX ? ROWS_PER_ITEM_MAX : even > 0 ? even : 1;
}

static void run_rows(struct executor *x, const struct stage *stage, size_t rows, size_t thread,
                     size_t item) {
    size_t run = rows_per_item(x, rows);
    size_t end = (item + 1) * run < rows ? (item + 1) * run : rows;
    for (size_t row = item * run; row < end; row++) {
        for (size_t i = stage->first; i < stage->end; i++) {
            executor_op_types[x->ops[i].kind].row(x, &x->ops[i], thread, row);
        }
    }
}

static void run_item(struct executor *x, const struct stage *stage, size_t rows, size_t thread,
                     size_t item) {
    const struct op *op = &x->ops[stage->first];
    const struct op_type *type = &executor_op_types[op->kind];
    if (type->row != NULL) {
        run_rows(x, stage, rows, thread, item);
    } else {
        type->item(x, op, rows, thread, item);
    }
}

static size_t count_items(const struct executor *x, const struct stage *stage, size_t rows) {
    const struct op *op = &x->ops[stage->first];
    const struct op_type *type = &executor_op_types[op->kind];
    if (type->row != NULL) {
        size_t run = rows_per_item(x, rows);
        return (rows + run - 1) / run;
    }
    return type->items(x, op, rows);
}

/* The thread's share of the items, then what others have left of theirs. */
static void run_stage(struct executor *x, size_t s, size_t rows, size_t thread) {
    const struct stage *stage = &x->stages[s];
    struct share *shares = x->shares[s % 2];
    const size_t threads = workers_count(x->parts.workers);
    const size_t items = count_items(x, stage, rows);
    for (size_t i = 0; i < threads; i++) {
        size_t owner = (thread + i) % threads;
        size_t first = items * owner / threads;
        size_t count = items * (owner + 1) / threads - first;
        atomic_size_t *taken = &shares[owner].taken;
        while (atomic_load_explicit(taken, memory_order_relaxed) < count) {
            size_t item = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
            if (item < count) {
                run_item(x, stage, rows, thread, first + item);
            }
        }
    }
}

static void run_stages(void *context, size_t thread) {
    struct executor *x = context;
    no_allocations_begin();
    double begun = x->timed ? clock_seconds() : 0;
    for (size_t s = 0; s < x->stage_count; s++) {
        struct stage *stage = &x->stages[s];
        run_stage(x, s, stage->selected ? x->wanted_count : x->row_count, thread);
        /* Nobody has been in the stage before since the last barrier, and nobody is in the next. */
        atomic_store_explicit(&x->shares[(s + 1) % 2][thread].taken, 0, memory_order_relaxed);
        double worked = x->timed ? clock_seconds() : 0;
        workers_barrier(x->parts.workers);
        if (x->timed) {
            struct stage_seconds *seconds = &x->scratch[thread].seconds[x->ops[stage->first].kind];
            double met = clock_seconds();
            seconds->working += worked - begun;
            seconds->waiting += met - worked;
            begun = met;
        }
    }
    no_allocations_end();
}

float *executor_run(struct executor *executor, const struct executor_row *rows, size_t count) {
    begin_step(executor, rows, count);
    workers_parallel(executor->parts.workers, run_stages, executor);
    return executor->registers[executor->parts.plan->logits].values;
}

size_t executor_logits_stride(const struct executor *executor) {
    return executor->registers[executor->parts.plan->logits].stride;
}

void executor_time_stages(struct executor *executor, bool timed) {
    executor->timed = timed;
    for (size_t i = 0; timed && i < workers_count(executor->parts.workers); i++) {
        memset(executor->scratch[i].seconds, 0, sizeof executor->scratch[i].seconds);
    }
}

_Static_assert((int)OP_KIND_COUNT <= (int)EXECUTOR_STAGE_NAMES_MAX,
               "each kind has a place in the times");

size_t executor_stage_times(const struct executor *executor,
                            struct stage_time times[EXECUTOR_STAGE_NAMES_MAX]) {
    size_t count = 0;
    for (size_t kind = 0; kind < OP_KIND_COUNT; kind++) {
        struct stage_time time = {.name = executor_op_types[kind].name};
        for (size_t s = 0; s < executor->stage_count; s++) {
            time.stages += executor->ops[executor->stages[s].first].kind == kind;
        }
        for (size_t i = 0; i < workers_count(executor->parts.workers); i++) {
            time.working += executor->scratch[i].seconds[kind].working;
            time.waiting += executor->scratch[i].seconds[kind].waiting;
        }
        if (time.stages > 0) {
            times[count++] = time;
        }
    }
    return count;
}

size_t executor_weight_bytes(const struct executor *executor) {
    const struct expert_routing *routing = &executor->routing;
    return weights_bytes(executor->parts.weights) - routing->weight_bytes_all +
           routing->weight_bytes_read;
}
