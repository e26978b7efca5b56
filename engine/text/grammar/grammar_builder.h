/* Builds a grammar of expressions and rules.
 *
 *     pair   = sequence(rule(string), text(":"), rule(value))
 *     object = sequence(text("{"), optional(separated(pair, ",")), text("}"))
 *
 * An expression is a number; what it stands for lives as long as the builder. An expression may be
 * part of many others. Rules may refer to each other before they are defined.
 *
 * An error sticks: what follows it does nothing, and grammar_builder_finish returns the first one. So
 * callers need not look at every result, but loops over what a stranger sent should end early where
 * grammar_builder_failed.
 *
 * One thread. */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_BUILDER_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_BUILDER_H

#include "engine/error.h"
#include "engine/text/grammar/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grammar_builder;

typedef uint32_t grammar_expression;
typedef uint32_t grammar_rule;

/* For a vocabulary, which must outlive the grammar. */
bool grammar_builder_open(struct grammar_builder **out, const struct token_trie *trie,
                          struct error *err);
void grammar_builder_close(struct grammar_builder *builder);

/* Makes the builder fail, unless it has failed before. Returns an expression, for convenience. */
grammar_expression grammar_fail(struct grammar_builder *builder, enum error_code code,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));
bool grammar_builder_failed(const struct grammar_builder *builder);

/* Counts work that is done for the grammar before it is finished, a step being some 10 ns. False, and the
 * builder fails, when it has become too much. */
enum { GRAMMAR_WORK_MAX = 1 << 23 };
bool grammar_builder_work(struct grammar_builder *builder, uint64_t steps);

/* ---- Expressions ---- */

/* Exactly these bytes, which must be UTF-8. */
grammar_expression grammar_text(struct grammar_builder *builder, const char *bytes, size_t length);

/* One of the texts, which must be UTF-8; sorts them. Beginnings that they share are shared. */
grammar_expression grammar_texts(struct grammar_builder *builder, struct token_text *texts,
                                 size_t count);

/* One character of the ranges, which may be in any order and overlap; surrogates in them count as
 * nothing. An expression of no ranges matches nothing. */
grammar_expression grammar_characters(struct grammar_builder *builder,
                                      const struct code_range *ranges, size_t count);

grammar_expression grammar_sequence(struct grammar_builder *builder,
                                    const grammar_expression *parts, size_t count);
grammar_expression grammar_choice(struct grammar_builder *builder,
                                  const grammar_expression *alternatives, size_t count);

/* At least `least` and at most `most` times, which may be GRAMMAR_UNBOUNDED. */
grammar_expression grammar_repeat(struct grammar_builder *builder, grammar_expression part,
                                  uint32_t least, uint32_t most);

/* A new rule; `name` is copied, for messages. */
grammar_rule grammar_rule_create(struct grammar_builder *builder, const char *name, size_t length);
void grammar_rule_define(struct grammar_builder *builder, grammar_rule rule,
                         grammar_expression expression);
grammar_expression grammar_reference(struct grammar_builder *builder, grammar_rule rule);

/* The sequence or choice of all arguments behind the builder. */
#define GRAMMAR_SEQUENCE(builder, ...)                                                             \
    grammar_sequence(builder, (const grammar_expression[]){__VA_ARGS__},                           \
                     sizeof(const grammar_expression[]){__VA_ARGS__} / sizeof(grammar_expression))
#define GRAMMAR_CHOICE(builder, ...)                                                               \
    grammar_choice(builder, (const grammar_expression[]){__VA_ARGS__},                             \
                   sizeof(const grammar_expression[]){__VA_ARGS__} / sizeof(grammar_expression))
#define GRAMMAR_TEXT(builder, literal) grammar_text(builder, literal, sizeof(literal) - 1)

/* A growing list of parts; start from {0}, free the items. Nothing is added once the builder has
 * failed. */
struct grammar_parts {
    grammar_expression *items;
    size_t count;
    size_t capacity;
};
void grammar_parts_add(struct grammar_builder *builder, struct grammar_parts *parts,
                       grammar_expression part);

/* ---- The end ---- */

/* The grammar of texts that match `root`; release it. ERROR_INVALID for a rule that is not defined
 * or begins with itself, and for a root that matches nothing (or nothing that the vocabulary can
 * spell); ERROR_TOO_LARGE beyond the limits of size. */
bool grammar_builder_finish(struct grammar_builder *builder, grammar_expression root,
                            struct grammar **out, struct error *err);

#endif
