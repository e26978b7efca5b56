#include "engine/drafter.h"

#include <string.h>

/* Beyond what was right last time, so that a drafter can find out that it could guess more. */
enum { DRAFTS_BEYOND = 2, PAUSE_MAX = 16 };

/* Where the last DRAFT_MATCH tokens stood before, most recently: the position behind them. 0: nowhere. */
static size_t find_before(const int32_t *tokens, size_t length) {
    const int32_t *last = tokens + length - DRAFT_MATCH;
    for (size_t end = length - 1; end >= DRAFT_MATCH; end--) {
        if (memcmp(tokens + end - DRAFT_MATCH, last, DRAFT_MATCH * sizeof *last) == 0) {
            return end;
        }
    }
    return 0;
}

size_t drafter_guess(struct drafter *drafter, int32_t *tokens, size_t length, size_t most) {
    if (most == 0 || length <= DRAFT_MATCH) {
        return 0;
    }
    if (drafter->pause > 0) {
        drafter->pause--;
        return 0;
    }
    size_t from = find_before(tokens, length);
    if (from == 0) {
        return 0;
    }
    size_t count = drafter->confidence + DRAFTS_BEYOND;
    count = count < most ? count : most;
    for (size_t i = 0; i < count; i++) {
        tokens[length + i] = tokens[from + i]; /* may be a guess itself, where tokens repeat */
    }
    return count;
}

void drafter_learn(struct drafter *drafter, size_t guessed, size_t right) {
    if (right > 0) {
        *drafter = (struct drafter){.confidence = right < guessed ? right : guessed + 1};
        return;
    }
    drafter->confidence = 0;
    drafter->pause = drafter->next_pause;
    drafter->next_pause =
        drafter->next_pause < PAUSE_MAX / 2 ? 2 * drafter->next_pause + 1 : PAUSE_MAX;
}
