#include "importer/graph.h"

#include "small_graph.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(graph, nodes_are_sorted_so_that_producers_come_first) {
    struct graph *graph = small_graph();
    struct error err = {0};
    add_input(graph, "x", TENSOR_F32, 1);
    add_node(graph, "", "Last", "b", "y");
    add_node(graph, "", "Middle", "a", "b");
    add_node(graph, "", "First", "x", "a");
    add_output(graph, "y");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    cr_assert_str_eq(graph->nodes[0].op, "First");
    cr_assert_str_eq(graph->nodes[2].op, "Last");
    cr_assert_str_eq(graph_producer(graph, graph_find(graph, "b"))->op, "Middle");
    graph_close(graph);
}

static void expect_refused(struct graph *graph, const char *expected) {
    struct error err = {0};
    cr_expect_not(graph_finish(graph, &err), "a graph passed that should fail: %s", expected);
    cr_expect(strstr(err.text, expected) != NULL, "\"%s\" does not say \"%s\"", err.text, expected);
    graph_close(graph);
}

Test(graph, a_cycle_is_refused) {
    struct graph *graph = small_graph();
    add_node(graph, "", "One", "b", "a");
    add_node(graph, "", "Two", "a", "b");
    add_output(graph, "a");
    expect_refused(graph, "part of a cycle");
}

Test(graph, a_value_that_nothing_defines_is_refused) {
    struct graph *graph = small_graph();
    add_node(graph, "", "One", "nowhere", "a");
    add_output(graph, "a");
    expect_refused(graph, "\"nowhere\" is read, but");
}

Test(graph, a_value_that_two_nodes_write_is_refused) {
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F32, 1);
    add_node(graph, "", "One", "x", "a");
    add_node(graph, "", "Two", "x", "a");
    add_output(graph, "a");
    expect_refused(graph, "node Two (Two) writes value \"a\"");
}

Test(graph, a_node_that_writes_an_input_is_refused) {
    struct graph *graph = small_graph();
    add_input(graph, "x", TENSOR_F32, 1);
    add_node(graph, "", "One", "", "x");
    add_output(graph, "x");
    expect_refused(graph, "which something else defines already");
}

Test(graph, replacing_a_value_rewires_readers_and_removes_its_producer) {
    struct graph *graph = small_graph();
    struct error err = {0};
    int x = add_input(graph, "x", TENSOR_F32, 1);
    add_node(graph, "", "Identity", "x", "a");
    add_node(graph, "", "Neg", "a", "y");
    add_output(graph, "y");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    graph_replace(graph, graph_find(graph, "a"), x);
    graph_sweep(graph);
    cr_assert(graph->nodes[0].removed);
    cr_assert_not(graph->nodes[1].removed);
    cr_assert_eq(graph->nodes[1].inputs[0], x);
    cr_assert_eq(graph->values[x].uses, 1);
    graph_close(graph);
}

Test(graph, a_replaced_output_stays_an_output) {
    struct graph *graph = small_graph();
    struct error err = {0};
    add_input(graph, "x", TENSOR_F32, 1);
    add_node(graph, "", "Neg", "x", "a");
    add_node(graph, "", "Identity", "a", "y");
    add_output(graph, "y");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    graph_replace(graph, graph_find(graph, "y"), graph_find(graph, "a"));
    graph_sweep(graph);
    cr_assert_eq(graph_output(graph, 0), graph_find(graph, "a"));
    cr_assert_eq(graph->outputs[0], graph_find(graph, "y"), "what is declared stays");
    cr_assert_not(graph->nodes[0].removed);
    cr_assert(graph->nodes[1].removed);
    graph_close(graph);
}

Test(graph, a_thousand_names_are_found_again) {
    struct graph *graph = small_graph();
    char name[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "value%d", i);
        cr_assert_eq(graph_value_named(graph, name), i);
    }
    cr_assert_eq(graph_find(graph, "value777"), 777);
    cr_assert_eq(graph_find(graph, "value1000"), GRAPH_NONE);
    graph_close(graph);
}
