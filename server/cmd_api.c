/* quern api: what the daemon answers, without one. */
#include "server/commands.h"
#include "server/exit_status.h"
#include "server/openapi.h"
#include "server/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct api_options {
    const char *format;
};

static const char *const formats[] = {"json", "man", NULL};

static const struct option options_table[] = {
    {.name = "format",
     .type = OPTION_TEXT,
     .offset = offsetof(struct api_options, format),
     .argument = "FORMAT",
     .choices = formats,
     .fallback = "json",
     .help = "OpenAPI 3.1 as JSON, or paragraphs of a man page"},
};

const struct command_line api_command_line = {
    .command = "api",
    .description =
        "Prints what quern serve answers: paths, parameters with their ranges and defaults, "
        "answers.",
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

/* ---- Words of a man page ---- */

/* A line of its own; neither backslashes nor a dot or quote at its beginning mean anything to troff. */
static void print_text(const char *text) {
    if (text[0] == '.' || text[0] == '\'') {
        fputs("\\&", stdout);
    }
    for (; *text != '\0'; text++) {
        fputs(*text == '\\' ? "\\e" : (const char[]){*text, '\0'}, stdout);
    }
}

static void print_sentence(const char *text) {
    print_text(text);
    size_t length = strlen(text);
    puts(length > 0 && text[length - 1] != '.' ? "." : "");
}

static bool is_null(const cJSON *item) {
    return cJSON_IsNull(item) ||
           (cJSON_IsString(item) && strcmp(cJSON_GetStringValue(item), "null") == 0);
}

/* Words, or values as JSON, but for null, which every parameter may be. */
static void print_list(const cJSON *items, bool as_json) {
    const char *between = "";
    const cJSON *item;
    cJSON_ArrayForEach(item, items) {
        char *text = is_null(item) ? NULL : cJSON_PrintUnformatted(item);
        if (text != NULL) {
            size_t quotes = as_json ? 0 : 1;
            printf("%s%.*s", between, (int)(strlen(text) - 2 * quotes), text + quotes);
            between = " or ";
            cJSON_free(text);
        }
    }
}

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* "integer", "string or array", "0 or 2" */
static void print_kind(const cJSON *schema) {
    const cJSON *types = member(schema, "type");
    const cJSON *values = member(schema, "enum");
    const cJSON *forms = member(schema, "anyOf");
    const char *between = "";
    const cJSON *form;
    if (cJSON_IsString(types)) {
        fputs(types->valuestring, stdout);
    } else if (types != NULL) {
        print_list(types, false);
    } else if (values != NULL) {
        print_list(values, true);
    }
    cJSON_ArrayForEach(form, forms) {
        fputs(between, stdout);
        print_kind(form);
        if (member(form, "items") != NULL) {
            fputs(" of ", stdout);
            print_kind(member(form, "items"));
        }
        between = ", ";
    }
}

static void print_range(const cJSON *schema) {
    const cJSON *least = member(schema, "minimum");
    const cJSON *greatest = member(schema, "maximum");
    bool any = least != NULL && greatest != NULL && greatest->valuedouble > 1e15;
    if (least != NULL && greatest != NULL && !any) {
        printf(", %.15g to %.15g", least->valuedouble, greatest->valuedouble);
    }
    char *fallback = cJSON_PrintUnformatted(member(schema, "default"));
    if (fallback != NULL) {
        printf("; default %s", fallback);
    }
    cJSON_free(fallback);
}

/* ---- Parameters ---- */

static bool is_refused(const cJSON *schema) {
    static const char mark[] = "Not supported: ";
    return strncmp(member(schema, "description")->valuestring, mark, sizeof mark - 1) == 0;
}

static bool is_required(const cJSON *body, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, member(body, "required")) {
        if (strcmp(item->valuestring, name) == 0) {
            return true;
        }
    }
    return false;
}

static void print_parameter(const cJSON *body, const cJSON *schema) {
    printf(".TP\n.B %s\n(", schema->string);
    print_kind(schema);
    print_range(schema);
    puts(is_required(body, schema->string) ? "; required)" : ")");
    print_sentence(member(schema, "description")->valuestring);
}

/* Is it the same parameter as one of the other body, in all that is said of it? */
static bool is_known(const cJSON *schema, const cJSON *other) {
    return other != NULL &&
           cJSON_Compare(schema, member(member(other, "properties"), schema->string), true);
}

/* Names of those that `belongs` says, with a lead. */
static void print_names(const cJSON *body, const cJSON *other, const char *lead,
                        bool (*belongs)(const cJSON *schema, const cJSON *other)) {
    const char *between = lead;
    const cJSON *schema;
    cJSON_ArrayForEach(schema, member(body, "properties")) {
        if (belongs(schema, other)) {
            printf("%s%s", between, schema->string);
            between = ", ";
        }
    }
    if (between != lead) {
        puts(".");
    }
}

static bool names_known(const cJSON *schema, const cJSON *other) {
    return !is_refused(schema) && is_known(schema, other);
}

static bool names_refused(const cJSON *schema, const cJSON *other) {
    return is_refused(schema) && !is_known(schema, other);
}

static void print_body(const cJSON *body, const cJSON *first) {
    const cJSON *schema;
    cJSON_ArrayForEach(schema, member(body, "properties")) {
        if (!is_refused(schema) && !is_known(schema, first)) {
            print_parameter(body, schema);
        }
    }
    print_names(body, first, ".PP\nThe same as those of POST /v1/completions: ", names_known);
    print_names(body, first, ".PP\nRefused, unless they ask for nothing: ", names_refused);
}

static const cJSON *body_of(const cJSON *operation) {
    const cJSON *content = member(member(operation, "requestBody"), "content");
    return member(member(content, "application/json"), "schema");
}

/* Parameters of the completions are not told again. */
static void print_man(const cJSON *root) {
    const cJSON *first = NULL;
    const cJSON *path;
    const cJSON *operation;
    cJSON_ArrayForEach(path, member(root, "paths")) {
        cJSON_ArrayForEach(operation, path) {
            fputs(".SS ", stdout);
            for (const char *at = operation->string; *at != '\0'; at++) {
                putchar(toupper((unsigned char)*at));
            }
            printf(" %s\n", path->string);
            print_sentence(member(operation, "summary")->valuestring);
            print_body(body_of(operation), first);
            first = strcmp(path->string, "/v1/completions") == 0 ? body_of(operation) : first;
        }
    }
}

/* ---- The command ---- */

int cmd_api(int argc, char **argv) {
    struct api_options options = {0};
    int status;
    if (!options_start(&api_command_line, argc, argv, &options, &status)) {
        return status;
    }
    const struct service service = {.draft_tokens = DRAFTS_DEFAULT};
    cJSON *root = openapi_create(&service);
    char *text = cJSON_Print(root);
    if (text != NULL && strcmp(options.format, "man") == 0) {
        print_man(root);
    } else if (text != NULL) {
        puts(text);
    }
    bool printed = text != NULL && fflush(stdout) == 0;
    cJSON_free(text);
    cJSON_Delete(root);
    if (!printed) {
        fprintf(stderr, "quern api: the description cannot be printed\n");
    }
    return printed ? EXIT_SUCCESS : EXIT_FAILURE;
}
