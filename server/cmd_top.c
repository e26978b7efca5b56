/* quern top: what a daemon does, again and again, on a screen of 80 columns:
 *
 *     127.0.0.1:8080   up 2:13:05   1204 MB   cpu 196 %   3.1 answers/s
 *
 *     MODEL                RUN WAIT PROMPT/S  REPLY/S FIRST MS TOKEN MS KV PAGES
 *     gemma-3-1b-int4        3    0    512.0     41.2      310     24.1 [##::..]  38 %
 *     qwen2.5-1.5b-int4   not loaded
 *
 * Speeds and times are means since the screen before. Of the pages, '#' are used and ':' kept for their prefix. */
#include "engine/clock.h"
#include "server/commands.h"
#include "server/daemon_figures.h"
#include "server/exit_status.h"
#include "server/http_fetch.h"
#include "server/options.h"
#include "server/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BAR_COLUMNS = 6 };

struct top_options {
    struct http_fetch_options daemon;
    const char *key_path;
    double every_s;
    size_t count;
};

static const struct option options_table[] = {
    {.name = "every",
     .type = OPTION_NUMBER,
     .offset = offsetof(struct top_options, every_s),
     .argument = "SECONDS",
     .minimum = 0.1,
     .maximum = 3600,
     .fallback = "2",
     .help = "seconds from one screen to the next"},
    {.name = "count",
     .type = OPTION_SIZE,
     .offset = offsetof(struct top_options, count),
     .argument = "SCREENS",
     .fallback = "0",
     .help = "screens to show; 0: until it is stopped"},
    {.name = "key-file",
     .type = OPTION_TEXT,
     .offset = offsetof(struct top_options, key_path),
     .argument = "FILE",
     .help = "file with an API key in its first line, for a daemon that wants one"},
    HTTP_FETCH_OPTION(offsetof(struct top_options, daemon)),
};

static const struct operand operands[] = {
    HTTP_FETCH_OPERAND(offsetof(struct top_options, daemon)),
};

const struct command_line top_command_line = {
    .command = "top",
    .description = "Shows what a daemon does: sessions, speeds and KV cache pages of each model.",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

/* ---- One screen ---- */

/* What was known before, and is known now. */
struct view {
    const struct daemon_figures *before;
    const struct daemon_figures *now;
    double seconds; /* in between */
};

static double rate(const struct view *view, double before, double now) {
    return now > before && view->seconds > 0 ? (now - before) / view->seconds : 0;
}

/* Milliseconds of one thing; "-" where there was none. */
static const char *mean_text(double seconds, double things, int decimals, char text[32]) {
    if (things <= 0) {
        return "-";
    }
    snprintf(text, 32, "%.*f", decimals, seconds / things * 1000);
    return text;
}

static void print_pages(const struct model_figures *model) {
    double pages = model->pages > 0 ? model->pages : 1;
    int used = (int)(model->pages_used / pages * BAR_COLUMNS + 0.999);
    int filled = (int)((model->pages_used + model->pages_cached) / pages * BAR_COLUMNS + 0.999);
    putchar('[');
    for (int i = 0; i < BAR_COLUMNS; i++) {
        putchar(i < used ? '#' : i < filled ? ':' : '.');
    }
    printf("] %3.0f %%\n", model->pages_used / pages * 100);
}

/* A model that was not there before, or has been loaded since, begins with zeros. */
static struct model_figures figures_before(const struct view *view,
                                           const struct model_figures *now) {
    for (size_t i = 0; i < view->before->model_count; i++) {
        const struct model_figures *before = &view->before->models[i];
        if (strcmp(before->name, now->name) == 0 &&
            before->generated_tokens <= now->generated_tokens &&
            before->prompt_tokens <= now->prompt_tokens) {
            return *before;
        }
    }
    return (struct model_figures){.loaded = 0};
}

static void print_model(const struct view *view, const struct model_figures *model) {
    char first[32], token[32];
    if (model->loaded == 0) {
        printf("%-19.19s not loaded\n", model->name);
        return;
    }
    const struct model_figures before = figures_before(view, model);
    printf("%-19.19s %4.0f %4.0f %8.1f %8.1f %8s %8s ", model->name, model->running, model->waiting,
           rate(view, before.prompt_tokens, model->prompt_tokens),
           rate(view, before.generated_tokens, model->generated_tokens),
           mean_text(model->first_token_s - before.first_token_s,
                     model->first_tokens - before.first_tokens, 0, first),
           mean_text(model->inter_token_s - before.inter_token_s,
                     model->inter_tokens - before.inter_tokens, 1, token));
    print_pages(model);
}

static void print_screen(const struct view *view, const char *address) {
    const struct daemon_figures *now = view->now;
    long up = now->started > 0 ? (long)time(NULL) - (long)now->started : 0;
    printf("%.26s   up %ld:%02ld:%02ld   %.0f MB   cpu %.0f %%   %.1f answers/s\n\n", address,
           up / 3600, up / 60 % 60, up % 60, now->memory_bytes / 1e6,
           100 * rate(view, view->before->cpu_s, now->cpu_s),
           rate(view, view->before->answers, now->answers));
    printf("%-19s %4s %4s %8s %8s %8s %8s %s\n", "MODEL", "RUN", "WAIT", "PROMPT/S", "REPLY/S",
           "FIRST MS", "TOKEN MS", "KV PAGES");
    for (size_t i = 0; i < now->model_count; i++) {
        print_model(view, &now->models[i]);
    }
}

/* ---- Again and again ---- */

static void wait_seconds(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    nanosleep(&left, NULL);
}

static bool fetch_figures(const struct http_fetch *fetch, struct daemon_figures *figures,
                          struct error *err) {
    struct text_buffer text = {0};
    bool fetched = http_fetch(fetch, &text, err);
    if (fetched) {
        daemon_figures_read(figures, text.bytes);
    }
    text_buffer_deinit(&text);
    return fetched;
}

/* The first line of the file, without its end. */
static bool read_key(const char *path, char *key, size_t size, struct error *err) {
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fgets(key, (int)size, file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    if (!read) {
        return error_set(err, ERROR_IO, "%.200s has no API key to read", path);
    }
    key[strcspn(key, "\r\n")] = '\0';
    return true;
}

static bool show_screens(const struct top_options *options, const struct http_fetch *fetch,
                         struct error *err) {
    static struct daemon_figures figures[2];
    const char *home = terminal_knows_escapes(stdout) ? "\033[H\033[J" : "";
    double then = clock_seconds();
    if (!fetch_figures(fetch, &figures[0], err)) {
        return false;
    }
    for (size_t shown = 0; options->count == 0 || shown < options->count; shown++) {
        wait_seconds(options->every_s);
        struct daemon_figures *before = &figures[shown % 2];
        struct daemon_figures *now = &figures[(shown + 1) % 2];
        if (!fetch_figures(fetch, now, err)) {
            return false;
        }
        double time = clock_seconds();
        const struct view view = {.before = before, .now = now, .seconds = time - then};
        then = time;
        fputs(home[0] != '\0' ? home : shown > 0 ? "\n" : "", stdout);
        print_screen(&view, fetch->address);
        if (fflush(stdout) != 0) {
            return error_set(err, ERROR_IO, "the screen cannot be written");
        }
    }
    return true;
}

int cmd_top(int argc, char **argv) {
    struct top_options options = {0};
    struct error err = {0};
    int status;
    char key[256];
    if (!options_start(&top_command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct http_fetch fetch = http_fetch_from(&options.daemon, "/metrics");
    if (options.key_path != NULL) {
        if (!read_key(options.key_path, key, sizeof key, &err)) {
            return options_report("top", &err);
        }
        fetch.key = key;
    }
    return show_screens(&options, &fetch, &err) ? EXIT_SUCCESS : options_report("top", &err);
}
