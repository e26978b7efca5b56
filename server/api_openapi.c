#include "server/openapi.h"
#include "server/parameters.h"
#include "server/routes.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern const char openapi_answers[];

/* "/v1/models/" serves what is below it. */
static void path_of(const struct route *route, char *path, size_t size) {
    bool below = route->path[strlen(route->path) - 1] == '/';
    snprintf(path, size, "%s%s", route->path, below ? "{id}" : "");
}

/* "post_v1_completions" */
static void operation_id(const struct route *route, char *id, size_t size) {
    char path[128];
    path_of(route, path, sizeof path);
    snprintf(id, size, "%s%s", route->method, path);
    size_t length = 0;
    for (const char *from = id; *from != '\0'; from++) {
        if (*from == '/' || *from == '.' || *from == '-') {
            id[length++] = '_';
        } else if (*from != '{' && *from != '}') {
            id[length++] = (char)tolower((unsigned char)*from);
        }
    }
    id[length] = '\0';
}

static cJSON *add_content(cJSON *object, const char *type) {
    cJSON *found = cJSON_GetObjectItemCaseSensitive(object, "content");
    cJSON *content = found != NULL ? found : cJSON_AddObjectToObject(object, "content");
    cJSON *media = cJSON_AddObjectToObject(content, type);
    return cJSON_AddObjectToObject(media, "schema");
}

static bool add_reference(cJSON *schema, const char *name) {
    char reference[64];
    snprintf(reference, sizeof reference, "#/components/schemas/%s", name);
    return cJSON_AddStringToObject(schema, "$ref", reference) != NULL;
}

static bool add_path_parameter(cJSON *operation) {
    cJSON *list = cJSON_AddArrayToObject(operation, "parameters");
    return cJSON_AddItemToArray(
        list,
        cJSON_Parse(JSON(
            {"name" : "id", "in" : "path", "required" : true, "schema" : {"type" : "string"}})));
}

static bool add_body(cJSON *operation, const struct route *route, const struct service *service) {
    cJSON *body = cJSON_AddObjectToObject(operation, "requestBody");
    cJSON *schema = add_content(body, "application/json");
    return cJSON_AddTrueToObject(body, "required") &&
           cJSON_AddStringToObject(schema, "type", "object") &&
           route->describe_body(service, schema);
}

static bool add_answers(cJSON *operation, const struct route *route) {
    cJSON *answers = cJSON_AddObjectToObject(operation, "responses");
    cJSON *success = cJSON_AddObjectToObject(answers, "200");
    cJSON *failure = cJSON_AddObjectToObject(answers, "default");
    bool fine = cJSON_AddStringToObject(success, "description", route->summary) &&
                cJSON_AddStringToObject(failure, "description", "What is wrong.") &&
                add_reference(add_content(failure, "application/json"), "Error");
    if (route->answer == NULL) {
        return fine &&
               cJSON_AddStringToObject(add_content(success, "text/plain"), "type", "string");
    }
    fine = fine && add_reference(add_content(success, "application/json"), route->answer);
    return fine &&
           (!route->streams ||
            cJSON_AddStringToObject(add_content(success, "text/event-stream"), "type", "string"));
}

static bool add_route(cJSON *paths, const struct route *route, const struct service *service) {
    char path[128];
    char id[128];
    char method[16] = "";
    path_of(route, path, sizeof path);
    operation_id(route, id, sizeof id);
    for (size_t i = 0; route->method[i] != '\0' && i + 1 < sizeof method; i++) {
        method[i] = (char)tolower((unsigned char)route->method[i]);
    }
    cJSON *found = cJSON_GetObjectItemCaseSensitive(paths, path);
    cJSON *item = found != NULL ? found : cJSON_AddObjectToObject(paths, path);
    cJSON *operation = cJSON_AddObjectToObject(item, method);
    return cJSON_AddStringToObject(operation, "operationId", id) &&
           cJSON_AddStringToObject(operation, "summary", route->summary) &&
           (strchr(path, '{') == NULL || add_path_parameter(operation)) &&
           (route->describe_body == NULL || add_body(operation, route, service)) &&
           add_answers(operation, route);
}

/* Takes over the item. */
static bool add(cJSON *object, const char *name, cJSON *item) {
    if (cJSON_AddItemToObject(object, name, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

/* A key, where the server asks for one. */
static bool add_security(cJSON *root, cJSON *components) {
    return add(root, "security", cJSON_Parse(JSON([ {}, {"key" : []} ]))) &&
           add(components, "securitySchemes",
               cJSON_Parse(JSON({"key" : {"type" : "http", "scheme" : "bearer"}})));
}

static bool describe(cJSON *root, const struct service *service) {
    cJSON *info = NULL;
    bool fine = cJSON_AddStringToObject(root, "openapi", "3.1.0") &&
                (info = cJSON_AddObjectToObject(root, "info")) != NULL &&
                cJSON_AddStringToObject(info, "title", "Quern") &&
                cJSON_AddStringToObject(info, "version", QUERN_VERSION);
    cJSON *paths = cJSON_AddObjectToObject(root, "paths");
    size_t count;
    const struct route *routes = routes_all(&count);
    for (size_t i = 0; fine && i < count; i++) {
        fine = routes[i].summary == NULL || add_route(paths, &routes[i], service);
    }
    cJSON *components = cJSON_AddObjectToObject(root, "components");
    return fine && add(components, "schemas", cJSON_Parse(openapi_answers)) &&
           add_security(root, components);
}

cJSON *openapi_create(const struct service *service) {
    cJSON *root = cJSON_CreateObject();
    if (!describe(root, service)) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

/* GET /openapi.json */
void api_openapi(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    cJSON *root = openapi_create(service);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    http_respond_json(exchange, 200, text);
}
