/* What lies in a model folder, as read-only mapped files.
 *
 *     genai_config.json     config.json           what onnxruntime-genai writes, and what the hub has
 *     tokenizer.json ..     tokenizer.json ..     for transformers.js
 *     model.onnx            onnx/model_q4.onnx
 *     model.onnx.data       onnx/model_q4.onnx_data
 *                           onnx/model_fp16.onnx
 *
 * Names may come from the model file itself, which is hostile: a name is relative, and neither
 * ".." nor a symbolic link may lead out of the folder. Files are mapped on first use and stay
 * mapped until model_dir_close; nothing is read ahead, so a weight costs memory only once it is
 * touched. (A file that someone truncates while it is mapped kills the process: replace model files
 * by renaming, never in place.)
 *
 * A NULL path is the demo model, whose files are part of the program. Used by one thread. */
#ifndef QUERN_IMPORTER_MODEL_DIR_H
#define QUERN_IMPORTER_MODEL_DIR_H

#include "engine/error.h"
#include "engine/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_dir;

struct model_file {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    struct plan_file_identity identity;
};

/* `path` is a folder, or the ONNX file that is meant of one: the model folder is then where that lies or,
 * if there are no configuration and tokenizer beside it, the folder above. */
bool model_dir_open(struct model_dir **out, const char *path, struct error *err);
void model_dir_close(struct model_dir *dir);

/* The folder's own name ("gemma3-int4"), or "demo". */
const char *model_dir_name(const struct model_dir *dir);

/* The ONNX file's name within the folder: the one it was opened with, or `configured` (NULL: the
 * configuration names none), or the first there is of model_q4.onnx, model_q4f16.onnx, ... in the folder
 * or its sub-folder onnx/, or the only one. NULL with err if there is none, or no telling which. */
const char *model_dir_onnx_file(struct model_dir *dir, const char *configured, struct error *err);

/* Is there a file of that name, or a link? (It may still fail to map.) */
bool model_dir_has(const struct model_dir *dir, const char *name);

/* The file of that name, mapped. Valid until model_dir_close; NULL with err if it cannot be had. */
const struct model_file *model_dir_map(struct model_dir *dir, const char *name, struct error *err);

/* The same for a file that is read as text, all of it: ERROR_TOO_LARGE beyond bytes_max. */
const struct model_file *model_dir_map_text(struct model_dir *dir, const char *name,
                                            size_t bytes_max, struct error *err);

/* The same as model_dir_map for a file whose name is relative to where the ONNX file lies. */
const struct model_file *model_dir_map_beside(struct model_dir *dir, const char *name,
                                              struct error *err);

/* Tells the system that the file's pages are not needed soon: they leave this process's memory, and
 * come back from the file when they are touched again. */
void model_dir_release_pages(const struct model_file *file);

/* The i-th file mapped so far, in the order of first use; NULL past the last. */
const struct model_file *model_dir_file(const struct model_dir *dir, size_t i);

#endif
