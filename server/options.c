#include "server/options.h"

#include "server/exit_status.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_LENGTH_MAX = 64,
    HELP_WIDTH =
        79, /* columns of a terminal, but for the last, after which some begin a new line */
};

/* Before what is said of an option. */
static const char help_margin[] = "                          ";

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

/* An argument on its way into a value. */
struct argument {
    const struct option *option;
    const char *spelling; /* as the option was written: "--max-body", "QUERN_MAX_BODY" */
    const char *text;
};

static bool wrong_number(const struct argument *argument, const char *text, const char *kind,
                         struct error *err) {
    const struct option *option = argument->option;
    char range[64];
    const char *of = has_range(option) ? ", " : "";
    return error_set(err, ERROR_INVALID, "%s takes %s%s%s, not \"%.80s\"", argument->spelling, kind,
                     of, has_range(option) ? range_text(option, range) : "", text);
}

static bool read_size(const struct argument *argument, void *value, struct error *err) {
    const char *text = argument->text;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    if (!digits || errno != 0 || number > SIZE_MAX || !in_range(argument->option, (double)number)) {
        return wrong_number(argument, text, "a whole number", err);
    }
    *(size_t *)value = (size_t)number;
    return true;
}

static bool read_mode(const struct argument *argument, void *value, struct error *err) {
    size_t digits = strspn(argument->text, "01234567");
    if (digits < 3 || digits > 4 || argument->text[digits] != '\0' ||
        (digits == 4 && argument->text[0] != '0')) {
        return error_set(err, ERROR_INVALID,
                         "%s takes permissions of three octal digits as in 0660, not \"%.80s\"",
                         argument->spelling, argument->text);
    }
    *(size_t *)value = strtoul(argument->text, NULL, 8);
    return true;
}

static bool read_number(const struct argument *argument, void *value, struct error *err) {
    char *end;
    double number = strtod(argument->text, &end);
    if (end == argument->text || *end != '\0' || !isfinite(number) ||
        !in_range(argument->option, number)) {
        return wrong_number(argument, argument->text, "a number", err);
    }
    *(double *)value = number;
    return true;
}

static bool check_choice(const char *const *choices, const char *spelling, const char *text,
                         struct error *err) {
    char words[256] = "";
    bool known = choices == NULL;
    for (size_t i = 0; !known && choices[i] != NULL; i++) {
        known = strcmp(text, choices[i]) == 0;
        size_t length = strlen(words);
        snprintf(words + length, sizeof words - length, "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return known || error_set(err, ERROR_INVALID, "%s takes one of %s, not \"%.80s\"", spelling,
                              words, text);
}

static bool read_text(const struct argument *argument, void *value, struct error *err) {
    if (!check_choice(argument->option->choices, argument->spelling, argument->text, err)) {
        return false;
    }
    *(const char **)value = argument->text;
    return true;
}

static bool read_list(const struct argument *argument, void *value, struct error *err) {
    size_t count = 1;
    for (const char *at = argument->text; *at != '\0'; at++) {
        count += *at == ',';
    }
    int32_t *items = calloc(count, sizeof *items);
    if (items == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the %zu items of %s", count,
                         argument->spelling);
    }
    struct option_list *list = value;
    free(list->items); /* of an earlier --name or of the default */
    *list = (struct option_list){.items = items, .count = count};
    const char *at = argument->text;
    for (size_t i = 0; i < count; i++) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        bool sound = end != at && *end == (i + 1 < count ? ',' : '\0') && errno == 0;
        if (!sound || number < INT32_MIN || number > INT32_MAX ||
            !in_range(argument->option, (double)number)) {
            const char *kind = "whole numbers separated by commas";
            return wrong_number(argument, sound ? at : argument->text, kind, err);
        }
        items[i] = (int32_t)number;
        at = end + 1;
    }
    return true;
}

static bool read_flag(const struct argument *argument, void *value, struct error *err) {
    static const char *const words[][2] = {{"no", "yes"}, {"off", "on"}, {"false", "true"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int on = 0; on <= 1; on++) {
            if (strcmp(argument->text, words[i][on]) == 0) {
                *(bool *)value = on != 0;
                return true;
            }
        }
    }
    return error_set(err, ERROR_INVALID, "%s takes yes or no, not \"%.80s\"", argument->spelling,
                     argument->text);
}

typedef bool read_argument(const struct argument *argument, void *value, struct error *err);

static read_argument *const readers[] = {
    [OPTION_FLAG] = read_flag,     [OPTION_SIZE] = read_size, [OPTION_MODE] = read_mode,
    [OPTION_NUMBER] = read_number, [OPTION_TEXT] = read_text, [OPTION_LIST] = read_list,
};

bool option_read(const struct option *option, const char *spelling, const char *text, void *values,
                 struct error *err) {
    struct argument argument = {.option = option, .spelling = spelling, .text = text};
    return readers[option->type](&argument, (char *)values + option->offset, err);
}

const char *option_value_text(const struct option *option, const void *values, char text[32]) {
    const char *value = (const char *)values + option->offset;
    switch (option->type) {
    case OPTION_FLAG:
        return *(const bool *)value ? "yes" : "no";
    case OPTION_SIZE:
        snprintf(text, 32, "%zu", *(const size_t *)value);
        return text;
    case OPTION_MODE:
        snprintf(text, 32, "%04zo", *(const size_t *)value);
        return text;
    case OPTION_NUMBER:
        snprintf(text, 32, "%.10g", *(const double *)value);
        return text;
    case OPTION_TEXT:
        return *(const char *const *)value;
    case OPTION_LIST:
        break;
    }
    return NULL;
}

static const size_t value_bytes[] = {
    [OPTION_FLAG] = sizeof(bool),   [OPTION_SIZE] = sizeof(size_t),
    [OPTION_MODE] = sizeof(size_t), [OPTION_NUMBER] = sizeof(double),
    [OPTION_TEXT] = sizeof(char *), [OPTION_LIST] = 0,
};

void option_copy(const struct option *option, void *to, const void *from) {
    memcpy((char *)to + option->offset, (const char *)from + option->offset,
           value_bytes[option->type]);
}

bool option_equal(const struct option *option, const void *a, const void *b) {
    const void *left = (const char *)a + option->offset;
    const void *right = (const char *)b + option->offset;
    if (option->type != OPTION_TEXT) {
        return memcmp(left, right, value_bytes[option->type]) == 0;
    }
    const char *one = *(const char *const *)left;
    const char *other = *(const char *const *)right;
    return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
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

const struct option *option_find(const struct command_line *line, const char *name, size_t length) {
    for (size_t i = 0; i < line->option_count; i++) {
        const char *candidate = line->options[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) {
            return &line->options[i];
        }
    }
    return NULL;
}

/* "exact", or "no-exact" for the flag "exact"; *off says which. */
static const struct option *find_spelt(const struct command_line *line, const char *name,
                                       size_t length, bool *off) {
    const struct option *option = option_find(line, name, length);
    *off = false;
    if (option == NULL && length > 3 && memcmp(name, "no-", 3) == 0) {
        option = option_find(line, name + 3, length - 3);
        *off = option != NULL && option->type == OPTION_FLAG;
        option = *off ? option : NULL;
    }
    return option;
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

/* "--name", "--name=argument", "--name" with its argument behind it, or "--no-name". */
static bool read_option(struct reading *reading, const char *text, struct error *err) {
    const char *name = text + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    bool off;
    const struct option *option = find_spelt(reading->line, name, length, &off);
    if (option == NULL) {
        return unknown_option(reading->line, name, length, err);
    }
    char spelling[NAME_LENGTH_MAX];
    snprintf(spelling, sizeof spelling, "--%s%s", off ? "no-" : "", option->name);
    const char *argument = equals != NULL ? equals + 1 : NULL;
    if (off && argument != NULL) {
        return error_set(err, ERROR_INVALID, "%s takes no argument, found \"%.80s\"", spelling,
                         argument);
    }
    if (option->type == OPTION_FLAG && argument == NULL) {
        argument = off ? "no" : "yes";
    }
    if (argument == NULL) {
        if (reading->next == reading->argc) {
            return error_set(err, ERROR_INVALID, "%s needs its argument %s", spelling,
                             option->argument);
        }
        argument = reading->argv[reading->next++];
    }
    return option_read(option, spelling, argument, reading->values, err);
}

static bool read_operand(struct reading *reading, const char *text, struct error *err) {
    const struct command_line *line = reading->line;
    if (reading->operands == line->operand_count) {
        return error_set(err, ERROR_INVALID, "\"%.80s\" is one argument too many", text);
    }
    const struct operand *operand = &line->operands[reading->operands++];
    *(const char **)((char *)reading->values + operand->offset) = text;
    return check_choice(operand->choices, operand->name, text, err);
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

bool options_read_defaults(const struct command_line *line, void *values, struct error *err) {
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        if (option->fallback != NULL &&
            !option_read(option, option->name, option->fallback, values, err)) {
            return false;
        }
    }
    return true;
}

enum options_outcome options_read_arguments(const struct command_line *line, int argc, char **argv,
                                            void *values, struct error *err) {
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

enum options_outcome options_read(const struct command_line *line, int argc, char **argv,
                                  void *values, struct error *err) {
    return options_read_defaults(line, values, err)
               ? options_read_arguments(line, argc, argv, values, err)
               : OPTIONS_WRONG;
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

void option_print_values(const struct option *option, FILE *out) {
    char range[64];
    for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++) {
        fprintf(out, "%s%s", i == 0 ? "" : ", ", option->choices[i]);
    }
    if (has_range(option)) {
        fputs(range_text(option, range), out);
    }
}

/* The first bytes of a line that fit into so many columns, without the blank that is broken at. */
static size_t fitting_length(const char *line, size_t length, size_t columns) {
    if (length <= columns) {
        return length;
    }
    size_t end = columns;
    while (end > 0 && line[end] != ' ') {
        end--;
    }
    if (end == 0) { /* one long word */
        end = columns + strcspn(line + columns, " \n");
    }
    return end;
}

void options_print_text(const char *text, const char *margin, FILE *out) {
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        size_t fitting = fitting_length(line, length, HELP_WIDTH - strlen(margin));
        fprintf(out, "%s%.*s\n", line == text ? "" : margin, (int)fitting, line);
        line += fitting;
        line += *line == ' ' || *line == '\n';
    }
}

/* An option or an operand, and what is said of it: beside it, or below where it is too long. */
static void print_entry(const char *name, const char *text, FILE *out) {
    size_t column = sizeof help_margin - 1;
    if (strlen(name) + 4 <= column) { /* two blanks on each side */
        fprintf(out, "  %-*s", (int)column - 2, name);
    } else {
        fprintf(out, "  %s\n%s", name, help_margin);
    }
    options_print_text(text, help_margin, out);
}

/* What is said of an option: "rows to write: all, last (default last)", "rows of a step (1 to 4096,
 * default 512)". */
static void say_option(const struct option *option, FILE *out) {
    char range[64];
    const char *separator = " (";
    fputs(option->help, out);
    if (option->choices != NULL) {
        fputs(": ", out);
        option_print_values(option, out);
    }
    if (has_range(option)) {
        fprintf(out, "%s%s", separator, range_text(option, range));
        separator = ", ";
    }
    if (option->required) {
        fprintf(out, "%srequired", separator);
        separator = ", ";
    } else if (option->fallback != NULL) {
        fprintf(out, "%sdefault %s", separator, option->fallback);
        separator = ", ";
    }
    fputs(separator[0] == ',' ? ")" : "", out);
}

static void print_option(const struct option *option, FILE *out) {
    char name[NAME_LENGTH_MAX];
    bool may_be_off = option->type == OPTION_FLAG && option->fallback != NULL;
    snprintf(name, sizeof name, "--%s%s%s%s", may_be_off ? "[no-]" : "", option->name,
             option->argument != NULL ? " " : "", option->argument != NULL ? option->argument : "");
    char *text = NULL;
    size_t length = 0;
    FILE *said = open_memstream(&text, &length);
    if (said != NULL) {
        say_option(option, said);
    }
    bool whole = said != NULL && fclose(said) == 0;
    print_entry(name, whole ? text : option->help, out);
    free(text);
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
    fprintf(out, "%s\n\n", line->option_count > 0 ? " [options]" : "");
    options_print_text(line->description, "", out);
    fputc('\n', out);
    for (size_t i = 0; i < line->operand_count; i++) {
        print_entry(line->operands[i].name, line->operands[i].help, out);
    }
    for (size_t i = 0; i < line->option_count; i++) {
        print_option(&line->options[i], out);
    }
    print_entry("--help", "print this and exit", out);
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
