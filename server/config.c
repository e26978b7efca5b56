#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    LINE_BYTES = 4200,      /* of the file: a path of the greatest length fits */
    SECTION_BYTES_MAX = 49, /* inih cuts a longer name of a section to this */
};

static const char variable_prefix[] = "QUERN_";

struct config_text {
    struct config_text *next;
    char text[];
};

bool config_open(struct config *config, const struct command_line *line, const char *path,
                 struct error *err) {
    *config = (struct config){.line = line, .path = path != NULL && path[0] != '\0' ? path : NULL};
    const struct option_group *group = line->group;
    size_t lines = group != NULL ? group->maximum * group->option_count : 1;
    config->origins = calloc(line->option_count, sizeof *config->origins);
    config->group_lines = calloc(lines, sizeof *config->group_lines);
    return (config->origins != NULL && config->group_lines != NULL) ||
           error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the configuration");
}

void config_close(struct config *config) {
    while (config->texts != NULL) {
        struct config_text *next = config->texts->next;
        free(config->texts);
        config->texts = next;
    }
    free(config->origins);
    free(config->group_lines);
    *config = (struct config){0};
}

static const char *keep_text(struct config *config, const char *text) {
    for (struct config_text *at = config->texts; at != NULL; at = at->next) {
        if (strcmp(at->text, text) == 0) {
            return at->text;
        }
    }
    size_t size = strlen(text) + 1;
    struct config_text *kept = malloc(sizeof *kept + size);
    if (kept == NULL) {
        return NULL;
    }
    memcpy(kept->text, text, size);
    kept->next = config->texts;
    config->texts = kept;
    return kept->text;
}

/* An empty text means the default, which is in place already. */
static bool read_setting(struct config *config, const struct option *option, const char *spelling,
                         const char *text, void *values, struct error *err) {
    if (text[0] == '\0') {
        return true;
    }
    const char *kept = keep_text(config, text);
    return kept != NULL ? option_read(option, spelling, kept, values, err)
                        : error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %s", spelling);
}

static struct config_origin *origin_of(const struct config *config, const struct option *option) {
    return &config->origins[option - config->line->options];
}

/* ---- The file ---- */

struct file_reading {
    struct config *config;
    void *values;
    FILE *file;
    size_t line;
    bool failed;
    struct error *err;
};

/* The first error of a file is the one that is told. */
static int fail(struct file_reading *reading) {
    if (!reading->failed) {
        reading->failed = true;
        error_prefix(reading->err, "%s:%zu", reading->config->path, reading->line);
    }
    return 0;
}

/* What inih calls for each line. inih itself does not tell of lines that it cuts. */
static char *read_line(char *text, int room, void *context) {
    struct file_reading *reading = context;
    int length = 0;
    int byte = EOF;
    while (!reading->failed && length < room - 1 && (byte = getc(reading->file)) != EOF) {
        text[length++] = (char)byte;
        if (byte == '\n') {
            break;
        }
    }
    text[length] = '\0';
    if (length == 0) {
        return NULL;
    }
    reading->line++;
    if (memchr(text, '\0', (size_t)length) != NULL) {
        error_set(reading->err, ERROR_BAD_FILE, "a zero byte; this is no text file");
        fail(reading);
    } else if (length == room - 1 && byte != '\n') {
        error_set(reading->err, ERROR_BAD_FILE, "the line is longer than %d bytes", room - 2);
        fail(reading);
    }
    return text;
}

static bool is_setting(const struct option *option) {
    return option != NULL && option->section != NULL;
}

static bool has_section(const struct command_line *line, const char *section) {
    for (size_t i = 0; i < line->option_count; i++) {
        if (is_setting(&line->options[i]) && strcmp(line->options[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

static bool unknown_section(const struct command_line *line, const char *section,
                            struct error *err) {
    struct suggestion suggestion = {.word = section};
    for (size_t i = 0; i < line->option_count; i++) {
        if (is_setting(&line->options[i])) {
            suggestion_offer(&suggestion, line->options[i].section);
        }
    }
    /* "[modle.gemma]" is near to "[model.gemma]". */
    char named[CONFIG_PLACE_BYTES];
    const char *dot = strchr(section, '.');
    if (line->group != NULL && dot != NULL) {
        snprintf(named, sizeof named, "%s%.80s", line->group->section, dot);
        suggestion_offer(&suggestion, named);
    }
    return error_set(err, ERROR_INVALID, "there is no section [%.80s]%s%s%s", section,
                     suggestion.name != NULL ? "; did you mean [" : "",
                     suggestion.name != NULL ? suggestion.name : "",
                     suggestion.name != NULL ? "]?" : "");
}

static bool unknown_setting(const struct option *options, size_t count, const char *name,
                            struct error *err) {
    struct suggestion suggestion = {.word = name};
    for (size_t i = 0; i < count; i++) {
        if (is_setting(&options[i])) {
            suggestion_offer(&suggestion, options[i].name);
        }
    }
    return error_set(err, ERROR_INVALID, "there is no setting %.80s%s%s%s", name,
                     suggestion.name != NULL ? "; did you mean " : "",
                     suggestion.name != NULL ? suggestion.name : "",
                     suggestion.name != NULL ? "?" : "");
}

/* ---- Sections of the group ---- */

/* What comes behind "model."; NULL for other sections. */
static const char *name_in_group(const struct option_group *group, const char *section) {
    size_t length = group != NULL ? strlen(group->section) : 0;
    bool named =
        length > 0 && strncmp(section, group->section, length) == 0 && section[length] == '.';
    return named ? section + length + 1 : NULL;
}

static bool check_name(const char *section, const char *name, struct error *err) {
    if (strlen(section) >= SECTION_BYTES_MAX) {
        return error_set(err, ERROR_INVALID, "[%s…] has a longer name than %zu bytes", section,
                         SECTION_BYTES_MAX - 1 - (size_t)(name - section));
    }
    for (const char *at = name; *at != '\0'; at++) {
        if (!isgraph((unsigned char)*at)) {
            return error_set(err, ERROR_INVALID,
                             "[%s] has a blank or a control character in its name", section);
        }
    }
    return name[0] != '\0' || error_set(err, ERROR_INVALID, "[%s] has no name", section);
}

static void *group_values(const struct option_group *group, void *values, size_t index) {
    return (char *)values + group->values + index * group->size;
}

/* The section's index; it is made if it is new. */
static bool find_in_group(const struct option_group *group, struct file_reading *reading,
                          const char *section, const char *name, size_t *index) {
    size_t *count = (size_t *)(void *)((char *)reading->values + group->count);
    for (size_t i = 0; i < *count; i++) {
        const char *values = group_values(group, reading->values, i);
        if (strcmp(*(const char *const *)(const void *)(values + group->name), name) == 0) {
            *index = i;
            return true;
        }
    }
    if (!check_name(section, name, reading->err)) {
        return false;
    }
    if (*count == group->maximum) {
        return error_set(reading->err, ERROR_INVALID, "there are more than %zu sections [%s.…]",
                         group->maximum, group->section);
    }
    const char *kept = keep_text(reading->config, name);
    if (kept == NULL) {
        return error_set(reading->err, ERROR_OUT_OF_MEMORY, "no memory for [%s]", section);
    }
    *index = (*count)++;
    char *values = group_values(group, reading->values, *index);
    *(const char **)(void *)(values + group->name) = kept;
    return true;
}

static bool read_group_entry(struct file_reading *reading, const char *section, const char *name,
                             const char *text) {
    const struct option_group *group = reading->config->line->group;
    size_t index = 0;
    size_t at = 0;
    if (!find_in_group(group, reading, section, name_in_group(group, section), &index)) {
        return false;
    }
    while (at < group->option_count && strcmp(group->options[at].name, name) != 0) {
        at++;
    }
    if (at == group->option_count) {
        return unknown_setting(group->options, group->option_count, name, reading->err);
    }
    char *values = group_values(group, reading->values, index);
    uint64_t *given = (uint64_t *)(void *)(values + group->given);
    size_t *line = &reading->config->group_lines[index * group->option_count + at];
    if ((*given >> at & 1) != 0) {
        return error_set(reading->err, ERROR_INVALID, "%s has been set in line %zu already", name,
                         *line);
    }
    *line = reading->line;
    *given |= (uint64_t)(text[0] != '\0') << at;
    return read_setting(reading->config, &group->options[at], name, text, values, reading->err);
}

static bool read_entry(struct file_reading *reading, const char *section, const char *name,
                       const char *text) {
    const struct command_line *line = reading->config->line;
    struct error *err = reading->err;
    const struct option *option = option_find(line, name, strlen(name));
    if (name_in_group(line->group, section) != NULL) {
        return read_group_entry(reading, section, name, text);
    }
    if (!has_section(line, section)) {
        return section[0] != '\0'
                   ? unknown_section(line, section, err)
                   : error_set(err, ERROR_INVALID, "%.80s stands in no [section]", name);
    }
    if (!is_setting(option)) {
        return unknown_setting(line->options, line->option_count, name, err);
    }
    if (strcmp(option->section, section) != 0) {
        return error_set(err, ERROR_INVALID, "%s belongs to [%s], not to [%s]", name,
                         option->section, section);
    }
    struct config_origin *origin = origin_of(reading->config, option);
    if (origin->source == CONFIG_FILE) {
        return error_set(err, ERROR_INVALID, "%s has been set in line %zu already", name,
                         origin->line);
    }
    *origin = (struct config_origin){.source = CONFIG_FILE, .line = reading->line};
    return read_setting(reading->config, option, name, text, reading->values, err);
}

static int on_entry(void *context, const char *section, const char *name, const char *text) {
    struct file_reading *reading = context;
    if (reading->failed) {
        return 0;
    }
    return read_entry(reading, section, name, text) ? 1 : fail(reading);
}

static bool parse_file(struct file_reading *reading) {
    ini_use_stack = false;
    ini_initial_alloc = ini_max_line = LINE_BYTES;
    ini_allow_multiline = false;
    ini_stop_on_first_error = true;
    int result = ini_parse_stream(read_line, reading, on_entry, reading);
    if (reading->failed) {
        return false;
    }
    if (result > 0) {
        reading->line = (size_t)result;
        error_set(reading->err, ERROR_BAD_FILE, "neither [section] nor name = value");
        return fail(reading);
    }
    return result == 0 || error_set(reading->err, ERROR_OUT_OF_MEMORY, "no memory to read %s",
                                    reading->config->path);
}

static bool read_file(struct config *config, void *values, struct error *err) {
    struct stat status;
    FILE *file = fopen(config->path, "re");
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        error_set(err, ERROR_IO, "the configuration %s cannot be read: %s", config->path,
                  strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        error_set(err, ERROR_IO, "the configuration %s is a folder; it must be a file",
                  config->path);
    } else {
        struct file_reading reading = {
            .config = config, .values = values, .file = file, .err = err};
        bool read = parse_file(&reading);
        fclose(file);
        return read;
    }
    if (file != NULL) {
        fclose(file);
    }
    return false;
}

/* ---- The environment ---- */

extern char **environ;

const char *config_variable(const struct option *option, char variable[CONFIG_VARIABLE_BYTES]) {
    snprintf(variable, CONFIG_VARIABLE_BYTES, "%s%s", variable_prefix, option->name);
    for (char *at = variable; *at != '\0'; at++) {
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    }
    return variable;
}

static bool read_variable(struct config *config, const struct option *option, void *values,
                          struct error *err) {
    char variable[CONFIG_VARIABLE_BYTES];
    const char *text = getenv(config_variable(option, variable));
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    *origin_of(config, option) = (struct config_origin){.source = CONFIG_ENVIRONMENT};
    return read_setting(config, option, variable, text, values, err);
}

/* "QUERN_MAX_BDY=…" is an error, "QUERN_SERVICE_HOST=…" (of Kubernetes) is not. */
static bool check_variable(const struct command_line *line, const char *entry, struct error *err) {
    size_t prefix = sizeof variable_prefix - 1;
    if (strncmp(entry, variable_prefix, prefix) != 0) {
        return true;
    }
    char name[CONFIG_VARIABLE_BYTES];
    size_t length = strcspn(entry + prefix, "=");
    if (length >= sizeof name) {
        return true;
    }
    for (size_t i = 0; i < length; i++) {
        char byte = entry[prefix + i];
        name[i] = byte == '_' ? '-' : (char)tolower((unsigned char)byte);
    }
    name[length] = '\0';
    struct suggestion suggestion = {.word = name};
    for (size_t i = 0; i < line->option_count; i++) {
        suggestion_offer(&suggestion, line->options[i].name);
    }
    if (suggestion.name == NULL || suggestion.distance == 0) {
        return true;
    }
    char nearest[CONFIG_VARIABLE_BYTES];
    const struct option *option = option_find(line, suggestion.name, strlen(suggestion.name));
    return error_set(err, ERROR_INVALID, "there is no setting %.*s; did you mean %s?",
                     (int)(prefix + length), entry, config_variable(option, nearest));
}

static bool read_environment(struct config *config, void *values, struct error *err) {
    const struct command_line *line = config->line;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (!check_variable(line, *entry, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < line->option_count; i++) {
        if (is_setting(&line->options[i]) &&
            !read_variable(config, &line->options[i], values, err)) {
            return false;
        }
    }
    return true;
}

/* ---- All of it ---- */

bool config_read(struct config *config, void *values, struct error *err) {
    memset(config->origins, 0, config->line->option_count * sizeof *config->origins);
    return options_read_defaults(config->line, values, err) &&
           (config->path == NULL || read_file(config, values, err)) &&
           read_environment(config, values, err);
}

const char *config_place(const struct config *config, const struct option *option,
                         char place[CONFIG_PLACE_BYTES]) {
    const struct config_origin *origin = origin_of(config, option);
    char variable[CONFIG_VARIABLE_BYTES];
    switch (origin->source) {
    case CONFIG_FILE:
        snprintf(place, CONFIG_PLACE_BYTES, "%s:%zu", config->path, origin->line);
        break;
    case CONFIG_ENVIRONMENT:
        snprintf(place, CONFIG_PLACE_BYTES, "%s", config_variable(option, variable));
        break;
    case CONFIG_DEFAULT:
        snprintf(place, CONFIG_PLACE_BYTES, "--%s", option->name);
        break;
    }
    return place;
}

const char *config_group_place(const struct config *config, size_t index,
                               const struct option *option, char place[CONFIG_PLACE_BYTES]) {
    const struct option_group *group = config->line->group;
    size_t at = (size_t)(option - group->options);
    snprintf(place, CONFIG_PLACE_BYTES, "%s:%zu", config->path,
             config->group_lines[index * group->option_count + at]);
    return place;
}
