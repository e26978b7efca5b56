#include "engine/secret_hash.h"

#include <string.h>
#include <sys/auxv.h>

/* Bytes are the coefficients of a polynomial that is evaluated at a point of this process's own, modulo
 * the prime 2^61 - 1. Two texts of n bytes meet for at most n/7 + 1 of all points (Carter and Wegman,
 * Universal classes of hash functions, 1979). That is said of whole hashes. Those of names that count
 * ("k10", "k11") go in steps of one width, which for some points lie close together in the lowest bits;
 * these are what tables take, so the bits are mixed at the end. */
static const uint64_t prime = (UINT64_C(1) << 61) - 1;

uint64_t secret_number(void) {
    uint64_t random;
    memcpy(&random, (const void *)getauxval(AT_RANDOM), sizeof random); /* the kernel gives 16 */
    return random;
}

/* Every step can be undone, so that hashes that differ still do. */
static uint64_t mix(uint64_t hash) {
    static const uint64_t odd = UINT64_C(0xff51afd7ed558ccd); /* MurmurHash3's */
    hash = (hash ^ hash >> 32) * odd;
    hash = (hash ^ hash >> 32) * odd;
    return hash ^ hash >> 32;
}

uint64_t secret_hash(const char *bytes, size_t length) {
    const uint64_t point = secret_number() % prime;
    uint64_t hash = length % prime;
    for (size_t at = 0; at < length; at += 7) {
        uint64_t chunk = 0;
        memcpy(&chunk, bytes + at, length - at < 7 ? length - at : 7);
        __extension__ unsigned __int128 product = (unsigned __int128)(hash + chunk) * point;
        hash = (uint64_t)(product % prime);
    }
    return mix(hash);
}
