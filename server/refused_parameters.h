/* The parameters that generating endpoints have elsewhere (OpenAI, llama-server, vLLM) and not here,
 * and that would change what an answer says: a row a name, with the reason. Whoever asks for
 * nothing by them, as clients do that send every default, is not refused. What else such servers
 * know changes how fast an answer comes, or what it says besides, and is ignored. */
#ifndef QUERN_SERVER_REFUSED_PARAMETERS_H
#define QUERN_SERVER_REFUSED_PARAMETERS_H

#include "server/parameters.h"

extern const struct parameter refused_parameters[];
extern const size_t refused_parameter_count;

#endif
