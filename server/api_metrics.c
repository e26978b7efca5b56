/* GET /metrics: what engines and server count and measure, in the text format of Prometheus
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#include "engine/kv_cache.h"
#include "engine/measures.h"
#include "engine/text/tokenizer.h"
#include "server/models.h"
#include "server/request_counts.h"
#include "server/routes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Text ---- */

struct writing {
    struct text_buffer text;
    bool failed; /* memory is out */
};

__attribute__((format(printf, 2, 3))) static void put(struct writing *writing, const char *format,
                                                      ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    writing->failed = writing->failed || !text_buffer_append(&writing->text, line, (size_t)length);
}

static void put_head(struct writing *writing, const char *name, const char *type,
                     const char *help) {
    put(writing, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- Models ---- */

enum { LABEL_BYTES_MAX = 128 };

static const struct service *next_loaded(const struct models *models,
                                         const struct service *service) {
    do {
        service = models_next(models, service);
    } while (service != NULL && service->engine == NULL);
    return service;
}

/* A name that would end the label, or fill the line, is not told. */
static const char *label_of(const struct service *service) {
    const char *id = service->model_id;
    return strpbrk(id, "\"\\\n") == NULL && strlen(id) <= LABEL_BYTES_MAX ? id : "?";
}

/* ---- What the engine counts ---- */

enum field_type { FIELD_SIZE, FIELD_U64 };

struct metric {
    const char *name;
    const char *type;
    const char *help;
    enum field_type field_type;
    size_t offset; /* in struct engine_status */
};

#define GAUGE(name, field, help)                                                                   \
    { "quern_" name, "gauge", help, FIELD_SIZE, offsetof(struct engine_status, field) }
#define COUNTER(name, field, help)                                                                 \
    { "quern_" name "_total", "counter", help, FIELD_U64, offsetof(struct engine_status, field) }

static const struct metric metrics[] = {
    GAUGE("sessions_running", running, "Completions that run."),
    GAUGE("sessions_waiting", waiting, "Completions that wait for room."),
    GAUGE("kv_pages_used", pages_used, "KV cache pages that running completions hold."),
    GAUGE("kv_pages_cached", pages_cached, "KV cache pages kept for their prefix, free on demand."),
    GAUGE("kv_pages", pages_total, "KV cache pages there are."),
    COUNTER("steps", steps, "Steps computed."),
    COUNTER("prompt_tokens", prompt_tokens, "Prompt tokens computed."),
    COUNTER("prefix_hit_tokens", cached_tokens, "Prompt tokens taken from the prefix cache."),
    COUNTER("generated_tokens", generated_tokens, "Tokens generated."),
    COUNTER("draft_tokens", drafted_tokens, "Tokens guessed ahead."),
    COUNTER("draft_accepted_tokens", accepted_tokens, "Tokens guessed ahead that were right."),
    COUNTER("preemptions", preemptions, "Completions that had to give their pages back."),
};

static uint64_t read_field(const struct engine_status *status, const struct metric *metric) {
    const char *at = (const char *)status + metric->offset;
    size_t size;
    uint64_t value;
    if (metric->field_type == FIELD_U64) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&size, at, sizeof size);
    return size;
}

static void put_metric(struct writing *writing, const struct metric *metric,
                       const struct models *models) {
    const struct service *service = NULL;
    put_head(writing, metric->name, metric->type, metric->help);
    while ((service = next_loaded(models, service)) != NULL) {
        struct engine_status status;
        engine_get_status(service->engine, &status);
        put(writing, "%s{model=\"%s\"} %" PRIu64 "\n", metric->name, label_of(service),
            read_field(&status, metric));
    }
}

static void put_utilization(struct writing *writing, const struct models *models) {
    static const char name[] = "quern_kv_utilization";
    const struct service *service = NULL;
    put_head(writing, name, "gauge", "Share of the KV cache's pages in use.");
    while ((service = next_loaded(models, service)) != NULL) {
        struct engine_status status;
        engine_get_status(service->engine, &status);
        put(writing, "%s{model=\"%s\"} %.6f\n", name, label_of(service),
            (double)status.pages_used / (double)(status.pages_total + (status.pages_total == 0)));
    }
}

static void put_loaded(struct writing *writing, const struct models *models) {
    static const char name[] = "quern_model_loaded";
    const struct service *service = NULL;
    put_head(writing, name, "gauge", "1 if the model is loaded.");
    while ((service = models_next(models, service)) != NULL) {
        put(writing, "%s{model=\"%s\"} %d\n", name, label_of(service), service->engine != NULL);
    }
}

static void put_status(struct writing *writing, const struct models *models) {
    put_loaded(writing, models);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        put_metric(writing, &metrics[i], models);
    }
    put_utilization(writing, models);
    put_head(writing, "quern_kv_page_tokens", "gauge", "Tokens of one KV cache page.");
    put(writing, "quern_kv_page_tokens %d\n", KV_PAGE_POSITIONS);
}

/* ---- What the engine measures ---- */

static const struct {
    const char *name;
    const char *help;
} measured_as[MEASURE_COUNT] = {
    [MEASURE_QUEUE] = {"quern_queue_seconds", "Time that completions waited to run."},
    [MEASURE_PREFILL] = {"quern_prefill_seconds", "Time from running to the first token."},
    [MEASURE_FIRST_TOKEN] = {"quern_time_to_first_token_seconds",
                             "Time from the request's submission to the first token."},
    [MEASURE_INTER_TOKEN] = {"quern_inter_token_seconds", "Time between two tokens of a reply."},
    [MEASURE_DECODE] = {"quern_decode_seconds", "Time from the first token to the last."},
    [MEASURE_SESSION] = {"quern_session_seconds", "Time from submission to the last token."},
    [MEASURE_STEP] = {"quern_step_seconds", "Time of one step."},
    [MEASURE_ROWS] = {"quern_step_rows", "Tokens computed in one step."},
    [MEASURE_SESSIONS] = {"quern_step_sessions", "Completions with tokens in one step."},
};

static void put_measured(struct writing *writing, const struct service *service,
                         enum measure measure) {
    const char *name = measured_as[measure].name;
    const char *model = label_of(service);
    const struct measure_scale *scale = measure_scale(measure);
    struct measured measured;
    measures_read(engine_measures(service->engine), measure, &measured);
    for (size_t i = 0; i < measured.bounds; i++) {
        put(writing, "%s_bucket{model=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, model,
            (double)scale->bounds[i] * scale->unit, measured.up_to[i]);
    }
    put(writing, "%s_bucket{model=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, model, measured.count);
    put(writing, "%s_sum{model=\"%s\"} %.9g\n%s_count{model=\"%s\"} %" PRIu64 "\n", name, model,
        measured.sum, name, model, measured.count);
}

static void put_histogram(struct writing *writing, const struct models *models,
                          enum measure measure) {
    const struct service *service = NULL;
    put_head(writing, measured_as[measure].name, "histogram", measured_as[measure].help);
    while ((service = next_loaded(models, service)) != NULL) {
        put_measured(writing, service, measure);
    }
}

/* ---- What the server counts, and the process ---- */

static void put_requests(struct writing *writing, const struct request_counts *counts) {
    static const char name[] = "quern_http_requests_total";
    put_head(writing, name, "counter", "Requests answered, by route and status.");
    for (size_t route = 0; routes_name(route) != NULL; route++) {
        for (size_t i = 0; i < COUNTED_STATUSES; i++) {
            if (counts->answered[route][i] > 0) {
                put(writing, "%s{route=\"%s\",status=\"%u\"} %" PRIu64 "\n", name,
                    routes_name(route), counted_statuses[i], counts->answered[route][i]);
            }
        }
    }
}

static void put_process(struct writing *writing, const struct service *service) {
    struct rusage usage = {0};
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    getrusage(RUSAGE_SELF, &usage);
    if (pages > 0) { /* no descriptor may be left to ask by */
        put_head(writing, "process_resident_memory_bytes", "gauge", "Memory in use.");
        put(writing, "process_resident_memory_bytes %llu\n",
            pages * (unsigned long long)sysconf(_SC_PAGESIZE));
    }
    put_head(writing, "process_cpu_seconds_total", "counter", "Processor time used.");
    put(writing, "process_cpu_seconds_total %.3f\n",
        (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    put_head(writing, "process_start_time_seconds", "gauge", "When the server started.");
    put(writing, "process_start_time_seconds %" PRId64 "\n", service->started);
}

void api_metrics(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    struct writing writing = {.failed = false};
    put_status(&writing, service->models);
    for (enum measure measure = 0; measure < MEASURE_COUNT; measure++) {
        put_histogram(&writing, service->models, measure);
    }
    put_requests(&writing, service->counts);
    put_process(&writing, service);
    if (writing.failed || !text_buffer_append(&writing.text, "", 1)) {
        text_buffer_deinit(&writing.text);
    }
    http_respond(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", writing.text.bytes);
}
