/* JSON text to the values that chat templates know, and back.
 *
 * Templates print what they are given, so a number stays as it was written: 1 and 1.0 differ, and
 * an integer of any length keeps its digits. (cJSON, which the server reads requests with, makes
 * one double of both.) Of equal keys the last counts. */
#ifndef QUERN_IMPORTER_JSON_VALUES_H
#define QUERN_IMPORTER_JSON_VALUES_H

#include "engine/arena.h"
#include "engine/text/template/value.h"
#include "importer/json_reader.h"

#include <stdbool.h>

/* The value that comes next, whole, in the arena. False once the reader has an error. */
bool json_values_read(struct json_reader *json, struct arena *arena, struct template_value *value);

/* Appends a value that was read as JSON text again. False when memory is out. */
bool json_values_print(struct template_value value, struct text_buffer *text);

#endif
