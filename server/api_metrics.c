/* GET /metrics: what the engine counts, in the text format of Prometheus
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#include "engine/text/tokenizer.h"
#include "server/routes.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

void api_metrics(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)rest;
    struct engine_status status;
    engine_get_status(service->engine, &status);
    struct text_buffer text = {0};
    bool complete = true;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && complete; i++) {
        const struct metric *metric = &metrics[i];
        char lines[320];
        int length = snprintf(lines, sizeof lines, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n",
                              metric->name, metric->help, metric->name, metric->type, metric->name,
                              read_field(&status, metric));
        complete = text_buffer_append(&text, lines, (size_t)length);
    }
    complete = complete && text_buffer_append(&text, "", 1);
    if (!complete) {
        text_buffer_deinit(&text);
    }
    http_respond(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text.bytes);
}
