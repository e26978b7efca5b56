/* All settings of a command, as config/quern.conf, quern.conf(5) and docs/configuration.md have them. */
#ifndef QUERN_SERVER_CONFIG_PRINT_H
#define QUERN_SERVER_CONFIG_PRINT_H

#include "server/options.h"

#include <stdio.h>

typedef void config_printer(const struct command_line *line, FILE *out);

config_printer config_print_file;     /* every default, commented out */
config_printer config_print_man;      /* paragraphs of a man page */
config_printer config_print_markdown; /* a table for each section */

#endif
