#include "server/tool_choice.h"

#include "server/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return value != NULL && !cJSON_IsNull(value) ? value : NULL;
}

/* ---- Tools ---- */

/* How an API writes a tool. */
struct notation {
    const char *function; /* the member that has name and schema; NULL: the tool itself */
    const char *type;     /* of tools that clients run */
    bool type_is_required;
    const char *schema;
    const char *expected;
    const char *allowed; /* the member of a choice that allows only some tools; NULL: itself */
    const char *expected_choice; /* what it may be besides a word */
    const char *expected_allowed;
};

static const struct notation openai = {
    .function = "function",
    .type = "function",
    .type_is_required = true,
    .schema = "parameters",
    .expected = "{\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": {…}}}",
    .allowed = "allowed_tools",
    .expected_choice = "{\"type\": \"function\", \"function\": {\"name\": …}}",
    .expected_allowed =
        "{\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\": \"auto\" or "
        "\"required\", \"tools\": [{\"type\": \"function\", \"function\": {\"name\": "
        "…}}, …]}}",
};

static const struct notation responses = {
    .type = "function",
    .type_is_required = true,
    .schema = "parameters",
    .expected = "{\"type\": \"function\", \"name\": …, \"parameters\": {…}}",
    .expected_choice = "{\"type\": \"function\", \"name\": …}",
    .expected_allowed = "{\"type\": \"allowed_tools\", \"mode\": \"auto\" or \"required\", "
                        "\"tools\": [{\"type\": \"function\", \"name\": …}, …]}",
};

static const struct notation anthropic = {
    .type = "custom",
    .schema = "input_schema",
    .expected = "{\"name\": …, \"description\": …, \"input_schema\": {…}}",
};

static const cJSON *function_of(const struct notation *notation, const cJSON *tool) {
    return notation->function != NULL ? member(tool, notation->function) : tool;
}

/* What templates and the formats of calls can quote. */
static bool is_name(const char *name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strspn(name, letters);
    return length > 0 && length <= TOOL_NAME_MAX && name[length] == '\0';
}

static bool refuse_tool(const struct notation *notation, const char *place, const cJSON *tool,
                        const char *wrong, const cJSON *found, struct api_error *error) {
    bool object = cJSON_IsObject(tool);
    return api_error_set(error, API_INVALID, place, "%s must be %s, but %s is %s", place,
                         notation->expected, object ? wrong : "it",
                         parameters_kind(object ? found : tool));
}

static bool check_type(const struct notation *notation, const cJSON *tool, const char *place,
                       struct api_error *error) {
    const cJSON *type = member(tool, "type");
    if (type == NULL ? !notation->type_is_required
                     : cJSON_IsString(type) && strcmp(type->valuestring, notation->type) == 0) {
        return true;
    }
    return cJSON_IsString(type)
               ? api_error_set(error, API_INVALID, place,
                               "%s is of type \"%.40s\", which runs elsewhere: only tools of type "
                               "\"%s\", which the client runs, can be called",
                               place, type->valuestring, notation->type)
               : refuse_tool(notation, place, tool, "its type", type, error);
}

static bool add_tool(struct tool_choice *choice, const struct notation *notation,
                     const cJSON *value, struct api_error *error) {
    char place[32];
    snprintf(place, sizeof place, "tools[%zu]", choice->count);
    if (!check_type(notation, value, place, error)) {
        return false;
    }
    const cJSON *function = function_of(notation, value);
    const cJSON *name = member(function, "name");
    const cJSON *schema = member(function, notation->schema);
    if (!cJSON_IsString(name)) {
        return refuse_tool(notation, place, value, "its name", name, error);
    }
    if (schema != NULL && !cJSON_IsObject(schema)) {
        return refuse_tool(notation, place, value, notation->schema, schema, error);
    }
    if (!is_name(name->valuestring)) {
        return api_error_set(error, API_INVALID, place,
                             "%s is named \"%.140s\", but names are 1 to %d letters, digits, _, . "
                             "and -",
                             place, name->valuestring, TOOL_NAME_MAX);
    }
    const cJSON *type = member(schema, "type");
    if (cJSON_IsString(type) && strcmp(type->valuestring, "object") != 0) {
        return api_error_set(error, API_INVALID, place,
                             "%s has %s of type \"%.40s\", but arguments are an object", place,
                             notation->schema, type->valuestring);
    }
    choice->names[choice->count] = name->valuestring;
    choice->tools[choice->count++] = (struct tool){name->valuestring, schema};
    return true;
}

static int compare_names(const void *left, const void *right) {
    return strcmp(((const struct tool *)left)->name, ((const struct tool *)right)->name);
}

static bool check_names(const struct tool_choice *choice, struct api_error *error) {
    struct tool sorted[TOOLS_MAX];
    memcpy(sorted, choice->tools, choice->count * sizeof *sorted);
    qsort(sorted, choice->count, sizeof *sorted, compare_names);
    for (size_t i = 1; i < choice->count; i++) {
        if (compare_names(&sorted[i - 1], &sorted[i]) == 0) {
            return api_error_set(error, API_INVALID, "tools", "tools has \"%s\" twice",
                                 sorted[i].name);
        }
    }
    return true;
}

static bool read_tools(struct tool_choice *choice, const struct notation *notation,
                       const cJSON *request, struct api_error *error) {
    const cJSON *tools = member(request, "tools");
    *choice = (struct tool_choice){.parallel = true};
    if (tools == NULL) {
        return true;
    }
    if (!cJSON_IsArray(tools)) {
        return api_error_set(error, API_INVALID, "tools", "tools must be an array, but is %s",
                             parameters_kind(tools));
    }
    size_t count = (size_t)cJSON_GetArraySize(tools);
    if (count > TOOLS_MAX) {
        return api_error_set(error, API_INVALID, "tools",
                             "tools must have at most %d tools, but has %zu", TOOLS_MAX, count);
    }
    choice->tools = calloc(count > 0 ? count : 1, sizeof *choice->tools);
    choice->names = calloc(count > 0 ? count : 1, sizeof *choice->names);
    if (choice->tools == NULL || choice->names == NULL) {
        return api_error_set(error, API_INTERNAL, NULL, "Out of memory");
    }
    const cJSON *tool;
    cJSON_ArrayForEach(tool, tools) {
        if (!add_tool(choice, notation, tool, error)) {
            return false;
        }
    }
    return check_names(choice, error);
}

/* ---- The choice ---- */

struct use_name {
    const char *name;
    enum tool_use use;
};

static bool find_use(const struct use_name *names, size_t count, const cJSON *name,
                     enum tool_use *use) {
    for (size_t i = 0; cJSON_IsString(name) && i < count; i++) {
        if (strcmp(name->valuestring, names[i].name) == 0) {
            *use = names[i].use;
            return true;
        }
    }
    return false;
}

/* Moves the tool of the name to the `allowed` ones at the beginning, unless it is there. */
static bool allow(struct tool_choice *choice, size_t *allowed, const char *name,
                  struct api_error *error) {
    size_t at = 0;
    while (at < choice->count && strcmp(choice->tools[at].name, name) != 0) {
        at++;
    }
    if (at == choice->count) {
        return api_error_set(error, API_INVALID, "tool_choice",
                             "tool_choice names \"%.100s\", which is none of the tools", name);
    }
    if (at >= *allowed) {
        struct tool tool = choice->tools[at];
        choice->tools[at] = choice->tools[*allowed];
        choice->names[at] = choice->names[*allowed];
        choice->tools[*allowed] = tool;
        choice->names[(*allowed)++] = tool.name;
    }
    return true;
}

static bool require(struct tool_choice *choice, const char *name, struct api_error *error) {
    size_t allowed = 0;
    if (!allow(choice, &allowed, name, error)) {
        return false;
    }
    choice->use = TOOL_USE_REQUIRED;
    choice->count = allowed;
    return true;
}

static bool check_use(const struct tool_choice *choice, struct api_error *error) {
    return choice->use != TOOL_USE_REQUIRED || choice->count > 0 ||
           api_error_set(error, API_INVALID, "tool_choice",
                         "tool_choice requires a call, but there are no tools");
}

static bool refuse_choice(const char *expected, const cJSON *value, const char *wrong,
                          const cJSON *found, struct api_error *error) {
    bool object = cJSON_IsObject(value);
    return api_error_set(error, API_INVALID, "tool_choice", "tool_choice must be %s, but %s is %s",
                         expected, object ? wrong : "it",
                         parameters_found(object ? found : value).text);
}

/* Tools that a choice does not name stay in the prompt, but calls of them are none. */
static bool read_allowed(struct tool_choice *choice, const struct notation *notation,
                         const cJSON *value, struct api_error *error) {
    static const struct use_name modes[] = {{"auto", TOOL_USE_AUTO},
                                            {"required", TOOL_USE_REQUIRED}};
    const cJSON *allowed = notation->allowed != NULL ? member(value, notation->allowed) : value;
    const cJSON *mode = member(allowed, "mode");
    const cJSON *tools = member(allowed, "tools");
    size_t count = 0;
    if (!find_use(modes, sizeof modes / sizeof *modes, mode, &choice->use)) {
        return refuse_choice(notation->expected_allowed, value, "its mode", mode, error);
    }
    if (!cJSON_IsArray(tools) || cJSON_GetArraySize(tools) > TOOLS_MAX) {
        return cJSON_IsArray(tools)
                   ? api_error_set(error, API_INVALID, "tool_choice",
                                   "tool_choice must have at most %d tools, but has %d", TOOLS_MAX,
                                   cJSON_GetArraySize(tools))
                   : refuse_choice(notation->expected_allowed, value, "tools", tools, error);
    }
    const cJSON *tool;
    cJSON_ArrayForEach(tool, tools) {
        const cJSON *name = member(function_of(notation, tool), "name");
        if (!cJSON_IsString(name)) {
            return refuse_choice(notation->expected_allowed, value, "the name of a tool", name,
                                 error);
        }
        if (!allow(choice, &count, name->valuestring, error)) {
            return false;
        }
    }
    choice->count = count;
    return check_use(choice, error);
}

static bool read_word(struct tool_choice *choice, const struct notation *notation,
                      const cJSON *value, struct api_error *error) {
    static const struct use_name names[] = {
        {"auto", TOOL_USE_AUTO}, {"none", TOOL_USE_NONE}, {"required", TOOL_USE_REQUIRED}};
    if (value != NULL && !find_use(names, sizeof names / sizeof *names, value, &choice->use)) {
        char expected[512];
        snprintf(expected, sizeof expected, "\"none\", \"auto\", \"required\", %s or %s",
                 notation->expected_choice, notation->expected_allowed);
        return refuse_choice(expected, value, "its type", member(value, "type"), error);
    }
    return check_use(choice, error);
}

static bool read_openai(struct tool_choice *choice, const struct notation *notation,
                        const cJSON *request, struct api_error *error) {
    const cJSON *value = member(request, "tool_choice");
    const cJSON *parallel = member(request, "parallel_tool_calls");
    const cJSON *type = member(value, "type");
    const cJSON *name = member(function_of(notation, value), "name");
    if (!read_tools(choice, notation, request, error)) {
        return false;
    }
    if (parallel != NULL && !cJSON_IsBool(parallel)) {
        return api_error_set(error, API_INVALID, "parallel_tool_calls",
                             "parallel_tool_calls must be true or false, but is %s",
                             parameters_kind(parallel));
    }
    choice->parallel = !cJSON_IsFalse(parallel);
    if (cJSON_IsString(type) && strcmp(type->valuestring, "allowed_tools") == 0) {
        return read_allowed(choice, notation, value, error);
    }
    return cJSON_IsString(name) ? require(choice, name->valuestring, error)
                                : read_word(choice, notation, value, error);
}

bool tool_choice_read(struct tool_choice *choice, const cJSON *request, struct api_error *error) {
    return read_openai(choice, &openai, request, error);
}

bool tool_choice_read_responses(struct tool_choice *choice, const cJSON *request,
                                struct api_error *error) {
    return read_openai(choice, &responses, request, error);
}

bool tool_choice_read_messages(struct tool_choice *choice, const cJSON *request,
                               struct api_error *error) {
    static const struct use_name names[] = {{"auto", TOOL_USE_AUTO},
                                            {"none", TOOL_USE_NONE},
                                            {"any", TOOL_USE_REQUIRED},
                                            {"tool", TOOL_USE_REQUIRED}};
    const cJSON *value = member(request, "tool_choice");
    const cJSON *type = member(value, "type");
    const cJSON *name = member(value, "name");
    if (!read_tools(choice, &anthropic, request, error)) {
        return false;
    }
    choice->parallel = !cJSON_IsTrue(member(value, "disable_parallel_tool_use"));
    bool known = value == NULL || find_use(names, sizeof names / sizeof *names, type, &choice->use);
    bool named = known && value != NULL && strcmp(type->valuestring, "tool") == 0;
    if (!known || (named && !cJSON_IsString(name))) {
        return refuse_choice("{\"type\": \"auto\"}, {\"type\": \"any\"}, {\"type\": \"none\"} or "
                             "{\"type\": \"tool\", \"name\": …}",
                             value, named ? "its name" : "its type", named ? name : type, error);
    }
    return named ? require(choice, name->valuestring, error) : check_use(choice, error);
}

void tool_choice_deinit(struct tool_choice *choice) {
    free(choice->tools);
    free(choice->names);
}

bool tool_choice_allows_calls(const struct tool_choice *choice) {
    return choice->count > 0 && choice->use != TOOL_USE_NONE;
}
