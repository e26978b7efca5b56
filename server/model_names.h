/* What requests may call a model of the configuration: by its id, by one of its aliases, or, for one of
 * its adapters, by the adapter's name or MODEL:ADAPTER. No state: any thread. */
#ifndef QUERN_SERVER_MODEL_NAMES_H
#define QUERN_SERVER_MODEL_NAMES_H

#include "server/model_options.h"

#include <stdbool.h>
#include <stddef.h>

/* Does `name` mean the model with that id and those options, or one of its adapters? `adapter` says
 * which, from 1 on; 0: none. */
bool model_names_mean(const char *id, const struct model_options *options, const char *name,
                      size_t *adapter);

/* Names for a message, quoted; at first {0}. It ends where they become too many. */
struct name_list {
    char text[400];
    size_t length;
};

/* The id of the model, and the names of its adapters. */
void model_names_add(struct name_list *list, const char *id, const struct model_options *options);

#endif
