#include "importer/operators.h"

#include "importer/interpret.h"
#include "importer/lower.h"
#include "importer/passes/passes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b) {
    const struct operator_support *x = *(const struct operator_support *const *)a;
    const struct operator_support *y = *(const struct operator_support *const *)b;
    int domains = strcmp(x->domain, y->domain);
    return domains != 0 ? domains : strcmp(x->op, y->op);
}

static void print_row(const struct operator_support *row, FILE *out) {
    fprintf(out, "| `%s%s%s`", row->domain, row->domain[0] != '\0' ? "::" : "", row->op);
    if (row->since > 1) {
        fprintf(out, ", from version %lld", (long long)row->since);
    }
    fprintf(out, " | %s |\n", row->text);
}

/* The operators that a model may have at run time; those of domain "quern" are made by our passes. */
static bool print_rows(FILE *out) {
    size_t count = 0;
    while (lower_support(count) != NULL) {
        count++;
    }
    for (size_t i = 0; passes_support(i) != NULL; i++) {
        count++;
    }
    assert(count > 0);
    const struct operator_support **rows = calloc(count, sizeof(const struct operator_support *));
    if (rows == NULL) {
        return false;
    }
    size_t filled = 0;
    for (size_t i = 0; lower_support(i) != NULL; i++) {
        rows[filled++] = lower_support(i);
    }
    for (size_t i = 0; passes_support(i) != NULL; i++) {
        rows[filled++] = passes_support(i);
    }
    qsort(rows, count, sizeof(const struct operator_support *), compare_names);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i]->domain, QUERN_DOMAIN) != 0) {
            print_row(rows[i], out);
        }
    }
    free(rows);
    return true;
}

bool operators_print(FILE *out) {
    fprintf(out, "| operator | what is taken of it |\n|---|---|\n");
    bool printed = print_rows(out);
    fprintf(out,
            "\nEvaluated when the model is loaded, on anything that does not depend on activations "
            "(masks, positions, shapes,\nconstants):");
    const char *name;
    for (size_t i = 0; (name = interpret_operator_name(i)) != NULL; i++) {
        fprintf(out, "%s%s", i == 0 ? "\n" : i % 8 == 0 ? ",\n" : ", ", name);
    }
    fprintf(out, ".\n");
    return printed;
}
