#include "engine/secret_hash.h"

#include <string.h>
#include <sys/auxv.h>

/* Bytes are the coefficients of a polynomial that is evaluated at a point of this process's own, modulo
 * the prime 2^61 - 1. Two texts of n bytes meet for at most n/7 + 1 of all points (Carter and Wegman,
 * Universal classes of hash functions, 1979). None of the bytes is the constant coefficient, which
 * would be in the lowest bits as it is: "k10" and "k11" would have neighbouring places. */
static const uint64_t prime = (UINT64_C(1) << 61) - 1;

uint64_t secret_number(void) {
    uint64_t random;
    memcpy(&random, (const void *)getauxval(AT_RANDOM), sizeof random); /* the kernel gives 16 */
    return random;
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
    return hash;
}
