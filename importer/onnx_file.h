/* Reads an ONNX file, with its external data, into a graph.
 *
 *     model.onnx ─ check nesting ─ unpack (protobuf-c, into the graph's arena) ─▶ nodes, values
 *     model.onnx.data ──────────── mapped by model_dir ───────────────────────▶ bytes of constants
 *
 * The file is hostile: its nesting is checked before anything recurses over it, what unpacking may
 * allocate is bounded by its size, and every dimension, offset, length, attribute kind and name is
 * checked here, so that later stages meet a graph that is sound in form. */
#ifndef QUERN_IMPORTER_ONNX_FILE_H
#define QUERN_IMPORTER_ONNX_FILE_H

#include "engine/error.h"
#include "importer/graph.h"
#include "importer/model_dir.h"

#include <stdbool.h>

/* Reads file `name` of the folder. The graph borrows from the files of `dir`, which must outlive it.
 * ERROR_BAD_FILE, ERROR_IO (external data that is not there) or ERROR_UNSUPPORTED; the message
 * begins with the name of the file. */
bool onnx_file_read(struct graph **out, struct model_dir *dir, const char *name, struct error *err);

/* The same for bytes in memory, which may go away afterwards. */
bool onnx_file_parse(struct graph **out, struct model_dir *dir, const uint8_t *bytes, size_t size,
                     struct error *err);

#endif
