/* quern health: does a daemon live, or is it ready? For those who look after it and have no HTTP client. */
#include "server/commands.h"
#include "server/http_fetch.h"
#include "server/options.h"

#include <stdio.h>
#include <stdlib.h>

struct health_options {
    const char *address;
    const char *trusted;
    bool ready;
};

static const struct option options_table[] = {
    {.name = "ready",
     .type = OPTION_FLAG,
     .offset = offsetof(struct health_options, ready),
     .help = "ask whether more requests may come, not only whether it lives"},
    {.name = "trust",
     .type = OPTION_TEXT,
     .offset = offsetof(struct health_options, trusted),
     .argument = "FILE",
     .help =
         "speak TLS with a daemon whose certificate is in this PEM file, or signed by one there"},
};

static const struct operand operands[] = {
    {"ADDRESS", false, offsetof(struct health_options, address),
     "where the daemon listens, HOST:PORT or unix:/PATH; otherwise 127.0.0.1:8080"},
};

const struct command_line health_command_line = {
    .command = "health",
    .description = "Asks a daemon how it is, and prints what it says. Fails unless it is well.",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

int cmd_health(int argc, char **argv) {
    struct health_options options = {0};
    struct error err = {0};
    int status;
    if (!options_start(&health_command_line, argc, argv, &options, &status)) {
        return status;
    }
    const struct http_fetch fetch = {
        .address = options.address != NULL ? options.address : "127.0.0.1:8080",
        .path = options.ready ? "/ready" : "/health",
        .trusted = options.trusted,
    };
    struct text_buffer answer = {0};
    bool well = http_fetch(&fetch, &answer, &err);
    if (well) {
        puts(answer.bytes);
    }
    text_buffer_deinit(&answer);
    return well ? EXIT_SUCCESS : options_report("health", &err);
}
