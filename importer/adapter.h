/* An adapter (LoRA) of a model: a file of matrices that the model's graph takes as inputs, in the
 * order in which the plan has places for them.
 *
 * What the file lacks is as in the model itself, which as a rule adds nothing. Constant once open;
 * the model must outlive it, and the file must not be changed in place while it is open. */
#ifndef QUERN_IMPORTER_ADAPTER_H
#define QUERN_IMPORTER_ADAPTER_H

#include "engine/error.h"
#include "engine/plan.h"
#include "importer/model.h"

#include <stdbool.h>
#include <stddef.h>

struct adapter;

/* The model has a plan. ERROR_BAD_FILE for a file that is none of the model: broken, or with names
 * or shapes that the graph does not have; ERROR_UNSUPPORTED where the graph has no inputs for
 * adapters. Messages name the file. */
bool adapter_open(struct adapter **out, const struct model *model, const char *path,
                  struct error *err);
void adapter_close(struct adapter *adapter);

/* A pair for each place of the plan: see struct adapters_source. */
const struct plan_low_rank_pair *adapter_pairs(const struct adapter *adapter);

#endif
