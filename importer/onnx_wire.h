/* A look at an ONNX file before it is unpacked.
 *
 * A graph holds nodes, a node attributes, and an attribute may hold a graph again; the generated
 * reader recurses over that without a limit, so that a small file could exhaust the stack. This
 * walk refuses such a file first. */
#ifndef QUERN_IMPORTER_ONNX_WIRE_H
#define QUERN_IMPORTER_ONNX_WIRE_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is `bytes` a well-formed ModelProto as far as its graphs go, nested at most `depth_max` deep
 * (the outermost graph is 1)? ERROR_BAD_FILE otherwise. */
bool onnx_wire_check(const uint8_t *bytes, size_t size, int depth_max, struct error *err);

#endif
