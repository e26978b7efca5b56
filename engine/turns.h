/* Turns: engines that compute on the same processors run their steps one after the other.
 *
 *     engine A   step │      │ step │      │ step        each step has all processors to itself;
 *     engine B        │ step │      │ step │             who asks first comes first
 *
 * The threads of a step meet at a barrier some hundred times. If two engines ran steps at once, a thread
 * would wait at the barrier for one that the other engine keeps from its processor, while that engine
 * waits in the same way: both would be slower than one after the other. Any thread. */
#ifndef QUERN_ENGINE_TURNS_H
#define QUERN_ENGINE_TURNS_H

#include "engine/error.h"

#include <stdbool.h>

struct turns;

bool turns_open(struct turns **out, struct error *err);
void turns_close(struct turns *turns); /* nobody waits, or has the turn */

/* Waits for the turn; true if it had to, because somebody else computes, too. Of NULL, there is nobody. */
bool turns_take(struct turns *turns);

/* Gives the turn to whoever has waited longest. */
void turns_give(struct turns *turns);

#endif
