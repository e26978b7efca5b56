/* The sub-commands of `quern`. Each takes its own arguments (argv[0] is its name) and returns the
 * exit status of the process (exit_status.h). */
#ifndef QUERN_SERVER_COMMANDS_H
#define QUERN_SERVER_COMMANDS_H

int cmd_bench(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);

#endif
