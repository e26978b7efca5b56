/* Which files are mapped, so that the loss of one can be told.
 *
 * A file can become shorter under its mapping, or its disk can fail. Whoever then touches a page that is
 * gone gets SIGBUS, which ends the process; but for this module it would do so without a word.
 *
 * Any thread. The names are kept here, in memory that a signal handler may read. */
#ifndef QUERN_ENGINE_MAPPED_FILES_H
#define QUERN_ENGINE_MAPPED_FILES_H

#include <stddef.h>

/* Takes note of a mapping. Of a great many, some may stay unnamed. */
void mapped_files_add(const void *bytes, size_t size, const char *name);

/* To be called before it is unmapped. */
void mapped_files_remove(const void *bytes);

/* From now on, the process ends with EXIT_FAILURE and a sentence on standard error that names the file
 * when a page of one is lost. Any other SIGBUS does what it did. To be called once, by main. */
void mapped_files_explain_loss(void);

#endif
