#include "server/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_LENGTH_MAX = 64,
    HELP_COLUMN = 26,
};

/* ---- Suggestions ---- */

/* Levenshtein distance, one row of the table at a time. Too long a word is far from every name. */
static size_t edit_distance(const char *a, const char *b) {
    size_t row[NAME_LENGTH_MAX];
    size_t length = strlen(b);
    if (length >= NAME_LENGTH_MAX || strlen(a) >= NAME_LENGTH_MAX) {
        return NAME_LENGTH_MAX;
    }
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= length; j++) {
            size_t replaced = diagonal + (a[i] != b[j - 1]);
            size_t moved = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = replaced < moved ? replaced : moved;
        }
    }
    return row[length];
}

void suggestion_offer(struct suggestion *suggestion, const char *name) {
    size_t distance = edit_distance(suggestion->word, name);
    bool near = distance <= 1 + strlen(name) / 4; /* one slip in a short word, more in a long one */
    if (near && (suggestion->name == NULL || distance < suggestion->distance)) {
        suggestion->name = name;
        suggestion->distance = distance;
    }
}

/* ---- One argument ---- */

static bool has_range(const struct option *option) {
    return option->minimum != 0 || option->maximum != 0;
}

static bool in_range(const struct option *option, double value) {
    return !has_range(option) || (value >= option->minimum && value <= option->maximum);
}

/* "1 to 4096", "at least 1" or "any". */
static const char *range_text(const struct option *option, char text[64]) {
    if (!has_range(option)) {
        return "any";
    }
    if (isinf(option->maximum)) {
        snprintf(text, 64, "at least %.10g", option->minimum);
    } else {
        snprintf(text, 64, "%.10g to %.10g", option->minimum, option->maximum);
    }
    return text;
}

static bool wrong_number(const struct option *option, const char *text, const char *kind,
                         struct error *err) {
    char range[64];
    const char *of = has_range(option) ? ", " : "";
    return error_set(err, ERROR_INVALID, "--%s takes %s%s%s, not \"%.80s\"", option->name, kind, of,
                     has_range(option) ? range_text(option, range) : "", text);
}

static bool read_size(const struct option *option, const char *text, void *value,
                      struct error *err) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    if (!digits || errno != 0 || number > SIZE_MAX || !in_range(option, (double)number)) {
        return wrong_number(option, text, "a whole number", err);
    }
    *(size_t *)value = (size_t)number;
    return true;
}

static bool read_number(const struct option *option, const char *text, void *value,
                        struct error *err) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number) || !in_range(option, number)) {
        return wrong_number(option, text, "a number", err);
    }
    *(double *)value = number;
    return true;
}

static bool read_text(const struct option *option, const char *text, void *value,
                      struct error *err) {
    char words[256] = "";
    bool known = option->choices == NULL;
    for (size_t i = 0; !known && option->choices[i] != NULL; i++) {
        known = strcmp(text, option->choices[i]) == 0;
        size_t length = strlen(words);
        snprintf(words + length, sizeof words - length, "%s%s", i > 0 ? ", " : "",
                 option->choices[i]);
    }
    if (!known) {
        return error_set(err, ERROR_INVALID, "--%s takes one of %s, not \"%.80s\"", option->name,
                         words, text);
    }
    *(const char **)value = text;
    return true;
}

static bool read_list(const struct option *option, const char *text, void *value,
                      struct error *err) {
    size_t count = 1;
    for (const char *at = text; *at != '\0'; at++) {
        count += *at == ',';
    }
    int32_t *items = calloc(count, sizeof *items);
    if (items == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the %zu items of --%s", count,
                         option->name);
    }
    struct option_list *list = value;
    free(list->items); /* of an earlier --name or of the default */
    *list = (struct option_list){.items = items, .count = count};
    const char *at = text;
    for (size_t i = 0; i < count; i++) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        bool sound = end != at && *end == (i + 1 < count ? ',' : '\0') && errno == 0;
        if (!sound || number < INT32_MIN || number > INT32_MAX ||
            !in_range(option, (double)number)) {
            const char *kind = "whole numbers separated by commas";
            return wrong_number(option, sound ? at : text, kind, err);
        }
        items[i] = (int32_t)number;
        at = end + 1;
    }
    return true;
}

static bool read_flag(const struct option *option, const char *text, void *value,
                      struct error *err) {
    (void)option;
    (void)text;
    (void)err;
    *(bool *)value = true;
    return true;
}

typedef bool read_argument(const struct option *option, const char *text, void *value,
                           struct error *err);

static read_argument *const readers[] = {
    [OPTION_FLAG] = read_flag, [OPTION_SIZE] = read_size, [OPTION_NUMBER] = read_number,
    [OPTION_TEXT] = read_text, [OPTION_LIST] = read_list,
};

static bool read_value(const struct option *option, const char *text, void *values,
                       struct error *err) {
    return readers[option->type](option, text, (char *)values + option->offset, err);
}

/* ---- A whole command line ---- */

struct reading {
    const struct command_line *line;
    int argc;
    char **argv;
    int next; /* argument */
    void *values;
    size_t operands; /* read so far */
};

static const struct option *find_option(const struct command_line *line, const char *name,
                                        size_t length) {
    for (size_t i = 0; i < line->option_count; i++) {
        const char *candidate = line->options[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) {
            return &line->options[i];
        }
    }
    return NULL;
}

static bool unknown_option(const struct command_line *line, const char *name, size_t length,
                           struct error *err) {
    char word[NAME_LENGTH_MAX];
    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word), name);
    struct suggestion suggestion = {.word = word};
    for (size_t i = 0; i < line->option_count; i++) {
        suggestion_offer(&suggestion, line->options[i].name);
    }
    if (suggestion.name != NULL) {
        return error_set(err, ERROR_INVALID, "there is no option --%s; did you mean --%s?", word,
                         suggestion.name);
    }
    return error_set(err, ERROR_INVALID, "there is no option --%s", word);
}

/* "--name", "--name=argument", or "--name" with its argument behind it. */
static bool read_option(struct reading *reading, const char *text, struct error *err) {
    const char *name = text + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct option *option = find_option(reading->line, name, length);
    if (option == NULL) {
        return unknown_option(reading->line, name, length, err);
    }
    const char *argument = equals != NULL ? equals + 1 : NULL;
    if (option->type == OPTION_FLAG && argument != NULL) {
        return error_set(err, ERROR_INVALID, "--%s takes no argument, found \"%.80s\"",
                         option->name, argument);
    }
    if (option->type != OPTION_FLAG && argument == NULL) {
        if (reading->next == reading->argc) {
            return error_set(err, ERROR_INVALID, "--%s needs its argument %s", option->name,
                             option->argument);
        }
        argument = reading->argv[reading->next++];
    }
    return read_value(option, argument, reading->values, err);
}

static bool read_operand(struct reading *reading, const char *text, struct error *err) {
    const struct command_line *line = reading->line;
    if (reading->operands == line->operand_count) {
        return error_set(err, ERROR_INVALID, "\"%.80s\" is one argument too many", text);
    }
    size_t offset = line->operands[reading->operands++].offset;
    *(const char **)((char *)reading->values + offset) = text;
    return true;
}

static bool is_set(const struct option *option, const void *values) {
    const char *value = (const char *)values + option->offset;
    return option->type == OPTION_LIST ? ((const struct option_list *)value)->count > 0
                                       : *(const char *const *)value != NULL;
}

/* Only texts and lists can be required: they alone show that they are missing. */
static bool check_complete(const struct reading *reading, struct error *err) {
    const struct command_line *line = reading->line;
    if (reading->operands < line->operand_count && line->operands[reading->operands].required) {
        return error_set(err, ERROR_INVALID, "%s is missing",
                         line->operands[reading->operands].name);
    }
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        if (option->required && !is_set(option, reading->values)) {
            return error_set(err, ERROR_INVALID, "--%s %s is missing", option->name,
                             option->argument);
        }
    }
    return true;
}

enum options_outcome options_read(const struct command_line *line, int argc, char **argv,
                                  void *values, struct error *err) {
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        if (option->fallback != NULL && !read_value(option, option->fallback, values, err)) {
            return OPTIONS_WRONG;
        }
    }
    struct reading reading = {
        .line = line, .argc = argc, .argv = argv, .next = 1, .values = values};
    bool operands_only = false;
    while (reading.next < argc) {
        const char *text = argv[reading.next++];
        if (!operands_only && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
            return OPTIONS_HELP;
        }
        if (!operands_only && strcmp(text, "--") == 0) {
            operands_only = true;
            continue;
        }
        bool is_option = !operands_only && strncmp(text, "--", 2) == 0;
        if (!(is_option ? read_option(&reading, text, err) : read_operand(&reading, text, err))) {
            return OPTIONS_WRONG;
        }
    }
    return check_complete(&reading, err) ? OPTIONS_READ : OPTIONS_WRONG;
}

void options_free(const struct command_line *line, void *values) {
    for (size_t i = 0; i < line->option_count; i++) {
        if (line->options[i].type == OPTION_LIST) {
            struct option_list *list =
                (struct option_list *)((char *)values + line->options[i].offset);
            free(list->items);
            *list = (struct option_list){0};
        }
    }
}

/* ---- Help ---- */

/* What stands to the right of an option: its help, its words or range, its default. */
static void print_option(const struct option *option, FILE *out) {
    char left[NAME_LENGTH_MAX];
    char range[64];
    snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument != NULL ? " " : "",
             option->argument != NULL ? option->argument : "");
    fprintf(out, "  %-*s%s", HELP_COLUMN, left, option->help);
    for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++) {
        fprintf(out, "%s%s", i == 0 ? ": " : ", ", option->choices[i]);
    }
    if (has_range(option)) {
        fprintf(out, ", %s", range_text(option, range));
    }
    if (option->required) {
        fprintf(out, " (required)");
    } else if (option->fallback != NULL) {
        fprintf(out, " (default %s)", option->fallback);
    }
    fputc('\n', out);
}

void options_print_help(const struct command_line *line, FILE *out) {
    fprintf(out, "usage: quern %s", line->command);
    for (size_t i = 0; i < line->operand_count; i++) {
        const struct operand *operand = &line->operands[i];
        fprintf(out, " %s%s%s", operand->required ? "" : "[", operand->name,
                operand->required ? "" : "]");
    }
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        if (option->required) {
            fprintf(out, " --%s %s", option->name, option->argument);
        }
    }
    fprintf(out, " [options]\n\n%s\n\n", line->description);
    for (size_t i = 0; i < line->operand_count; i++) {
        fprintf(out, "  %-*s%s\n", HELP_COLUMN, line->operands[i].name, line->operands[i].help);
    }
    for (size_t i = 0; i < line->option_count; i++) {
        print_option(&line->options[i], out);
    }
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "--help", "print this and exit");
}

int options_report(const char *command, const struct error *err) {
    fprintf(stderr, "quern %s: %s\n", command, err->text);
    return EXIT_FAILURE;
}

bool options_start(const struct command_line *line, int argc, char **argv, void *values,
                   int *status) {
    struct error err = {0};
    switch (options_read(line, argc, argv, values, &err)) {
    case OPTIONS_READ:
        return true;
    case OPTIONS_HELP:
        options_print_help(line, stdout);
        *status = EXIT_SUCCESS;
        break;
    case OPTIONS_WRONG:
        options_report(line->command, &err);
        fprintf(stderr, "Try 'quern %s --help'.\n", line->command);
        *status = EXIT_USAGE;
        break;
    }
    options_free(line, values);
    return false;
}
