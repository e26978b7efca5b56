#include "server/config_print.h"

#include "server/config.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parts of an entry ---- */

/* Calls `print` for each setting, in the order of the table; `first` of its section. */
static void for_each(const struct command_line *line, FILE *out,
                     void (*print)(const struct option *option, bool first, FILE *out)) {
    const char *section = "";
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        if (option->section != NULL) {
            print(option, strcmp(section, option->section) != 0, out);
            section = option->section;
        }
    }
}

/* A sentence's first letter is large, unless it begins a name. */
static void print_sentence(const struct option *option, FILE *out) {
    fprintf(out, "%c%s.", toupper((unsigned char)option->help[0]), option->help + 1);
}

static const char *default_of(const struct option *option) {
    const char *zero = option->type == OPTION_FLAG ? "no" : "";
    return option->fallback != NULL ? option->fallback : zero;
}

static bool has_values(const struct option *option) {
    return option->choices != NULL || option->minimum != 0 || option->maximum != 0;
}

/* "SECONDS, 0 to 86400", "NAME" or "yes or no". */
static void print_kind(const struct option *option, FILE *out) {
    fputs(option->type == OPTION_FLAG ? "yes or no" : option->argument, out);
    if (has_values(option)) {
        fputs(option->choices != NULL ? ": " : ", ", out);
        option_print_values(option, out);
    }
}

/* "as in [engine]" is said of options that have their range and words there. */
static void print_group_kind(const struct option *option, FILE *out) {
    if (strncmp(option->help, "as in ", 6) == 0) {
        fputs(option->type == OPTION_FLAG ? "yes or no" : option->argument, out);
    } else {
        print_kind(option, out);
    }
}

/* ---- quern.conf ---- */

/* What `print` writes of an option, as lines of a comment, each behind the margin. */
static void print_comment(const struct option *option, const char *margin,
                          void (*print)(const struct option *option, FILE *out), FILE *out) {
    char *text = NULL;
    size_t length = 0;
    FILE *said = open_memstream(&text, &length);
    if (said != NULL) {
        print(option, said);
    }
    if (said != NULL && fclose(said) == 0) {
        fputs(margin, out);
        options_print_text(text, margin, out);
    }
    free(text);
}

static void print_places(const struct option *option, FILE *out) {
    char variable[CONFIG_VARIABLE_BYTES];
    print_kind(option, out);
    fprintf(out, ". --%s, %s.%s", option->name, config_variable(option, variable),
            option->reload ? " A reload applies it." : "");
}

static void print_file_entry(const struct option *option, bool first, FILE *out) {
    if (first) {
        fprintf(out, "\n[%s]\n", option->section);
    }
    fputc('\n', out);
    print_comment(option, "# ", print_sentence, out);
    print_comment(option, "# ", print_places, out);
    fprintf(out, "#%s =%s%s\n", option->name, default_of(option)[0] != '\0' ? " " : "",
            default_of(option));
}

/* An example: there may be several of these sections, or none. */
static void print_file_group(const struct option_group *group, FILE *out) {
    fprintf(out,
            "\n# [%s.NAME]\n#\n# One of several %ss. What is not set here is as in the sections "
            "above.\n#\n",
            group->section, group->section);
    for (size_t i = 0; i < group->option_count; i++) {
        const struct option *option = &group->options[i];
        fprintf(out, "#   %s = ", option->name);
        print_group_kind(option, out);
        fputc('\n', out);
        print_comment(option, "#       ", print_sentence, out);
    }
}

void config_print_file(const struct command_line *line, FILE *out) {
    fprintf(out,
            "# Settings of quern %s, all at their defaults: see quern.conf(5). The\n"
            "# environment wins over this file, the command line over both. 'quern config\n"
            "# check FILE' finds mistakes.\n",
            line->command);
    for_each(line, out, print_file_entry);
    if (line->group != NULL) {
        print_file_group(line->group, out);
    }
}

/* ---- The man page ---- */

static void print_man_entry(const struct option *option, bool first, FILE *out) {
    char variable[CONFIG_VARIABLE_BYTES];
    if (first) {
        fprintf(out, ".SS [%s]\n", option->section);
    }
    fprintf(out, ".TP\n.BR %s \" (", option->name);
    print_kind(option, out);
    fputs(")\"\n", out);
    print_sentence(option, out);
    fprintf(out, "\n.BI --%s%s%s ,\n.BR %s ;\ndefault: %s.%s\n", option->name,
            option->type == OPTION_FLAG ? "" : " \" \" ",
            option->type == OPTION_FLAG ? " \"\"" : option->argument,
            config_variable(option, variable),
            default_of(option)[0] != '\0' ? default_of(option) : "none",
            option->reload ? " A reload applies it." : "");
}

static void print_man_group(const struct option_group *group, FILE *out) {
    fprintf(
        out,
        ".SS [%s.NAME]\nOne of several %ss; these settings stand in the file alone. What is not "
        "set is as in the sections above.\n",
        group->section, group->section);
    for (size_t i = 0; i < group->option_count; i++) {
        const struct option *option = &group->options[i];
        fprintf(out, ".TP\n.BR %s \" (", option->name);
        print_group_kind(option, out);
        fputs(")\"\n", out);
        print_sentence(option, out);
        fputc('\n', out);
    }
}

void config_print_man(const struct command_line *line, FILE *out) {
    for_each(line, out, print_man_entry);
    if (line->group != NULL) {
        print_man_group(line->group, out);
    }
}

/* ---- Markdown ---- */

static void print_markdown_entry(const struct option *option, bool first, FILE *out) {
    char variable[CONFIG_VARIABLE_BYTES];
    if (first) {
        fprintf(
            out,
            "\n### [%s]\n\n| name, environment | value | default | meaning |\n|---|---|---|---|\n",
            option->section);
    }
    fprintf(out, "| `%s`, `%s` | ", option->name, config_variable(option, variable));
    print_kind(option, out);
    fprintf(out, " | %s | ", default_of(option));
    print_sentence(option, out);
    fprintf(out, "%s |\n", option->reload ? " A reload applies it." : "");
}

static void print_markdown_group(const struct option_group *group, FILE *out) {
    fprintf(
        out,
        "\n### [%s.NAME]\n\nOne of several %ss; these settings stand in the file alone. What is "
        "not set is as in the sections above.\n\n| name | value | meaning |\n|---|---|---|\n",
        group->section, group->section);
    for (size_t i = 0; i < group->option_count; i++) {
        const struct option *option = &group->options[i];
        fprintf(out, "| `%s` | ", option->name);
        print_group_kind(option, out);
        fputs(" | ", out);
        print_sentence(option, out);
        fputs(" |\n", out);
    }
}

void config_print_markdown(const struct command_line *line, FILE *out) {
    for_each(line, out, print_markdown_entry);
    if (line->group != NULL) {
        print_markdown_group(line->group, out);
    }
}
