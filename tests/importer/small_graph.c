#include "small_graph.h"

#include "importer/lower.h"
#include "importer/passes/passes.h"

#include <criterion/criterion.h>
#include <string.h>

struct graph *small_graph(void) {
    struct error err = {0};
    struct graph *graph = graph_open(NULL, &err);
    cr_assert(graph != NULL, "%s", err.text);
    graph->inputs = arena_allocate(graph->arena, 16, sizeof(int));
    graph->outputs = arena_allocate(graph->arena, 16, sizeof(int));
    return graph;
}

int add_input(struct graph *graph, const char *name, enum tensor_type type, size_t rank) {
    int id = graph_value_named(graph, name);
    int64_t *dims = arena_allocate(graph->arena, rank, sizeof *dims);
    for (size_t i = 0; i < rank; i++) {
        dims[i] = GRAPH_DIM_SYMBOLIC;
    }
    struct graph_value *value = &graph->values[id];
    value->is_input = true;
    value->type = type;
    value->rank = rank;
    value->dims = dims;
    graph->inputs[graph->input_count++] = id;
    return id;
}

void add_output(struct graph *graph, const char *name) {
    graph->outputs[graph->output_count++] = graph_value_named(graph, name);
}

int add_elements(struct graph *graph, const char *name, enum tensor_type type, size_t rank,
                 const int64_t *dims, const void *values) {
    struct error err = {0};
    struct tensor *tensor = arena_allocate(graph->arena, 1, sizeof *tensor);
    uint8_t *bytes = tensor_allocate(tensor, graph->arena, type, rank, dims, &err);
    cr_assert(bytes != NULL, "%s", err.text);
    memcpy(bytes, values, tensor->size);
    int id = graph_value_named(graph, name);
    graph->values[id].constant = tensor;
    return id;
}

int add_integers(struct graph *graph, const char *name, size_t rank, const int64_t *dims,
                 const int64_t *values) {
    return add_elements(graph, name, TENSOR_I64, rank, dims, values);
}

int add_floats(struct graph *graph, const char *name, size_t rank, const int64_t *dims,
               const float *values) {
    return add_elements(graph, name, TENSOR_F32, rank, dims, values);
}

static size_t count_names(const char *names) {
    size_t count = 1;
    for (; (names = strchr(names, ',')) != NULL; names++) {
        count++;
    }
    return count;
}

static void set_ids(struct graph *graph, int *ids, const char *names) {
    for (size_t i = 0;; i++) {
        size_t length = strcspn(names, ",");
        char name[64];
        memcpy(name, names, length);
        name[length] = '\0';
        if (length > 0) {
            ids[i] = graph_value_named(graph, name);
        }
        if (names[length] == '\0') {
            return;
        }
        names += length + 1;
    }
}

struct graph_node *add_node(struct graph *graph, const char *domain, const char *op,
                            const char *inputs, const char *outputs) {
    struct graph_node *node =
        graph_add_node(graph, count_names(inputs), count_names(outputs), ATTRIBUTES_MAX);
    node->name = op;
    node->domain = domain;
    node->op = op;
    set_ids(graph, node->inputs, inputs);
    set_ids(graph, node->outputs, outputs);
    return node;
}

void set_text(struct graph_node *node, const char *name, const char *text) {
    size_t i = 0;
    graph_set_int(node, name, 0); /* takes a free attribute */
    while (strcmp(node->attributes[i].name, name) != 0) {
        i++;
    }
    node->attributes[i] =
        (struct graph_attribute){.name = name, .kind = ATTRIBUTE_STRING, .text = text};
}

void add_branch(struct graph *graph, struct graph_node *node, size_t index, const char *name,
                size_t outputs, int64_t rows, int64_t columns, const float *values) {
    struct error err = {0};
    struct graph *branch = graph_open(graph, &err);
    cr_assert(branch != NULL, "%s", err.text);
    branch->outputs = arena_allocate(graph->arena, outputs, sizeof(int));
    for (size_t i = 0; i < outputs; i++) {
        const char output[] = {(char)('a' + i), '\0'};
        branch->outputs[branch->output_count++] =
            add_floats(branch, output, 2, (const int64_t[]){rows, columns}, values);
    }
    node->attributes[index] =
        (struct graph_attribute){.name = name, .kind = ATTRIBUTE_GRAPH, .subgraph = branch};
}

const struct graph_node *find_node(const struct graph *graph, const char *op) {
    const struct graph_node *found = NULL;
    for (size_t n = 0; n < graph->node_count; n++) {
        if (!graph->nodes[n].removed && strcmp(graph->nodes[n].op, op) == 0) {
            cr_assert(found == NULL, "two nodes of %s are left", op);
            found = &graph->nodes[n];
        }
    }
    return found;
}

static const struct model_config configuration = {
    .source = "(none)",
    .input_ids = "input_ids",
    .attention_mask = "attention_mask",
    .position_ids = "position_ids",
    .past_key = "past.%d.key",
    .past_value = "past.%d.value",
    .present_key = "present.%d.key",
    .present_value = "present.%d.value",
    .logits = "logits",
    .context_length = 16,
};

char *lower_small_graph(struct graph *graph, struct plan *plan) {
    struct error err = {0};
    char *reasons = NULL;
    add_output(graph, "logits");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    cr_assert(passes_run(graph, &configuration, &err), "%s", err.text);
    plan_init(plan);
    if (!lower(plan, graph, &configuration, &reasons, &err)) {
        return reasons != NULL ? reasons : strdup(err.text);
    }
    cr_assert(plan_verify(plan, &err), "%s", err.text);
    return NULL;
}

void expect_reason(const char *reasons, const char *expected) {
    cr_expect(reasons != NULL && strstr(reasons, expected) != NULL, "\"%s\" does not say \"%s\"",
              reasons, expected);
}
