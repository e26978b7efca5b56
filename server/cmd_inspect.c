/* quern inspect: what a model folder holds and the plan it becomes. */
#include "importer/model.h"
#include "server/commands.h"
#include "server/options.h"

#include <stdlib.h>

struct inspect_options {
    const char *folder;
};

static const struct operand operands[] = {
    {"MODEL_DIR", false, offsetof(struct inspect_options, folder),
     "folder with an ONNX model; without it, the embedded demo model"},
};

static const struct command_line command_line = {
    .command = "inspect",
    .description = "Prints the files, inputs, outputs and operators of a model, what each pass of\n"
                   "the importer changed, the plan, and the memory it needs. For a model that\n"
                   "cannot run, prints every reason.",
    .operands = operands,
    .operand_count = 1,
};

int cmd_inspect(int argc, char **argv) {
    struct inspect_options options = {0};
    int status;
    if (!options_start(&command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct error err = {0};
    struct model *model;
    char *reasons;
    if (!model_open(&model, options.folder, &reasons, &err)) {
        options_report("inspect", &err);
        if (reasons != NULL) {
            fprintf(stderr, "All reasons:\n%s\n", reasons);
        }
        free(reasons);
        return EXIT_FAILURE;
    }
    free(reasons);
    model_inspect(model, stdout);
    model_close(model);
    return EXIT_SUCCESS;
}
