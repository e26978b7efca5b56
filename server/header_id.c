#include "server/header_id.h"

#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <uv.h>

bool header_id_is_sane(const char *id) {
    size_t length = 0;
    for (; id[length] != '\0'; length++) {
        char byte = id[length];
        if (length == HEADER_ID_MAX ||
            !(isalnum((unsigned char)byte) || strchr("-_.:", byte) != NULL)) {
            return false;
        }
    }
    return length > 0;
}

void header_id_choose(char id[HEADER_ID_MAX + 1], const char *given) {
    if (given != NULL && header_id_is_sane(given)) {
        snprintf(id, HEADER_ID_MAX + 1, "%s", given);
        return;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        random = uv_hrtime();
    }
    snprintf(id, HEADER_ID_MAX + 1, "req-%016llx", (unsigned long long)random);
}
