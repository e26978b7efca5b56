/* A model as the server meets it: the plan, the tokenizer, and what the folder's configuration
 * says.
 *
 * model_open reads a folder (genai_config.json or config.json, the ONNX file with its external
 * data, tokenizer.json) or, for a NULL path, the demo model embedded in the program. It owns the
 * mapped files from which the plan borrows: close whatever uses the plan first. Constant once open;
 * any thread may read. */
#ifndef QUERN_IMPORTER_MODEL_H
#define QUERN_IMPORTER_MODEL_H

#include "engine/error.h"
#include "engine/plan.h"
#include "engine/text/tokenizer.h"
#include "importer/chat_template.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct model_dir;
struct graph;

struct model {
    char *id;   /* the folder's name; "demo" for the embedded one */
    char *type; /* genai_config's model.type or config.json's model_type, for people only */
    struct plan plan;
    struct tokenizer *tokenizer;  /* NULL: see tokenizer_error */
    struct error tokenizer_error; /* why there is none: no tokenizer.json, or not a supported one */
    struct chat_template *chat_template; /* NULL: see chat_template_error */
    struct error chat_template_error;    /* why there is none: no template, or a broken one */
    int32_t *stop_tokens;                /* eos_token_id, one or several */
    size_t stop_token_count;
    struct model_dir *directory;
    struct graph *graph;     /* as the passes left it, for inspect */
    struct error plan_error; /* of a model that was only examined: why it cannot run */
    char *reasons;           /* and all reasons, a line each, if there are several */
};

/* ERROR_UNSUPPORTED lists every reason, one a line, in *reasons (caller frees) if reasons is not
 * NULL, and the first with their number in err. */
bool model_open(struct model **out, const char *path, char **reasons, struct error *err);
void model_close(struct model *model);

/* Opens a model to be looked at: one whose graph can be read but not run is no error, see plan_error. */
bool model_examine(struct model **out, const char *path, struct error *err);

/* What `quern inspect` prints, for people or as JSON: files, inputs, outputs, operators, passes with
 * what they changed, the plan or the reasons why there is none, memory. False when memory is out. */
bool model_inspect(const struct model *model, bool json, FILE *out);

#endif
