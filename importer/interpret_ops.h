/* What the files of the interpreter share: one call of one operator. */
#ifndef QUERN_IMPORTER_INTERPRET_OPS_H
#define QUERN_IMPORTER_INTERPRET_OPS_H

#include "importer/interpret.h"

struct interpret_call {
    const struct graph_node *node;
    const struct tensor *const *inputs; /* NULL where absent; as many as the node has */
    struct tensor *output;
    uint8_t *bytes; /* of the output, once interpret_output has made them */
    struct arena *arena;
    struct error *err;
};

typedef bool interpret_operator(struct interpret_call *call);

struct interpret_entry {
    const char *op;
    size_t inputs; /* that must be there */
    interpret_operator *run;
};

/* Tables that end with an entry whose op is NULL. */
extern const struct interpret_entry interpret_elementwise[]; /* Add, Equal, Where, Cast, ... */
extern const struct interpret_entry interpret_shape[];       /* Reshape, Gather, ReduceSum, ... */

/* Input `slot`, or NULL if it is absent. */
const struct tensor *interpret_input(struct interpret_call *call, size_t slot);

/* Output memory of that type and shape; refuses more than INTERPRET_ELEMENTS_MAX elements. */
uint8_t *interpret_output(struct interpret_call *call, enum tensor_type type, size_t rank,
                          const int64_t *dims);

/* Element i of the output; `number` is rounded to its type. */
void interpret_store_number(struct interpret_call *call, size_t i, double number);
void interpret_store_integer(struct interpret_call *call, size_t i, int64_t integer);

/* Can elements of that type be stored? (4-bit and 16-bit floats cannot.) */
bool interpret_can_store(enum tensor_type type);

#endif
