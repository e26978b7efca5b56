/* The tools that a request offers, and whether the reply must call one, by OpenAI's parameters
 *
 *     "tools": [{"type": "function", "function": {"name": "find", "parameters": {…}}}],
 *     "tool_choice": "none", "auto", "required", {"type": "function", "function": {"name": "find"}} or
 *                    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": […]}},
 *     "parallel_tool_calls": true
 *
 * (those of responses have no members "function" and "allowed_tools", but what is in them), or Anthropic's
 *
 *     "tools": [{"name": "find", "input_schema": {…}}],
 *     "tool_choice": {"type": "none", "auto", "any" or "tool", "name": "find",
 *                     "disable_parallel_tool_use": false}
 *
 * Loop thread. */
#ifndef QUERN_SERVER_TOOL_CHOICE_H
#define QUERN_SERVER_TOOL_CHOICE_H

#include "server/api_error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    TOOLS_MAX = 512,
    TOOL_NAME_MAX = 128,
};

struct tool {
    const char *name;
    const cJSON *schema; /* of its arguments; NULL: any object */
};

enum tool_use {
    TOOL_USE_AUTO, /* as the model likes */
    TOOL_USE_NONE,
    TOOL_USE_REQUIRED,
};

/* Strings and schemas are borrowed from the request. */
struct tool_choice {
    struct tool *tools; /* of those offered, the ones that may be called */
    const char **names; /* of the same */
    size_t count;
    enum tool_use use;
    bool parallel; /* a reply may have several calls */
};

/* Also after an error the choice must be deinitialized. */
bool tool_choice_read(struct tool_choice *choice, const cJSON *request, struct api_error *error);
bool tool_choice_read_responses(struct tool_choice *choice, const cJSON *request,
                                struct api_error *error);
bool tool_choice_read_messages(struct tool_choice *choice, const cJSON *request,
                               struct api_error *error);
void tool_choice_deinit(struct tool_choice *choice);

/* May the reply have calls? */
bool tool_choice_allows_calls(const struct tool_choice *choice);

#endif
