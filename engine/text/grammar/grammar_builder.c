#include "engine/text/grammar/grammar_builder.h"

#include "engine/text/grammar/grammar_expressions.h"
#include "engine/text/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Lifetime and errors ---- */

bool grammar_builder_open(struct grammar_builder **out, const struct token_trie *trie,
                          struct error *err) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    (*out)->trie = trie;
    return true;
}

void grammar_builder_close(struct grammar_builder *builder) {
    if (builder == NULL) {
        return;
    }
    free(builder->expressions);
    free(builder->parts);
    free(builder->ranges);
    free(builder->text);
    free(builder->rules);
    free(builder->costs);
    free(builder->more);
    free(builder);
}

bool grammar_builder_failed(const struct grammar_builder *builder) {
    return builder->error.code != ERROR_NONE;
}

/* Expression 0, which is there once anything is: callers may go on with it. */
grammar_expression grammar_fail(struct grammar_builder *builder, enum error_code code,
                                const char *format, ...) {
    if (!grammar_builder_failed(builder)) {
        char sentence[ERROR_TEXT_BYTES];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(sentence, sizeof sentence, format, arguments);
        va_end(arguments);
        error_set(&builder->error, code, "%s", sentence);
    }
    return 0;
}

bool grammar_builder_work(struct grammar_builder *builder, uint64_t steps) {
    builder->work += steps;
    if (builder->work > GRAMMAR_WORK_MAX) {
        grammar_fail(builder, ERROR_TOO_LARGE,
                     "what the reply must look like is too complicated: making a grammar of it "
                     "takes too long");
    }
    return !grammar_builder_failed(builder);
}

/* Makes room for `more` elements of `size` bytes behind `count`. */
static bool reserve(struct grammar_builder *builder, void *array, size_t *capacity, size_t count,
                    size_t more, size_t size, size_t most, const char *what) {
    if (grammar_builder_failed(builder)) {
        return false;
    }
    if (more > most - count) {
        grammar_fail(builder, ERROR_TOO_LARGE, "the grammar has more than %zu %s", most, what);
        return false;
    }
    if (count + more <= *capacity) {
        return true;
    }
    size_t grown = 2 * (count + more) + 16;
    void *memory;
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, grown * size);
    if (memory == NULL) {
        grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
        return false;
    }
    memcpy(array, &memory, sizeof memory);
    *capacity = grown;
    return true;
}

static grammar_expression add_expression(struct grammar_builder *builder,
                                         struct expression expression) {
    if (!reserve(builder, &builder->expressions, &builder->expression_capacity,
                 builder->expression_count, 1, sizeof expression, EXPRESSIONS_MAX, "expressions")) {
        return 0;
    }
    if (expression.depth > EXPRESSION_DEPTH_MAX) {
        return grammar_fail(builder, ERROR_TOO_LARGE,
                            "the grammar's expressions nest deeper than %d levels",
                            EXPRESSION_DEPTH_MAX);
    }
    builder->expressions[builder->expression_count] = expression;
    return (grammar_expression)builder->expression_count++;
}

/* ---- Characters ---- */

static void add_range(struct grammar_builder *builder, uint32_t first, uint32_t last) {
    if (first <= last &&
        reserve(builder, &builder->ranges, &builder->range_capacity, builder->range_count, 1,
                sizeof *builder->ranges, RANGES_MAX, "ranges of characters")) {
        builder->ranges[builder->range_count++] = (struct code_range){first, last};
    }
}

/* The part of a range that can be spelled, by one walk through both lists. What can be spelled holds
 * no surrogates. */
static void add_spelled(struct grammar_builder *builder, const struct code_range *ranges,
                        size_t count) {
    const struct token_trie *trie = builder->trie;
    size_t s = 0;
    for (size_t i = 0; i < count; i++) {
        while (s < trie->spelled_count && trie->spelled[s].last < ranges[i].first) {
            s++;
        }
        for (size_t t = s; t < trie->spelled_count && trie->spelled[t].first <= ranges[i].last;
             t++) {
            const struct code_range *spelled = &trie->spelled[t];
            add_range(builder, spelled->first > ranges[i].first ? spelled->first : ranges[i].first,
                      spelled->last < ranges[i].last ? spelled->last : ranges[i].last);
        }
    }
}

grammar_expression grammar_characters(struct grammar_builder *builder,
                                      const struct code_range *ranges, size_t count) {
    struct code_range *joined = calloc(count + 1, sizeof *joined);
    if (joined == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    if (count > 0) {
        memcpy(joined, ranges, count * sizeof *joined);
    }
    size_t first = builder->range_count;
    add_spelled(builder, joined, code_ranges_join(joined, count));
    free(joined);
    return add_expression(builder, (struct expression){
                                       .kind = EXPRESSION_CHARACTERS,
                                       .first = (uint32_t)first,
                                       .count = (uint32_t)(builder->range_count - first),
                                   });
}

/* ---- Texts ---- */

static bool is_spelled(const struct token_trie *trie, uint32_t code) {
    size_t low = 0;
    size_t high = trie->spelled_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (trie->spelled[middle].last < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < trie->spelled_count && trie->spelled[low].first <= code;
}

grammar_expression grammar_text(struct grammar_builder *builder, const char *bytes, size_t length) {
    for (size_t at = 0; at < length;) {
        size_t width = utf8_character(bytes + at, length - at);
        if (width == 0) {
            return grammar_fail(builder, ERROR_INVALID, "the grammar has a text that is not UTF-8");
        }
        if (!is_spelled(builder->trie, utf8_decode(bytes + at, width))) {
            return grammar_characters(builder, NULL, 0);
        }
        at += width;
    }
    size_t first = builder->text_length;
    if (!reserve(builder, &builder->text, &builder->text_capacity, first, length, 1, TEXT_BYTES_MAX,
                 "bytes of text")) {
        return 0;
    }
    if (length > 0) {
        memcpy(builder->text + first, bytes, length);
    }
    builder->text_length += length;
    return add_expression(builder, (struct expression){.kind = EXPRESSION_TEXT,
                                                       .first = (uint32_t)first,
                                                       .count = (uint32_t)length});
}

static int compare_texts(const void *a, const void *b) {
    const struct token_text *x = a;
    const struct token_text *y = b;
    size_t shared = x->length < y->length ? x->length : y->length;
    int order = shared > 0 ? memcmp(x->bytes, y->bytes, shared) : 0;
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* How many bytes from `at` on the first and the last of sorted texts, and so all between them, have
 * in common: whole characters only. */
static size_t shared_bytes(const struct token_text *first, const struct token_text *last,
                           size_t at) {
    size_t shared = at;
    while (shared < first->length && shared < last->length &&
           first->bytes[shared] == last->bytes[shared]) {
        shared++;
    }
    size_t whole = at;
    while (whole < shared) {
        size_t width = utf8_character(first->bytes + whole, first->length - whole);
        if (width == 0 || whole + width > shared) {
            break;
        }
        whole += width;
    }
    return whole - at;
}

/* Of sorted texts that are the same up to `at`, the choice of what follows. `level` bounds how far the
 * function calls itself. */
static grammar_expression branch(struct grammar_builder *builder, const struct token_text *texts,
                                 size_t count, size_t at, size_t level) {
    size_t shared = shared_bytes(&texts[0], &texts[count - 1], at);
    grammar_expression beginning = grammar_text(builder, texts[0].bytes + at, shared);
    at += shared;
    if (level > EXPRESSION_DEPTH_MAX || grammar_builder_failed(builder)) {
        return grammar_fail(builder, ERROR_TOO_LARGE,
                            "the grammar has a choice of texts that nest deeper than %d levels",
                            EXPRESSION_DEPTH_MAX);
    }
    grammar_expression *branches = calloc(count, sizeof *branches);
    if (branches == NULL) {
        return grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    size_t branch_count = 0;
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        size_t width =
            texts[i].length > at ? utf8_character(texts[i].bytes + at, texts[i].length - at) : 0;
        if (texts[i].length > at && width == 0) {
            grammar_fail(builder, ERROR_INVALID, "the grammar has a text that is not UTF-8");
            break;
        }
        while (end < count && texts[end].length >= at + width &&
               memcmp(texts[i].bytes + at, texts[end].bytes + at, width) == 0 &&
               (width > 0 || texts[end].length == at)) {
            end++;
        }
        branches[branch_count++] =
            width == 0     ? grammar_text(builder, "", 0)
            : end - i == 1 ? grammar_text(builder, texts[i].bytes + at, texts[i].length - at)
                           : branch(builder, texts + i, end - i, at, level + 1);
        i = end;
    }
    grammar_expression rest = grammar_choice(builder, branches, branch_count);
    free(branches);
    return shared > 0 ? GRAMMAR_SEQUENCE(builder, beginning, rest) : rest;
}

grammar_expression grammar_texts(struct grammar_builder *builder, struct token_text *texts,
                                 size_t count) {
    if (count == 0) {
        return grammar_characters(builder, NULL, 0);
    }
    qsort(texts, count, sizeof *texts, compare_texts);
    return branch(builder, texts, count, 0, 0);
}

/* ---- Expressions of expressions ---- */

static grammar_expression combine(struct grammar_builder *builder, enum expression_kind kind,
                                  const grammar_expression *parts, size_t count) {
    struct expression expression = {.kind = kind, .first = (uint32_t)builder->part_count};
    if (!reserve(builder, &builder->parts, &builder->part_capacity, builder->part_count, count,
                 sizeof *builder->parts, PARTS_MAX, "parts of expressions")) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t depth = builder->expressions[parts[i]].depth + 1;
        expression.depth = depth > expression.depth ? depth : expression.depth;
        builder->parts[builder->part_count++] = parts[i];
    }
    expression.count = (uint32_t)count;
    return add_expression(builder, expression);
}

grammar_expression grammar_sequence(struct grammar_builder *builder,
                                    const grammar_expression *parts, size_t count) {
    return combine(builder, EXPRESSION_SEQUENCE, parts, count);
}

grammar_expression grammar_choice(struct grammar_builder *builder,
                                  const grammar_expression *alternatives, size_t count) {
    return combine(builder, EXPRESSION_CHOICE, alternatives, count);
}

grammar_expression grammar_repeat(struct grammar_builder *builder, grammar_expression part,
                                  uint32_t least, uint32_t most) {
    grammar_expression repeat = combine(builder, EXPRESSION_REPEAT, &part, 1);
    if (grammar_builder_failed(builder)) {
        return 0;
    }
    builder->expressions[repeat].least = least;
    builder->expressions[repeat].most = most;
    return repeat;
}

void grammar_parts_add(struct grammar_builder *builder, struct grammar_parts *parts,
                       grammar_expression part) {
    if (reserve(builder, &parts->items, &parts->capacity, parts->count, 1, sizeof *parts->items,
                PARTS_MAX, "parts of an expression")) {
        parts->items[parts->count++] = part;
    }
}

/* ---- Rules ---- */

grammar_rule grammar_rule_create(struct grammar_builder *builder, const char *name, size_t length) {
    if (!reserve(builder, &builder->rules, &builder->rule_capacity, builder->rule_count, 1,
                 sizeof *builder->rules, RULES_MAX, "rules")) {
        return 0;
    }
    struct rule *rule = &builder->rules[builder->rule_count];
    *rule = (struct rule){.definition = NOT_DEFINED, .entry = NOT_DEFINED};
    snprintf(rule->name, sizeof rule->name, "%.*s", length < sizeof rule->name ? (int)length : 47,
             name);
    return (grammar_rule)builder->rule_count++;
}

void grammar_rule_define(struct grammar_builder *builder, grammar_rule rule,
                         grammar_expression expression) {
    if (!grammar_builder_failed(builder)) {
        builder->rules[rule].definition = expression;
    }
}

grammar_expression grammar_reference(struct grammar_builder *builder, grammar_rule rule) {
    return add_expression(builder, (struct expression){.kind = EXPRESSION_RULE, .first = rule});
}

/* ---- The end ---- */

bool grammar_builder_finish(struct grammar_builder *builder, grammar_expression root,
                            struct grammar **out, struct error *err) {
    if (grammar_builder_failed(builder)) {
        return error_set(err, builder->error.code, "%s", builder->error.text);
    }
    free(builder->costs);
    free(builder->more);
    builder->costs = calloc(builder->expression_count + 1, sizeof *builder->costs);
    builder->more = calloc(builder->expression_count + 1, sizeof *builder->more);
    if (builder->costs == NULL || builder->more == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a grammar");
    }
    return grammar_analyze(builder, root, err) && grammar_compile(builder, root, out, err);
}
