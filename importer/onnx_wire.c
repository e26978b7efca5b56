#include "importer/onnx_wire.h"

/* A protobuf message is a run of fields: a varint tag (number << 3 | wire type), then a varint (0),
 * 8 bytes (1), a varint length and that many bytes (2), or 4 bytes (5). */
enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* The messages on the way from a graph to a graph, and which field leads on. */
enum message { MODEL, GRAPH, NODE, ATTRIBUTE };

static const struct {
    uint64_t field;
    enum message next;
} path[] = {
    [MODEL] = {7, GRAPH},
    [GRAPH] = {1, NODE},
    [NODE] = {5, ATTRIBUTE},
    [ATTRIBUTE] = {6, GRAPH},
};

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool walk(const uint8_t *at, const uint8_t *end, enum message message, int depth,
                 struct error *err);

static bool walk_field(const uint8_t **at, const uint8_t *end, enum message message, int depth,
                       struct error *err) {
    uint64_t tag;
    uint64_t value;
    bool sound = read_varint(at, end, &tag) && tag >> 3 != 0;
    size_t skip = 0;
    switch (sound ? tag & 7 : 7) {
    case WIRE_VARINT:
        sound = read_varint(at, end, &value);
        break;
    case WIRE_64:
        skip = 8;
        break;
    case WIRE_32:
        skip = 4;
        break;
    case WIRE_BYTES:
        sound = read_varint(at, end, &value) && value <= (uint64_t)(end - *at);
        if (sound && tag >> 3 == path[message].field) {
            if (!walk(*at, *at + value, path[message].next, depth, err)) {
                return false;
            }
        }
        skip = sound ? (size_t)value : 0;
        break;
    default:
        sound = false;
    }
    if (!sound || skip > (size_t)(end - *at)) {
        return error_set(err, ERROR_BAD_FILE, "not an ONNX file, or a corrupt or truncated one");
    }
    *at += skip;
    return true;
}

/* `depth`: how many more graphs may open. */
static bool walk(const uint8_t *at, const uint8_t *end, enum message message, int depth,
                 struct error *err) {
    if (message == GRAPH && depth-- == 0) {
        return error_set(err, ERROR_BAD_FILE, "graphs are nested too deeply");
    }
    while (at < end) {
        if (!walk_field(&at, end, message, depth, err)) {
            return false;
        }
    }
    return true;
}

bool onnx_wire_check(const uint8_t *bytes, size_t size, int depth_max, struct error *err) {
    return walk(bytes, bytes + size, MODEL, depth_max, err);
}
