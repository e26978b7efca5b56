/* Entries that a person types at a terminal: libedit, with a history that outlives the program.
 *
 * Enter ends an entry. It gets another line by Alt-Enter, by a backslash before Enter, or by
 * pasting several lines (the terminal brackets what is pasted). Ctrl-C throws away what was typed,
 * Ctrl-D on an empty line ends, Tab completes a word from a list, Ctrl-R searches the history.
 * What ~/.editrc says of libedit holds here, too.
 *
 * One at a time, on the main thread: libedit wants SIGWINCH there. */
#ifndef QUERN_SERVER_LINE_EDITOR_H
#define QUERN_SERVER_LINE_EDITOR_H

#include "engine/error.h"

#include <stdbool.h>

struct line_editor;

/* `words` ends with NULL, and outlives the editor: what Tab may complete at the beginning of an
 * entry. Standard input and output are terminals. */
bool line_editor_open(struct line_editor **out, const char *const *words, struct error *err);
void line_editor_close(struct line_editor *editor);

/* The next entry, without the line feed at its end, until the next call; NULL at the end of input. */
const char *line_editor_read(struct line_editor *editor);

#endif
