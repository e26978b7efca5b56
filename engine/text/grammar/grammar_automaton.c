#include "engine/text/grammar/grammar_automaton.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    STATES_MAX = 1 << 14,
    TABLE_MAX = 1 << 20, /* entries of the table of states and classes: 4 MB */
    PAIRS_MAX = 1 << 18,
    STACKS_MAX = 1 << 16,
    PLACES_MAX = 1 << 18,
    STATE_CHAINS = 1 << 14,
    STACK_CHAINS = 1 << 15,
    /* Of places to return to in one stack. More come only of counting in many ways at once; beyond that
     * the one from which the end is nearer takes the other's place, and the text still matches. */
    STACK_PLACES_MAX = 1 << 10,
    STAGE_MAX = 1 << 16,
    /* How deep the stacks of two places are made one. Below that both are kept. */
    UNION_DEPTH_MAX = 16,
    /* Instructions and places looked at in one step. Beyond that an instruction goes on with one of the
     * stacks it is reached with, the cheapest, and beyond twice that with the first: the text is read in
     * fewer ways, but in one at least. */
    STEP_WORK_MAX = 1 << 16,
    COST_MOST = 1 << 30,
};

enum { STACK_NONE, STACK_BOTTOM }; /* the first two stacks */

/* Somewhere to return to: a CALL, behind which the text goes on; a LOOP, of which `times` times have
 * been before this one; or ACCEPT. */
struct place {
    uint32_t instruction;
    uint32_t times;
    uint32_t stack; /* where what is there returns to */
};

struct stack {
    uint32_t first_place; /* ascending, see compare_places */
    uint32_t place_count;
    uint32_t hash;
    uint32_t chain;
    uint32_t cost; /* bytes to the end of the text after a return, at the least */
};

struct pair {
    uint32_t instruction; /* BYTES */
    uint32_t stack;
};

/* Everything but the states themselves. */
struct automaton_memory {
    void *mapped; /* where all arrays are, those of the automaton too */
    size_t mapped_bytes;
    struct pair *pairs;
    size_t pair_count;
    struct stack *stacks;
    size_t stack_count;
    struct place *places;
    size_t place_count;
    uint32_t state_chains[STATE_CHAINS];
    uint32_t stack_chains[STACK_CHAINS];

    struct place *stage; /* [STAGE_MAX] of stacks that are being made */
    size_t staged;

    /* The instructions reached in this step, without a byte, and with which stack. */
    uint32_t *reached_in; /* [length] the step */
    uint32_t *reached;    /* [length] */
    bool *queued;         /* [length] */
    uint32_t *queue;      /* [length] */
    size_t queue_length;
    uint32_t *due; /* [length] those of them that take a byte */
    size_t due_count;
    uint32_t step;
    uint64_t step_work;
    bool accepts;
    bool full;

    uint32_t *moved; /* [STACKS_MAX] for a collection */
};

/* ---- Lifetime ---- */

/* All arrays in one mapping, zeroed: malloc would take memory that was used before, and clear it, which
 * touches all of it. */
static bool map_arrays(struct grammar_automaton *automaton) {
    struct automaton_memory *memory = automaton->memory;
    const size_t length = automaton->grammar->length;
    const size_t states = automaton->states_max;
    const struct {
        void *array; /* the pointer to it */
        size_t bytes;
    } parts[] = {
        {&automaton->states, states * sizeof *automaton->states},
        {&automaton->next, states * automaton->grammar->class_count * sizeof *automaton->next},
        {&memory->pairs, PAIRS_MAX * sizeof *memory->pairs},
        {&memory->stacks, STACKS_MAX * sizeof *memory->stacks},
        {&memory->places, PLACES_MAX * sizeof *memory->places},
        {&memory->stage, STAGE_MAX * sizeof *memory->stage},
        {&memory->reached_in, length * sizeof *memory->reached_in},
        {&memory->reached, length * sizeof *memory->reached},
        {&memory->queued, length * sizeof *memory->queued},
        {&memory->queue, length * sizeof *memory->queue},
        {&memory->due, length * sizeof *memory->due},
        {&memory->moved, STACKS_MAX * sizeof *memory->moved},
    };
    enum { ALIGNMENT = 64 };
    const size_t count = sizeof parts / sizeof *parts;
    for (size_t i = 0; i < count; i++) {
        memory->mapped_bytes += (parts[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    memory->mapped = mmap(NULL, memory->mapped_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory->mapped == MAP_FAILED) {
        return false;
    }
    char *at = memory->mapped;
    for (size_t i = 0; i < count; i++) {
        memcpy(parts[i].array, &at, sizeof at);
        at += (parts[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return true;
}

/* The dead state and the stack that only leads to the end. */
static void begin(struct grammar_automaton *automaton) {
    struct automaton_memory *memory = automaton->memory;
    memory->stacks[STACK_NONE] = (struct stack){0};
    memory->stacks[STACK_BOTTOM] = (struct stack){.first_place = 0, .place_count = 1};
    memory->places[0] = (struct place){0}; /* ACCEPT is instruction 0 */
    memory->stack_count = 2;
    memory->place_count = 1;
    automaton->states[AUTOMATON_DEAD] = (struct automaton_state){.cost = COST_MOST};
    automaton->state_count = 1;
}

bool grammar_automaton_open(struct grammar_automaton **out, struct grammar *grammar,
                            struct error *err) {
    struct grammar_automaton *automaton = calloc(1, sizeof *automaton);
    struct automaton_memory *memory = calloc(1, sizeof *memory);
    bool ok = automaton != NULL && memory != NULL;
    if (ok) {
        size_t states = TABLE_MAX / grammar->class_count;
        automaton->grammar = grammar_acquire(grammar);
        automaton->memory = memory;
        automaton->states_max = states < STATES_MAX ? states : STATES_MAX;
        ok = map_arrays(automaton);
    } else {
        free(automaton);
        free(memory);
        automaton = NULL;
    }
    if (!ok) {
        grammar_automaton_close(automaton);
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a grammar's automaton");
    }
    begin(automaton);
    *out = automaton;
    return true;
}

void grammar_automaton_close(struct grammar_automaton *automaton) {
    if (automaton == NULL) {
        return;
    }
    if (automaton->memory->mapped != MAP_FAILED) {
        munmap(automaton->memory->mapped, automaton->memory->mapped_bytes);
    }
    grammar_release(automaton->grammar);
    free(automaton->memory);
    free(automaton);
}

/* ---- Stacks ---- */

static uint32_t add_costs(uint64_t a, uint64_t b) {
    return a + b < COST_MOST ? (uint32_t)(a + b) : COST_MOST;
}

/* Bytes from a place to the end of the text, at the least. */
static uint32_t cost_of_place(const struct grammar_automaton *automaton,
                              const struct place *place) {
    const struct grammar *grammar = automaton->grammar;
    const struct grammar_instruction *instruction = &grammar->program[place->instruction];
    uint64_t cost = 0;
    if (instruction->operation == GRAMMAR_CALL) {
        cost = grammar->costs[place->instruction + 1];
    } else if (instruction->operation == GRAMMAR_LOOP) {
        const struct grammar_loop *loop = &grammar->loops[instruction->operand];
        uint64_t done = (uint64_t)place->times + 1;
        cost = grammar->costs[loop->end] +
               (done < loop->least ? (loop->least - done) * (uint64_t)loop->cost : 0);
    }
    return add_costs(cost, automaton->memory->stacks[place->stack].cost);
}

static int compare_places(const struct place *a, const struct place *b) {
    if (a->instruction != b->instruction) {
        return a->instruction < b->instruction ? -1 : 1;
    }
    return (a->times > b->times) - (a->times < b->times);
}

static uint32_t hash_words(const void *words, size_t bytes) {
    const uint32_t *word = words;
    uint64_t hash = bytes;
    for (size_t i = 0; i < bytes / sizeof *word; i++) {
        hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

/* The stack of the places staged from `first` on, which are ascending; takes them off the stage. */
static uint32_t intern_stack(struct grammar_automaton *automaton, size_t first) {
    struct automaton_memory *memory = automaton->memory;
    const struct place *places = memory->stage + first;
    size_t count = memory->staged - first;
    size_t bytes = count * sizeof *places;
    uint32_t hash = hash_words(places, bytes);
    uint32_t *chain = &memory->stack_chains[hash % STACK_CHAINS];
    memory->staged = first;
    for (uint32_t i = *chain; i != STACK_NONE; i = memory->stacks[i].chain) {
        const struct stack *stack = &memory->stacks[i];
        if (stack->hash == hash && stack->place_count == count &&
            memcmp(memory->places + stack->first_place, places, bytes) == 0) {
            return i;
        }
    }
    if (memory->stack_count == STACKS_MAX || PLACES_MAX - memory->place_count < count) {
        memory->full = true;
        return STACK_NONE;
    }
    uint32_t index = (uint32_t)memory->stack_count++;
    struct stack stack = {(uint32_t)memory->place_count, (uint32_t)count, hash, *chain, COST_MOST};
    for (size_t i = 0; i < count; i++) {
        uint32_t cost = cost_of_place(automaton, &places[i]);
        stack.cost = cost < stack.cost ? cost : stack.cost;
    }
    memcpy(memory->places + memory->place_count, places, bytes);
    memory->place_count += count;
    memory->stacks[index] = stack;
    *chain = index;
    return index;
}

static uint32_t push_place(struct grammar_automaton *automaton, uint32_t instruction,
                           uint32_t times, uint32_t stack) {
    struct automaton_memory *memory = automaton->memory;
    size_t first = memory->staged;
    memory->stage[memory->staged++] = (struct place){instruction, times, stack};
    return intern_stack(automaton, first);
}

static void stage_place(struct grammar_automaton *automaton, size_t first, struct place place) {
    struct automaton_memory *memory = automaton->memory;
    if (memory->staged - first < STACK_PLACES_MAX) {
        memory->stage[memory->staged++] = place;
        return;
    }
    struct place *last = &memory->stage[memory->staged - 1];
    if (cost_of_place(automaton, &place) < cost_of_place(automaton, last)) {
        *last = place;
    }
}

/* What is left of two stacks where there is no room or time for both. The cheaper one: a matcher has
 * counted on the shortest way to the end. */
static uint32_t choose(const struct automaton_memory *memory, uint32_t a, uint32_t b) {
    bool cheaper = memory->stacks[b].cost < memory->stacks[a].cost;
    return cheaper && memory->step_work < UINT64_C(2) * STEP_WORK_MAX ? b : a;
}

/* The stack that returns to whatever one of the two returns to. */
static uint32_t unite(struct grammar_automaton *automaton, uint32_t a, uint32_t b, size_t depth) {
    struct automaton_memory *memory = automaton->memory;
    if (a == b || memory->step_work >= STEP_WORK_MAX ||
        memory->staged > STAGE_MAX - 2 * STACK_PLACES_MAX) {
        return choose(memory, a, b); /* the stage has room for the greatest depth: for safety */
    }
    const struct stack x = memory->stacks[a];
    const struct stack y = memory->stacks[b];
    memory->step_work += x.place_count + y.place_count;
    size_t first = memory->staged;
    size_t i = 0;
    size_t j = 0;
    while ((i < x.place_count || j < y.place_count) && !memory->full) {
        const struct place *p = memory->places + x.first_place + i;
        const struct place *q = memory->places + y.first_place + j;
        int order = i == x.place_count ? 1 : j == y.place_count ? -1 : compare_places(p, q);
        if (order != 0) {
            stage_place(automaton, first, order < 0 ? *p : *q);
        } else if (p->stack == q->stack || depth < UNION_DEPTH_MAX) {
            struct place both = *p;
            both.stack = unite(automaton, p->stack, q->stack, depth + 1);
            stage_place(automaton, first, both);
        } else {
            stage_place(automaton, first, p->stack < q->stack ? *p : *q);
            stage_place(automaton, first, p->stack < q->stack ? *q : *p);
        }
        i += order <= 0;
        j += order >= 0;
    }
    return memory->full ? STACK_NONE : intern_stack(automaton, first);
}

/* ---- Steps ---- */

static void begin_step(struct automaton_memory *memory) {
    memory->step++;
    memory->step_work = 0;
    memory->queue_length = 0;
    memory->due_count = 0;
    memory->accepts = false;
    memory->full = false;
    memory->staged = 0;
}

/* An instruction is reached with a stack. Where it had been reached with another one, it goes on with
 * both. */
static void reach(struct grammar_automaton *automaton, uint32_t instruction, uint32_t stack) {
    struct automaton_memory *memory = automaton->memory;
    if (memory->full) {
        return;
    }
    if (memory->reached_in[instruction] == memory->step) {
        stack = unite(automaton, memory->reached[instruction], stack, 0);
        if (stack == memory->reached[instruction]) {
            return;
        }
    } else {
        memory->reached_in[instruction] = memory->step;
        memory->queued[instruction] = automaton->grammar->program[instruction].operation ==
                                      GRAMMAR_BYTES; /* there is nothing to follow */
        if (memory->queued[instruction]) {
            memory->due[memory->due_count++] = instruction;
        }
    }
    memory->reached[instruction] = stack;
    if (!memory->queued[instruction]) {
        memory->queued[instruction] = true;
        memory->queue[memory->queue_length++] = instruction;
    }
}

static void enter_loop(struct grammar_automaton *automaton, uint32_t instruction, uint32_t stack) {
    const struct grammar *grammar = automaton->grammar;
    const struct grammar_loop *loop = &grammar->loops[grammar->program[instruction].operand];
    if (loop->least == 0) {
        reach(automaton, loop->end, stack);
    }
    reach(automaton, instruction + 1, push_place(automaton, instruction, 0, stack));
}

/* Stages a place behind those from `first` on, which are not behind it. */
static void stage_or_unite(struct grammar_automaton *automaton, size_t first, struct place place) {
    struct automaton_memory *memory = automaton->memory;
    struct place *last = memory->staged > first ? &memory->stage[memory->staged - 1] : NULL;
    if (last != NULL && compare_places(last, &place) == 0) {
        last->stack = unite(automaton, last->stack, place.stack, 0);
    } else {
        stage_place(automaton, first, place);
    }
}

/* A time of a loop is over, for each of the places, which are all the same but for their times. What
 * follows goes on with all of them at once: one by one they would make as many stacks. */
static void end_times(struct grammar_automaton *automaton, const struct place *places,
                      size_t count) {
    struct automaton_memory *memory = automaton->memory;
    const uint32_t instruction = places->instruction;
    const struct grammar *grammar = automaton->grammar;
    const struct grammar_loop *loop = &grammar->loops[grammar->program[instruction].operand];
    const bool unbounded = loop->most == GRAMMAR_UNBOUNDED;
    const size_t first = memory->staged;
    for (size_t i = 0; i < count && !memory->full; i++) {
        struct place place = places[i];
        uint32_t done = place.times + 1;
        if (done >= loop->least) {
            reach(automaton, loop->end, place.stack);
        }
        if (unbounded || done < loop->most) {
            /* Without a most, all times from the least on are the same. */
            place.times = unbounded && done > loop->least ? loop->least : done;
            stage_or_unite(automaton, first, place);
        }
    }
    if (memory->staged > first && !memory->full) {
        reach(automaton, instruction + 1, intern_stack(automaton, first));
    }
}

static void return_from(struct grammar_automaton *automaton, uint32_t index) {
    struct automaton_memory *memory = automaton->memory;
    const struct grammar_instruction *program = automaton->grammar->program;
    const struct stack stack = memory->stacks[index];
    const struct place *places = memory->places + stack.first_place; /* only the end grows */
    memory->step_work += stack.place_count;
    for (size_t i = 0; i < stack.place_count && !memory->full;) {
        size_t end = i + 1;
        switch (program[places[i].instruction].operation) {
        case GRAMMAR_ACCEPT:
            memory->accepts = true;
            break;
        case GRAMMAR_LOOP:
            while (end < stack.place_count && places[end].instruction == places[i].instruction) {
                end++;
            }
            end_times(automaton, places + i, end - i);
            break;
        default:
            reach(automaton, places[i].instruction + 1, places[i].stack);
            break;
        }
        i = end;
    }
}

/* Goes on from an instruction until bytes are due. */
static void follow(struct grammar_automaton *automaton, uint32_t instruction) {
    const struct grammar_instruction *at = &automaton->grammar->program[instruction];
    uint32_t stack = automaton->memory->reached[instruction];
    switch (at->operation) {
    case GRAMMAR_ACCEPT:
    case GRAMMAR_BYTES:
        break;
    case GRAMMAR_SPLIT:
        reach(automaton, instruction + 1, stack);
        reach(automaton, at->operand, stack);
        break;
    case GRAMMAR_JUMP:
        reach(automaton, at->operand, stack);
        break;
    case GRAMMAR_CALL:
        reach(automaton, at->operand, push_place(automaton, instruction, 0, stack));
        break;
    case GRAMMAR_LOOP:
        enter_loop(automaton, instruction, stack);
        break;
    case GRAMMAR_RETURN:
        return_from(automaton, stack);
        break;
    }
}

static void follow_all(struct grammar_automaton *automaton) {
    struct automaton_memory *memory = automaton->memory;
    while (memory->queue_length > 0 && !memory->full) {
        uint32_t instruction = memory->queue[--memory->queue_length];
        memory->queued[instruction] = false;
        memory->step_work++;
        follow(automaton, instruction);
    }
    automaton->work += memory->step_work;
}

static int compare_numbers(const void *a, const void *b) {
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Short lists are the rule. */
static void sort_due(struct automaton_memory *memory) {
    if (memory->due_count > 32) {
        qsort(memory->due, memory->due_count, sizeof *memory->due, compare_numbers);
        return;
    }
    for (size_t i = 1; i < memory->due_count; i++) {
        uint32_t instruction = memory->due[i];
        size_t place = i;
        for (; place > 0 && memory->due[place - 1] > instruction; place--) {
            memory->due[place] = memory->due[place - 1];
        }
        memory->due[place] = instruction;
    }
}

static bool has_pairs(const struct automaton_memory *memory, const struct automaton_state *state,
                      const struct pair *pairs, size_t count) {
    return state->pair_count == count &&
           memcmp(memory->pairs + state->first_pair, pairs, count * sizeof *pairs) == 0;
}

static uint32_t add_state(struct grammar_automaton *automaton, size_t count, uint32_t hash) {
    struct automaton_memory *memory = automaton->memory;
    const struct grammar *grammar = automaton->grammar;
    if (automaton->state_count == automaton->states_max) {
        return AUTOMATON_FULL;
    }
    uint32_t index = (uint32_t)automaton->state_count++;
    uint32_t *chain = &memory->state_chains[hash % STATE_CHAINS];
    struct automaton_state state = {
        .first_pair = (uint32_t)memory->pair_count,
        .pair_count = (uint32_t)count,
        .hash = hash,
        .chain = *chain,
        .cost = memory->accepts ? 0 : COST_MOST,
        .accepts = memory->accepts,
    };
    for (size_t i = 0; i < count; i++) {
        const struct pair *pair = &memory->pairs[memory->pair_count++];
        uint32_t cost =
            add_costs(grammar->costs[pair->instruction], memory->stacks[pair->stack].cost);
        state.cost = cost < state.cost ? cost : state.cost;
    }
    automaton->states[index] = state;
    for (size_t i = 0; i < grammar->class_count; i++) {
        automaton->next[index * grammar->class_count + i] = AUTOMATON_UNKNOWN;
    }
    *chain = index;
    return index;
}

/* The state of the bytes that are due. Its pairs are written behind all others, and stay there if it
 * is new. */
static uint32_t end_step(struct grammar_automaton *automaton) {
    struct automaton_memory *memory = automaton->memory;
    size_t count = memory->due_count;
    if (memory->full || PAIRS_MAX - memory->pair_count < count) {
        return AUTOMATON_FULL;
    }
    if (count == 0 && !memory->accepts) {
        return AUTOMATON_DEAD;
    }
    sort_due(memory);
    struct pair *pairs = memory->pairs + memory->pair_count;
    for (size_t i = 0; i < count; i++) {
        pairs[i] = (struct pair){memory->due[i], memory->reached[memory->due[i]]};
    }
    uint32_t hash = hash_words(pairs, count * sizeof *pairs) ^ memory->accepts;
    for (uint32_t i = memory->state_chains[hash % STATE_CHAINS]; i != AUTOMATON_DEAD;
         i = automaton->states[i].chain) {
        const struct automaton_state *state = &automaton->states[i];
        if (state->hash == hash && state->accepts == memory->accepts &&
            has_pairs(memory, state, pairs, count)) {
            return i;
        }
    }
    return add_state(automaton, count, hash);
}

uint32_t grammar_automaton_start(struct grammar_automaton *automaton) {
    begin_step(automaton->memory);
    reach(automaton, automaton->grammar->start, STACK_BOTTOM);
    follow_all(automaton);
    return end_step(automaton);
}

uint32_t grammar_automaton_find(struct grammar_automaton *automaton, uint32_t state,
                                uint8_t class) {
    struct automaton_memory *memory = automaton->memory;
    const struct grammar *grammar = automaton->grammar;
    const struct automaton_state *from = &automaton->states[state];
    begin_step(memory);
    for (size_t i = 0; i < from->pair_count && !memory->full; i++) {
        const struct pair pair = memory->pairs[from->first_pair + i];
        if (byte_set_has(&grammar->sets[grammar->program[pair.instruction].operand], class)) {
            reach(automaton, pair.instruction + 1, pair.stack);
        }
    }
    automaton->work += from->pair_count;
    follow_all(automaton);
    uint32_t next = end_step(automaton);
    if (next != AUTOMATON_FULL) {
        automaton->next[state * grammar->class_count + class] = next;
    }
    return next;
}

/* ---- Twins ---- */

struct comparison {
    const struct grammar_automaton *automaton;
    uint32_t times;
    uint64_t shift;
    size_t left; /* places to look at; what is larger is different */
};

/* Do two numbers of times pass the same tests for some times more? See end_times. */
static bool are_as_far(const struct grammar_loop *loop, uint64_t a, uint64_t b, uint32_t times) {
    const uint64_t less = a < b ? a : b;
    const uint64_t more = a < b ? b : a;
    bool begun = more + 1 + times < loop->least;
    bool amid = less + 1 >= loop->least &&
                (loop->most == GRAMMAR_UNBOUNDED || more + 1 + times < loop->most);
    return a == b || begun || amid;
}

static bool are_twin_stacks(struct comparison *comparison, uint32_t a, uint32_t b) {
    const struct automaton_memory *memory = comparison->automaton->memory;
    const struct grammar *grammar = comparison->automaton->grammar;
    const struct stack *x = &memory->stacks[a];
    const struct stack *y = &memory->stacks[b];
    if (a == b) {
        return true;
    }
    for (size_t i = 0; x->place_count == y->place_count && i < x->place_count; i++) {
        const struct place *p = &memory->places[x->first_place + i];
        const struct place *q = &memory->places[y->first_place + i];
        const struct grammar_instruction *at = &grammar->program[p->instruction];
        if (p->instruction != q->instruction || comparison->left == 0) {
            return false;
        }
        comparison->left--;
        if (at->operation == GRAMMAR_LOOP) {
            const struct grammar_loop *loop = &grammar->loops[at->operand];
            uint32_t apart = p->times > q->times ? p->times - q->times : q->times - p->times;
            comparison->shift += (uint64_t)apart * loop->cost;
            if (!are_as_far(loop, p->times, q->times, comparison->times)) {
                return false;
            }
        }
        if (!are_twin_stacks(comparison, p->stack, q->stack)) {
            return false;
        }
    }
    return x->place_count == y->place_count;
}

bool grammar_automaton_are_twins(struct grammar_automaton *automaton, uint32_t a, uint32_t b,
                                 uint32_t times, uint32_t *shift) {
    enum { PLACES_COMPARED_MAX = 256 };
    const struct automaton_memory *memory = automaton->memory;
    const struct automaton_state *x = &automaton->states[a];
    const struct automaton_state *y = &automaton->states[b];
    struct comparison comparison = {
        .automaton = automaton, .times = times, .left = PLACES_COMPARED_MAX};
    bool twins = x->pair_count == y->pair_count && x->accepts == y->accepts &&
                 x->pair_count <= PLACES_COMPARED_MAX;
    for (size_t i = 0; twins && i < x->pair_count; i++) {
        const struct pair *p = &memory->pairs[x->first_pair + i];
        const struct pair *q = &memory->pairs[y->first_pair + i];
        twins =
            p->instruction == q->instruction && are_twin_stacks(&comparison, p->stack, q->stack);
    }
    automaton->work += PLACES_COMPARED_MAX - comparison.left;
    *shift = comparison.shift < COST_MOST ? (uint32_t)comparison.shift : COST_MOST;
    return twins;
}

/* ---- Collection ---- */

/* Leaves each stack the place from which the end is nearest: so no cost changes. */
static void thin_stacks(struct grammar_automaton *automaton) {
    struct automaton_memory *memory = automaton->memory;
    for (size_t i = STACK_BOTTOM + 1; i < memory->stack_count; i++) {
        struct stack *stack = &memory->stacks[i];
        struct place *places = memory->places + stack->first_place;
        size_t nearest = 0;
        while (nearest + 1 < stack->place_count &&
               cost_of_place(automaton, &places[nearest]) > stack->cost) {
            nearest++;
        }
        places[0] = places[nearest];
        stack->place_count = 1;
    }
}

static void mark_stacks(struct automaton_memory *memory) {
    for (size_t i = memory->stack_count; i-- > STACK_BOTTOM + 1;) {
        const struct stack *stack = &memory->stacks[i];
        for (size_t p = 0; memory->moved[i] != 0 && p < stack->place_count; p++) {
            memory->moved[memory->places[stack->first_place + p].stack] = 1;
        }
    }
}

/* A stack is made after those that its places return to: what is left keeps its order. */
static void move_stacks(struct automaton_memory *memory) {
    size_t stacks = STACK_BOTTOM + 1;
    size_t places = 1;
    memset(memory->stack_chains, 0, sizeof memory->stack_chains);
    for (size_t i = stacks; i < memory->stack_count; i++) {
        if (memory->moved[i] == 0) {
            continue;
        }
        struct stack stack = memory->stacks[i];
        struct place *moved = memory->places + places;
        memmove(moved, memory->places + stack.first_place, stack.place_count * sizeof *moved);
        for (size_t p = 0; p < stack.place_count; p++) {
            moved[p].stack = memory->moved[moved[p].stack];
        }
        stack.first_place = (uint32_t)places;
        stack.hash = hash_words(moved, stack.place_count * sizeof *moved);
        stack.chain = memory->stack_chains[stack.hash % STACK_CHAINS];
        memory->stack_chains[stack.hash % STACK_CHAINS] = (uint32_t)stacks;
        places += stack.place_count;
        memory->moved[i] = (uint32_t)stacks;
        memory->stacks[stacks++] = stack;
    }
    memory->stack_count = stacks;
    memory->place_count = places;
}

/* Makes a state again. States go in the order in which they were, so that nothing is written over
 * what is still to be moved. */
static uint32_t move_state(struct grammar_automaton *automaton, struct automaton_state state) {
    struct automaton_memory *memory = automaton->memory;
    struct pair *moved = memory->pairs + memory->pair_count;
    memmove(moved, memory->pairs + state.first_pair, state.pair_count * sizeof *moved);
    for (size_t p = 0; p < state.pair_count; p++) {
        moved[p].stack = memory->moved[moved[p].stack];
    }
    memory->accepts = state.accepts;
    return add_state(automaton, state.pair_count,
                     hash_words(moved, state.pair_count * sizeof *moved) ^ state.accepts);
}

/* What `old` has become, one of so many sorted states, of what they have become. */
static uint32_t moved_to(const uint32_t *sorted, const uint32_t *moved, size_t count,
                         uint32_t old) {
    size_t i = 0;
    while (sorted[i] != old) {
        i++;
        assert(i < count);
    }
    return moved[i];
}

void grammar_automaton_collect(struct grammar_automaton *automaton, uint32_t *states, size_t count,
                               bool thin) {
    struct automaton_memory *memory = automaton->memory;
    uint32_t sorted[AUTOMATON_KEPT_MAX];
    uint32_t moved[AUTOMATON_KEPT_MAX];
    if (thin) {
        thin_stacks(automaton);
    }
    memset(memory->moved, 0, memory->stack_count * sizeof *memory->moved);
    for (size_t i = 0; i < count; i++) {
        const struct automaton_state *state = &automaton->states[states[i]];
        for (size_t p = 0; p < state->pair_count; p++) {
            memory->moved[memory->pairs[state->first_pair + p].stack] = 1;
        }
        sorted[i] = states[i];
    }
    mark_stacks(memory);
    memory->moved[STACK_NONE] = STACK_NONE;
    memory->moved[STACK_BOTTOM] = STACK_BOTTOM;
    move_stacks(memory);
    qsort(sorted, count, sizeof *sorted, compare_numbers);
    memory->pair_count = 0;
    automaton->state_count = 1;
    memset(memory->state_chains, 0, sizeof memory->state_chains);
    for (size_t i = 0; i < count; i++) {
        moved[i] = sorted[i] == AUTOMATON_DEAD ? AUTOMATON_DEAD
                   : i > 0 && sorted[i] == sorted[i - 1]
                       ? moved[i - 1]
                       : move_state(automaton, automaton->states[sorted[i]]);
    }
    for (size_t i = 0; i < count; i++) {
        states[i] = moved_to(sorted, moved, count, states[i]);
    }
}
