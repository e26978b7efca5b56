#include "server/prefix_hash.h"

#include "server/header_id.h"

#include <inttypes.h>
#include <stdio.h>

static const char header[] = "X-Prefix-Hash";

/* FNV-1a, by tokens instead of bytes: proxies hash the header once more. */
static uint64_t hash_tokens(const struct token_list *tokens) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < tokens->length; i++) {
        hash = (hash ^ (uint32_t)tokens->ids[i]) * 0x100000001b3u;
    }
    return hash;
}

void prefix_hash_add(struct http_exchange *exchange, const struct token_list *prompt) {
    const char *given = http_request_header(exchange, header);
    char hash[17];
    if (given != NULL && header_id_is_sane(given)) {
        http_add_header(exchange, header, given);
        return;
    }
    snprintf(hash, sizeof hash, "%016" PRIx64, hash_tokens(prompt));
    http_add_header(exchange, header, hash);
}
