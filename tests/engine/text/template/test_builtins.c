#include "rendering.h"

#include <criterion/criterion.h>

Test(builtins, filters) {
    static const struct rendering cases[] = {
        {"' x '|trim", "x"},
        {"'xxaxx'|trim('x')", "a"},
        {"'Hello World'|upper|lower|title", "Hello World"},
        {"'foo bar-baz'|title", "Foo Bar-Baz"},
        {"'hELLO'|capitalize", "Hello"},
        {"'a,b'|replace(',', ';')", "a;b"},
        {"'aaa'|replace('a', 'b', 2)", "bba"},
        {"'ab'|replace('', '-')", "-a-b-"},
        {"'h\\u00e9'|length", "2"},
        {"{'a': 1}|length", "1"},
        {"[3, 1, 2]|sort", "[1, 2, 3]"},
        {"['b', 'A', 'c']|sort", "['A', 'b', 'c']"},
        {"['b', 'A', 'c']|sort(case_sensitive=true, reverse=true)", "['c', 'b', 'A']"},
        {"[{'a': 2}, {'a': 1}]|sort(attribute='a')", "[{'a': 1}, {'a': 2}]"},
        {"[1, 2]|join(', ')", "1, 2"},
        {"[{'a': 'x'}, {'a': 'y'}]|join('-', attribute='a')", "x-y"},
        {"'abc'|join('.')", "a.b.c"},
        {"[1, 2]|first ~ [1, 2]|last", "12"},
        {"[]|first is undefined", "True"},
        {"'abc'|reverse", "cba"},
        {"[1, 2]|reverse|list", "[2, 1]"},
        {"'ab'|list", "['a', 'b']"},
        {"[0, 1, none, 2]|select|list", "[1, 2]"},
        {"[1, 2, 3]|select('odd')|list", "[1, 3]"},
        {"[1, 2, 3]|reject('gt', 1)|list", "[1]"},
        {"[{'r': 'u', 'n': 1}, {'r': 'a', 'n': 2}]|selectattr('r', 'equalto', "
         "'a')|map(attribute='n')|list",
         "[2]"},
        {"[{'t': 1}, {}]|selectattr('t')|list", "[{'t': 1}]"},
        {"[{'t': 1}, {}]|rejectattr('t', 'defined')|list", "[{}]"},
        {"[{'t': 1}, {}]|map(attribute='t', default=0)|list", "[1, 0]"},
        {"[{'a': {'b': [7]}}]|map(attribute='a.b.0')|list", "[7]"},
        {"['a', 'b']|map('upper')|join", "AB"},
        {"['a b']|map('replace', ' ', '_')|first", "a_b"},
        {"{'b': 1, 'A': 2}|dictsort", "[('A', 2), ('b', 1)]"},
        {"{'b': 1, 'a': 2}|dictsort(by='value', reverse=true)", "[('a', 2), ('b', 1)]"},
        {"{'a': 1}|items|list", "[('a', 1)]"},
        {"undefined_name|items|list", "[]"},
        {"[1, 1.0, 'a', 'A']|unique|list", "[1, 'a']"},
        {"[1, 2, 3, 4, 5]|batch(2, 0)|list", "[[1, 2], [3, 4], [5, 0]]"},
        {"[1, 2.5]|sum", "3.5"},
        {"[{'a': 1}, {'a': 2}]|sum(attribute='a')", "3"},
        {"[3, 1]|min ~ [3, 1]|max", "13"},
        {"['b', 'A']|min", "A"},
        {"[]|min is undefined", "True"},
        {"'x'|default('y') ~ undefined_name|default('z') ~ ''|default('e', true)", "xze"},
        {"undefined_name|d", ""},
        {"'42'|int + '3.9'|int + 'x'|int(7) + 'ff'|int(0, 16)", "307"},
        {"3.99|int ~ -3.99|int", "3-3"},
        {"1e20|int", "100000000000000000000"},
        {"'1e3'|float ~ 'x'|float(1.5)", "1000.01.5"},
        {"2.5|round ~ 3.5|round ~ 42.55|round(1) ~ 42.55|round(1, 'ceil') ~ 5|round ~ "
         "1234|round(-2)",
         "2.04.042.542.651200"},
        {"-3|abs", "3"},
        {"'a\\nb\\n\\nc'|indent(2)", "a\n  b\n\n  c"},
        {"'a\\nb\\n'|indent('> ', true)", "> a\n> b\n"},
        {"'a\\n\\nb'|indent(1, false, true)", "a\n \n b"},
        {"1.5|string ~ [1]|string", "1.5[1]"},
        {"'<a href=\"x\">'|escape", "&lt;a href=&#34;x&#34;&gt;"},
        {"'<b>' ~ ('<i>'|safe) ~ ('&'|e)", "<b><i>&amp;"},
        {"('<i>'|safe) + '<b>'", "<i>&lt;b&gt;"},
        {"'%s-%s'|format('a', 1)", "a-1"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(builtins, tojson_writes_what_json_dumps_writes) {
    static const struct rendering cases[] = {
        {"{'a': [1, 2.0, true, none, '\\u00e9\"\\n\\x01'], 'b': {}}|tojson",
         "{\"a\": [1, 2.0, true, null, \"\xC3\xA9\\\"\\n\\u0001\"], \"b\": {}}"},
        {"'\\u00e9\\x7f'|tojson(ensure_ascii=true)", "\"\\u00e9\\u007f\""},
        {"'\\U0001F600'|tojson(true)", "\"\\ud83d\\ude00\""},
        {"{'a': [1, {}], 'b': []}|tojson(indent=2)",
         "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
        {"[[1]]|tojson(indent='\\t')", "[\n\t[\n\t\t1\n\t]\n]"},
        {"{'b': 1, 'a': [2]}|tojson(separators=(',', ':'), sort_keys=true)", "{\"a\":[2],\"b\":1}"},
        {"{1: 2, none: 3, true: 4}|tojson", "{\"1\": 4, \"null\": 3}"},
        {"(1, 2)|tojson", "[1, 2]"},
        {"'<&>\\''|tojson", "\"<&>'\""},
        {"1e20|tojson", "1e+20"},
        {"[]|tojson(indent=4)", "[]"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(builtins, methods_of_texts_dicts_and_lists) {
    static const struct rendering cases[] = {
        {"' x '.strip() ~ 'xyx'.strip('x') ~ 'aab'.lstrip('a') ~ 'baa'.rstrip('a')", "xybb"},
        {"'a b  c'.split()", "['a', 'b', 'c']"},
        {"'a,b,c'.split(',')", "['a', 'b', 'c']"},
        {"'a,b,c'.split(',', 1)", "['a', 'b,c']"},
        {"'a,b,c'.rsplit(',', 1)", "['a,b', 'c']"},
        {"' a  b c '.rsplit(none, 1)", "[' a  b', 'c']"},
        {"''.split(',')", "['']"},
        {"'a\\r\\nb\\n'.splitlines()", "['a', 'b']"},
        {"'a\\nb'.splitlines(true)", "['a\\n', 'b']"},
        {"'Hello'.startswith('He') and 'Hello'.endswith(('x', 'lo'))", "True"},
        {"'Hello'.startswith('l', 2)", "True"},
        {"'h\\u00e9llo'.find('l') ~ 'hello'.find('z') ~ 'hello'.rfind('l') ~ 'hello'.index('e')",
         "2-131"},
        {"'banana'.count('an') ~ 'aaa'.count('aa') ~ 'ab'.count('')", "213"},
        {"'abc'.replace('b', '')", "ac"},
        {"'a b'.title() ~ \"a b's\".title() ~ 'aB'.capitalize() ~ 'a'.upper() ~ 'B'.lower()",
         "A BA B'SAbAb"},
        {"'-'.join(['a', 'b'])", "a-b"},
        {"'a=b=c'.partition('=')", "('a', '=', 'b=c')"},
        {"'a=b=c'.rpartition('=')", "('a=b', '=', 'c')"},
        {"'abc'.removeprefix('a').removesuffix('c')", "b"},
        {"'7'.zfill(3) ~ '-7'.zfill(4) ~ 'x'.center(4) ~ 'x'.ljust(3, '.') ~ 'x'.rjust(3)",
         "007-007 x  x..  x"},
        {"'12'.isdigit() and 'ab'.isalpha() and 'a1'.isalnum() and ' '.isspace() and 'A'.isupper() "
         "and 'a'.islower()",
         "True"},
        {"{'a': 1}.keys()|list ~ {'a': 1}.values()|list ~ {'a': 1}.items()|list",
         "['a'][1][('a', 1)]"},
        {"[1, 2, 1].count(1) ~ [1, 2].index(2)", "21"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(builtins, tests) {
    static const struct rendering cases[] = {
        {"x is not defined", "True"},
        {"none is none", "True"},
        {"1 is number and true is number and 1.5 is number", "True"},
        {"1 is integer and true is not integer", "True"},
        {"1.0 is float", "True"},
        {"true is boolean and true is true and 1 is not true", "True"},
        {"'a' is string", "True"},
        {"{} is mapping and [] is not mapping", "True"},
        {"[] is sequence and 'a' is sequence and {} is sequence and 1 is not sequence", "True"},
        {"'a' is iterable and [] is iterable and 1 is not iterable", "True"},
        {"3 is odd and 4 is even and 9 is divisibleby 3", "True"},
        {"'ab' is lower and 'AB' is upper and '1' is not lower", "True"},
        {"2 is eq 2 and 2 is ne 3 and 2 is lt 3 and 3 is ge(3)", "True"},
        {"1 is in [1, 2] and 3 is not in [1, 2]", "True"},
        {"false is sameas false and 0 is not sameas false", "True"},
        {"range is callable", "True"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(builtins, calls_that_do_not_fit_are_refused_in_words) {
    static const struct refusal cases[] = {
        {"{{ 'a'|replace('b') }}", "'replace' needs an argument 'new'"},
        {"{{ 'a'|trim(1, 2) }}", "'trim' takes at most 1 arguments, found 2"},
        {"{{ 'a'|trim(x=1) }}", "'trim' knows no argument 'x'"},
        {"{{ 'a'|trim('x', chars='y') }}", "'trim' is given 'chars' twice"},
        {"{{ 1|length }}", "int has no length"},
        {"{{ 1|join }}", "int cannot be iterated"},
        {"{{ [1, 'a']|sort }}", "unsupported operands for <"},
        {"{{ x|tojson }}", "Undefined has no form in JSON"},
        {"{{ [1]|map('nothing')|list }}", "there is no filter 'nothing'"},
        {"{{ [1]|select('nothing')|list }}", "there is no test 'nothing'"},
        {"{{ 'a'.join([1]) }}", "expected a text, found int"},
        {"{{ 'a'.index('b') }}", "substring not found"},
        {"{{ range(1, 2, 0) }}", "step cannot be zero"},
        {"{{ range(1000000) }}", "more than 100000"},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "macro 'm' takes at most 1"},
        {"{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "macro 'm' knows no argument 'b'"},
        {"{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}", "parameter 'a' was not provided"},
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}
