/* The parts of json_schema.h: values that are still to be written as rules.
 *
 * A value is written once for each list of schemas that hold of it, as a rule, so that schemas may refer
 * to themselves; the rules wait in a queue, so that no schema nests functions. */
#ifndef QUERN_SERVER_SCHEMA_SCHEMA_COMPILER_H
#define QUERN_SERVER_SCHEMA_SCHEMA_COMPILER_H

#include "server/schema/schema_reader.h"

enum { VALUE_CHAINS = 1 << 10 };

struct schema_value {
    struct schema_list schemas;
    grammar_rule rule;
    struct schema_value *next;  /* in the queue */
    struct schema_value *chain; /* with such a hash */
};

struct schema_compiler {
    struct grammar_builder *builder;
    struct schema_reader reader;
    struct schema_value *chains[VALUE_CHAINS];
    struct schema_value *oldest;
    struct schema_value *newest;
};

/* The value of which all the schemas hold. */
grammar_expression schema_value(struct schema_compiler *compiler, struct schema_list schemas);

/* A comma, or a colon, and what white space may follow it. */
grammar_expression schema_comma(struct schema_compiler *compiler);
grammar_expression schema_colon(struct schema_compiler *compiler);

/* Of one alternative: */
grammar_expression schema_constants(struct schema_compiler *compiler, struct schema_list schemas);
grammar_expression schema_string(struct schema_compiler *compiler, struct schema_list schemas);
grammar_expression schema_array(struct schema_compiler *compiler, struct schema_list schemas);
grammar_expression schema_object(struct schema_compiler *compiler, struct schema_list schemas);

#endif
