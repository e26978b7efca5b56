#include "server/schema/number_range.h"

#include "engine/text/grammar/grammar_intersection.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIGITS_MAX = 15,           /* doubles tell any two numbers of so many digits apart */
    FRACTION_DIGITS_USUAL = 8, /* where the bounds do not have more */
};

#define WHOLE_MAX 999999999999999.0

/* ---- Without bounds ---- */

static grammar_expression digits(struct grammar_builder *builder, char first, char last) {
    return grammar_characters(builder,
                              &(struct code_range){(unsigned char)first, (unsigned char)last}, 1);
}

static grammar_expression optional(struct grammar_builder *builder, grammar_expression part) {
    return grammar_repeat(builder, part, 0, 1);
}

static grammar_expression any_whole(struct grammar_builder *builder) {
    grammar_expression digit = digits(builder, '0', '9');
    return GRAMMAR_SEQUENCE(
        builder, optional(builder, GRAMMAR_TEXT(builder, "-")),
        GRAMMAR_CHOICE(builder, GRAMMAR_TEXT(builder, "0"),
                       GRAMMAR_SEQUENCE(builder, digits(builder, '1', '9'),
                                        grammar_repeat(builder, digit, 0, DIGITS_MAX - 1))));
}

static grammar_expression any_number(struct grammar_builder *builder) {
    static const struct code_range signs[] = {{'+', '+'}, {'-', '-'}};
    static const struct code_range exponents[] = {{'E', 'E'}, {'e', 'e'}};
    grammar_expression digit = digits(builder, '0', '9');
    grammar_expression fraction = GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "."),
                                                   grammar_repeat(builder, digit, 1, DIGITS_MAX));
    grammar_expression exponent =
        GRAMMAR_SEQUENCE(builder, grammar_characters(builder, exponents, 2),
                         optional(builder, grammar_characters(builder, signs, 2)),
                         grammar_repeat(builder, digit, 1, 2)); /* a double holds them all */
    return GRAMMAR_SEQUENCE(builder, any_whole(builder), optional(builder, fraction),
                            optional(builder, exponent));
}

/* ---- Digits of bounds ---- */

/* 12.5: "125", 2 of them before the point. */
struct decimal {
    char digits[64];
    size_t length;
    size_t whole;
};

/* With the fewest digits that are the number. */
static bool decimal_of(double number, struct decimal *decimal) {
    char text[64];
    int places = 0;
    do {
        snprintf(text, sizeof text, "%.*f", places, number);
    } while (strtod(text, NULL) != number && ++places <= DIGITS_MAX);
    if (places > DIGITS_MAX) {
        return false;
    }
    decimal->whole = strcspn(text, ".");
    decimal->length = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '.') {
            decimal->digits[decimal->length++] = *at;
        }
    }
    return decimal->length <= DIGITS_MAX + 1; /* 0.123456789012345 */
}

/* ---- Between bounds ---- */

/* Numbers with `whole` digits before the point, between two that are not negative. */
struct span {
    struct grammar_builder *builder;
    struct decimal low;
    struct decimal high;
    bool low_open;
    bool high_open;
    size_t whole;
    size_t length_max; /* digits */
};

static char digit_at(const struct decimal *decimal, size_t at) {
    return decimal->digits[at < decimal->length ? at : decimal->length - 1];
}

static char bound_at(const struct decimal *decimal, size_t at) {
    return at < decimal->length ? digit_at(decimal, at) : '0';
}

static bool only_zeros(const struct decimal *decimal, size_t at) {
    return strspn(decimal->digits + at, "0") >= decimal->length - at;
}

/* May the number end in front of digit `at`? `low` and `high`: so far it has the digits of that bound. */
static bool may_end(const struct span *span, size_t at, bool low, bool high) {
    bool is_low = low && (at >= span->low.length || only_zeros(&span->low, at));
    bool is_high = high && (at >= span->high.length || only_zeros(&span->high, at));
    return (!low || (is_low && !span->low_open)) && !(is_high && span->high_open);
}

static grammar_expression go_on(struct span *span, size_t at, bool low, bool high);

/* A digit from `first` to `last`, then what may follow. */
static void add_digits(struct span *span, struct grammar_parts *ways, char first, char last,
                       size_t at, bool low, bool high) {
    if (first <= last) {
        grammar_parts_add(span->builder, ways,
                          GRAMMAR_SEQUENCE(span->builder, digits(span->builder, first, last),
                                           go_on(span, at + 1, low, high)));
    }
}

static grammar_expression next_digit(struct span *span, size_t at, bool low, bool high) {
    struct grammar_parts ways = {0};
    char first = low ? bound_at(&span->low, at) : '0';
    char last = high ? bound_at(&span->high, at) : '9';
    if (low && high && first == last) {
        add_digits(span, &ways, first, last, at, true, true);
    } else if (first <= last) {
        char inner_first = (char)(first + low);
        char inner_last = (char)(last - high);
        if (low) {
            add_digits(span, &ways, first, first, at, true, false);
        }
        add_digits(span, &ways, inner_first, inner_last, at, false, false);
        if (high) {
            add_digits(span, &ways, last, last, at, false, true);
        }
    }
    grammar_expression choice = grammar_choice(span->builder, ways.items, ways.count);
    free(ways.items);
    return choice;
}

/* Digits as many as there may be. */
static grammar_expression anything(struct span *span, size_t at) {
    struct grammar_builder *builder = span->builder;
    grammar_expression digit = digits(builder, '0', '9');
    if (at > span->whole) {
        return grammar_repeat(builder, digit, 0, (uint32_t)(span->length_max - at));
    }
    uint32_t before = (uint32_t)(span->whole - at);
    uint32_t behind = (uint32_t)(span->length_max - span->whole);
    grammar_expression point = GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "."),
                                                grammar_repeat(builder, digit, 1, behind));
    grammar_expression whole = grammar_repeat(builder, digit, before, before);
    return behind == 0 ? whole
                       : GRAMMAR_SEQUENCE(builder, whole, grammar_repeat(builder, point, 0, 1));
}

/* What may follow the first `at` digits. */
static grammar_expression go_on(struct span *span, size_t at, bool low, bool high) {
    struct grammar_builder *builder = span->builder;
    if (!low && !high) {
        return anything(span, at);
    }
    if (at < span->whole) {
        return next_digit(span, at, low, high);
    }
    struct grammar_parts ways = {0};
    if (may_end(span, at, low, high)) {
        grammar_parts_add(builder, &ways, GRAMMAR_TEXT(builder, ""));
    }
    if (at < span->length_max) {
        grammar_expression more = next_digit(span, at, low, high);
        grammar_parts_add(
            builder, &ways,
            at == span->whole ? GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "."), more) : more);
    }
    grammar_expression choice = grammar_choice(builder, ways.items, ways.count);
    free(ways.items);
    return choice;
}

static size_t fraction_digits(const struct span *span) {
    size_t low = span->low.length - span->low.whole;
    size_t high = span->high.length - span->high.whole;
    size_t most = low > high ? low : high;
    size_t usual = span->whole < DIGITS_MAX ? DIGITS_MAX - span->whole : 0;
    usual = usual < FRACTION_DIGITS_USUAL ? usual : FRACTION_DIGITS_USUAL;
    return most > usual ? most : usual;
}

/* Numbers of as many digits as the lower bound has before the point, of one more, and so on. */
static grammar_expression between(struct span *span, bool whole_only) {
    const struct decimal low = span->low;
    const bool low_open = span->low_open;
    struct grammar_parts ways = {0};
    for (size_t whole = low.whole; whole <= span->high.whole; whole++) {
        if (whole > low.whole) { /* 10, 100, ... */
            span->low = (struct decimal){.digits = "1", .length = whole, .whole = whole};
            memset(span->low.digits + 1, '0', whole - 1);
            span->low_open = false;
        }
        span->whole = whole;
        span->length_max = whole + (whole_only ? 0 : fraction_digits(span));
        grammar_parts_add(span->builder, &ways, go_on(span, 0, true, whole == span->high.whole));
    }
    span->low = low;
    span->low_open = low_open;
    grammar_expression choice = grammar_choice(span->builder, ways.items, ways.count);
    free(ways.items);
    return choice;
}

/* 0 <= low, and low <= high. */
static grammar_expression positive(struct grammar_builder *builder, double low, bool low_open,
                                   double high, bool high_open, bool whole_only) {
    struct span span = {.builder = builder, .low_open = low_open, .high_open = high_open};
    if (high > WHOLE_MAX) {
        high = WHOLE_MAX;
        span.high_open = false;
    }
    if (!decimal_of(low, &span.low) || low > high || !decimal_of(high, &span.high)) {
        return grammar_fail(builder, ERROR_UNSUPPORTED,
                            "numbers from %.17g to %.17g have too many digits: %d are supported",
                            low, high, DIGITS_MAX);
    }
    return between(&span, whole_only);
}

/* Integers are between integers. */
static void round_bounds(struct number_range *range) {
    double least = ceil(range->least);
    double most = floor(range->most);
    range->least = least + (least == range->least && range->least_open);
    range->most = most - (most == range->most && range->most_open);
    range->least_open = false;
    range->most_open = false;
}

/* ---- Multiples ---- */

static grammar_expression list_multiples(struct grammar_builder *builder, double multiple,
                                         double first, double last) {
    enum { TEXT_BYTES = 24 };
    size_t count = (size_t)(last - first) + 1;
    char(*numbers)[TEXT_BYTES] = calloc(count, sizeof *numbers);
    struct token_text *texts = calloc(count, sizeof *texts);
    grammar_expression list = 0;
    for (size_t i = 0; i < count && numbers != NULL && texts != NULL; i++) {
        int length = snprintf(numbers[i], TEXT_BYTES, "%.0f", (first + (double)i) * multiple + 0.0);
        texts[i] = (struct token_text){numbers[i], (size_t)length};
    }
    if (numbers == NULL || texts == NULL) {
        grammar_fail(builder, ERROR_OUT_OF_MEMORY, "no memory for multiples");
    } else {
        list = grammar_texts(builder, texts, count);
    }
    free(numbers);
    free(texts);
    return list;
}

/* Those of all numbers, or of all from 0 on, by their digits; between bounds one by one. */
static grammar_expression multiples(struct grammar_builder *builder,
                                    const struct number_range *range) {
    enum { LISTED_MAX = 10000, BY_DIGITS_MAX = 500 };
    static const struct grammar_regex_style style = {.search = false};
    const double multiple = (double)range->multiple_of;
    const double first = ceil(range->least / multiple);
    const double last = floor(range->most / multiple);
    const bool positive_only = first >= 0 && first <= 0;
    const bool listed = last - first < LISTED_MAX && fabs(first * multiple) <= WHOLE_MAX &&
                        fabs(last * multiple) <= WHOLE_MAX;
    if (first > last) {
        return grammar_characters(builder, NULL, 0);
    }
    if (listed) {
        return list_multiples(builder, multiple, first, last);
    }
    if (!isinf(last) || (!isinf(first) && !positive_only) || range->multiple_of > BY_DIGITS_MAX) {
        return grammar_fail(builder, ERROR_UNSUPPORTED,
                            "multiples of %.0f are supported where there are at most %d of them "
                            "between two bounds, and those of up to %d from 0 on or without bounds",
                            multiple, LISTED_MAX, BY_DIGITS_MAX);
    }
    const char *pattern = positive_only ? "0|[1-9][0-9]{0,14}" : "0|-?[1-9][0-9]{0,14}";
    const struct grammar_intersection intersection = {
        .patterns = {{{pattern, strlen(pattern)}, false}},
        .pattern_count = 1,
        .most = GRAMMAR_UNBOUNDED,
        .multiple_of = (uint32_t)range->multiple_of,
    };
    return grammar_intersect(builder, &intersection, &style);
}

grammar_expression number_range(struct grammar_builder *builder, const struct number_range *given) {
    struct number_range range = *given;
    if (range.multiple_of != 0) {
        round_bounds(&range);
        return multiples(builder, &range);
    }
    if (isinf(range.least) && isinf(range.most)) {
        return range.whole ? any_whole(builder) : any_number(builder);
    }
    if (range.whole) {
        round_bounds(&range);
    }
    struct grammar_parts ways = {0};
    if (range.least < 0 && range.least <= range.most) {
        bool up_to_zero = range.most >= 0;
        grammar_expression number =
            positive(builder, up_to_zero ? 0 : -range.most, up_to_zero || range.most_open,
                     -range.least, range.least_open, range.whole);
        grammar_parts_add(builder, &ways,
                          GRAMMAR_SEQUENCE(builder, GRAMMAR_TEXT(builder, "-"), number));
    }
    if (range.most >= 0 && range.least <= range.most) {
        bool from_zero = range.least < 0;
        grammar_parts_add(builder, &ways,
                          positive(builder, from_zero ? 0 : range.least,
                                   !from_zero && range.least_open, range.most, range.most_open,
                                   range.whole));
    }
    grammar_expression choice = grammar_choice(builder, ways.items, ways.count);
    free(ways.items);
    return choice;
}
