#include "server/user_dir.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *user_dir_path(const char *variable, const char *fallback) {
    const char *base = getenv(variable);
    const char *home = getenv("HOME");
    char *path = NULL;
    int length = -1;
    if (base != NULL && base[0] == '/') {
        length = asprintf(&path, "%s/quern", base);
    } else if (home != NULL && home[0] == '/') {
        length = asprintf(&path, "%s/%s/quern", home, fallback);
    }
    return length < 0 ? NULL : path;
}

bool user_dir_make(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, S_IRWXU) == 0 || errno == EEXIST || errno == EROFS;
        *slash = '/';
        if (!made) {
            return false;
        }
    }
    return mkdir(path, S_IRWXU) == 0 || errno == EEXIST;
}
