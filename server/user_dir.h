/* The folders in which a program keeps what is a user's own (XDG Base Directory Specification). */
#ifndef QUERN_SERVER_USER_DIR_H
#define QUERN_SERVER_USER_DIR_H

#include <stdbool.h>

/* "$XDG_CACHE_HOME/quern" for the variable's name, or "$HOME/.cache/quern" for the fallback ".cache".
 * NULL where neither variable holds an absolute path, or memory is out; the caller frees. */
char *user_dir_path(const char *variable, const char *fallback);

/* Makes the directory and those above it, for this user alone. False leaves the reason in errno. */
bool user_dir_make(char *path);

#endif
