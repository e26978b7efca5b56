#include "server/daemon_figures.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct figure {
    const char *name;
    size_t offset;
};

#define OF_MODEL(name, field)                                                                      \
    { "quern_" name, offsetof(struct model_figures, field) }
static const struct figure of_models[] = {
    OF_MODEL("model_loaded", loaded),
    OF_MODEL("sessions_running", running),
    OF_MODEL("sessions_waiting", waiting),
    OF_MODEL("kv_pages_used", pages_used),
    OF_MODEL("kv_pages_cached", pages_cached),
    OF_MODEL("kv_pages", pages),
    OF_MODEL("prompt_tokens_total", prompt_tokens),
    OF_MODEL("generated_tokens_total", generated_tokens),
    OF_MODEL("time_to_first_token_seconds_sum", first_token_s),
    OF_MODEL("time_to_first_token_seconds_count", first_tokens),
    OF_MODEL("inter_token_seconds_sum", inter_token_s),
    OF_MODEL("inter_token_seconds_count", inter_tokens),
};

/* Of several samples with the same name, the sum. */
static const struct figure of_daemon[] = {
    {"process_resident_memory_bytes", offsetof(struct daemon_figures, memory_bytes)},
    {"process_cpu_seconds_total", offsetof(struct daemon_figures, cpu_s)},
    {"process_start_time_seconds", offsetof(struct daemon_figures, started)},
    {"quern_http_requests_total", offsetof(struct daemon_figures, answers)},
};

static const struct figure *find_figure(const struct figure *figures, size_t count,
                                        const char *name, size_t length) {
    for (size_t i = 0; i < count; i++) {
        if (strlen(figures[i].name) == length && memcmp(figures[i].name, name, length) == 0) {
            return &figures[i];
        }
    }
    return NULL;
}

/* The model of a sample with the labels from `labels` to `end`; NULL if they name none. */
static struct model_figures *find_model(struct daemon_figures *figures, const char *labels,
                                        const char *end) {
    static const char label[] = "{model=\"";
    size_t skipped = sizeof label - 1;
    if ((size_t)(end - labels) <= skipped || memcmp(labels, label, skipped) != 0) {
        return NULL;
    }
    char name[FIGURES_NAME_BYTES] = "";
    size_t length = 0;
    for (const char *at = labels + skipped; at < end && *at != '"'; at++) {
        if (length < sizeof name - 1) {
            name[length++] = iscntrl((unsigned char)*at) ? '?' : *at;
        }
    }
    for (size_t i = 0; i < figures->model_count; i++) {
        if (strcmp(figures->models[i].name, name) == 0) {
            return &figures->models[i];
        }
    }
    if (figures->model_count == FIGURES_MODELS_MAX) {
        return NULL;
    }
    struct model_figures *model = &figures->models[figures->model_count++];
    memcpy(model->name, name, sizeof name);
    return model;
}

static void add_to(void *values, const struct figure *figure, double value) {
    double *at = (double *)(void *)((char *)values + figure->offset);
    *at += value;
}

/* "name{labels} value"; there may be blanks in labels. */
static void read_sample(struct daemon_figures *figures, const char *line, size_t length) {
    size_t name = strcspn(line, "{ \n");
    const char *space = memrchr(line, ' ', length);
    if (space == NULL || space < line + name) {
        return;
    }
    double value = strtod(space, NULL);
    const struct figure *figure =
        find_figure(of_models, sizeof of_models / sizeof *of_models, line, name);
    if (figure != NULL) {
        struct model_figures *model = find_model(figures, line + name, space);
        if (model != NULL) {
            add_to(model, figure, value);
        }
        return;
    }
    figure = find_figure(of_daemon, sizeof of_daemon / sizeof *of_daemon, line, name);
    if (figure != NULL) {
        add_to(figures, figure, value);
    }
}

void daemon_figures_read(struct daemon_figures *figures, const char *text) {
    *figures = (struct daemon_figures){0};
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        if (*text != '#') {
            read_sample(figures, text, length);
        }
        text += length + (text[length] == '\n');
    }
}
