/* What the files of the interpreter share: one call of one operator for one of its outputs. */
#ifndef QUERN_IMPORTER_INTERPRET_OPS_H
#define QUERN_IMPORTER_INTERPRET_OPS_H

#include "importer/interpret.h"

struct interpret_call {
    const struct graph_node *node;
    const struct tensor *const *inputs; /* NULL where absent; as many as the node has */
    size_t slot;                        /* of the output that is wanted */
    struct tensor *output;
    bool shape_only;   /* an input's elements are not known, nor can the output's be */
    bool shape_may_do; /* a result that is too large to compute is shape only, no error */
    uint8_t *bytes;    /* of the output, once interpret_output has made them */
    size_t elements;   /* to be stored there: none if only the shape is to be found */
    struct arena *arena;
    struct error *err;
};

typedef bool interpret_operator(struct interpret_call *call);

enum interpret_trait {
    SHAPED_BY_1 = 1 << 1, /* the output's shape depends on the elements of input 1 */
    SHAPED_BY_2 = 1 << 2,
    SHAPED_BY_3 = 1 << 3,
    SHAPED_BY_4 = 1 << 4,
    SHAPED_BY_0 = 1 << 0,
    READS_SHAPES = 1 << 8,  /* the output's elements depend on the inputs' shapes alone */
    ONLY_SHAPES = 1 << 9,   /* the output's elements are never computed */
    MANY_OUTPUTS = 1 << 10, /* run is called for each of them */
};

struct interpret_entry {
    const char *domain;
    const char *op;
    size_t inputs; /* that must be there */
    interpret_operator *run;
    unsigned traits;
};

/* Tables that end with an entry whose op is NULL. */
extern const struct interpret_entry interpret_elementwise[]; /* Add, Equal, Where, Cast, ... */
extern const struct interpret_entry interpret_shape[];       /* Reshape, Gather, ReduceSum, ... */
extern const struct interpret_entry interpret_index[];       /* ScatterND, GatherND, NonZero */
extern const struct interpret_entry interpret_layers[];      /* MatMul, norms, Softmax, ... */

/* Input `slot`, or NULL if it is absent. */
const struct tensor *interpret_input(struct interpret_call *call, size_t slot);

/* Gives the output its type and shape, and call->bytes for call->elements elements: all of them, or
 * none where only the shape can be known. Refuses more than INTERPRET_ELEMENTS_MAX elements. Halves
 * are computed as f32. */
bool interpret_output(struct interpret_call *call, enum tensor_type type, size_t rank,
                      const int64_t *dims);

/* The same for elements that are copied as they are, of any type of whole bytes. */
bool interpret_output_like(struct interpret_call *call, const struct tensor *input, size_t rank,
                           const int64_t *dims);

/* Element i of the output; `number` is rounded to its type. */
void interpret_store_number(struct interpret_call *call, size_t i, double number);
void interpret_store_integer(struct interpret_call *call, size_t i, int64_t integer);

/* The shape that `count` inputs from the first one on have together: aligned at their last dimension,
 * 1 stretches (numpy). */
bool interpret_broadcast(struct interpret_call *call, size_t count, size_t *rank, int64_t *dims);

#endif
