/* The sub-commands of `quern`. Each takes its own arguments (argv[0] is its name) and returns the
 * exit status of the process (exit_status.h). */
#ifndef QUERN_SERVER_COMMANDS_H
#define QUERN_SERVER_COMMANDS_H

#include "server/options.h"

#include <stddef.h>

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
    const struct command_line *line;
};

/* All of them, in the order in which help lists them. */
extern const struct command commands[];
extern const size_t command_count;

int cmd_api(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_top(int argc, char **argv);

/* What each takes; serve_options.h has what quern serve does. */
extern const struct command_line api_command_line;
extern const struct command_line bench_command_line;
extern const struct command_line completion_command_line;
extern const struct command_line config_command_line;
extern const struct command_line health_command_line;
extern const struct command_line inspect_command_line;
extern const struct command_line key_command_line;
extern const struct command_line logits_command_line;
extern const struct command_line pack_command_line;
extern const struct command_line run_command_line;
extern const struct command_line template_command_line;
extern const struct command_line tokenize_command_line;
extern const struct command_line top_command_line;

#endif
