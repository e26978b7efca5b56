/* quern health: does a daemon live, or is it ready? For those who look after it and have no HTTP client. */
#include "server/commands.h"
#include "server/http_fetch.h"
#include "server/options.h"

#include <stdio.h>
#include <stdlib.h>

struct health_options {
    struct http_fetch_options daemon;
    bool ready;
};

static const struct option options_table[] = {
    {.name = "ready",
     .type = OPTION_FLAG,
     .offset = offsetof(struct health_options, ready),
     .help = "ask whether more requests may come, not only whether it lives"},
    HTTP_FETCH_OPTION(offsetof(struct health_options, daemon)),
};

static const struct operand operands[] = {
    HTTP_FETCH_OPERAND(offsetof(struct health_options, daemon)),
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
    const struct http_fetch fetch =
        http_fetch_from(&options.daemon, options.ready ? "/ready" : "/health");
    struct text_buffer answer = {0};
    bool well = http_fetch(&fetch, &answer, &err);
    if (well) {
        puts(answer.bytes);
    }
    text_buffer_deinit(&answer);
    return well ? EXIT_SUCCESS : options_report("health", &err);
}
