/* Lets criterion run under ThreadSanitizer.
 *
 * Criterion shares results with its child processes in an arena that it maps at a random address
 * 0x200000000000 + (rand_r() & 0x3fffff) * 2^24. ThreadSanitizer keeps its shadow memory in most of
 * that range and refuses the mapping; it leaves a program
 *
 *     0x550000000000 .. 0x568000000000      position-independent executables
 *
 * This rand_r, found before the C library's, sends the arena to the upper part of it. */
int rand_r(unsigned *seed);

enum { UPPER_PART = 0x360000, PLACES = 0x4000 }; /* 0x560000000000 and up, 2^24 bytes each */

int rand_r(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return (int)(UPPER_PART + (*seed >> 16) % PLACES);
}
