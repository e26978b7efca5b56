/* The API keys that a file names, and how one is made.
 *
 *     # who            what
 *     alice            sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090
 *
 * The file has digests only: a key is 256 random bits, which nobody finds from its digest, so that no slow
 * hash is needed and none delays a request. Names are for the log.
 *
 * Immutable once open; any thread. */
#ifndef QUERN_SERVER_API_KEYS_H
#define QUERN_SERVER_API_KEYS_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>

struct api_keys;

enum {
    API_KEY_NAME_BYTES = 64,   /* with its zero */
    API_KEY_BYTES = 64,        /* of a key that Quern makes, with its zero */
    API_KEY_DIGEST_BYTES = 80, /* "sha256:…" with its zero */
};

/* Errors name file and line. A file without a key is one, too: it would lock everybody out. */
bool api_keys_open(struct api_keys **out, const char *path, struct error *err);
void api_keys_close(struct api_keys *keys);

/* The name of whose key it is, or NULL. Takes as long whichever it is, and however much of one it has. */
const char *api_keys_find(const struct api_keys *keys, const char *key);

/* Makes a key of random bits, and the digest that the file is to have. */
bool api_key_make(char key[API_KEY_BYTES], char digest[API_KEY_DIGEST_BYTES], struct error *err);

/* 1 to 63 letters, digits, '-', '_' or '.'. */
bool api_key_name_is_good(const char *name);

#endif
