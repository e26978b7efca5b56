/* The header X-Prefix-Hash, by which a proxy keeps requests with a common beginning at the server that has
 * computed it (docs/deploy/README.md).
 *
 * A request that has the header gets it back as it is: whoever sends it with each request of a conversation,
 * a client or a proxy, has them all go the same way. To others a hash of the prompt's tokens is told, for the
 * next turn. */
#ifndef QUERN_SERVER_PREFIX_HASH_H
#define QUERN_SERVER_PREFIX_HASH_H

#include "engine/text/tokenizer.h"
#include "server/http.h"

/* Before the answer begins. */
void prefix_hash_add(struct http_exchange *exchange, const struct token_list *prompt);

#endif
