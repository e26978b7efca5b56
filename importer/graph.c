#include "importer/graph.h"

#include "engine/secret_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file may hold a hundred thousand subgraphs of one node each. */
enum { CAPACITY_FIRST = 4 };

struct graph_name_slot {
    int value; /* plus one; 0 is an empty slot */
};

/* ---- Building ---- */

struct graph *graph_open(struct graph *outer, struct error *err) {
    struct graph *graph =
        outer != NULL ? arena_allocate(outer->arena, 1, sizeof *graph) : calloc(1, sizeof *graph);
    if (graph == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a graph");
        return NULL;
    }
    if (outer == NULL) {
        arena_init(&graph->own_arena);
        graph->arena = &graph->own_arena;
    } else {
        graph->arena = outer->arena;
    }
    return graph;
}

void graph_close(struct graph *graph) {
    if (graph != NULL) {
        arena_deinit(&graph->own_arena);
        free(graph);
    }
}

/* `items` with room for one more: itself, or a copy of twice the capacity. NULL when memory is out.
 */
static void *with_room(struct arena *arena, void *items, size_t count, size_t *capacity,
                       size_t size) {
    if (count < *capacity) {
        return items;
    }
    size_t doubled = *capacity == 0 ? CAPACITY_FIRST : *capacity * 2;
    void *larger = arena_allocate(arena, doubled, size);
    if (larger != NULL) {
        if (count > 0) {
            memcpy(larger, items, count * size);
        }
        *capacity = doubled;
    }
    return larger;
}

static int add_value(struct graph *graph, const char *name) {
    struct graph_value *values = with_room(graph->arena, graph->values, graph->value_count,
                                           &graph->value_capacity, sizeof *values);
    char *copy = arena_copy_text(graph->arena, name, strlen(name));
    if (values == NULL || copy == NULL) {
        return GRAPH_NONE;
    }
    graph->values = values;
    values[graph->value_count] = (struct graph_value){
        .name = copy,
        .producer = GRAPH_NONE,
        .replaced_by = GRAPH_NONE,
    };
    return (int)graph->value_count++;
}

/* The slot that holds the name, or the empty one where it belongs. */
static struct graph_name_slot *find_slot(const struct graph *graph, const char *name) {
    size_t mask = graph->name_capacity - 1;
    size_t i = (size_t)secret_hash(name, strlen(name)) & mask;
    while (graph->names[i].value != 0 &&
           strcmp(graph->values[graph->names[i].value - 1].name, name) != 0) {
        i = (i + 1) & mask;
    }
    return &graph->names[i];
}

/* Keeps the table at most half full; unnamed values are in no slot, which only makes it emptier. */
static bool grow_names(struct graph *graph) {
    if (graph->value_count * 2 < graph->name_capacity) {
        return true;
    }
    size_t old_capacity = graph->name_capacity;
    struct graph_name_slot *old = graph->names;
    size_t capacity = old_capacity == 0 ? (size_t)4 * CAPACITY_FIRST : old_capacity * 2;
    struct graph_name_slot *names = arena_allocate(graph->arena, capacity, sizeof *names);
    if (names == NULL) {
        return false;
    }
    graph->names = names;
    graph->name_capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].value != 0) {
            *find_slot(graph, graph->values[old[i].value - 1].name) = old[i];
        }
    }
    return true;
}

int graph_value_named(struct graph *graph, const char *name) {
    if (!grow_names(graph)) {
        return GRAPH_NONE;
    }
    struct graph_name_slot *slot = find_slot(graph, name);
    if (slot->value == 0) {
        int value = add_value(graph, name);
        if (value == GRAPH_NONE) {
            return GRAPH_NONE;
        }
        slot->value = value + 1;
    }
    return slot->value - 1;
}

int graph_find(const struct graph *graph, const char *name) {
    return graph->name_capacity == 0 ? GRAPH_NONE : find_slot(graph, name)->value - 1;
}

static int *allocate_ids(struct graph *graph, size_t count) {
    int *ids = arena_allocate(graph->arena, count, sizeof *ids);
    for (size_t i = 0; ids != NULL && i < count; i++) {
        ids[i] = GRAPH_NONE;
    }
    return ids;
}

struct graph_node *graph_add_node(struct graph *graph, size_t inputs, size_t outputs,
                                  size_t attributes) {
    struct graph_node *nodes = with_room(graph->arena, graph->nodes, graph->node_count,
                                         &graph->node_capacity, sizeof *nodes);
    if (nodes == NULL) {
        return NULL;
    }
    graph->nodes = nodes;
    struct graph_node node = {
        .name = "",
        .domain = "",
        .op = "",
        .inputs = allocate_ids(graph, inputs),
        .input_count = inputs,
        .outputs = allocate_ids(graph, outputs),
        .output_count = outputs,
        .attributes = arena_allocate(graph->arena, attributes, sizeof(struct graph_attribute)),
        .attribute_count = attributes,
    };
    if (node.inputs == NULL || node.outputs == NULL || node.attributes == NULL) {
        return NULL;
    }
    nodes[graph->node_count] = node;
    return &nodes[graph->node_count++];
}

int graph_add_constant(struct graph *graph, const char *name, const struct tensor *tensor) {
    struct tensor *copy = arena_allocate(graph->arena, 1, sizeof *copy);
    int value = copy != NULL ? add_value(graph, name) : GRAPH_NONE;
    if (value != GRAPH_NONE) {
        *copy = *tensor;
        graph->values[value].constant = copy;
    }
    return value;
}

/* ---- Finishing: producers, order, liveness ---- */

static bool set_producers(struct graph *graph, struct error *err) {
    for (size_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        for (size_t i = 0; i < node->output_count; i++) {
            if (node->outputs[i] == GRAPH_NONE) {
                continue;
            }
            struct graph_value *value = &graph->values[node->outputs[i]];
            if (value->producer != GRAPH_NONE || value->is_input || value->constant != NULL) {
                char text[GRAPH_DESCRIPTION_BYTES];
                graph_node_describe(node, text);
                return error_set(err, ERROR_BAD_FILE,
                                 "%s writes value \"%s\", which something else defines already",
                                 text, value->name);
            }
            value->producer = (int)n;
        }
    }
    for (size_t v = 0; v < graph->value_count; v++) {
        const struct graph_value *value = &graph->values[v];
        if (value->producer == GRAPH_NONE && !value->is_input && value->constant == NULL) {
            return error_set(err, ERROR_BAD_FILE,
                             "value \"%s\" is read, but no input, initializer or node defines it",
                             value->name);
        }
    }
    return true;
}

enum visit_state { UNSEEN, OPEN, PLACED };

/* The state of a depth-first walk against the edges: a node is placed once all that it reads is. */
struct sorting {
    struct graph *graph;
    unsigned char *states;
    int *stack;         /* open nodes, innermost last */
    size_t *next_input; /* of each open node: the input to look at next */
    size_t depth;
    int *order;
    size_t placed;
};

static void push_open(struct sorting *sorting, int node) {
    sorting->states[node] = OPEN;
    sorting->stack[sorting->depth] = node;
    sorting->next_input[sorting->depth++] = 0;
}

static bool place(struct sorting *sorting, int root, struct error *err) {
    const struct graph *graph = sorting->graph;
    push_open(sorting, root);
    while (sorting->depth > 0) {
        int current = sorting->stack[sorting->depth - 1];
        const struct graph_node *node = &graph->nodes[current];
        size_t slot = sorting->next_input[sorting->depth - 1]++;
        if (slot == node->input_count) {
            sorting->states[current] = PLACED;
            sorting->order[sorting->placed++] = current;
            sorting->depth--;
            continue;
        }
        int input = node->inputs[slot];
        int producer = input == GRAPH_NONE ? GRAPH_NONE : graph->values[input].producer;
        if (producer == GRAPH_NONE || sorting->states[producer] == PLACED) {
            continue;
        }
        if (sorting->states[producer] == OPEN) {
            char text[GRAPH_DESCRIPTION_BYTES];
            graph_node_describe(node, text);
            return error_set(err, ERROR_BAD_FILE, "%s is part of a cycle: it reads \"%s\"", text,
                             graph->values[input].name);
        }
        push_open(sorting, producer);
    }
    return true;
}

bool graph_sort(struct graph *graph, struct error *err) {
    size_t count = graph->node_count;
    struct sorting sorting = {
        .graph = graph,
        .states = calloc(count + 1, 1),
        .stack = calloc(count + 1, sizeof(int)),
        .next_input = calloc(count + 1, sizeof(size_t)),
        .order = calloc(count + 1, sizeof(int)),
    };
    struct graph_node *sorted = arena_allocate(graph->arena, count, sizeof *sorted);
    bool sound = sorting.states != NULL && sorting.stack != NULL && sorting.next_input != NULL &&
                 sorting.order != NULL && sorted != NULL;
    if (!sound) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory to sort %zu nodes", count);
    }
    for (size_t n = 0; sound && n < count; n++) {
        if (sorting.states[n] == UNSEEN) {
            sound = place(&sorting, (int)n, err);
        }
    }
    for (size_t n = 0; sound && n < count; n++) {
        sorted[n] = graph->nodes[sorting.order[n]];
        for (size_t i = 0; i < sorted[n].output_count && !sorted[n].removed; i++) {
            if (sorted[n].outputs[i] != GRAPH_NONE) {
                graph->values[sorted[n].outputs[i]].producer = (int)n;
            }
        }
    }
    if (sound) {
        graph->nodes = sorted;
        graph->node_capacity = count;
    }
    free(sorting.states);
    free(sorting.stack);
    free(sorting.next_input);
    free(sorting.order);
    return sound;
}

bool graph_finish(struct graph *graph, struct error *err) {
    if (!set_producers(graph, err) || !graph_sort(graph, err)) {
        return false;
    }
    graph_sweep(graph);
    return true;
}

/* ---- Reading ---- */

static int resolve(const struct graph *graph, int value) {
    while (value != GRAPH_NONE && graph->values[value].replaced_by != GRAPH_NONE) {
        value = graph->values[value].replaced_by;
    }
    return value;
}

int graph_input(const struct graph *graph, const struct graph_node *node, size_t slot) {
    return slot < node->input_count ? resolve(graph, node->inputs[slot]) : GRAPH_NONE;
}

int graph_output(const struct graph *graph, size_t i) {
    int declared = graph->outputs[i];
    return graph->values[declared].unread ? GRAPH_NONE : resolve(graph, declared);
}

int graph_used_output(const struct graph *graph, const struct graph_node *node, size_t slot) {
    int value = slot < node->output_count ? node->outputs[slot] : GRAPH_NONE;
    return value != GRAPH_NONE && graph->values[value].uses > 0 ? value : GRAPH_NONE;
}

struct graph_node *graph_producer(const struct graph *graph, int value) {
    value = resolve(graph, value);
    int producer = value == GRAPH_NONE ? GRAPH_NONE : graph->values[value].producer;
    return producer == GRAPH_NONE ? NULL : &graph->nodes[producer];
}

int graph_reshaped(const struct graph *graph, int value) {
    value = resolve(graph, value);
    const struct graph_node *node = graph_producer(graph, value);
    while (node != NULL && graph_node_is(node, "", "Reshape")) {
        value = graph_input(graph, node, 0);
        node = graph_producer(graph, value);
    }
    return value;
}

const struct tensor *graph_constant(const struct graph *graph, int value) {
    value = resolve(graph, value);
    return value == GRAPH_NONE ? NULL : graph->values[value].constant;
}

bool graph_scalar(const struct graph *graph, int value, double *number) {
    const struct tensor *tensor = graph_constant(graph, value);
    if (tensor == NULL || tensor->count != 1) {
        return false;
    }
    *number = tensor_number(tensor, 0);
    return true;
}

bool graph_node_is(const struct graph_node *node, const char *domain, const char *op) {
    return strcmp(node->op, op) == 0 && strcmp(node->domain, domain) == 0;
}

const struct graph_attribute *graph_attribute(const struct graph_node *node, const char *name) {
    for (size_t i = 0; i < node->attribute_count; i++) {
        if (node->attributes[i].name != NULL && strcmp(node->attributes[i].name, name) == 0) {
            return &node->attributes[i];
        }
    }
    return NULL;
}

int64_t graph_attribute_int(const struct graph_node *node, const char *name, int64_t fallback) {
    const struct graph_attribute *attribute = graph_attribute(node, name);
    return attribute != NULL && attribute->kind == ATTRIBUTE_INT ? attribute->integer : fallback;
}

float graph_attribute_float(const struct graph_node *node, const char *name, float fallback) {
    const struct graph_attribute *attribute = graph_attribute(node, name);
    return attribute != NULL && attribute->kind == ATTRIBUTE_FLOAT ? attribute->number : fallback;
}

const char *graph_attribute_text(const struct graph_node *node, const char *name,
                                 const char *fallback) {
    const struct graph_attribute *attribute = graph_attribute(node, name);
    return attribute != NULL && attribute->kind == ATTRIBUTE_STRING ? attribute->text : fallback;
}

const struct tensor *graph_branch_output(const struct graph_node *node, const char *name,
                                         size_t slot) {
    const struct graph_attribute *branch = graph_attribute(node, name);
    if (branch == NULL || branch->kind != ATTRIBUTE_GRAPH ||
        slot >= branch->subgraph->output_count) {
        return NULL;
    }
    int output = branch->subgraph->outputs[slot];
    const struct tensor *constant = graph_constant(branch->subgraph, output);
    const struct graph_node *producer = graph_producer(branch->subgraph, output);
    if (constant == NULL && producer != NULL && graph_node_is(producer, "", "Constant")) {
        const struct graph_attribute *value = graph_attribute(producer, "value");
        constant = value != NULL ? value->tensor : NULL;
    }
    return constant;
}

void graph_node_describe(const struct graph_node *node, char *text) {
    bool standard = node->domain[0] == '\0';
    snprintf(text, GRAPH_DESCRIPTION_BYTES, "node %.150s (%.40s%s%.60s)",
             node->name[0] != '\0' ? node->name : "?", node->domain,
             standard ? "" : "::", node->op);
}

const char *graph_value_name(const struct graph *graph, int value) {
    return value == GRAPH_NONE ? "(none)" : graph->values[value].name;
}

bool graph_take_census(const struct graph *graph, struct graph_census *census) {
    *census = (struct graph_census){
        .operators = arena_allocate(graph->arena, GRAPH_CENSUS_MAX, sizeof *census->operators)};
    for (size_t n = 0; census->operators != NULL && n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        size_t i = 0;
        while (!node->removed && i < census->count &&
               !graph_node_is(node, census->operators[i].domain, census->operators[i].op)) {
            i++;
        }
        if (node->removed) {
            continue;
        }
        if (i == GRAPH_CENSUS_MAX) {
            census->others++;
            continue;
        }
        if (i == census->count) {
            census->operators[census->count++] =
                (struct graph_operator_count){.domain = node->domain, .op = node->op};
        }
        census->operators[i].count++;
    }
    return census->operators != NULL;
}

/* ---- Rewriting ---- */

void graph_replace(struct graph *graph, int old, int replacement) {
    old = resolve(graph, old);
    replacement = resolve(graph, replacement);
    if (old != replacement) {
        graph->values[old].replaced_by = replacement;
    }
}

bool graph_rewrite(struct graph *graph, struct graph_node *node, const char *domain, const char *op,
                   size_t inputs, size_t attributes) {
    if (inputs > node->input_count) {
        int *ids = allocate_ids(graph, inputs);
        if (ids == NULL) {
            return false;
        }
        memcpy(ids, node->inputs, node->input_count * sizeof *ids);
        node->inputs = ids;
        node->input_count = inputs;
    }
    if (attributes > 0) {
        size_t count = node->attribute_count + attributes;
        struct graph_attribute *larger = arena_allocate(graph->arena, count, sizeof *larger);
        if (larger == NULL) {
            return false;
        }
        memcpy(larger, node->attributes, node->attribute_count * sizeof *larger);
        node->attributes = larger;
        node->attribute_count = count;
    }
    node->domain = domain;
    node->op = op;
    return true;
}

/* The attribute of that name, or the first empty one (name == NULL). */
static struct graph_attribute *attribute_slot(struct graph_node *node, const char *name) {
    struct graph_attribute *empty = NULL;
    for (size_t i = 0; i < node->attribute_count; i++) {
        struct graph_attribute *attribute = &node->attributes[i];
        if (attribute->name == NULL) {
            empty = empty == NULL ? attribute : empty;
        } else if (strcmp(attribute->name, name) == 0) {
            return attribute;
        }
    }
    return empty;
}

void graph_set_int(struct graph_node *node, const char *name, int64_t value) {
    *attribute_slot(node, name) =
        (struct graph_attribute){.name = name, .kind = ATTRIBUTE_INT, .integer = value};
}

void graph_set_float(struct graph_node *node, const char *name, float value) {
    *attribute_slot(node, name) =
        (struct graph_attribute){.name = name, .kind = ATTRIBUTE_FLOAT, .number = value};
}

static bool has_used_output(const struct graph *graph, const struct graph_node *node) {
    for (size_t i = 0; i < node->output_count; i++) {
        if (graph_used_output(graph, node, i) != GRAPH_NONE) {
            return true;
        }
    }
    return false;
}

void graph_sweep(struct graph *graph) {
    for (size_t v = 0; v < graph->value_count; v++) {
        graph->values[v].uses = 0;
        graph->values[v].is_output = false;
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        int output = graph_output(graph, i);
        if (output != GRAPH_NONE) {
            graph->values[output].uses++;
            graph->values[output].is_output = true;
        }
    }
    /* Backwards: when a node is met, all that can read it has been counted. */
    for (size_t n = graph->node_count; n-- > 0;) {
        struct graph_node *node = &graph->nodes[n];
        node->removed = node->removed || !has_used_output(graph, node);
        for (size_t i = 0; !node->removed && i < node->input_count; i++) {
            node->inputs[i] = resolve(graph, node->inputs[i]);
            if (node->inputs[i] != GRAPH_NONE) {
                graph->values[node->inputs[i]].uses++;
            }
        }
    }
}
