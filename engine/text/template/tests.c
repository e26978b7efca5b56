/* Tests: what stands behind `is`, and in the filters select and reject. */
#include "engine/text/template/iterate.h"
#include "engine/text/template/operations.h"
#include "engine/text/template/text.h"

/* ---- Types ---- */

static bool answer(struct template_call *call, bool is) {
    call->result = template_from_boolean(is);
    return true;
}

static bool test_defined(struct template_call *call) {
    return answer(call, call->self.type != TEMPLATE_UNDEFINED);
}

static bool test_undefined(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_UNDEFINED);
}

static bool test_none(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_NONE);
}

static bool test_boolean(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_BOOLEAN);
}

static bool test_true(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_BOOLEAN && call->self.boolean);
}

static bool test_false(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_BOOLEAN && !call->self.boolean);
}

static bool test_integer(struct template_call *call) {
    return answer(call,
                  call->self.type == TEMPLATE_INTEGER || call->self.type == TEMPLATE_BIG_INTEGER);
}

static bool test_float(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_FLOAT);
}

static bool test_number(struct template_call *call) {
    return answer(call, template_is_number(call->self));
}

static bool test_string(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_TEXT);
}

static bool test_mapping(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_DICT);
}

static bool test_iterable(struct template_call *call) {
    return answer(call, template_is_iterable(call->self));
}

/* What has a length and indices; in Python that is so of an undefined value and a dict, too. */
static bool test_sequence(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_UNDEFINED || call->self.type == TEMPLATE_TEXT ||
                            call->self.type == TEMPLATE_LIST || call->self.type == TEMPLATE_TUPLE ||
                            call->self.type == TEMPLATE_DICT || call->self.type == TEMPLATE_RANGE);
}

static bool test_callable(struct template_call *call) {
    return answer(call, call->self.type == TEMPLATE_FUNCTION || call->self.type == TEMPLATE_MACRO ||
                            call->self.type == TEMPLATE_LOOP ||
                            call->self.type == TEMPLATE_UNDEFINED);
}

/* ---- Texts and numbers ---- */

static bool test_case(struct template_call *call, bool (*is)(uint32_t code)) {
    struct template_text text;
    return template_to_text(call->render, call->self, &text) &&
           template_spend_bytes(call->render, text.length) &&
           answer(call, template_all_cased(text, is));
}

static bool test_lower(struct template_call *call) {
    return test_case(call, template_is_lower);
}

static bool test_upper(struct template_call *call) {
    return test_case(call, template_is_upper);
}

/* self % divisor == remainder */
static bool test_remainder(struct template_call *call, struct template_value divisor,
                           int64_t remainder) {
    struct template_value found;
    bool equal = false;
    return template_arithmetic(call->render, TOKEN_REMAINDER, call->self, divisor, &found) &&
           template_equal(call->render, found, template_from_integer(remainder), &equal) &&
           answer(call, equal);
}

static bool test_odd(struct template_call *call) {
    return test_remainder(call, template_from_integer(2), 1);
}

static bool test_even(struct template_call *call) {
    return test_remainder(call, template_from_integer(2), 0);
}

static bool test_divisibleby(struct template_call *call) {
    return test_remainder(call, call->arguments[0], 0);
}

/* ---- Comparisons ---- */

static bool test_comparison(struct template_call *call, enum template_comparison comparison) {
    bool holds = false;
    return template_compare(call->render, comparison, call->self, call->arguments[0], &holds) &&
           answer(call, holds);
}

static bool test_equal(struct template_call *call) {
    return test_comparison(call, COMPARE_EQUAL);
}

static bool test_not_equal(struct template_call *call) {
    return test_comparison(call, COMPARE_NOT_EQUAL);
}

static bool test_less(struct template_call *call) {
    return test_comparison(call, COMPARE_LESS);
}

static bool test_less_equal(struct template_call *call) {
    return test_comparison(call, COMPARE_LESS_EQUAL);
}

static bool test_greater(struct template_call *call) {
    return test_comparison(call, COMPARE_GREATER);
}

static bool test_greater_equal(struct template_call *call) {
    return test_comparison(call, COMPARE_GREATER_EQUAL);
}

static bool test_in(struct template_call *call) {
    return test_comparison(call, COMPARE_IN);
}

/* Equal, and of one type: `x is sameas false` is not true of 0. */
static bool test_sameas(struct template_call *call) {
    if (call->self.type != call->arguments[0].type) {
        return answer(call, false);
    }
    if (call->self.type >= TEMPLATE_LIST) { /* the same object */
        return answer(call, call->self.list == call->arguments[0].list);
    }
    return test_comparison(call, COMPARE_EQUAL);
}

static const struct template_builtin tests[] = {
    {"!=", "other", test_not_equal},
    {"<", "other", test_less},
    {"<=", "other", test_less_equal},
    {"==", "other", test_equal},
    {">", "other", test_greater},
    {">=", "other", test_greater_equal},
    {"boolean", "", test_boolean},
    {"callable", "", test_callable},
    {"defined", "", test_defined},
    {"divisibleby", "num", test_divisibleby},
    {"eq", "other", test_equal},
    {"equalto", "other", test_equal},
    {"even", "", test_even},
    {"false", "", test_false},
    {"float", "", test_float},
    {"ge", "other", test_greater_equal},
    {"greaterthan", "other", test_greater},
    {"gt", "other", test_greater},
    {"in", "seq", test_in},
    {"integer", "", test_integer},
    {"iterable", "", test_iterable},
    {"le", "other", test_less_equal},
    {"lessthan", "other", test_less},
    {"lower", "", test_lower},
    {"lt", "other", test_less},
    {"mapping", "", test_mapping},
    {"ne", "other", test_not_equal},
    {"none", "", test_none},
    {"number", "", test_number},
    {"odd", "", test_odd},
    {"sameas", "other", test_sameas},
    {"sequence", "", test_sequence},
    {"string", "", test_string},
    {"true", "", test_true},
    {"undefined", "", test_undefined},
    {"upper", "", test_upper},
    {NULL, NULL, NULL},
};

const struct template_builtin *template_find_test(struct template_text name) {
    return template_find_in_table(tests, name);
}
