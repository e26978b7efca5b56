/* TensorProto to tensor: typed fields, raw bytes, or external data. */
#ifndef QUERN_IMPORTER_ONNX_TENSOR_H
#define QUERN_IMPORTER_ONNX_TENSOR_H

#include "engine/arena.h"
#include "engine/error.h"
#include "importer/model_dir.h"
#include "importer/tensor.h"

#include <onnx.pb-c.h>
#include <stdbool.h>

/* The tensor borrows from `proto`, from a file of `dir`, or from `arena`. Everything in `proto` is
 * checked against its shape and against the size of the file it points into. */
bool onnx_tensor_read(struct tensor *tensor, const Onnx__TensorProto *proto, struct model_dir *dir,
                      struct arena *arena, struct error *err);

#endif
