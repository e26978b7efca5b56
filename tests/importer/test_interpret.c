#include "importer/interpret.h"

#include "small_graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Evaluates value "y" of a finished graph without inputs. */
static const struct tensor *evaluate(struct graph *graph, struct interpretation *run,
                                     struct error *err) {
    add_output(graph, "y");
    cr_assert(graph_finish(graph, err), "%s", err->text);
    cr_assert(interpretation_init(run, graph, err), "%s", err->text);
    return interpretation_value(run, graph_find(graph, "y"), err);
}

/* ---- Operators on integers: inputs a and b, expected shape and values ---- */

enum { DIMS_MAX = 3, VALUES_MAX = 12 };

struct operand {
    size_t rank;
    int64_t dims[DIMS_MAX];
    int64_t values[VALUES_MAX];
};

struct integer_case {
    const char *op;
    struct operand a;
    struct operand b;
    struct operand expected;
    const char *attribute; /* an int, or NULL */
    int64_t value;
};

#define SCALAR(x)                                                                                  \
    {                                                                                              \
        0, {0}, {                                                                                  \
            x                                                                                      \
        }                                                                                          \
    }
#define LIST(n, ...)                                                                               \
    {                                                                                              \
        1, {n}, {                                                                                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define MATRIX(r, c, ...)                                                                          \
    {                                                                                              \
        2, {r, c}, {                                                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct integer_case integer_cases[] = {
    {"Add", LIST(3, 1, 2, 3), SCALAR(10), LIST(3, 11, 12, 13), NULL, 0},
    {"Sub", MATRIX(2, 2, 1, 2, 3, 4), LIST(2, 1, 2), MATRIX(2, 2, 0, 0, 2, 2), NULL, 0},
    {"Mul", MATRIX(2, 1, 2, 3), MATRIX(1, 2, 5, 7), MATRIX(2, 2, 10, 14, 15, 21), NULL, 0},
    {"Div", LIST(3, 7, -7, 5), SCALAR(2), LIST(3, 3, -3, 2), NULL, 0},
    {"Div", LIST(1, 7), SCALAR(0), LIST(1, 0), NULL, 0},
    {"Mod", LIST(2, 7, -7), SCALAR(3), LIST(2, 1, 2), NULL, 0},
    {"Pow", LIST(2, 3, 4), SCALAR(2), LIST(2, 9, 16), NULL, 0},
    {"Min", LIST(2, 3, 9), SCALAR(5), LIST(2, 3, 5), NULL, 0},
    {"Max", LIST(2, 3, 9), SCALAR(5), LIST(2, 5, 9), NULL, 0},
    {"Equal", LIST(3, 1, -1, 1), SCALAR(-1), LIST(3, 0, 1, 0), NULL, 0},
    {"LessOrEqual", LIST(3, 1, 2, 3), SCALAR(2), LIST(3, 1, 1, 0), NULL, 0},
    {"Greater", LIST(3, 1, 2, 3), SCALAR(2), LIST(3, 0, 0, 1), NULL, 0},
    {"And", LIST(2, 1, 1), LIST(2, 0, 1), LIST(2, 0, 1), NULL, 0},
    {"Or", LIST(2, 0, 1), LIST(2, 0, 0), LIST(2, 0, 1), NULL, 0},
    {"Gather", MATRIX(2, 2, 1, 2, 3, 4), SCALAR(-1), LIST(2, 3, 4), "axis", 0},
    {"Gather", MATRIX(2, 2, 1, 2, 3, 4), LIST(3, 1, 0, 1), MATRIX(2, 3, 2, 1, 2, 4, 3, 4), "axis",
     1},
    {"GatherND", MATRIX(2, 2, 1, 2, 3, 4), MATRIX(2, 1, 1, 0), MATRIX(2, 2, 3, 4, 1, 2), NULL, 0},
    {"GatherND", MATRIX(2, 2, 1, 2, 3, 4), MATRIX(2, 2, 0, 1, 1, -2), LIST(2, 2, 3), NULL, 0},
    {"Reshape", LIST(4, 1, 2, 3, 4), LIST(2, 2, -1), MATRIX(2, 2, 1, 2, 3, 4), NULL, 0},
    {"Reshape", MATRIX(2, 2, 1, 2, 3, 4), LIST(2, 0, -1), MATRIX(2, 2, 1, 2, 3, 4), NULL, 0},
    {"Unsqueeze", LIST(2, 5, 6), LIST(1, -1), MATRIX(2, 1, 5, 6), NULL, 0},
    {"Squeeze", MATRIX(1, 2, 5, 6), LIST(1, 0), LIST(2, 5, 6), NULL, 0},
    {"Expand", MATRIX(2, 1, 5, 6), LIST(2, 1, 3), MATRIX(2, 3, 5, 5, 5, 6, 6, 6), NULL, 0},
    {"Concat", LIST(2, 1, 2), LIST(1, 3), LIST(3, 1, 2, 3), "axis", 0},
    {"Concat", MATRIX(2, 1, 1, 2), MATRIX(2, 1, 3, 4), MATRIX(2, 2, 1, 3, 2, 4), "axis", -1},
    {"ReduceSum", MATRIX(2, 2, 1, 2, 3, 4), LIST(1, 1), LIST(2, 3, 7), "keepdims", 0},
    {"ReduceSum", MATRIX(2, 2, 1, 2, 3, 4), LIST(1, 0), MATRIX(1, 2, 4, 6), "keepdims", 1},
    {"ReduceMax", MATRIX(2, 2, 1, 5, 3, 4), LIST(1, -1), LIST(2, 5, 4), "keepdims", 0},
    {"CumSum", MATRIX(2, 3, 1, 2, 3, 4, 5, 6), SCALAR(-1), MATRIX(2, 3, 1, 3, 6, 4, 9, 15), NULL,
     0},
    {"CumSum", MATRIX(2, 2, 1, 2, 3, 4), SCALAR(0), MATRIX(2, 2, 1, 2, 4, 6), NULL, 0},
    {"Tile", MATRIX(1, 2, 5, 6), LIST(2, 2, 2), MATRIX(2, 4, 5, 6, 5, 6, 5, 6, 5, 6), NULL, 0},
    {"Trilu", MATRIX(2, 3, 1, 2, 3, 4, 5, 6), SCALAR(1), MATRIX(2, 3, 0, 2, 3, 0, 0, 6), NULL, 0},
    {"Trilu", MATRIX(2, 3, 1, 2, 3, 4, 5, 6), SCALAR(0), MATRIX(2, 3, 1, 0, 0, 4, 5, 0), "upper",
     0},
    {"Shape", MATRIX(2, 2, 1, 2, 3, 4), SCALAR(0), LIST(2, 2, 2), NULL, 0},
    {"Shape", MATRIX(2, 3, 1, 2, 3, 4, 5, 6), SCALAR(0), LIST(1, 3), "start", 1},
    {"Transpose", MATRIX(2, 3, 1, 2, 3, 4, 5, 6), SCALAR(0), MATRIX(3, 2, 1, 4, 2, 5, 3, 6), NULL,
     0},
    {"Flatten", MATRIX(2, 2, 1, 2, 3, 4), SCALAR(0), MATRIX(4, 1, 1, 2, 3, 4), "axis", 2},
    {"ConstantOfShape", LIST(1, 2), SCALAR(0), LIST(2, 0, 0), NULL, 0},
    {"Neg", LIST(2, 1, -2), SCALAR(0), LIST(2, -1, 2), NULL, 0},
    {"NonZero", MATRIX(2, 2, 0, 5, 7, 0), SCALAR(0), MATRIX(2, 2, 0, 1, 1, 0), NULL, 0},
    {"Not", LIST(2, 1, 0), SCALAR(0), LIST(2, 0, 1), NULL, 0},
    {"Cast", LIST(2, 1, 300), SCALAR(0), LIST(2, 1, 300), "to", TENSOR_I32},
    {"Cast", LIST(2, 0, 300), SCALAR(0), LIST(2, 0, 1), "to", TENSOR_BOOL},
    {"Identity", LIST(2, 1, 2), SCALAR(0), LIST(2, 1, 2), NULL, 0},
};

static bool is_unary(const char *op) {
    static const char *const unary[] = {"Shape",   "Transpose", "Flatten", "ConstantOfShape", "Neg",
                                        "NonZero", "Not",       "Cast",    "Identity"};
    for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++) {
        if (strcmp(unary[i], op) == 0) {
            return true;
        }
    }
    return false;
}

Test(interpret, operators_on_integers_give_what_onnx_defines) {
    for (size_t c = 0; c < sizeof integer_cases / sizeof integer_cases[0]; c++) {
        const struct integer_case *test = &integer_cases[c];
        struct graph *graph = small_graph();
        struct interpretation run;
        struct error err = {0};
        add_integers(graph, "a", test->a.rank, test->a.dims, test->a.values);
        add_integers(graph, "b", test->b.rank, test->b.dims, test->b.values);
        struct graph_node *node =
            add_node(graph, "", test->op, is_unary(test->op) ? "a" : "a,b", "y");
        if (test->attribute != NULL) {
            graph_set_int(node, test->attribute, test->value);
        }
        const struct tensor *y = evaluate(graph, &run, &err);
        cr_assert(y != NULL, "case %zu, %s: %s", c, test->op, err.text);
        cr_assert_eq(y->rank, test->expected.rank, "case %zu, %s: rank %zu", c, test->op, y->rank);
        for (size_t d = 0; d < y->rank; d++) {
            cr_assert_eq(y->dims[d], (size_t)test->expected.dims[d], "case %zu, %s: dim %zu is %zu",
                         c, test->op, d, y->dims[d]);
        }
        for (size_t i = 0; i < y->count; i++) {
            cr_assert_eq(tensor_integer(y, i), test->expected.values[i],
                         "case %zu, %s: element %zu is %lld, expected %lld", c, test->op, i,
                         (long long)tensor_integer(y, i), (long long)test->expected.values[i]);
        }
        interpretation_deinit(&run);
        graph_close(graph);
    }
}

Test(interpret, slices_are_scattered_over_a_copy) {
    struct graph *graph = small_graph();
    struct interpretation run;
    struct error err = {0};
    add_integers(graph, "data", 2, (const int64_t[]){3, 2}, (const int64_t[]){1, 2, 3, 4, 5, 6});
    add_integers(graph, "indices", 2, (const int64_t[]){2, 1}, (const int64_t[]){2, 0});
    add_integers(graph, "updates", 2, (const int64_t[]){2, 2}, (const int64_t[]){7, 8, 9, 10});
    add_node(graph, "", "ScatterND", "data,indices,updates", "y");
    const struct tensor *y = evaluate(graph, &run, &err);
    cr_assert(y != NULL, "%s", err.text);
    const int64_t expected[] = {9, 10, 3, 4, 7, 8};
    for (size_t i = 0; i < 6; i++) {
        cr_expect_eq(tensor_integer(y, i), expected[i], "element %zu", i);
    }
    cr_expect_eq(tensor_integer(graph_constant(graph, graph_find(graph, "data")), 0), 1);
    interpretation_deinit(&run);
    graph_close(graph);
}

Test(interpret, float_operators_round_to_f32) {
    static const struct {
        const char *op;
        float x;
        float expected;
    } cases[] = {
        {"Sqrt", 2.0f, 1.41421356f}, {"Cos", 1.0f, 0.54030231f},  {"Sin", 1.0f, 0.84147098f},
        {"Exp", 1.0f, 2.71828183f},  {"Sigmoid", 0.0f, 0.5f},     {"Tanh", 1.0f, 0.76159416f},
        {"Neg", 3.5f, -3.5f},        {"Reciprocal", 4.0f, 0.25f}, {"Floor", -1.5f, -2.0f},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct graph *graph = small_graph();
        struct interpretation run;
        struct error err = {0};
        add_floats(graph, "x", 0, NULL, &cases[c].x);
        add_node(graph, "", cases[c].op, "x", "y");
        const struct tensor *y = evaluate(graph, &run, &err);
        cr_assert(y != NULL, "%s: %s", cases[c].op, err.text);
        cr_assert_float_eq(tensor_number(y, 0), (double)cases[c].expected, 1e-7, "%s gives %.9g",
                           cases[c].op, tensor_number(y, 0));
        interpretation_deinit(&run);
        graph_close(graph);
    }
}

static const int64_t values[] = {10, 11, 12, 13, 14};

/* values[start:end:step], as Python writes it. */
static void slice(const int64_t *bounds, size_t count, const int64_t *expected) {
    struct graph *graph = small_graph();
    struct interpretation run;
    struct error err = {0};
    const int64_t five = 5;
    const int64_t one = 1;
    add_integers(graph, "x", 1, &five, values);
    add_integers(graph, "start", 1, &one, &bounds[0]);
    add_integers(graph, "end", 1, &one, &bounds[1]);
    add_integers(graph, "axis", 1, &one, (const int64_t[]){0});
    add_integers(graph, "step", 1, &one, &bounds[2]);
    add_node(graph, "", "Slice", "x,start,end,axis,step", "y");
    const struct tensor *y = evaluate(graph, &run, &err);
    cr_assert(y != NULL, "%s", err.text);
    cr_assert_eq(y->count, count, "slice [%lld:%lld:%lld] has %zu elements", (long long)bounds[0],
                 (long long)bounds[1], (long long)bounds[2], y->count);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(tensor_integer(y, i), expected[i]);
    }
    interpretation_deinit(&run);
    graph_close(graph);
}

Test(interpret, slices_clamp_as_numpy_does) {
    slice((const int64_t[]){1, 3, 1}, 2, (const int64_t[]){11, 12});
    slice((const int64_t[]){-2, INT64_MAX, 1}, 2, (const int64_t[]){13, 14});
    slice((const int64_t[]){0, INT64_MAX, 2}, 3, (const int64_t[]){10, 12, 14});
    slice((const int64_t[]){INT64_MAX, INT64_MIN, -2}, 3, (const int64_t[]){14, 12, 10});
    slice((const int64_t[]){3, 3, 1}, 0, NULL);
    slice((const int64_t[]){INT64_MIN, INT64_MAX, 1}, 5, values);
}

static void expect_error(struct graph *graph, const char *expected) {
    struct interpretation run;
    struct error err = {0};
    const struct tensor *y = evaluate(graph, &run, &err);
    cr_expect(y == NULL, "expected an error: %s", expected);
    cr_expect(strstr(err.text, expected) != NULL, "\"%s\" does not say \"%s\"", err.text, expected);
    interpretation_deinit(&run);
    graph_close(graph);
}

Test(interpret, hostile_arguments_are_refused) {
    const int64_t two = 2;
    const int64_t huge[] = {INT64_MAX / 2, 4};
    const int64_t twice[] = {0, 0};
    const int64_t ones[] = {1, 1};
    const float numbers[] = {1, 2};

    struct graph *graph = small_graph();
    add_integers(graph, "shape", 1, &two, huge);
    add_node(graph, "", "ConstantOfShape", "shape", "y");
    expect_error(graph, "overflows");

    graph = small_graph();
    add_floats(graph, "x", 1, &two, numbers);
    add_integers(graph, "axes", 1, &two, twice);
    add_integers(graph, "ones", 1, &two, ones);
    add_node(graph, "", "Slice", "x,ones,ones,axes,ones", "y");
    expect_error(graph, "given twice");

    graph = small_graph();
    add_floats(graph, "x", 1, &two, numbers);
    add_integers(graph, "index", 0, NULL, &two);
    add_node(graph, "", "Gather", "x,index", "y");
    expect_error(graph, "out of range");

    graph = small_graph();
    add_floats(graph, "x", 1, &two, numbers);
    add_integers(graph, "outside", 2, (const int64_t[]){1, 1}, &two);
    add_floats(graph, "update", 1, (const int64_t[]){1}, numbers);
    add_node(graph, "", "ScatterND", "x,outside,update", "y");
    expect_error(graph, "lies outside");

    graph = small_graph();
    add_floats(graph, "x", 1, &two, numbers);
    add_node(graph, "", "Add", "x,", "y");
    expect_error(graph, "has no input 1");

    graph = small_graph();
    add_floats(graph, "x", 1, &two, numbers);
    add_node(graph, "", "Softmax", "x", "y");
    expect_error(graph, "depends on activations");
}

Test(interpret, shapes_are_known_where_elements_are_not) {
    struct graph *graph = small_graph();
    struct error err = {0};
    const int64_t weight_dims[] = {4, 6};
    const int64_t perm_shape[] = {2, -1, 3};
    const int64_t three = 3;
    int x = add_input(graph, "x", TENSOR_F32, 2);
    add_floats(graph, "weight", 2, weight_dims, (const float[24]){0});
    add_integers(graph, "heads", 1, &three, perm_shape);
    add_node(graph, "", "MatMul", "x,weight", "product");
    add_node(graph, "", "Reshape", "product,heads", "split");
    add_node(graph, "", "Softmax", "split", "weights");
    add_node(graph, "", "Shape", "weights", "y");
    add_output(graph, "y");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    struct interpretation run;
    cr_assert(interpretation_init(&run, graph, &err), "%s", err.text);
    const int64_t dims[] = {5, 4};
    struct tensor rows = {.shape_only = true};
    cr_assert(tensor_set_shape(&rows, TENSOR_F32, 2, dims, &err), "%s", err.text);
    interpretation_feed(&run, x, &rows);
    const struct tensor *y = interpretation_value(&run, graph_find(graph, "y"), &err);
    cr_assert(y != NULL, "%s", err.text);
    cr_assert_eq(y->count, 3);
    cr_assert(tensor_integer(y, 0) == 2 && tensor_integer(y, 1) == 5 && tensor_integer(y, 2) == 3,
              "(%lld, %lld, %lld)", (long long)tensor_integer(y, 0),
              (long long)tensor_integer(y, 1), (long long)tensor_integer(y, 2));
    cr_assert(interpretation_value(&run, graph_find(graph, "weights"), &err) == NULL);
    interpretation_deinit(&run);
    graph_close(graph);
}

Test(interpret, a_run_from_another_computes_anew_what_depends_on_a_replaced_value) {
    struct graph *graph = small_graph();
    struct error err = {0};
    int x = add_input(graph, "x", TENSOR_I64, 0);
    int z = add_input(graph, "z", TENSOR_I64, 0);
    add_node(graph, "", "Add", "x,z", "sum");
    add_node(graph, "", "Neg", "sum", "y");
    add_output(graph, "y");
    cr_assert(graph_finish(graph, &err), "%s", err.text);
    const int64_t numbers[] = {1, 2, 40};
    struct tensor scalars[3];
    for (size_t i = 0; i < 3; i++) {
        scalars[i] = (struct tensor){0};
        tensor_set_shape(&scalars[i], TENSOR_I64, 0, NULL, &err);
        scalars[i].bytes = (const uint8_t *)&numbers[i];
    }
    struct interpretation base;
    struct interpretation run;
    cr_assert(interpretation_init(&base, graph, &err));
    interpretation_feed(&base, x, &scalars[0]);
    interpretation_feed(&base, z, &scalars[1]);
    interpretation_run(&base);
    cr_assert(interpretation_init_from(&run, &base, graph->node_count, &err));
    cr_assert(interpretation_replace(&run, z, &scalars[2], &err));
    int y = graph_find(graph, "y");
    cr_assert_eq(tensor_integer(interpretation_value(&base, y, &err), 0), -3);
    cr_assert_eq(tensor_integer(interpretation_value(&run, y, &err), 0), -41);
    interpretation_deinit(&run);
    cr_assert(interpretation_init_from(&run, &base, 1, &err));
    cr_assert(interpretation_replace(&run, z, &scalars[2], &err));
    cr_assert_eq(tensor_integer(interpretation_value(&run, graph_find(graph, "sum"), &err), 0), 41);
    cr_assert(interpretation_value(&run, y, &err) == NULL, "it is computed behind the run's end");
    interpretation_deinit(&run);
    interpretation_deinit(&base);
    graph_close(graph);
}

Test(interpret, a_value_that_depends_on_an_unfed_input_is_refused_by_name) {
    struct graph *graph = small_graph();
    add_input(graph, "mask", TENSOR_I64, 2);
    add_node(graph, "", "Shape", "mask", "y");
    expect_error(graph, "depends on graph input \"mask\"");
}
