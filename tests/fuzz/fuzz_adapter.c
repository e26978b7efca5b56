/* Any bytes as an adapter file (.onnx_adapter). */
#include "importer/adapter_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned sum;

/* Reads all that the parameter promises to be there. */
static bool touch(void *context, const struct adapter_parameter *parameter, struct error *err) {
    (void)context;
    (void)err;
    for (size_t i = 0; i < parameter->name_length; i++) {
        sum += (unsigned char)parameter->name[i];
    }
    for (size_t i = 0; i < parameter->tensor.size; i++) {
        sum += parameter->tensor.bytes[i];
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct error err = {0};
    if (!adapter_file_read(bytes, size, touch, NULL, &err) && err.code == ERROR_NONE) {
        abort(); /* a failure without a reason */
    }
    return 0;
}
