#include "server/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static char *read_file(const char *path, struct error *err) {
    FILE *file = fopen(path, "re");
    char *text = calloc(1, FILE_BYTES_MAX + 1);
    size_t length = file != NULL && text != NULL ? fread(text, 1, FILE_BYTES_MAX + 1, file) : 0;
    bool read = file != NULL && text != NULL && !ferror(file) && length <= FILE_BYTES_MAX;
    if (!read) {
        error_set(err, ERROR_IO, "%s cannot be read: %s", path,
                  length > FILE_BYTES_MAX ? "it is larger than 1 MB" : strerror(errno));
        free(text);
    }
    if (file != NULL) {
        fclose(file);
    }
    return read ? text : NULL;
}

static gnutls_datum_t datum_of(char *text) {
    return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)strlen(text)};
}

static bool check_pair(const struct tls *tls, const struct tls_options *options,
                       struct error *err) {
    gnutls_certificate_credentials_t credentials = NULL;
    gnutls_datum_t certificate = datum_of(tls->certificate);
    gnutls_datum_t key = datum_of(tls->key);
    int result = gnutls_certificate_allocate_credentials(&credentials);
    if (result == 0) {
        result = gnutls_certificate_set_x509_key_mem(credentials, &certificate, &key,
                                                     GNUTLS_X509_FMT_PEM);
        gnutls_certificate_free_credentials(credentials);
    }
    return result >= 0 ||
           error_set(err, ERROR_BAD_FILE, "%s and %s are no certificate with its key: %s",
                     options->certificate, options->key, gnutls_strerror(result));
}

bool tls_open(struct tls *tls, const struct tls_options *options, struct error *err) {
    *tls = (struct tls){0};
    if (options->certificate == NULL) {
        return true;
    }
    tls->certificate = read_file(options->certificate, err);
    tls->key = tls->certificate != NULL ? read_file(options->key, err) : NULL;
    bool opened = tls->key != NULL && check_pair(tls, options, err);
    if (!opened) {
        tls_close(tls);
    }
    return opened;
}

void tls_close(struct tls *tls) {
    if (tls->key != NULL) {
        gnutls_memset(tls->key, 0, strlen(tls->key));
    }
    free(tls->key);
    free(tls->certificate);
    *tls = (struct tls){0};
}
