/* Hashes that nobody can foresee: for tables whose keys come from a file or a request, which could
 * otherwise be chosen so that all of them want the same place.
 *
 * They differ from one process to the next, and must not be kept. Any thread. */
#ifndef QUERN_ENGINE_SECRET_HASH_H
#define QUERN_ENGINE_SECRET_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A random number that stays the same as long as the process lives. */
uint64_t secret_number(void);

/* Of any bytes; all of its bits are good. */
uint64_t secret_hash(const char *bytes, size_t length);

#endif
