#include "server/tls_client.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

struct tls_client {
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
};

static bool trust(struct tls_client *client, const char *trusted, struct error *err) {
    int count = gnutls_certificate_allocate_credentials(&client->credentials);
    if (count == 0) {
        count = gnutls_certificate_set_x509_trust_file(client->credentials, trusted,
                                                       GNUTLS_X509_FMT_PEM);
    }
    return count > 0 || error_set(err, ERROR_BAD_FILE, "%.200s has no certificate to trust: %s",
                                  trusted, gnutls_strerror(count));
}

static int prepare(struct tls_client *client, int socket, const char *host) {
    int result = gnutls_init(&client->session, GNUTLS_CLIENT);
    if (result == 0) {
        result = gnutls_set_default_priority(client->session);
    }
    if (result == 0) {
        result =
            gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    }
    if (result == 0) {
        gnutls_session_set_verify_cert(client->session, host, 0);
        gnutls_transport_set_int(client->session, socket);
    }
    return result;
}

/* Why the server's certificate will not do. */
static void refuse(const struct tls_client *client, int result, const char *trusted,
                   struct error *err) {
    gnutls_datum_t reason = {0};
    unsigned status = gnutls_session_get_verify_cert_status(client->session);
    if (result == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
        gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &reason, 0) == 0) {
        error_set(err, ERROR_INVALID, "the server's certificate is not trusted by %.100s: %.120s",
                  trusted, (const char *)reason.data);
        gnutls_free(reason.data);
    } else {
        error_set(err, ERROR_IO, "no connection by TLS: %s", gnutls_strerror(result));
    }
}

bool tls_client_open(struct tls_client **out, int socket, const char *trusted, const char *host,
                     struct error *err) {
    struct tls_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a connection");
    }
    if (!trust(client, trusted, err)) {
        tls_client_close(client);
        return false;
    }
    int result = prepare(client, socket, host);
    if (result == 0) {
        do {
            result = gnutls_handshake(client->session);
        } while (result == GNUTLS_E_INTERRUPTED || result == GNUTLS_E_WARNING_ALERT_RECEIVED);
    }
    if (result != 0) {
        refuse(client, result, trusted, err);
        tls_client_close(client);
        return false;
    }
    *out = client;
    return true;
}

void tls_client_close(struct tls_client *client) {
    if (client->session != NULL) {
        gnutls_deinit(client->session);
    }
    if (client->credentials != NULL) {
        gnutls_certificate_free_credentials(client->credentials);
    }
    free(client);
}

bool tls_client_send(struct tls_client *client, const char *bytes, size_t length) {
    ssize_t sent = 0;
    while (length > 0 && (sent = gnutls_record_send(client->session, bytes, length)) > 0) {
        bytes += sent;
        length -= (size_t)sent;
    }
    return length == 0;
}

ssize_t tls_client_receive(struct tls_client *client, char *bytes, size_t size) {
    ssize_t received;
    do {
        received = gnutls_record_recv(client->session, bytes, size);
    } while (received == GNUTLS_E_INTERRUPTED || received == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (received < 0) {
        errno = received == GNUTLS_E_AGAIN ? EAGAIN : EPROTO;
        return -1;
    }
    return received;
}
