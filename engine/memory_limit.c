#include "engine/memory_limit.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static void lower(struct memory_limit *limit, size_t bytes, const char *source) {
    if (bytes < limit->bytes) {
        *limit = (struct memory_limit){bytes, source};
    }
}

/* The number in a file of a control group; SIZE_MAX for "max", or where there is none. */
static size_t read_number(const char *path) {
    char text[32];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return SIZE_MAX;
    }
    char *end = text;
    unsigned long long number =
        fgets(text, sizeof text, file) != NULL ? strtoull(text, &end, 10) : 0;
    fclose(file);
    return end == text ? SIZE_MAX : (size_t)number;
}

/* `group` and all groups above it, below the mount point `root`. */
static void lower_to_groups(struct memory_limit *limit, const char *root, const char *group,
                            const char *file) {
    char path[PATH_BYTES];
    size_t length = strlen(group);
    for (;;) {
        snprintf(path, sizeof path, "%s%.*s/%s", root, (int)length, group, file);
        lower(limit, read_number(path), "its control group");
        if (length == 0) {
            return;
        }
        do {
            length--;
        } while (length > 0 && group[length] != '/');
    }
}

/* Lines of /proc/self/cgroup: "0::/user.slice/..." (v2), "9:memory:/docker/..." (v1). */
static void lower_to_own_groups(struct memory_limit *limit) {
    char line[PATH_BYTES];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) {
            continue;
        }
        *group++ = '\0';
        if (controllers[1] == '\0') {
            lower_to_groups(limit, "/sys/fs/cgroup", group, "memory.max");
        } else if (strstr(controllers, "memory") != NULL) {
            lower_to_groups(limit, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

struct memory_limit memory_limit_get(void) {
    struct memory_limit limit = {SIZE_MAX, "nothing"};
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page_bytes > 0) {
        lower(&limit, (size_t)pages * (size_t)page_bytes, "the machine");
    }
    lower_to_own_groups(&limit);
    struct rlimit address_space;
    if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
        lower(&limit, address_space.rlim_cur, "its address space (ulimit -v)");
    }
    return limit;
}

size_t memory_limit_for_data(void) {
    size_t bytes = memory_limit_get().bytes;
    return bytes - bytes / 8;
}
