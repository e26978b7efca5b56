#include "rendering.h"

#include <criterion/criterion.h>

Test(statements, loops_scopes_and_macros) {
    static const struct rendering cases[] = {
        {"{% for x in [1, 2] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ "
         "loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
         "1021TrueFalse2 2110FalseTrue2 "},
        {"{% for x in 'abc' %}{{ loop.previtem }}{{ x }}{{ loop.nextitem }}{{ loop.cycle('-', '+') "
         "}}{% endfor %}",
         "ab-abc+bc-"},
        {"{% for x in [] %}x{% else %}none{% endfor %}", "none"},
        {"{% for k, (a, b) in [(1, (2, 3))] %}{{ k }}{{ a }}{{ b }}{% endfor %}", "123"},
        {"{% for x in [1, 2, 3] if x != 2 %}{{ x }}/{{ loop.length }} {% endfor %}", "1/2 3/2 "},
        {"{% set ns = namespace(stop=false) %}{% for x in [1, 2, 3] if not ns.stop %}{{ x }}{% set "
         "ns.stop = x == 2 %}{% endfor %}",
         "12"},
        {"{% for x in range(5) %}{% if x == 1 %}{% continue %}{% elif x == 3 %}{% break %}{% endif "
         "%}{{ x }}{% endfor %}",
         "02"},
        {"{% for x in [1, [2, [3]]] recursive %}{% if x is number %}{{ x }}@{{ loop.depth }}{% "
         "else %}({{ loop(x) }}){% endif %}{% endfor %}",
         "1@1(2@2(3@3))"},
        {"{% set x = 1 %}{% for i in [2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
         "121"},
        {"{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2"},
        {"{% set a, b = 'x', 'y' %}{{ b }}{{ a }}", "yx"},
        {"{% set x %}a{{ 1 }}{% endset %}{{ x|length }}", "2"},
        {"{% set x | upper | trim %} a {% endset %}[{{ x }}]", "[A]"},
        {"{% filter replace('a', 'b') | upper %}aac{% endfilter %}", "BBC"},
        {"{% set x = 5 %}{% with x = 1, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}", "155"},
        {"{% generation %}reply{% endgeneration %}", "reply"},
        {"{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, c=3) "
         "}}{{ m(b='y', a='x') }}{{ m() }}",
         "121;123;xyx;2;"},
        {"{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}{{ m(*[4], "
         "**{'y': 5}) }}",
         "(1, 2){'x': 3}(4,){'y': 5}"},
        {"{% macro m() %}[{{ caller('x') }}]{% endmacro %}{% call(a) m() %}<{{ a }}>{% endcall %}",
         "[<x>]"},
        {"{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
         "3210"},
        {"{% macro m() %}{{ later }}{% endmacro %}{% set later = 'seen' %}{{ m() }}", "seen"},
        {"{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "12"},
        {"{% if x is defined %}a{% elif none %}b{% else %}c{% endif %}", "c"},
        {"{% if 0 %}{{ 1|no_such_filter }}{% endif %}{{ 'fine' if 1 else 2 is no_such_test }}",
         "fine"},
        {"{{ strftime_now('%d %b %Y, %H:%M:%S') }}", "14 Nov 2023, 22:13:20"},
        {"{{ dict(a=1, **{'b': 2}) }}{{ namespace({'c': 3}).c }}", "{'a': 1, 'b': 2}3"},
    };
    check_renderings(cases, sizeof cases / sizeof cases[0]);
}

Test(statements, white_space_around_tags) {
    static const struct rendering cases[] = {
        {"a\n{# note #}\nb", "a\nb"},
        {"a\n  {% if 1 %}\n  b\n  {% endif %}\nc", "a\n  b\nc"},
        {"a  {%- if 1 -%}  \n b \n {%- endif -%}  c", "abc"},
        {"  {%+ if 1 %}\nx{% endif %}", "  x"},
        {"{% if 1 +%}\nx{% endif %}", "\nx"},
        {"x {% if 1 %}\ny{% endif %}", "x y"},
        {"a\n\n{{- 1 -}}\n\nb", "a1b"},
        {"{{ 1 }}\n{{ 2 }}\n", "1\n2"},
        {"a\x0D\nb\x0D"
         "c\n\n",
         "a\nb\nc\n"},
        {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
        {"a\n  {% raw -%}\n {% x %} \n  {%- endraw %}\nb", "a\n{% x %}b"},
        {"{{ {'a': {'b': 1}}['a'] }}", "{'b': 1}"},
        {"{{ '}}' }}{{ '%}' }}", "}}%}"},
        {"{ { # % } }", "{ { # % } }"},
        {"\xC2\xA0"
         "{% if 1 %}x{% endif %}",
         "x"},
    };
    check_renderings(cases, sizeof cases / sizeof cases[0]);
}

Test(statements, a_loop_reads_an_iterator_once) {
    static const struct rendering cases[] = {
        {"{% set odd = [1, 2, 3]|select('odd') %}{{ odd|first }}{{ odd|join }}{{ odd|join }}",
         "13"},
        {"{% for x in [3, 1]|map('string') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %}",
         "3False2 1True2 "},
    };
    check_renderings(cases, sizeof cases / sizeof cases[0]);
}

Test(statements, what_cannot_be_parsed_is_refused_with_its_line) {
    static const struct refusal cases[] = {
        {"a\n{% if x %}", "line 2: expected elif, found the end of the template"},
        {"{% endif %}", "line 1: expected a tag that chat templates know, found 'endif'"},
        {"{% include 'x' %}", "found 'include'"},
        {"{% for x in y %}{% endif %}", "found 'endif'"},
        {"\n\n{{ x", "line 3: the template ends within a tag"},
        {"{{ 'abc }}", "the string that begins here does not end"},
        {"{# abc", "the comment that begins here does not end"},
        {"{% raw %}", "the raw block that begins here does not end"},
        {"{{ (1] }}", "a bracket closes that was not opened"},
        {"{{ a b }}", "expected '}}', found 'b'"},
        {"{{ 1 + }}", "expected an expression, found '}}'"},
        {"{{ }}", "expected an expression"},
        {"{{ a ? b }}", "unexpected character '?'"},
        {"{{ '\\ud800' }}", "an escape that stands for no character"},
        {"{% set 1 = 2 %}", "expected a name to assign to, found '1'"},
        {"{% set none = 2 %}", "expected a name to assign to"},
        {"{% break %}", "break or continue without a loop"},
        {"{% macro m(a=1, b) %}{% endmacro %}", "a default, as before"},
        {"{{ x|no_such_filter }}", "there is no filter 'no_such_filter'"},
        {"{{ x is no_such_test }}", "there is no test 'no_such_test'"},
        {"{{ f(a=1, 2) }}", "positional arguments before the others"},
        {"\xFF", "not UTF-8 at byte 0"},
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

Test(statements, what_cannot_be_assigned_is_refused_in_words) {
    static const struct refusal cases[] = {
        {"{% set a, b = [1] %}", "expected 2 values to assign, found 1"},
        {"{% for a, b in [[1, 2, 3]] %}{% endfor %}", "more than 2 values to assign"},
        {"{% set d = {} %}{% set d.x = 1 %}", "'d' is no namespace"},
        {"{% for x in 5 %}{% endfor %}", "int cannot be iterated"},
        {"{% for x in [1] %}{{ loop([2]) }}{% endfor %}", "marked recursive"},
        {"{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "not called by a call block"},
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}
