/* quern config: is a configuration right, and what may stand in one? */
#include "server/access.h"
#include "server/commands.h"
#include "server/config.h"
#include "server/config_print.h"
#include "server/exit_status.h"
#include "server/options.h"
#include "server/serve_options.h"
#include "server/tls.h"

#include <stdlib.h>
#include <string.h>

struct config_options {
    const char *action;
    const char *path;
    const char *format;
};

static const char *const actions[] = {"check", "print", NULL};
static const char *const formats[] = {"conf", "man", "markdown", NULL};
static config_printer *const printers[] = {config_print_file, config_print_man,
                                           config_print_markdown};

static const struct option options_table[] = {
    {.name = "format",
     .type = OPTION_TEXT,
     .offset = offsetof(struct config_options, format),
     .argument = "FORMAT",
     .choices = formats,
     .fallback = "conf",
     .help = "of print"},
};

static const struct operand operands[] = {
    {.name = "ACTION",
     .required = true,
     .offset = offsetof(struct config_options, action),
     .help = "check: read the settings of quern serve, and say which are not at their default;\n"
             "print: print all there are, with their defaults",
     .choices = actions},
    {.name = "FILE",
     .offset = offsetof(struct config_options, path),
     .help = "the configuration to check, otherwise $QUERN_CONFIG"},
};

const struct command_line config_command_line = {
    .command = "config",
    .description = "Checks a configuration and the QUERN_... variables of the environment as quern "
                   "serve would read them, or prints all settings.",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

/* ---- Checking ---- */

/* What the settings lead to: files of keys and certificates. The model is not opened. */
static bool check_files(const struct serve_options *options, struct error *err) {
    struct access access = {0};
    struct tls tls = {0};
    bool right = access_set(&access, &options->access, err) && tls_open(&tls, &options->tls, err);
    access_deinit(&access);
    tls_close(&tls);
    return right;
}

static void print_settings(const struct config *config, const struct serve_options *options) {
    for (size_t i = 0; i < config->line->option_count; i++) {
        const struct option *option = &config->line->options[i];
        char place[CONFIG_PLACE_BYTES], number[32];
        if (config->origins[i].source != CONFIG_DEFAULT) {
            const char *value = option_value_text(option, options, number);
            printf("%s = %s  ; %s\n", option->name, value != NULL ? value : "",
                   config_place(config, option, place));
        }
    }
}

static void print_sections(const struct config *config, const struct serve_options *options) {
    const struct option_group *group = config->line->group;
    for (size_t i = 0; i < options->section_count; i++) {
        const struct model_options *section = &options->sections[i];
        printf("[%s.%s]\n", group->section, section->name);
        for (size_t at = 0; at < group->option_count; at++) {
            const struct option *option = &group->options[at];
            char place[CONFIG_PLACE_BYTES], number[32];
            if ((section->given >> at & 1) != 0) {
                printf("%s = %s  ; %s\n", option->name, option_value_text(option, section, number),
                       config_group_place(config, i, option, place));
            }
        }
    }
}

static int check(const char *path) {
    struct error err = {0};
    struct serve_options options;
    struct config config;
    char name[] = "serve";
    char *argv[] = {name, NULL};
    bool right = config_open(&config, &serve_command_line,
                             path != NULL ? path : getenv("QUERN_CONFIG"), &err) &&
                 serve_options_resolve(&options, &config, 1, argv, &err) &&
                 check_files(&options, &err);
    if (right) {
        print_settings(&config, &options);
        print_sections(&config, &options);
    } else {
        options_report("config", &err);
    }
    config_close(&config);
    return right ? EXIT_SUCCESS : EXIT_CONFIG;
}

/* ---- The command ---- */

static int print(const char *format) {
    for (size_t i = 0; formats[i] != NULL; i++) {
        if (strcmp(format, formats[i]) == 0) {
            printers[i](&serve_command_line, stdout);
        }
    }
    return EXIT_SUCCESS;
}

int cmd_config(int argc, char **argv) {
    struct config_options options = {0};
    int status;
    if (!options_start(&config_command_line, argc, argv, &options, &status)) {
        return status;
    }
    bool checks = strcmp(options.action, "check") == 0;
    if (!checks && options.path != NULL) {
        fprintf(stderr, "quern config: print takes no FILE, found \"%.80s\"\n", options.path);
        return EXIT_USAGE;
    }
    return checks ? check(options.path) : print(options.format);
}
