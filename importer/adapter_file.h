/* Adapter files (.onnx_adapter), as onnxruntime's AdapterFormat writes them: a flatbuffer of named
 * tensors.
 *
 *     0   u32 offset of the root table    "TORT"
 *
 *     Adapter     0 format_version: i32    1 adapter_version: i32    2 model_version: i32
 *                 3 parameters: [Parameter]
 *     Parameter   0 name: string    1 dims: [i64]    2 data_type: i32, as in ONNX
 *                 3 raw_data: [u8]
 *
 * All numbers are little-endian. An offset is a u32, from where it stands. A table begins with an
 * i32, which subtracted from its place gives that of its vtable: u16 bytes of the vtable, u16 bytes
 * of the table, then for each field a u16 offset within the table, 0 where the field is absent.
 * Strings and vectors begin with a u32 count.
 *
 * The file is hostile input: every offset and count is checked against its size, and nothing is
 * followed twice. Any thread may call this. */
#ifndef QUERN_IMPORTER_ADAPTER_FILE_H
#define QUERN_IMPORTER_ADAPTER_FILE_H

#include "engine/error.h"
#include "importer/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A named tensor of the file, from whose bytes it borrows. */
struct adapter_parameter {
    const char *name; /* without a zero at its end */
    size_t name_length;
    struct tensor tensor;
};

/* Called for each, in the order of the file. False ends the reading, with err set. */
typedef bool adapter_visit(void *context, const struct adapter_parameter *parameter,
                           struct error *err);

/* ERROR_BAD_FILE for what is no such file, ERROR_UNSUPPORTED for another version of the format. */
bool adapter_file_read(const uint8_t *bytes, size_t size, adapter_visit *visit, void *context,
                       struct error *err);

#endif
