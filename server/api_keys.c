#include "server/api_keys.h"

#include <ctype.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHA256_BYTES = 32,
    RANDOM_BYTES = 32,
    LINE_BYTES = 512,
    KEYS_MAX = 4096,      /* each is compared with for each request */
    PRESENTED_MAX = 1024, /* bytes of what a client may take for a key */
};

static const char digest_prefix[] = "sha256:";
static const char key_prefix[] = "qk-"; /* so that scanners for leaked secrets can tell one */

struct api_key {
    char name[API_KEY_NAME_BYTES];
    uint8_t digest[SHA256_BYTES];
};

struct api_keys {
    struct api_key *items;
    size_t count;
};

bool api_key_name_is_good(const char *name) {
    size_t length = 0;
    for (; name[length] != '\0'; length++) {
        if (!isalnum((unsigned char)name[length]) && strchr("-_.", name[length]) == NULL) {
            return false;
        }
    }
    return length > 0 && length < API_KEY_NAME_BYTES;
}

static bool digest_key(const char *key, uint8_t digest[SHA256_BYTES]) {
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, key, strlen(key), digest) == 0;
}

/* ---- The file ---- */

static bool parse_digest(const char *text, uint8_t digest[SHA256_BYTES]) {
    size_t prefix = sizeof digest_prefix - 1;
    if (strncmp(text, digest_prefix, prefix) != 0 ||
        strlen(text) != prefix + (size_t)2 * SHA256_BYTES ||
        strspn(text + prefix, "0123456789abcdefABCDEF") != (size_t)2 * SHA256_BYTES) {
        return false;
    }
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        char byte[3] = {text[prefix + 2 * i], text[prefix + 2 * i + 1], '\0'};
        digest[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return true;
}

static bool parse_line(struct api_keys *keys, char *line, struct error *err) {
    char *rest = NULL;
    const char *name = strtok_r(line, " \t\r\n", &rest);
    if (name == NULL || name[0] == '#') {
        return true;
    }
    const char *digest = strtok_r(NULL, " \t\r\n", &rest);
    struct api_key key = {.name = ""};
    if (!api_key_name_is_good(name) || digest == NULL || !parse_digest(digest, key.digest) ||
        strtok_r(NULL, " \t\r\n", &rest) != NULL) {
        /* The line is not quoted: somebody may have put a key itself there. */
        return error_set(err, ERROR_BAD_FILE,
                         "expected NAME sha256:DIGEST, as 'quern key NAME' prints it");
    }
    if (keys->count == KEYS_MAX) {
        return error_set(err, ERROR_TOO_LARGE, "there are more than %d keys", KEYS_MAX);
    }
    struct api_key *items = realloc(keys->items, (keys->count + 1) * sizeof *items);
    if (items == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the key");
    }
    snprintf(key.name, sizeof key.name, "%s", name);
    keys->items = items;
    keys->items[keys->count++] = key;
    return true;
}

static bool parse_file(struct api_keys *keys, FILE *file, const char *path, struct error *err) {
    char line[LINE_BYTES];
    for (size_t number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        bool whole = strchr(line, '\n') != NULL || feof(file);
        if (!(whole ? parse_line(keys, line, err)
                    : error_set(err, ERROR_BAD_FILE, "the line is too long"))) {
            return error_prefix(err, "%s:%zu", path, number);
        }
    }
    if (ferror(file)) {
        return error_set(err, ERROR_IO, "The API keys in %s cannot be read: %s", path,
                         strerror(errno));
    }
    return keys->count > 0 ||
           error_set(err, ERROR_INVALID, "%s has no API key; 'quern key NAME %s' adds one", path,
                     path);
}

bool api_keys_open(struct api_keys **out, const char *path, struct error *err) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return error_set(err, ERROR_IO, "The API keys in %s cannot be read: %s", path,
                         strerror(errno));
    }
    struct api_keys *keys = calloc(1, sizeof *keys);
    bool read = keys != NULL ? parse_file(keys, file, path, err)
                             : error_set(err, ERROR_OUT_OF_MEMORY, "no memory for API keys");
    fclose(file);
    if (!read) {
        api_keys_close(keys);
        return false;
    }
    *out = keys;
    return true;
}

void api_keys_close(struct api_keys *keys) {
    if (keys != NULL) {
        free(keys->items);
        free(keys);
    }
}

/* ---- Comparing ---- */

const char *api_keys_find(const struct api_keys *keys, const char *key) {
    uint8_t digest[SHA256_BYTES];
    if (strlen(key) > PRESENTED_MAX || !digest_key(key, digest)) {
        return NULL;
    }
    const char *name = NULL;
    for (size_t i = 0; i < keys->count; i++) {
        bool same = gnutls_memcmp(keys->items[i].digest, digest, SHA256_BYTES) == 0;
        name = same ? keys->items[i].name : name;
    }
    return name;
}

/* ---- Making ---- */

bool api_key_make(char key[API_KEY_BYTES], char digest[API_KEY_DIGEST_BYTES], struct error *err) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[RANDOM_BYTES + 1] = {0}; /* the last six bits may lie beyond the end */
    uint8_t hash[SHA256_BYTES];
    size_t length = sizeof key_prefix - 1;
    if (gnutls_rnd(GNUTLS_RND_KEY, random, RANDOM_BYTES) != 0) {
        return error_set(err, ERROR_IO, "there are no random numbers to be had");
    }
    memcpy(key, key_prefix, length);
    for (size_t bit = 0; bit < (size_t)8 * RANDOM_BYTES; bit += 6) {
        unsigned pair = (unsigned)random[bit / 8] << 8 | random[bit / 8 + 1];
        key[length++] = letters[pair >> (10 - bit % 8) & 63];
    }
    key[length] = '\0';
    if (!digest_key(key, hash)) {
        return error_set(err, ERROR_UNSUPPORTED, "GnuTLS has no SHA-256 here");
    }
    size_t at = (size_t)snprintf(digest, API_KEY_DIGEST_BYTES, "%s", digest_prefix);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        at += (size_t)snprintf(digest + at, API_KEY_DIGEST_BYTES - at, "%02x", hash[i]);
    }
    return true;
}
