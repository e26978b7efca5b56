/* What does it cost to hold a reply to a form?
 *
 *     quern-bench-grammar TOKENIZER_JSON
 *
 * For some schemas, grammars and patterns: compiles them, then says a text that matches, each time with
 * the longest token that fits, as models mostly do, and measures how long each mask takes that a fresh
 * matcher makes on the way. Prints a table. One thread. */
#include "engine/clock.h"
#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_gbnf.h"
#include "engine/text/grammar/grammar_matcher.h"
#include "engine/text/grammar/grammar_regex.h"
#include "engine/text/token_bytes.h"
#include "importer/tokenizer_file.h"
#include "server/schema/json_schema.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, STEPS_MAX = 4096 };

enum notation { SCHEMA, GBNF, REGEX };

static const struct {
    const char *name;
    enum notation notation;
    const char *form;
    const char *text;
} cases[] = {
    {"schema: a person", SCHEMA,
     "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}, \"age\": "
     "{\"type\": \"integer\", "
     "\"minimum\": 0, \"maximum\": 130}, \"born\": {\"type\": \"string\", \"format\": \"date\"}, "
     "\"tags\": {\"type\": "
     "\"array\", \"items\": {\"type\": \"string\"}}}, \"required\": [\"name\", \"age\", \"born\", "
     "\"tags\"]}",
     "{\"name\": \"Ada Lovelace\", \"age\": 36, \"born\": \"1815-12-10\", \"tags\": "
     "[\"mathematics\", \"poetical "
     "science\", \"Ana\u00efs\"]}"},
    {"schema: optional properties, enum, map", SCHEMA,
     "{\"type\": \"object\", \"properties\": {\"kind\": {\"enum\": [\"request\", \"response\", "
     "\"report\"]}, \"id\": "
     "{\"type\": \"string\", \"format\": \"uuid\"}, \"score\": {\"type\": \"number\", \"minimum\": "
     "0, \"maximum\": 1}, "
     "\"note\": {\"type\": \"string\", \"maxLength\": 200}, \"extra\": {\"type\": \"object\", "
     "\"additionalProperties\": "
     "{\"type\": [\"string\", \"number\"]}}}, \"additionalProperties\": true}",
     "{\"kind\": \"report\", \"id\": \"123e4567-e89b-12d3-a456-426614174000\", \"score\": 0.875, "
     "\"note\": \"The "
     "quick brown fox jumps over the lazy dog, again and again.\", \"extra\": {\"first\": \"one\", "
     "\"second\": 2}}"},
    {"schema: a tree", SCHEMA,
     "{\"$ref\": \"#/$defs/n\", \"$defs\": {\"n\": {\"type\": \"object\", \"properties\": "
     "{\"label\": {\"type\": "
     "\"string\"}, \"children\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/n\"}}}, "
     "\"required\": "
     "[\"label\", \"children\"]}}}",
     "{\"label\": \"root\", \"children\": [{\"label\": \"left\", \"children\": []}, {\"label\": "
     "\"right side\", "
     "\"children\": [{\"label\": \"leaf\", \"children\": []}]}]}"},
    {"any JSON object", SCHEMA, "{\"type\": \"object\"}",
     "{\"a\": [1, 2.5, {\"b\": null}], \"some longer key\": \"and some text that goes on for a "
     "while\", \"c\": true}"},
    {"pattern: words", REGEX, "[A-Za-z]+( [A-Za-z]+){2,20}\\.",
     "The quick brown fox jumps over the lazy dog."},
    {"pattern: counted words", REGEX, "(\\w+ ){5,50}",
     "The quick brown fox jumps over the lazy dog and runs away "},
    {"pattern: counted characters", REGEX, ".{10,200}",
     "The quick brown fox jumps over the lazy dog, again and again."},
    {"pattern: names", REGEX, "[A-Z][a-z]+(, [A-Z][a-z]+){1,20}",
     "Adam, Berta, Christopher, Dora, Emil, Friedrich, Gustav"},
    {"pattern: Cyrillic words", REGEX, "[\u0430-\u044f]+( [\u0430-\u044f]+){2,20}",
     "\u0441\u044a\u0435\u0448\u044c \u0435\u0449\u0435 \u044d\u0442\u0438\u0445 "
     "\u043c\u044f\u0433\u043a\u0438\u0445 \u0431\u0443\u043b\u043e\u043a"},
    {"pattern: no letter e", REGEX, "[^e]{1,300}",
     "This wording is without that usual fifth sign."},
    {"pattern: made to be slow", REGEX, "([^a][^b]){2,50}", "The quick brown fox jumps over it."},
    {"pattern: a time", REGEX, "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]",
     "2026-11-30T15:20"},
    {"GBNF: arithmetic", GBNF,
     "root ::= term ([-+*/] term)*\nterm ::= [0-9]+ | \"(\" root \")\" | [a-z]+ \"(\" root \")\"",
     "(12+34)*sqrt(2+x(3))-(4*(5+6))"},
};

static void fail(const char *what, const char *why) {
    fprintf(stderr, "quern-bench-grammar: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static struct tokenizer *load_tokenizer(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fail(path, "cannot be read");
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *json = malloc(size + 1);
    if (json == NULL || fread(json, 1, size, file) != size) {
        fail(path, "cannot be read");
    }
    fclose(file);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    if (!tokenizer_file_load(&tokenizer, (const uint8_t *)json, size, &err)) {
        fail(path, err.text);
    }
    free(json);
    return tokenizer;
}

static grammar_expression build(struct grammar_builder *builder, size_t index) {
    static const struct grammar_regex_style style = {.search = false};
    const char *form = cases[index].form;
    if (cases[index].notation == GBNF) {
        return grammar_gbnf(builder, form, strlen(form));
    }
    if (cases[index].notation == REGEX) {
        return grammar_regex(builder, form, strlen(form), &style);
    }
    cJSON *schema = cJSON_Parse(form);
    if (schema == NULL) {
        fail(cases[index].name, "is not JSON");
    }
    grammar_expression root = json_schema(builder, schema);
    cJSON_Delete(schema);
    return root;
}

static struct grammar *compile(const struct token_trie *trie, size_t index) {
    struct grammar_builder *builder = NULL;
    struct grammar *grammar = NULL;
    struct error err = {0};
    if (!grammar_builder_open(&builder, trie, &err) ||
        !grammar_builder_finish(builder, build(builder, index), &grammar, &err)) {
        fail(cases[index].name, err.text);
    }
    grammar_builder_close(builder);
    return grammar;
}

/* The longest token that the mask allows and the text goes on with. */
static int32_t longest(const struct token_trie *trie, const uint64_t *mask, const char *text,
                       size_t *length) {
    int32_t best = -1;
    *length = 0;
    for (size_t id = 0; id < trie->tokens->size; id++) {
        struct token_text token = token_bytes_of(trie->tokens, id);
        if ((mask[id / 64] >> id % 64 & 1) != 0 && token.length > *length &&
            strncmp(text, token.bytes, token.length) == 0) {
            best = (int32_t)id;
            *length = token.length;
        }
    }
    return best;
}

/* Seconds of each mask. */
static size_t say(const struct token_trie *trie, struct grammar *grammar, size_t index,
                  double *seconds) {
    struct grammar_matcher *matcher = NULL;
    struct error err = {0};
    if (!grammar_matcher_open(&matcher, grammar, trie->tokens->size, &err)) {
        fail(cases[index].name, err.text);
    }
    size_t steps = 0;
    for (const char *text = cases[index].text; *text != '\0' && steps < STEPS_MAX; steps++) {
        size_t length;
        double begin = clock_seconds();
        const uint64_t *mask = grammar_matcher_mask(matcher, 100000);
        seconds[steps] = clock_seconds() - begin;
        int32_t token = longest(trie, mask, text, &length);
        if (token < 0 || !grammar_matcher_advance(matcher, token)) {
            fail(cases[index].name, text);
        }
        text += length;
    }
    grammar_matcher_close(matcher);
    return steps;
}

static int compare(const void *a, const void *b) {
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static void measure(const struct token_trie *trie, size_t index) {
    static double seconds[STEPS_MAX];
    double begin = clock_seconds();
    struct grammar *grammar = compile(trie, index);
    double compiled = clock_seconds();
    /* What is measured is the least of all rounds: the machine may be busy otherwise. */
    size_t steps = say(trie, grammar, index, seconds);
    for (size_t round = 1; round < ROUNDS; round++) {
        static double again[STEPS_MAX];
        say(trie, grammar, index, again);
        for (size_t i = 0; i < steps; i++) {
            seconds[i] = again[i] < seconds[i] ? again[i] : seconds[i];
        }
    }
    double sum = 0;
    for (size_t i = 0; i < steps; i++) {
        sum += seconds[i];
    }
    qsort(seconds, steps, sizeof *seconds, compare);
    printf("| %s | %zu | %.0f | %zu | %.0f | %.0f | %.0f | %.0f |\n", cases[index].name,
           grammar->length, (compiled - begin) * 1e6, steps, sum / (double)steps * 1e6,
           seconds[steps / 2] * 1e6, seconds[(steps - 1) * 99 / 100] * 1e6,
           seconds[steps - 1] * 1e6);
    grammar_release(grammar);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fail("usage", "quern-bench-grammar TOKENIZER_JSON");
    }
    struct tokenizer *tokenizer = load_tokenizer(argv[1]);
    struct token_bytes *tokens = NULL;
    struct token_trie *trie = NULL;
    struct error err = {0};
    double begin = clock_seconds();
    if (!token_bytes_open(&tokens, tokenizer, &err) || !token_trie_open(&trie, tokens, &err)) {
        fail(argv[1], err.text);
    }
    printf("trie of %zu tokens: %.0f ms\n\n", trie->token_count, (clock_seconds() - begin) * 1e3);
    printf(
        "| form | instructions | compiling, us | tokens | mask: mean, us | median | p99 | worst |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        measure(trie, i);
    }
    token_trie_close(trie);
    token_bytes_close(tokens);
    tokenizer_close(tokenizer);
    return EXIT_SUCCESS;
}
