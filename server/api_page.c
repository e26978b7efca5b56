/* GET /: the page to talk to (web/index.html), with a nonce of its own in each answer. The browser runs
 * only what carries it (Content Security Policy, level 3), and asks nobody but this server. */
#include "server/api_error.h"
#include "server/routes.h"

#include "engine/text/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

extern const char page_begin[];
extern const char page_end[];

enum { NONCE_BYTES = 16 };
static const char placeholder[] = "{nonce}";

static bool make_nonce(char nonce[2 * NONCE_BYTES + 1]) {
    unsigned char random[NONCE_BYTES];
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        return false;
    }
    for (size_t i = 0; i < NONCE_BYTES; i++) {
        snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    }
    return true;
}

/* The page with the nonce in all its places; NULL when memory is out. */
static char *make_page(const char *nonce) {
    struct text_buffer page = {0};
    const char *rest = page_begin;
    const char *place;
    bool fine = true;
    while (fine && (place = strstr(rest, placeholder)) != NULL) {
        fine = text_buffer_append(&page, rest, (size_t)(place - rest)) &&
               text_buffer_append(&page, nonce, strlen(nonce));
        rest = place + strlen(placeholder);
    }
    fine = fine && text_buffer_append(&page, rest, (size_t)(page_end - rest));
    if (!fine) {
        text_buffer_deinit(&page);
    }
    return page.bytes;
}

void api_page(struct http_exchange *exchange, const struct service *service, const char *rest) {
    (void)service, (void)rest;
    char nonce[2 * NONCE_BYTES + 1];
    char policy[320];
    if (!make_nonce(nonce)) {
        api_refuse(exchange, API_INTERNAL, NULL, "There are no random numbers: %s",
                   strerror(errno));
        return;
    }
    snprintf(policy, sizeof policy,
             "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; "
             "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             nonce, nonce);
    http_add_header(exchange, "Content-Security-Policy", policy);
    http_add_header(exchange, "X-Content-Type-Options", "nosniff");
    http_add_header(exchange, "Referrer-Policy", "no-referrer");
    http_add_header(exchange, "Cache-Control", "no-store");
    http_respond(exchange, 200, "text/html; charset=utf-8", make_page(nonce));
}
