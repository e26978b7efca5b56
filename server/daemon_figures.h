/* What a daemon's /metrics say of it, as numbers: what `quern top` shows. Names that are not known are passed
 * over, and numbers that are missing are 0. */
#ifndef QUERN_SERVER_DAEMON_FIGURES_H
#define QUERN_SERVER_DAEMON_FIGURES_H

#include <stddef.h>

enum { FIGURES_MODELS_MAX = 64, FIGURES_NAME_BYTES = 64 };

struct model_figures {
    char name[FIGURES_NAME_BYTES]; /* without control characters; cut where it is longer */
    double loaded;
    double running, waiting;
    double pages_used, pages_cached, pages;
    double prompt_tokens, generated_tokens; /* since the start, as all that follows */
    double first_token_s, first_tokens;
    double inter_token_s, inter_tokens;
};

struct daemon_figures {
    struct model_figures models[FIGURES_MODELS_MAX];
    size_t model_count;
    double memory_bytes;
    double cpu_s;
    double started; /* seconds since 1970 */
    double answers; /* since the start */
};

/* Reads the text format of Prometheus. */
void daemon_figures_read(struct daemon_figures *figures, const char *text);

#endif
