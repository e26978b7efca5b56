#include "server/model_names.h"

#include <stdio.h>
#include <string.h>

enum { MODEL_NAME_BYTES = 256 /* of the model in MODEL:ADAPTER */ };

static bool has_name(const char *id, const struct model_options *options, const char *name) {
    return strcmp(id, name) == 0 || model_options_has_name(options, name);
}

/* Which adapter has the name, from 1 on; 0: none. */
static size_t find_adapter(const struct model_options *options, const char *name) {
    const size_t length = strlen(name);
    struct model_adapter adapter = {0};
    for (size_t i = 1; model_options_next_adapter(options, &adapter); i++) {
        if (length == adapter.name.length && memcmp(name, adapter.name.bytes, length) == 0) {
            return i;
        }
    }
    return 0;
}

/* The same for MODEL:ADAPTER. Either may have colons in its name. */
static size_t find_full_adapter(const char *id, const struct model_options *options,
                                const char *name) {
    char model[MODEL_NAME_BYTES] = "";
    size_t found = 0;
    for (size_t i = 0; found == 0 && i + 1 < sizeof model && name[i] != '\0'; i++) {
        if (name[i] == ':' && has_name(id, options, model)) {
            found = find_adapter(options, name + i + 1);
        }
        model[i] = name[i];
    }
    return found;
}

bool model_names_mean(const char *id, const struct model_options *options, const char *name,
                      size_t *adapter) {
    *adapter = 0;
    if (has_name(id, options, name)) {
        return true;
    }
    *adapter = find_adapter(options, name);
    *adapter = *adapter != 0 ? *adapter : find_full_adapter(id, options, name);
    return *adapter != 0;
}

static void add_name(struct name_list *list, const char *name, size_t length) {
    size_t room = sizeof list->text - list->length;
    int written = snprintf(list->text + list->length, room, "%s\"%.*s\"",
                           list->length > 0 ? ", " : "", length < 100 ? (int)length : 100, name);
    list->length += (size_t)written < room ? (size_t)written : room - 1;
}

void model_names_add(struct name_list *list, const char *id, const struct model_options *options) {
    struct model_adapter adapter = {0};
    add_name(list, id, strlen(id));
    while (model_options_next_adapter(options, &adapter)) {
        add_name(list, adapter.name.bytes, adapter.name.length);
    }
}
