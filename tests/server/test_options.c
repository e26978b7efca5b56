#include "server/options.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

struct values {
    const char *folder;
    const char *text;
    bool loud;
    size_t chunk;
    double heat;
    const char *rows;
    struct option_list ids;
};

static const char *const row_choices[] = {"all", "last", NULL};

#define FIELD(name) .offset = offsetof(struct values, name)

static const struct option options[] = {
    {.name = "loud", .type = OPTION_FLAG, FIELD(loud), .help = "be loud"},
    {.name = "chunk",
     .type = OPTION_SIZE,
     FIELD(chunk),
     .argument = "N",
     .minimum = 1,
     .maximum = 4096,
     .fallback = "512",
     .help = "rows of a step"},
    {.name = "heat",
     .type = OPTION_NUMBER,
     FIELD(heat),
     .argument = "T",
     .maximum = 2,
     .help = "h"},
    {.name = "rows",
     .type = OPTION_TEXT,
     FIELD(rows),
     .argument = "WHICH",
     .choices = row_choices,
     .fallback = "last",
     .help = "rows to write"},
    {.name = "ids",
     .type = OPTION_LIST,
     FIELD(ids),
     .argument = "LIST",
     .required = true,
     .help = "token ids"},
};

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .required = true,
     .offset = offsetof(struct values, folder),
     .help = "a folder"},
    {.name = "PROMPT", .offset = offsetof(struct values, text), .help = "a text"},
};

static const struct command_line line = {"try", "Tries.", operands, 2, options, 5, NULL};

/* The arguments are words separated by blanks. */
static enum options_outcome read_words(const char *words, struct values *values,
                                       struct error *err) {
    static char copy[256];
    char *argv[16] = {(char[]){"try"}};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    *values = (struct values){0};
    *err = (struct error){0};
    return options_read(&line, argc, argv, values, err);
}

Test(options, values_reach_the_fields_that_the_table_names) {
    struct values values;
    struct error err;
    enum options_outcome outcome =
        read_words("m --chunk 7 --heat=1.5 --loud --ids 2,17,33 --rows all", &values, &err);
    cr_assert_eq(outcome, OPTIONS_READ, "%s", err.text);
    cr_assert_str_eq(values.folder, "m");
    cr_assert_null(values.text);
    cr_assert(values.loud);
    cr_assert_eq(values.chunk, 7, "chunk is %zu", values.chunk);
    cr_assert_eq(values.heat, 1.5, "heat is %g", values.heat);
    cr_assert_str_eq(values.rows, "all");
    cr_assert_eq(values.ids.count, 3, "%zu ids", values.ids.count);
    cr_assert_eq(values.ids.items[2], 33, "the third is %d", values.ids.items[2]);
    options_free(&line, &values);
}

Test(options, defaults_are_read_like_arguments_and_later_options_win) {
    struct values values;
    struct error err;
    cr_assert_eq(read_words("m --ids 1 --ids 4,5", &values, &err), OPTIONS_READ, "%s", err.text);
    cr_assert_eq(values.chunk, 512, "chunk is %zu", values.chunk);
    cr_assert_str_eq(values.rows, "last");
    cr_assert_eq(values.ids.count, 2, "%zu ids", values.ids.count);
    options_free(&line, &values);
}

Test(options, a_flag_is_turned_on_and_off_again) {
    static const struct {
        const char *words;
        bool loud;
    } cases[] = {
        {"m --ids 1 --loud", true},
        {"m --ids 1 --no-loud", false},
        {"m --ids 1 --loud=off", false},
        {"m --ids 1 --no-loud --loud=true", true},
        {"m --ids 1 --loud --no-loud", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct values values;
        struct error err;
        cr_expect_eq(read_words(cases[i].words, &values, &err), OPTIONS_READ, "%s", err.text);
        cr_expect_eq(values.loud, cases[i].loud, "%s", cases[i].words);
        options_free(&line, &values);
    }
}

Test(options, two_dashes_end_the_options) {
    struct values values;
    struct error err;
    cr_assert_eq(read_words("--ids 1 -- m --help", &values, &err), OPTIONS_READ, "%s", err.text);
    cr_assert_str_eq(values.folder, "m");
    cr_assert_str_eq(values.text, "--help");
    options_free(&line, &values);
}

Test(options, help_wins_over_what_is_missing) {
    struct values values;
    struct error err;
    cr_assert_eq(read_words("--chunk 3 --help", &values, &err), OPTIONS_HELP);
    options_free(&line, &values);
}

Test(options, an_error_names_the_option_the_value_and_what_it_may_be) {
    static const struct {
        const char *words;
        const char *sentence;
    } cases[] = {
        {"m --ids 1 --chunk 0", "--chunk takes a whole number, 1 to 4096, not \"0\""},
        {"m --ids 1 --chunk -1", "--chunk takes a whole number, 1 to 4096, not \"-1\""},
        {"m --ids 1 --chunk 1e3", "--chunk takes a whole number, 1 to 4096, not \"1e3\""},
        {"m --ids 1 --chunk 99999999999999999999",
         "--chunk takes a whole number, 1 to 4096, not \"99999999999999999999\""},
        {"m --ids 1 --heat nan", "--heat takes a number, 0 to 2, not \"nan\""},
        {"m --ids 1 --heat 2.1", "--heat takes a number, 0 to 2, not \"2.1\""},
        {"m --ids 1 --rows some", "--rows takes one of all, last, not \"some\""},
        {"m --ids 1,,2", "--ids takes whole numbers separated by commas, not \"1,,2\""},
        {"m --ids 1,2,", "--ids takes whole numbers separated by commas, not \"1,2,\""},
        {"m --ids 4294967298", "--ids takes whole numbers separated by commas, not \"4294967298\""},
        {"m --ids 1 --chnk 2", "there is no option --chnk; did you mean --chunk?"},
        {"m --ids 1 --zebra", "there is no option --zebra"},
        {"m --ids", "--ids needs its argument LIST"},
        {"m --loud=maybe --ids 1", "--loud takes yes or no, not \"maybe\""},
        {"m --no-loud=yes --ids 1", "--no-loud takes no argument, found \"yes\""},
        {"m --no-chunk --ids 1", "there is no option --no-chunk"},
        {"m", "--ids LIST is missing"},
        {"--ids 1", "MODEL_DIR is missing"},
        {"m p q --ids 1", "\"q\" is one argument too many"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct values values;
        struct error err;
        cr_expect_eq(read_words(cases[i].words, &values, &err), OPTIONS_WRONG, "%s",
                     cases[i].words);
        cr_expect_str_eq(err.text, cases[i].sentence, "\"%s\" gives \"%s\"", cases[i].words,
                         err.text);
        options_free(&line, &values);
    }
}

Test(options, help_shows_ranges_choices_and_defaults) {
    char *help = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&help, &length);
    options_print_help(&line, out);
    fclose(out);
    static const char *const parts[] = {
        "usage: quern try MODEL_DIR [PROMPT] --ids LIST [options]\n",
        "rows of a step (1 to 4096, default 512)\n",
        "rows to write: all, last (default last)\n",
        "token ids (required)\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        cr_expect_not_null(strstr(help, parts[i]), "\"%s\" is not in\n%s", parts[i], help);
    }
    free(help);
}

#define BLANKS_10 "          "
#define BLANKS                                                                                     \
    BLANKS_10 BLANKS_10 BLANKS_10 BLANKS_10 BLANKS_10 BLANKS_10 BLANKS_10 /* 70 of them */

Test(options, texts_are_broken_at_blanks_before_column_80) {
    static const struct {
        const char *text;
        const char *margin;
        const char *lines;
    } cases[] = {
        {"short", BLANKS, "short\n"},
        {"one two three four", BLANKS, "one two\n" BLANKS "three\n" BLANKS "four\n"},
        {"123456789 1", BLANKS, "123456789\n" BLANKS "1\n"},
        {"1234567890 1", BLANKS, "1234567890\n" BLANKS "1\n"},
        {"first\n  second", "", "first\n  second\n"},
        {"a comment\nand more", "# ", "a comment\n# and more\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *printed = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&printed, &length);
        options_print_text(cases[i].text, cases[i].margin, out);
        fclose(out);
        cr_expect_str_eq(printed, cases[i].lines, "\"%s\" gives \"%s\"", cases[i].text, printed);
        free(printed);
    }
}
