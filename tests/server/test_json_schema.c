/* Which JSON texts a schema lets through. That all of them are valid is what tests/http judges, with
 * jsonschema; here is what must be possible, and what must not. */
#include "server/schema/json_schema.h"

#include "../engine/text/grammar/vocabulary_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static struct grammar *compile(const struct token_trie *trie, const char *text, struct error *err) {
    struct grammar_builder *builder = NULL;
    struct grammar *grammar = NULL;
    cJSON *schema = cJSON_Parse(text);
    cr_assert(schema != NULL, "%s is not JSON", text);
    cr_assert(grammar_builder_open(&builder, trie, err));
    grammar_expression root = json_schema(builder, schema);
    cJSON_Delete(schema);
    grammar_builder_finish(builder, root, &grammar, err);
    grammar_builder_close(builder);
    return grammar;
}

Test(json_schema, which_texts_pass) {
    static const struct {
        const char *schema;
        const char *yes[6];
        const char *no[6];
    } table[] = {
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}, \"b\": {\"type\": "
         "\"null\"}}}",
         {"{}", "{\"a\":null}", "{\"b\": null}", "{\"a\":null, \"b\":null}"},
         {"{\"b\":null,\"a\":null}", "{\"c\":null}", "{\"a\":null,}", "{,\"a\":null}", "{ }",
          " {}"}},
        {"{\"type\": \"object\", \"additionalProperties\": {\"type\": \"null\"}, \"properties\": "
         "{\"ab\": "
         "{\"type\": \"boolean\"}}}",
         {"{}", "{\"ab\":true}", "{\"a\":null}", "{\"ab\":false,\"abc\":null,\"\":null}",
          "{\"\xc3\xa4\":null}", "{\"\\\"\":null}"},
         {"{\"ab\":null}", "{\"x\":null,\"ab\":null}", "{\"a\":true}", "{\"\\u0061b\":null}"}},
        {"{\"type\": \"object\", \"additionalProperties\": {\"type\": \"null\"}, "
         "\"minProperties\": 1, "
         "\"maxProperties\": 2}",
         {"{\"a\":null}", "{\"a\":null,\"b\":null}"},
         {"{}", "{\"a\":null,\"b\":null,\"c\":null}"}},
        {"{\"type\": \"integer\", \"minimum\": -3, \"maximum\": 120}",
         {"-3", "0", "9", "99", "120"},
         {"-4", "121", "00", "-0", "1.0", "999"}},
        {"{\"type\": \"number\", \"exclusiveMinimum\": 0, \"maximum\": 1.5}",
         {"0.001", "1", "1.5", "1.500", "1.49", "0.5"},
         {"0", "0.0", "1.501", "2", "-1", "1."}},
        {"{\"type\": \"number\", \"minimum\": -1.25, \"exclusiveMaximum\": -1}",
         {"-1.25", "-1.2", "-1.0001"},
         {"-1", "-1.0", "-1.26", "1.1", "-2"}},
        {"{\"type\": \"integer\", \"exclusiveMaximum\": -9}", {"-10", "-12345"}, {"-9", "10", "0"}},
        {"{\"type\": \"integer\"}",
         {"0", "-7", "123456789012345"},
         {"01", "1e3", "1234567890123456"}},
        {"{\"type\": \"number\"}", {"0", "-7.25", "1e10", "1.5E-7"}, {".5", "5.", "1e", "+1"}},
        {"{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 2}",
         {"\"a\"", "\"\\n\\\"\"", "\"\xc3\xa4\xf0\x9f\x98\x80\"", "\"\\u0001\""},
         {"\"\"", "\"abc\"", "\"\n\"", "\"\\u0000\"", "\"\\u0041\"", "\"\\x\""}},
        {"{\"type\": \"string\", \"pattern\": \"b+\", \"maxLength\": 3}",
         {"\"b\"", "\"abc\"", "\"bb\\n\""},
         {"\"ac\"", "\"abcd\"", "\"\""}},
        {"{\"enum\": [\"a\", \"b\", 1], \"type\": \"string\", \"pattern\": \"^[^a]*$\"}",
         {"\"b\""},
         {"\"a\"", "1"}},
        {"{\"type\": \"string\", \"format\": \"date\"}",
         {"\"2024-02-28\"", "\"1999-12-31\""},
         {"\"2023-02-29\"", "\"2024-04-31\"", "\"0000-01-01\"", "\"2024-1-1\""}},
        {"{\"type\": \"array\", \"prefixItems\": [{\"const\": 1}, {\"const\": 2}], \"items\": "
         "{\"const\": 3}, "
         "\"minItems\": 1, \"maxItems\": 4}",
         {"[1]", "[1, 2]", "[1,2,3]", "[1,2,3,3]"},
         {"[]", "[2]", "[1,3]", "[1,2,3,3,3]", "[1,]"}},
        {"{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"minItems\": 2, \"maxItems\": 3}",
         {"[null,null]", "[null, null, null]"},
         {"[]", "[null]", "[null,null,null,null]"}},
        {"{\"type\": \"array\", \"items\": [{\"const\": 1}], \"additionalItems\": false}",
         {"[]", "[1]"},
         {"[1,1]", "[2]"}},
        {"{\"anyOf\": [{\"$ref\": \"#/$defs/x\"}, {\"type\": \"array\", \"items\": {\"$ref\": "
         "\"#\"}}], \"$defs\": "
         "{\"x\": {\"const\": \"x\"}}}",
         {"\"x\"", "[\"x\",[],[[\"x\"]]]"},
         {"x", "[[]"}},
        {"{\"type\": \"integer\", \"nullable\": true, \"enum\": [3]}", {"3", "null"}, {"4"}},
        {"true", {"{\"a\":[1,\"b\",{}]}", "null", "\"\"", "-0.5"}, {"", "nul", "[1 ,2]"}},
    };
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct error err = {0};
        struct grammar *grammar = compile(vocabulary.trie, table[i].schema, &err);
        cr_assert(grammar != NULL, "%s: %s", table[i].schema, err.text);
        struct grammar_automaton *automaton = run_grammar(grammar);
        for (size_t t = 0; t < 6; t++) {
            const char *yes = table[i].yes[t];
            const char *no = table[i].no[t];
            cr_expect(yes == NULL || matches(automaton, yes, strlen(yes)), "%s should allow %s",
                      table[i].schema, yes);
            cr_expect(no == NULL || !matches(automaton, no, strlen(no)), "%s should not allow %s",
                      table[i].schema, no);
        }
        grammar_automaton_close(automaton);
    }
    vocabulary_close(&vocabulary);
}

/* Some stand amid another grammar: the arguments of a function that is called. */
Test(json_schema, a_schema_can_be_a_part_of_a_grammar) {
    struct vocabulary_fixture vocabulary = vocabulary_open(true, NULL, 0);
    struct grammar_builder *builder = NULL;
    struct grammar *grammar = NULL;
    struct error err = {0};
    cJSON *schema =
        cJSON_Parse("{\"type\": \"array\", \"items\": {\"$ref\": \"#\"}, \"maxItems\": 1}");
    cr_assert(grammar_builder_open(&builder, vocabulary.trie, &err));
    grammar_expression root = GRAMMAR_SEQUENCE(
        builder, GRAMMAR_TEXT(builder, "f("), json_schema(builder, schema),
        GRAMMAR_TEXT(builder, ","), json_schema_any_object(builder), GRAMMAR_TEXT(builder, ")"));
    cJSON_Delete(schema);
    cr_assert(grammar_builder_finish(builder, root, &grammar, &err), "%s", err.text);
    grammar_builder_close(builder);
    struct grammar_automaton *automaton = run_grammar(grammar);
    static const char yes[] = "f([[[]]],{\"a\":[]})";
    cr_assert(matches(automaton, yes, strlen(yes)));
    cr_assert_not(matches(automaton, "f([[1]],{})", 11));
    grammar_automaton_close(automaton);
    vocabulary_close(&vocabulary);
}
