/* quern key: makes an API key. */
#include "server/api_keys.h"
#include "server/commands.h"
#include "server/exit_status.h"
#include "server/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct key_options {
    const char *name;
    const char *path;
};

static const struct operand operands[] = {
    {.name = "NAME",
     .required = true,
     .offset = offsetof(struct key_options, name),
     .help = "whose key it is: the log says so"},
    {.name = "FILE",
     .offset = offsetof(struct key_options, path),
     .help = "the file of the setting api-keys; the key's line is added to it"},
};

const struct command_line key_command_line = {
    .command = "key",
    .description = "Makes an API key and prints it, once: the file has only its digest. Without "
                   "FILE, the line that belongs there is printed, too.",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
};

/* Digests may be read by anybody, also by the daemon, which is somebody else. */
static bool append_line(const char *path, const char *name, const char *digest, struct error *err) {
    char line[API_KEY_NAME_BYTES + API_KEY_DIGEST_BYTES + 2];
    int length = snprintf(line, sizeof line, "%s %s\n", name, digest);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                    S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
    bool written = file >= 0 && write(file, line, (size_t)length) == length;
    int reason = errno;
    bool closed = file < 0 || close(file) == 0;
    if (!written || !closed) {
        return error_set(err, ERROR_IO, "%s cannot be written: %s", path,
                         strerror(written ? errno : reason));
    }
    return true;
}

int cmd_key(int argc, char **argv) {
    struct key_options options = {0};
    struct error err = {0};
    int status;
    if (!options_start(&key_command_line, argc, argv, &options, &status)) {
        return status;
    }
    if (!api_key_name_is_good(options.name)) {
        fprintf(stderr, "quern key: a name has 1 to %d letters, digits, '-', '_' or '.'\n",
                API_KEY_NAME_BYTES - 1);
        return EXIT_USAGE;
    }
    char key[API_KEY_BYTES], digest[API_KEY_DIGEST_BYTES];
    if (!api_key_make(key, digest, &err) ||
        (options.path != NULL && !append_line(options.path, options.name, digest, &err))) {
        return options_report("key", &err);
    }
    printf("%s\n", key);
    if (options.path == NULL) {
        printf("%s %s\n", options.name, digest);
    }
    return EXIT_SUCCESS;
}
