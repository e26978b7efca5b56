/* Lets criterion run under an emulator.
 *
 * Criterion runs each test in a child process that starts the same program again. The system cannot
 * start another processor's program; this execve, found before the C library's, starts the emulator
 * with it. EMULATOR is the command line of that, as strings with commas between them. */
#include <unistd.h>

int execve(const char *path, char *const arguments[], char *const environment[]) {
    const char *const emulator[] = {EMULATOR};
    (void)arguments; /* criterion gives none */
    return execle(emulator[0], EMULATOR, path, NULL, environment);
}
