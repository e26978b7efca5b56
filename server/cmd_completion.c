/* quern completion: what a shell needs to complete the commands, their options and the options' words,
 * written from the tables that commands.h and options.h name. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct completion_options {
    const char *shell;
};

/* ---- What may stand somewhere ---- */

enum place {
    PLACE_NOTHING, /* nothing that could be guessed */
    PLACE_WORDS,   /* the choices of the option or the operand */
    PLACE_FILE,
    PLACE_FOLDER,
};

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text);
    size_t tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* By what help calls it: "CACHE_DIR" is a folder, "FILE" a file. */
static enum place place_of_name(const char *name) {
    return ends_with(name, "DIR")    ? PLACE_FOLDER
           : ends_with(name, "FILE") ? PLACE_FILE
                                     : PLACE_NOTHING;
}

static enum place place_of_operand(const struct operand *operand) {
    return operand->choices != NULL ? PLACE_WORDS : place_of_name(operand->name);
}

static enum place place_of(const struct option *option) {
    return option->choices != NULL    ? PLACE_WORDS
           : option->argument == NULL ? PLACE_NOTHING
                                      : place_of_name(option->argument);
}

/* A flag that is on by default is of use only as --no-name. */
static const char *prefix_of(const struct option *option) {
    bool on = option->type == OPTION_FLAG && option->fallback != NULL &&
              strcmp(option->fallback, "yes") == 0;
    return on ? "--no-" : "--";
}

static void print_choices(const char *const *choices) {
    for (size_t i = 0; choices[i] != NULL; i++) {
        printf("%s%s", i > 0 ? " " : "", choices[i]);
    }
}

/* Prints the first line of a text, each character that is among the special ones behind a backslash. A
 * quote within '...' of bash and zsh has to leave it. */
static void print_escaped(const char *text, const char *special, bool leaves_quotes) {
    for (; *text != '\0' && *text != '\n'; text++) {
        if (*text == '\'' && leaves_quotes) {
            printf("'\\''");
            continue;
        }
        printf("%s%c", strchr(special, *text) != NULL ? "\\" : "", *text);
    }
}

/* ---- bash ---- */

static const char *const bash_completers[] = {
    [PLACE_NOTHING] = "",
    [PLACE_WORDS] = "",
    [PLACE_FILE] = "_quern_take -f; ",
    [PLACE_FOLDER] = "_quern_take -d; ",
};

static void print_bash_arguments(const struct command *command) {
    const struct command_line *line = command->line;
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        if (option->argument == NULL) {
            continue;
        }
        printf("    %s:--%s) ", command->name, option->name);
        if (place_of(option) == PLACE_WORDS) {
            printf("_quern_take -W '");
            print_choices(option->choices);
            printf("'; ");
        } else {
            printf("%s", bash_completers[place_of(option)]);
        }
        printf("return ;;\n");
    }
}

/* Words until one of them is there, and then what comes next; otherwise the first that can be guessed,
 * wherever it stands. */
static void print_bash_operands(const struct command *command) {
    const struct command_line *line = command->line;
    printf("    %s:*) ", command->name);
    for (size_t i = 0; i < line->operand_count; i++) {
        const struct operand *operand = &line->operands[i];
        enum place place = place_of_operand(operand);
        if (place == PLACE_WORDS) {
            printf("_quern_either ");
            print_choices(operand->choices);
            printf(" || ");
        } else if (place != PLACE_NOTHING) {
            printf("%s", bash_completers[place]);
            break;
        }
    }
    printf("return ;;\n");
}

static void print_bash_options(const struct command *command) {
    const struct command_line *line = command->line;
    printf("    %s:-*) _quern_take -W '", command->name);
    for (size_t i = 0; i < line->option_count; i++) {
        printf("%s%s ", prefix_of(&line->options[i]), line->options[i].name);
    }
    printf("--help' ;;\n");
    print_bash_operands(command);
}

static void print_bash(void) {
    printf("# Completion of quern for bash, written by 'quern completion bash'.\n\n"
           "_quern_take() {\n"
           "    [ \"$1\" = -W ] || compopt -o filenames 2>/dev/null\n"
           "    mapfile -t COMPREPLY < <(compgen \"$@\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
           "}\n\n"
           "# One of the words, unless one is there.\n"
           "_quern_either() {\n"
           "    local word\n"
           "    for word in \"${COMP_WORDS[@]:2:COMP_CWORD-2}\"; do\n"
           "        [[ \" $* \" != *\" $word \"* ]] || return 1\n"
           "    done\n"
           "    _quern_take -W \"$*\"\n"
           "}\n\n"
           "_quern() {\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -le 1 ]; then\n"
           "        _quern_take -W '");
    for (size_t i = 0; i < command_count; i++) {
        printf("%s ", commands[i].name);
    }
    printf("--help --version'\n        return\n    fi\n"
           "    case ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]} in\n");
    for (size_t i = 0; i < command_count; i++) {
        print_bash_arguments(&commands[i]);
    }
    printf("    esac\n    case ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD]} in\n");
    for (size_t i = 0; i < command_count; i++) {
        print_bash_options(&commands[i]);
    }
    printf("    esac\n}\n\ncomplete -F _quern quern\n");
}

/* ---- zsh ---- */

static const char *const zsh_completers[] = {
    [PLACE_NOTHING] = " ",
    [PLACE_WORDS] = "",
    [PLACE_FILE] = "_files",
    [PLACE_FOLDER] = "_files -/",
};

static void print_zsh_operand(size_t number, const struct operand *operand) {
    enum place place = place_of_operand(operand);
    printf(" \\\n            '%zu:%s:%s", number, operand->name, zsh_completers[place]);
    if (place == PLACE_WORDS) {
        printf("(");
        print_choices(operand->choices);
        printf(")");
    }
    printf("'");
}

static void print_zsh_command(const struct command *command) {
    static const char special[] = "\\:[]";
    const struct command_line *line = command->line;
    printf("    %s)\n        _arguments '--help[print help]'", command->name);
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        printf(" \\\n            '%s%s[", prefix_of(option), option->name);
        print_escaped(option->help, special, true);
        printf("]");
        if (option->argument != NULL) {
            printf(":%s:%s", option->argument, zsh_completers[place_of(option)]);
        }
        if (place_of(option) == PLACE_WORDS) {
            printf("(");
            print_choices(option->choices);
            printf(")");
        }
        printf("'");
    }
    for (size_t i = 0; i < line->operand_count; i++) {
        print_zsh_operand(i + 1, &line->operands[i]);
    }
    printf("\n        ;;\n");
}

static void print_zsh(void) {
    printf("#compdef quern\n# Completion of quern for zsh, written by 'quern completion zsh'.\n\n"
           "_quern() {\n    local -a commands=(\n");
    for (size_t i = 0; i < command_count; i++) {
        printf("        '%s:", commands[i].name);
        print_escaped(commands[i].summary, "\\:", true);
        printf("'\n");
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n"
           "        _describe -t commands 'command' commands\n        return\n    fi\n"
           "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
           "    case $command in\n");
    for (size_t i = 0; i < command_count; i++) {
        print_zsh_command(&commands[i]);
    }
    printf("    esac\n}\n\nif [[ $funcstack[1] = _quern ]]; then\n    _quern \"$@\"\nelse\n"
           "    compdef _quern quern\nfi\n");
}

/* ---- fish ---- */

static const char *const fish_completers[] = {
    [PLACE_NOTHING] = " -x",
    [PLACE_WORDS] = " -x -a '",
    [PLACE_FILE] = " -r -F",
    [PLACE_FOLDER] = " -x -a '(__fish_complete_directories)'",
};

static const char fish_begin[] = "complete -c quern -n '__fish_seen_subcommand_from";

/* Words until one of them is there, and then what comes next. */
static void print_fish_operands(const struct command *command) {
    static const char *const completers[] = {
        [PLACE_FILE] = " -F",
        [PLACE_FOLDER] = " -a '(__fish_complete_directories)'",
    };
    const char *const *words = NULL;
    for (size_t i = 0; i < command->line->operand_count; i++) {
        const struct operand *operand = &command->line->operands[i];
        enum place place = place_of_operand(operand);
        if (place == PLACE_WORDS) {
            words = operand->choices;
            printf("%s %s; and not __fish_seen_subcommand_from ", fish_begin, command->name);
            print_choices(words);
            printf("' -a '");
            print_choices(words);
            printf("'\n");
        } else if (place != PLACE_NOTHING) {
            printf("%s %s", fish_begin, command->name);
            if (words != NULL) {
                printf("; and __fish_seen_subcommand_from ");
                print_choices(words);
            }
            printf("'%s\n", completers[place]);
        }
    }
}

static void print_fish_command(const struct command *command) {
    static const char special[] = "\\'";
    const struct command_line *line = command->line;
    for (size_t i = 0; i < line->option_count; i++) {
        const struct option *option = &line->options[i];
        printf("%s %s' -l %s%s", fish_begin, command->name, prefix_of(option) + 2, option->name);
        if (option->argument != NULL) {
            printf("%s", fish_completers[place_of(option)]);
        }
        if (place_of(option) == PLACE_WORDS) {
            print_choices(option->choices);
            printf("'");
        }
        printf(" -d '");
        print_escaped(option->help, special, false);
        printf("'\n");
    }
    print_fish_operands(command);
    printf("%s %s' -l help -d 'print help'\n", fish_begin, command->name);
}

static void print_fish(void) {
    printf("# Completion of quern for fish, written by 'quern completion fish'.\n\n"
           "complete -c quern -f\n");
    for (size_t i = 0; i < command_count; i++) {
        printf("complete -c quern -n __fish_use_subcommand -a %s -d '", commands[i].name);
        print_escaped(commands[i].summary, "\\'", false);
        printf("'\n");
    }
    for (size_t i = 0; i < command_count; i++) {
        print_fish_command(&commands[i]);
    }
}

/* ---- The command ---- */

static const char *const shells[] = {"bash", "zsh", "fish", NULL};
static void (*const printers[])(void) = {print_bash, print_zsh, print_fish};

static const struct operand operands[] = {
    {.name = "SHELL",
     .required = true,
     .offset = offsetof(struct completion_options, shell),
     .help = "bash, zsh or fish",
     .choices = shells},
};

const struct command_line completion_command_line = {
    .command = "completion",
    .description = "Prints what a shell needs to complete the arguments of quern. An installation "
                   "has it in place; otherwise, in bash: source <(quern completion bash)",
    .operands = operands,
    .operand_count = 1,
};

int cmd_completion(int argc, char **argv) {
    struct completion_options options = {0};
    int status;
    if (!options_start(&completion_command_line, argc, argv, &options, &status)) {
        return status;
    }
    for (size_t i = 0; shells[i] != NULL; i++) {
        if (strcmp(options.shell, shells[i]) == 0) {
            printers[i]();
        }
    }
    struct error err = {0};
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    error_set(&err, ERROR_IO, "standard output cannot be written");
    return written ? EXIT_SUCCESS : options_report("completion", &err);
}
