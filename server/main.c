/* quern: one program, its sub-commands in one table (commands.c). */
#include "engine/mapped_files.h"
#include "server/commands.h"
#include "server/exit_status.h"
#include "server/options.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(FILE *out) {
    fprintf(out, "quern %s: a local inference daemon for ONNX language models\n\n", QUERN_VERSION);
    fprintf(out, "usage: quern COMMAND [arguments]\n\n");
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\n'quern COMMAND --help' says what a command takes, 'quern --version'\n"
                 "which version this is.\n");
}

static int report_unknown(const char *word) {
    struct suggestion suggestion = {.word = word};
    for (size_t i = 0; i < command_count; i++) {
        suggestion_offer(&suggestion, commands[i].name);
    }
    fprintf(stderr, "quern: there is no command \"%.80s\"", word);
    if (suggestion.name != NULL) {
        fprintf(stderr, "; did you mean \"%s\"?", suggestion.name);
    }
    fprintf(stderr, "\nTry 'quern --help'.\n");
    return EXIT_USAGE;
}

static int run_command(int count, char **words) {
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(words[0], commands[i].name) == 0) {
            return commands[i].run(count, words);
        }
    }
    return report_unknown(words[0]);
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like any other */
    mapped_files_explain_loss();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    bool help = strcmp(word, "help") == 0;
    if (help && argc == 3) {
        return run_command(2, (char *[]){argv[2], (char[]){"--help"}, NULL});
    }
    if (help || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(word, "--version") == 0) {
        printf("quern %s\n", QUERN_VERSION);
        return EXIT_SUCCESS;
    }
    return run_command(argc - 1, argv + 1);
}
