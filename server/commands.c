#include "server/commands.h"

#include "server/serve_options.h"

const struct command commands[] = {
    {"serve", "answer OpenAI-style HTTP requests with a model", cmd_serve, &serve_command_line},
    {"run", "talk with a model at the terminal, or continue a text in a pipe", cmd_run,
     &run_command_line},
    {"inspect", "say what a model folder holds, its plan, or why it cannot run", cmd_inspect,
     &inspect_command_line},
    {"pack", "write the pack file of a model, from which others start at once", cmd_pack,
     &pack_command_line},
    {"bench", "measure how fast a model runs on this machine", cmd_bench, &bench_command_line},
    {"logits", "write the logits of a prompt to a file, for comparisons", cmd_logits,
     &logits_command_line},
    {"template", "make prompts of conversations, one JSON line each", cmd_template,
     &template_command_line},
    {"top", "show what a daemon does: sessions, speeds, pages", cmd_top, &top_command_line},
    {"health", "ask a daemon whether it is well", cmd_health, &health_command_line},
    {"key", "make an API key", cmd_key, &key_command_line},
    {"config", "check a configuration, or print all settings", cmd_config, &config_command_line},
    {"api", "print what the daemon answers, for programs and people", cmd_api, &api_command_line},
    {"tokenize", "turn text into token ids and back, one JSON line each", cmd_tokenize,
     &tokenize_command_line},
    {"completion", "print what bash, zsh or fish needs to complete commands", cmd_completion,
     &completion_command_line},
};

const size_t command_count = sizeof commands / sizeof commands[0];
