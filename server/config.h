/* The settings of the daemon: options with a section (options.h), which may stand in a file and in the
 * environment as well as on the command line.
 *
 *     defaults ─▶ file ─▶ environment ─▶ command line        the later one wins
 *     max-body    [server]    QUERN_MAX_BODY    --max-body
 *                 max-body =
 *
 * A section of a group (struct option_group), as [model.NAME], stands in the file alone.
 *
 * The file is INI: "[section]", "name = value", comments after ';' or, at the beginning of a line, '#'.
 * What has no value keeps its default. Nothing in the file is overlooked: a name that is no setting, one in
 * another section than its own, one that is there twice, or a value that cannot be is an error with file and
 * line. Of the environment, names that begin with QUERN_ and are nearly those of settings are errors; others
 * belong to somebody else.
 *
 * Values borrow their text from struct config, which must outlive them. Used by one thread. */
#ifndef QUERN_SERVER_CONFIG_H
#define QUERN_SERVER_CONFIG_H

#include "engine/error.h"
#include "server/options.h"

#include <stdbool.h>
#include <stddef.h>

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT };

struct config_origin {
    enum config_source source;
    size_t line; /* of CONFIG_FILE */
};

struct config {
    const struct command_line *line;
    const char *path;              /* NULL: no file */
    struct config_origin *origins; /* of each option */
    size_t *group_lines;           /* of each option of each section of the group */
    struct config_text *texts;     /* each text once, however often the file is read */
};

/* `path` is borrowed; NULL or empty: no file. */
bool config_open(struct config *config, const struct command_line *line, const char *path,
                 struct error *err);
void config_close(struct config *config);

/* Fills `values`, zeroed before, with defaults, file and environment. May be called again. */
bool config_read(struct config *config, void *values, struct error *err);

/* Where an option that is set has its value from, as people write it: "quern.conf:12", "QUERN_MAX_BODY" or
 * "--max-body". */
enum { CONFIG_PLACE_BYTES = 256 };
const char *config_place(const struct config *config, const struct option *option,
                         char place[CONFIG_PLACE_BYTES]);

/* "quern.conf:12" for an option of the group's section `index`. */
const char *config_group_place(const struct config *config, size_t index,
                               const struct option *option, char place[CONFIG_PLACE_BYTES]);

/* "QUERN_MAX_BODY" for "max-body". */
enum { CONFIG_VARIABLE_BYTES = 64 };
const char *config_variable(const struct option *option, char variable[CONFIG_VARIABLE_BYTES]);

#endif
