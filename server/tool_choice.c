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
    const char *expected_choice; /* of a tool by its name */
};

static const struct notation openai = {
    .function = "function",
    .type = "function",
    .type_is_required = true,
    .schema = "parameters",
    .expected = "{\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": {…}}}",
    .expected_choice = "{\"type\": \"function\", \"function\": {\"name\": …}}",
};

static const struct notation responses = {
    .type = "function",
    .type_is_required = true,
    .schema = "parameters",
    .expected = "{\"type\": \"function\", \"name\": …, \"parameters\": {…}}",
    .expected_choice = "{\"type\": \"function\", \"name\": …}",
};

static const struct notation anthropic = {
    .type = "custom",
    .schema = "input_schema",
    .expected = "{\"name\": …, \"description\": …, \"input_schema\": {…}}",
};

/* What templates and the formats of calls can quote. */
static bool is_name(const char *name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strspn(name, letters);
    return length > 0 && length <= TOOL_NAME_MAX && name[length] == '\0';
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
               : api_error_set(error, API_INVALID, place, "%s must be %s", place,
                               notation->expected);
}

static bool add_tool(struct tool_choice *choice, const struct notation *notation,
                     const cJSON *value, struct api_error *error) {
    char place[32];
    snprintf(place, sizeof place, "tools[%zu]", choice->count);
    if (!check_type(notation, value, place, error)) {
        return false;
    }
    const cJSON *function = notation->function != NULL ? member(value, notation->function) : value;
    const cJSON *name = member(function, "name");
    const cJSON *schema = member(function, notation->schema);
    if (!cJSON_IsString(name) || (schema != NULL && !cJSON_IsObject(schema))) {
        return api_error_set(error, API_INVALID, place, "%s must be %s", place, notation->expected);
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

static bool require(struct tool_choice *choice, const char *name, struct api_error *error) {
    choice->use = TOOL_USE_REQUIRED;
    for (size_t i = 0; i < choice->count; i++) {
        if (strcmp(choice->tools[i].name, name) == 0) {
            choice->only = &choice->tools[i];
            return true;
        }
    }
    return api_error_set(error, API_INVALID, "tool_choice",
                         "tool_choice names \"%.100s\", which is none of the tools", name);
}

static bool check_use(const struct tool_choice *choice, struct api_error *error) {
    return choice->use != TOOL_USE_REQUIRED || choice->count > 0 ||
           api_error_set(error, API_INVALID, "tool_choice",
                         "tool_choice requires a call, but there are no tools");
}

static bool read_openai(struct tool_choice *choice, const struct notation *notation,
                        const cJSON *request, struct api_error *error) {
    static const struct use_name names[] = {
        {"auto", TOOL_USE_AUTO}, {"none", TOOL_USE_NONE}, {"required", TOOL_USE_REQUIRED}};
    const cJSON *value = member(request, "tool_choice");
    const cJSON *parallel = member(request, "parallel_tool_calls");
    const cJSON *function = notation->function != NULL ? member(value, notation->function) : value;
    const cJSON *name = member(function, "name");
    if (!read_tools(choice, notation, request, error)) {
        return false;
    }
    if (parallel != NULL && !cJSON_IsBool(parallel)) {
        return api_error_set(error, API_INVALID, "parallel_tool_calls",
                             "parallel_tool_calls must be true or false, but is %s",
                             parameters_kind(parallel));
    }
    choice->parallel = !cJSON_IsFalse(parallel);
    if (cJSON_IsString(name)) {
        return require(choice, name->valuestring, error);
    }
    if (value != NULL && !find_use(names, sizeof names / sizeof *names, value, &choice->use)) {
        return api_error_set(error, API_INVALID, "tool_choice",
                             "tool_choice must be \"none\", \"auto\", \"required\" or %s",
                             notation->expected_choice);
    }
    return check_use(choice, error);
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
        return api_error_set(error, API_INVALID, "tool_choice",
                             "tool_choice must be {\"type\": \"auto\"}, {\"type\": \"any\"}, "
                             "{\"type\": \"none\"} or {\"type\": \"tool\", \"name\": …}");
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
