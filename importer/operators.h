/* What Quern takes of which operators, put together from the tables that decide it: lower.c (what becomes
 * an instruction), passes/passes.c (what a pass recognizes and rewrites before) and the interpreter's
 * (what computes masks, positions and shapes). `quern inspect --operators` prints it, and
 * docs/operators.md holds what that printed. */
#ifndef QUERN_IMPORTER_OPERATORS_H
#define QUERN_IMPORTER_OPERATORS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One operator in one of its roles. `since` and `until` bound the version of its operator set. */
struct operator_support {
    const char *domain; /* "" for the standard operators */
    const char *op;
    int64_t since;
    int64_t until;
    const char *text; /* attributes, inputs and forms that are taken, in Markdown */
};

/* Tables in Markdown, operators in alphabetical order. False when memory is out. */
bool operators_print(FILE *out);

#endif
