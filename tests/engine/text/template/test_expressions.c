#include "rendering.h"

#include <criterion/criterion.h>

Test(expressions, operators_bind_as_in_jinja) {
    static const struct rendering cases[] = {
        {"1 + 2 * 3", "7"},        {"'1' + 2 ~ 3", "123"},
        {"2 ** 3 ** 2", "64"},     {"-2 ** 2", "4"},
        {"-5|abs", "5"},           {"2 + 3|string|length", "3"},
        {"10 - 2 - 3", "5"},       {"100 / 10 / 2", "5.0"},
        {"not 1 in [2]", "True"},  {"not 1 == 2", "True"},
        {"1 < 2 < 3", "True"},     {"1 < 3 < 2", "False"},
        {"1 == 1 != 2", "True"},   {"1 in [1] in [[1]]", "True"},
        {"1 and 2", "2"},          {"0 or 'x'", "x"},
        {"0 and 1 or 2", "2"},     {"1 if 0 else 2 if 0 else 3", "3"},
        {"'a' if 0", ""},          {"5 is odd and 4 is even", "True"},
        {"5 is not odd", "False"}, {"'a' ~ 1 * 2", "a2"},
        {"'a' 'b' ~ 'c'", "abc"},  {"'x' in 'xyz' and 2 not in [1]", "True"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(expressions, arithmetic_is_pythons) {
    static const struct rendering cases[] = {
        {"7 // 2", "3"},
        {"-7 // 2", "-4"},
        {"7 % -3", "-2"},
        {"-7 % 3", "2"},
        {"7 / 2", "3.5"},
        {"7.5 // 2", "3.0"},
        {"-7.5 % 2", "0.5"},
        {"2 ** -1", "0.5"},
        {"2 ** 62", "4611686018427387904"},
        {"1 / 3", "0.3333333333333333"},
        {"100 / 4", "25.0"},
        {"'ab' * 3", "ababab"},
        {"[1] * 2 + [3]", "[1, 1, 3]"},
        {"(1,) + (2,)", "(1, 2)"},
        {"true + true", "2"},
        {"9223372036854775807", "9223372036854775807"},
        {"1_000 + 0x1f + 0b11 + 0o17", "1049"},
        {"'%s is %05.1f%%' % ('x', 2.25)", "x is 002.2%"},
        {"'{} {n:>4}'.format('a', n=1)", "a    1"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(expressions, values_print_as_python_prints_them) {
    static const struct rendering cases[] = {
        {"none", "None"},
        {"[true, none, 1.0, 'x', undefined_name]", "[True, None, 1.0, 'x', Undefined]"},
        {"{'a': {'b': [1, \"it's\"]}}", "{'a': {'b': [1, \"it's\"]}}"},
        {"(1,)", "(1,)"},
        {"()", "()"},
        {"1e16", "1e+16"},
        {"1e15", "1000000000000000.0"},
        {"0.0001", "0.0001"},
        {"1e-5", "1e-05"},
        {"1.5e300", "1.5e+300"},
        {"0.1 + 0.2", "0.30000000000000004"},
        {"-0.0", "-0.0"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"['\\x00\\u00e9\\u200b\\n\\\\']", "['\\x00\xC3\xA9\\u200b\\n\\\\']"},
        {"['\"', \"'\", '\"\\'']", "['\"', \"'\", '\"\\'']"},
        {"{1: 2, none: 3}", "{1: 2, None: 3}"},
        {"undefined_name", ""},
        {"range(3)", "range(0, 3)"},
        {"range(1, 9, 2)", "range(1, 9, 2)"},
        {"{'a': 1}.items()", "dict_items([('a', 1)])"},
        {"namespace(a=1)", "<Namespace {'a': 1}>"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(expressions, comparisons_are_pythons) {
    static const struct rendering cases[] = {
        {"1 == 1.0 == true", "True"},
        {"'1' == 1", "False"},
        {"[1, [2]] == [1, [2]]", "True"},
        {"[1] == (1,)", "False"},
        {"{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "True"},
        {"'a' < 'b' < '\\u00e9'", "True"},
        {"[1, 2] < [1, 3]", "True"},
        {"(1, 2) < (1, 2, 0)", "True"},
        {"'b' in {'a': 1}", "False"},
        {"'' in 'x'", "True"},
        {"2.0 in [1, 2]", "True"},
        {"undefined_name == other_name", "True"},
        {"none == undefined_name", "False"},
        {"undefined_name in [1]", "False"},
        {"1 in undefined_name", "False"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(expressions, members_indices_and_slices) {
    static const struct rendering cases[] = {
        {"{'a': 1}.a", "1"},
        {"{'a': 1}['a']", "1"},
        {"{'items': 5}['items']", "5"},
        {"{'a': 1}.get('b', 7)", "7"},
        {"[1, 2, 3][-1]", "3"},
        {"[1, 2, 3].1", "2"},
        {"[1, 2, 3][7] is defined", "False"},
        {"'h\\u00e9llo'[1]", "\xC3\xA9"},
        {"'h\\u00e9llo'[-4:]", "\xC3\xA9"
                               "llo"},
        {"'h\\u00e9llo'[::-1]", "oll\xC3\xA9"
                                "h"},
        {"'abcdef'[1:-1:2]", "bd"},
        {"'abcdef'[4:1:-1]", "edc"},
        {"[1, 2, 3, 4][::2]", "[1, 3]"},
        {"[1, 2, 3][5:]", "[]"},
        {"[][1:]", "[]"},
        {"[1, 2, 3][none:2]", "[1, 2]"},
        {"range(10)[2:8:3]|list", "[2, 5]"},
        {"{'a': {'b': [5]}}.a.b.0", "5"},
        {"none.x", ""},
        {"'abc'['upper']()", "ABC"},
        {"{'a': 1}.b is undefined", "True"},
    };
    check_expressions(cases, sizeof cases / sizeof cases[0]);
}

Test(expressions, what_makes_no_sense_is_refused_in_words) {
    static const struct refusal cases[] = {
        {"{{ a.b }}", "line 1: 'a' is undefined"},
        {"\n{{ {}.b.c }}", "line 2: 'dict object' has no attribute 'b'"},
        {"{{ [].startswith('x') }}", "'list object' has no attribute 'startswith'"},
        {"{{ [1][2].x }}", "list object has no element 2"},
        {"{{ 'a' + 1 }}", "unsupported operands for +: str and int"},
        {"{{ 'a' + none }}", "unsupported operands for +: str and NoneType"},
        {"{{ 'a' + b }}", "'b' is undefined"},
        {"{{ 1 < 'a' }}", "unsupported operands for <: int and str"},
        {"{{ 1 / 0 }}", "division by zero"},
        {"{{ 9223372036854775807 + 1 }}", "more than 64 bits"},
        {"{{ 1 in 'a' }}", "only a text can be in a text"},
        {"{{ 'a' in none }}", "NoneType cannot be iterated"},
        {"{{ 'a'() }}", "str cannot be called"},
        {"{{ [1].append(2) }}", "may not change lists and dicts"},
        {"{{ {'a': 1}.update({}) }}", "may not change lists and dicts"},
        {"{{ {[1]: 2} }}", "a key has to be"},
        {"{{ 'abc'[::0] }}", "step cannot be zero"},
        {"{{ '%d' % 'x' }}", "format 'd' does not fit a value of type str"},
        {"{{ '%s %s' % 'x' }}", "fewer values"},
        {"{{ raise_exception('Roles must alternate') }}", "line 1: Roles must alternate"},
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}
