/* The drafter: guesses the next tokens of a sequence, so that one step can verify several of them.
 *
 * Prompt lookup: what followed the last DRAFT_MATCH tokens where they stood before, in the prompt or
 * in the reply, may follow again. It costs no model and one look through the tokens.
 *
 *     tokens   ... the cat sat on the mat . Then the cat sat on | the mat .
 *                              ^^^^^^^^^^ same three  ^^^^^^^^^^   drafts
 *
 * A guess costs a row in the step, right or wrong. So a drafter begins with few, guesses more where
 * it is right, and after wrong guesses it pauses, longer each time.
 *
 * One drafter a session, used by the engine thread. Zeros begin one. */
#ifndef QUERN_ENGINE_DRAFTER_H
#define QUERN_ENGINE_DRAFTER_H

#include <stddef.h>
#include <stdint.h>

enum { DRAFT_MATCH = 3 };

struct drafter {
    size_t confidence; /* tokens that the last drafts had right */
    size_t pause;      /* steps without drafts that follow */
    size_t next_pause; /* how many if the next drafts are all wrong */
};

/* Writes at most `most` guesses behind tokens[length]. Returns how many; to be called once a step. */
size_t drafter_guess(struct drafter *drafter, int32_t *tokens, size_t length, size_t most);

/* Of `guessed` > 0 guesses, the first `right` were. */
void drafter_learn(struct drafter *drafter, size_t guessed, size_t right);

#endif
