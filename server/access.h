/* Who may ask for what: decided when the headers of a request are here, before its body is.
 *
 *     Authorization: Bearer KEY, or X-Api-Key: KEY     where there are API keys
 *     Origin: https://…                                answered as CORS has it, for origins that are allowed
 *     so many requests of one client at once           a client is a key's name, or else an address
 *
 * On the loop's thread. */
#ifndef QUERN_SERVER_ACCESS_H
#define QUERN_SERVER_ACCESS_H

#include "engine/error.h"
#include "server/api_keys.h"
#include "server/http.h"

#include <stdbool.h>
#include <stddef.h>

struct access_options {
    const char *api_keys;     /* a file; NULL: everybody may */
    const char *cors_origins; /* separated by blanks, or "*"; NULL: none */
    bool open_metrics;        /* no key for what is measured */
    size_t client_requests;   /* at once; 0: any number */
};

struct access {
    struct access_options options; /* texts are borrowed */
    struct api_keys *keys;         /* NULL: everybody may */
};

/* What a route wants: a key and more, unless it says otherwise. */
enum access_need {
    ACCESS_COMPUTE, /* that the client has not too many requests running, and a key */
    ACCESS_KEY,     /* a key */
    ACCESS_METRICS, /* a key, unless metrics are open */
    ACCESS_FREE,    /* nothing */
};

/* Are these origins, as browsers write them, or "*"? */
bool access_check_origins(const char *origins, struct error *err);

/* Opens, or replaces what is open; after an error that stays as it was. */
bool access_set(struct access *access, const struct access_options *options, struct error *err);
void access_deinit(struct access *access);

/* Refuses the request, or lets it go on. Answers a preflight of CORS, for a path with these methods
 * ("GET, HEAD"), and adds the headers that allowed origins need. */
void access_admit(const struct access *access, struct http_exchange *exchange,
                  enum access_need need, const char *methods);

/* May this request see what is measured? */
bool access_sees_metrics(const struct access *access, const struct http_exchange *exchange);

#endif
