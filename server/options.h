/* Command-line options from a table: what a sub-command takes is one array, from which arguments
 * are read, errors are worded and --help is printed.
 *
 *     static const struct option options[] = {
 *         {.name = "chunk", .type = OPTION_SIZE, .offset = offsetof(struct values, chunk),
 *          .argument = "N", .minimum = 1, .maximum = 4096, .fallback = "512",
 *          .help = "rows of one step"},
 *     };
 *
 * Defaults are text and go through the same reader, so that help and behaviour cannot differ. The
 * values borrow their text from argv and the table. Used by one thread. */
#ifndef QUERN_SERVER_OPTIONS_H
#define QUERN_SERVER_OPTIONS_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
    OPTION_FLAG,   /* bool: --name, --no-name, or --name=yes */
    OPTION_SIZE,   /* size_t */
    OPTION_MODE,   /* size_t: permissions in octal, "0660" */
    OPTION_NUMBER, /* double */
    OPTION_TEXT,   /* const char * */
    OPTION_LIST,   /* struct option_list: integers separated by commas */
};

/* What an OPTION_LIST fills; options_free frees it. */
struct option_list {
    int32_t *items;
    size_t count;
};

/* `--name ARGUMENT` or `--name=ARGUMENT`. One with a section is a setting, too (config.h). */
struct option {
    const char *name; /* without the dashes */
    enum option_type type;
    bool required;
    size_t offset;        /* of the value within the caller's struct */
    const char *argument; /* what help calls the argument, "N"; NULL for a flag */
    double minimum;       /* numbers and list items; both ends belong to the range */
    double maximum;       /* 0 with a minimum of 0: any */
    const char *const
        *choices;         /* OPTION_TEXT: the words it may be, ended by NULL; NULL: any text */
    const char *fallback; /* the default, read like an argument; NULL: zero, NULL or empty */
    const char *help;     /* the unit belongs here: "seconds to wait for ..." */
    const char *section;  /* of the configuration file; NULL: none */
    bool reload;          /* a setting that may change while the daemon runs */
};

/* An argument without dashes: a const char *. Required ones come first. */
struct operand {
    const char *name; /* "MODEL_DIR" */
    bool required;
    size_t offset;
    const char *help;           /* also of each of the choices */
    const char *const *choices; /* as those of an option */
};

/* Sections of the configuration file that may be there several times, each with a name: "[model.NAME]".
 * Their settings stand in no other place. */
struct option_group {
    const char *section; /* "model" */
    const struct option *options;
    size_t option_count;
    size_t maximum; /* sections */
    size_t count;   /* offset of a size_t: how many there are */
    size_t values;  /* offset of an array of them, each of `size` bytes, in the order of the file */
    size_t size;
    size_t name;  /* offset within each: a const char * */
    size_t given; /* offset within each: a uint64_t, bit i for option i that is there */
};

struct command_line {
    const char *command;     /* "logits" */
    const char *description; /* whole sentences, for help */
    const struct operand *operands;
    size_t operand_count;
    const struct option *options;
    size_t option_count;
    const struct option_group *group; /* NULL: none */
};

enum options_outcome { OPTIONS_READ, OPTIONS_HELP, OPTIONS_WRONG };

/* Reads argv[1..argc) into the struct at `values`, which is set as a whole only by what the table
 * names: zero it first. OPTIONS_HELP where --help or -h comes before anything wrong. OPTIONS_WRONG
 * fills err with the option, its value and what it may be. After any outcome, call options_free. */
enum options_outcome options_read(const struct command_line *line, int argc, char **argv,
                                  void *values, struct error *err);

/* The two halves of options_read, for one who puts something in between. */
bool options_read_defaults(const struct command_line *line, void *values, struct error *err);
enum options_outcome options_read_arguments(const struct command_line *line, int argc, char **argv,
                                            void *values, struct error *err);

/* Reads one option's argument into the values. Errors call it by its spelling ("--max-body"). */
bool option_read(const struct option *option, const char *spelling, const char *text, void *values,
                 struct error *err);

/* Copies one option's value from values to values. Lists cannot be copied. */
void option_copy(const struct option *option, void *to, const void *from);

/* Are the values of an option, no list, the same? */
bool option_equal(const struct option *option, const void *a, const void *b);

/* NULL if no option has the name, which need not end with a zero. */
const struct option *option_find(const struct command_line *line, const char *name, size_t length);

void options_free(const struct command_line *line, void *values);

/* "1 to 4096" or "f32, f16, int8"; nothing where any value will do. */
void option_print_values(const struct option *option, FILE *out);

/* The value, as it could be given; NULL for no text and for a list. */
const char *option_value_text(const struct option *option, const void *values, char text[32]);

/* A text in lines of at most 79 columns, broken at blanks and at its own line breaks. The first one goes
 * on behind as many columns as `margin` has; the others begin with it: blanks, or the sign of a comment. */
void options_print_text(const char *text, const char *margin, FILE *out);

void options_print_help(const struct command_line *line, FILE *out);

/* What every sub-command begins with: options_read, and help printed or the error reported. False
 * where that was all; *status is then the exit status of the process. */
bool options_start(const struct command_line *line, int argc, char **argv, void *values,
                   int *status);

/* Writes "quern COMMAND: sentence" to standard error. Returns the exit status for a failure. */
int options_report(const char *command, const struct error *err);

/* ---- The nearest name to a misspelt one ---- */

struct suggestion {
    const char *word; /* what was typed */
    const char *name; /* the nearest name offered so far, or NULL if none is near */
    size_t distance;
};
void suggestion_offer(struct suggestion *suggestion, const char *name);

#endif
