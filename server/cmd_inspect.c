/* quern inspect: what a model folder holds and the plan it becomes. */
#include "importer/model.h"
#include "importer/operators.h"
#include "server/commands.h"
#include "server/options.h"
#include "server/terminal.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct inspect_options {
    const char *folder;
    bool json;
    bool operators;
    const char *graph;
};

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .offset = offsetof(struct inspect_options, folder),
     .help =
         "folder with an ONNX model, or the ONNX file in it; without it, the embedded demo model"},
};

static const struct option options_table[] = {
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct inspect_options, json),
     .help = "print all of it as one JSON object"},
    {.name = "operators",
     .type = OPTION_FLAG,
     .offset = offsetof(struct inspect_options, operators),
     .help = "instead, print which operators Quern takes, and what of each"},
    {.name = "graph",
     .type = OPTION_TEXT,
     .offset = offsetof(struct inspect_options, graph),
     .argument = "FILE",
     .help = "draw the plan: FILE.svg where Graphviz' dot is installed, else (or if FILE ends "
             "in .dot) its source"},
};

const struct command_line inspect_command_line = {
    .command = "inspect",
    .description = "Prints the files, inputs, outputs and operators of a model, what each pass of "
                   "the importer changed, the plan, and the memory it needs. For a model that "
                   "cannot run, prints every reason, and exits with 1.",
    .operands = operands,
    .operand_count = 1,
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

/* ---- Drawing ---- */

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Runs dot on a source file. False if it is not installed, or fails. */
static bool run_dot(const char *source, const char *drawing) {
    char input[PATH_MAX];
    char output[PATH_MAX];
    snprintf(input, sizeof input, "%s", source);
    snprintf(output, sizeof output, "-o%s", drawing);
    char program[] = "dot";
    char format[] = "-Tsvg";
    char *const arguments[] = {program, format, output, input, NULL};
    pid_t child;
    int status;
    return posix_spawnp(&child, program, NULL, NULL, arguments, environ) == 0 &&
           waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool write_source(const struct plan *plan, const char *path, struct error *err) {
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        return error_set(err, ERROR_IO, "cannot write %.150s: %s", path, strerror(errno));
    }
    bool drawn = plan_print_dot(plan, out);
    bool written = fclose(out) == 0;
    return (drawn && written) || error_set(err, ERROR_IO, "cannot write %.150s", path);
}

/* Draws into `path`, or beside it where there is no dot. */
static bool draw(const struct plan *plan, const char *path, struct error *err) {
    if (ends_with(path, ".dot")) {
        return write_source(plan, path, err);
    }
    char source[PATH_MAX];
    int length = snprintf(source, sizeof source, "%s.dot", path);
    if (length < 0 || (size_t)length >= sizeof source) {
        return error_set(err, ERROR_INVALID, "the path of the drawing is too long");
    }
    if (!write_source(plan, source, err)) {
        return false;
    }
    if (run_dot(source, path)) {
        unlink(source);
    } else {
        fprintf(stderr, "quern inspect: Graphviz' dot did not run; its input is in %s\n", source);
    }
    return true;
}

/* JSON escapes what is harmful by itself. */
static bool describe(const struct model *model, bool json, struct error *err) {
    char *text = NULL;
    size_t length = 0;
    FILE *memory = json ? NULL : open_memstream(&text, &length);
    bool done = (json || memory != NULL) && model_inspect(model, json, json ? stdout : memory);
    if (memory != NULL) {
        done = fclose(memory) == 0 && done && terminal_print_harmless(stdout, text, length);
    }
    free(text);
    return done || error_set(err, ERROR_OUT_OF_MEMORY, "no memory to describe the model");
}

int cmd_inspect(int argc, char **argv) {
    struct inspect_options options = {0};
    int status;
    if (!options_start(&inspect_command_line, argc, argv, &options, &status)) {
        return status;
    }
    if (options.operators) {
        return operators_print(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    struct error err = {0};
    struct model *model;
    if (!model_examine(&model, options.folder, &err)) {
        return options_report("inspect", &err);
    }
    bool runs = model->plan_error.code == ERROR_NONE;
    bool done = describe(model, options.json, &err);
    if (done && runs && options.graph != NULL) {
        done = draw(&model->plan, options.graph, &err);
    }
    status = done ? (runs ? EXIT_SUCCESS : options_report("inspect", &model->plan_error))
                  : options_report("inspect", &err);
    model_close(model);
    return status;
}
