/* Words that clients choose, and that answers and the log repeat: ids of requests, hashes to route by. */
#ifndef QUERN_SERVER_HEADER_ID_H
#define QUERN_SERVER_HEADER_ID_H

#include <stdbool.h>

enum { HEADER_ID_MAX = 128 };

/* Can it harm neither a header nor the log? */
bool header_id_is_sane(const char *id);

/* What was given, if there is something and it is sane; otherwise "req-" and a random number. */
void header_id_choose(char id[HEADER_ID_MAX + 1], const char *given);

#endif
