/* What templates do with texts, for filters and methods alike: `trim` is `strip`. `self` may be any
 * value, whose str() then counts. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_TEXT_FUNCTIONS_H
#define QUERN_ENGINE_TEXT_TEMPLATE_TEXT_FUNCTIONS_H

#include "engine/text/template/builtin.h"
#include "engine/text/template/text.h"

template_run template_run_upper;
template_run template_run_lower;
template_run template_run_capitalize;
template_run template_run_title;       /* str.title */
template_run template_run_title_words; /* Jinja's filter, which has other words */
template_run template_run_strip;       /* characters= */
template_run template_run_replace;     /* old new count= */

/* The same at these ends; without white space, or without the characters of the argument. */
bool template_strip(struct template_call *call, enum template_ends ends);

bool template_lower(struct template_render *render, struct template_value value,
                    struct template_value *result);

/* An integer, or what stands for it where it is absent or none. */
bool template_read_integer(struct template_render *render, struct template_value value,
                           int64_t fallback, int64_t *integer);

#endif
