#include "importer/probe_switch.h"

#include "importer/interpret.h"
#include "importer/probe.h"

/* Reads the number from the tensor of a step behind `past` tokens. */
typedef bool number_of(const struct tensor *tensor, size_t past, int64_t *number,
                       struct error *err);

struct subject {
    const struct graph *graph;
    const struct model_config *config;
    int value;
    number_of *number;
};

/* The number in a step of `fresh` tokens at the end of a sequence of `length`. */
static bool measure(const struct subject *subject, size_t length, size_t fresh, int64_t *number,
                    struct error *err) {
    struct probe_batch batch = {
        .size = 1, .past = length - fresh, .fresh = fresh, .lengths = {length}};
    struct interpretation run;
    if (!interpretation_init(&run, subject->graph, err)) {
        return false;
    }
    const struct tensor *tensor = NULL;
    if (probe_feed(&run, &batch, subject->config, err)) {
        tensor = interpretation_value(&run, subject->value, err);
    }
    bool measured = tensor != NULL && subject->number(tensor, batch.past, number, err);
    interpretation_deinit(&run);
    return measured;
}

static bool check_at(const struct subject *subject, size_t length, size_t fresh,
                     const struct length_switch *found, struct error *err) {
    bool is_short = found->short_length == 0 || length <= found->short_length;
    int64_t expected = is_short ? found->of_short : found->of_long;
    int64_t number;
    return measure(subject, length, fresh, &number, err) &&
           (number == expected ||
            error_set(err, ERROR_UNSUPPORTED,
                      "it is %lld, not %lld, at length %zu where %zu tokens are new",
                      (long long)number, (long long)expected, length, fresh));
}

/* On either side of the switch, and far from it, whatever part of the sequence is new. */
static bool check_everywhere(const struct subject *subject, size_t longest,
                             const struct length_switch *found, struct error *err) {
    for (size_t power = 1; power != 0 && power <= longest; power *= 2) {
        size_t lengths[] = {power, power + power / 2, found->short_length, found->short_length + 1};
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            size_t length = lengths[i];
            size_t fresh = power < length ? power : length;
            if (length > 0 && length <= longest && !check_at(subject, length, fresh, found, err)) {
                return false;
            }
        }
    }
    return true;
}

static bool find_switch(const struct subject *subject, size_t longest, struct length_switch *found,
                        struct error *err) {
    enum { LONGEST_MAX = 1 << 22 };
    longest = longest < 1 ? 1 : longest < LONGEST_MAX ? longest : LONGEST_MAX;
    *found = (struct length_switch){0};
    if (!measure(subject, 1, 1, &found->of_short, err) ||
        !measure(subject, longest, 1, &found->of_long, err)) {
        return false;
    }
    size_t same = 1;
    size_t changed = longest;
    while (found->of_short != found->of_long && changed - same > 1) {
        size_t middle = same + (changed - same) / 2;
        int64_t number;
        if (!measure(subject, middle, 1, &number, err)) {
            return false;
        }
        *(number == found->of_short ? &same : &changed) = middle;
    }
    found->short_length = found->of_short != found->of_long ? same : 0;
    return check_everywhere(subject, longest, found, err);
}

static bool condition_number(const struct tensor *tensor, size_t past, int64_t *number,
                             struct error *err) {
    (void)past;
    if (tensor->count != 1) {
        return error_set(err, ERROR_UNSUPPORTED, "it has %zu elements", tensor->count);
    }
    *number = tensor_integer(tensor, 0) != 0;
    return true;
}

static bool position_offset(const struct tensor *tensor, size_t past, int64_t *number,
                            struct error *err) {
    *number = tensor->count > 0 ? tensor_integer(tensor, 0) - (int64_t)past : 0;
    for (size_t i = 0; i < tensor->count; i++) {
        int64_t expected = (int64_t)(past + i) + *number;
        if (tensor_integer(tensor, i) != expected) {
            return error_set(err, ERROR_UNSUPPORTED,
                             "position %zu of a step is %lld where an ordinary decoder has %lld", i,
                             (long long)tensor_integer(tensor, i), (long long)expected);
        }
    }
    return true;
}

bool probe_condition(const struct graph *graph, const struct model_config *config, int condition,
                     size_t longest, struct length_switch *found, struct error *err) {
    const struct subject subject = {graph, config, condition, condition_number};
    return find_switch(&subject, longest, found, err);
}

bool probe_positions(const struct graph *graph, const struct model_config *config, int positions,
                     size_t longest, struct length_switch *found, struct error *err) {
    const struct subject subject = {graph, config, positions, position_offset};
    return find_switch(&subject, longest, found, err);
}
