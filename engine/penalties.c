#include "engine/penalties.h"

#include <math.h>
#include <stdlib.h>

bool penalties_open(struct penalties *penalties, size_t vocabulary_size, size_t tokens_max) {
    penalties->counts = calloc(vocabulary_size, sizeof *penalties->counts);
    penalties->repeats = calloc(tokens_max + 1, sizeof *penalties->repeats);
    penalties->tokens_max = tokens_max;
    return penalties->counts != NULL && penalties->repeats != NULL;
}

void penalties_close(struct penalties *penalties) {
    free(penalties->counts);
    free(penalties->repeats);
}

/* Where the last `window` of `length` tokens begin. */
static size_t window_start(size_t length, size_t window) {
    return length > window ? length - window : 0;
}

/* ---- Repetition, presence, frequency ---- */

static bool counts_wanted(const struct sampling *sampling) {
    return sampling->repetition_penalty != 1.0f || sampling->presence_penalty != 0.0f ||
           sampling->frequency_penalty != 0.0f;
}

static void penalize_counts(struct penalties *penalties, const struct sampling *sampling,
                            float *logits, const int32_t *tokens, size_t length,
                            size_t reply_start) {
    const uint32_t done = UINT32_MAX;
    uint32_t *counts = penalties->counts;
    const size_t first = window_start(length, sampling->penalty_window);
    for (size_t i = first > reply_start ? first : reply_start; i < length; i++) {
        counts[tokens[i]]++;
    }
    for (size_t i = first; i < length; i++) {
        uint32_t times = counts[tokens[i]];
        if (times == done) {
            continue;
        }
        counts[tokens[i]] = done;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0.0f ? *logit / sampling->repetition_penalty
                               : *logit * sampling->repetition_penalty;
        if (times > 0) {
            *logit -= sampling->presence_penalty + sampling->frequency_penalty * (float)times;
        }
    }
    /* Only what was touched is cleared: a prompt is much shorter than the vocabulary. */
    for (size_t i = first; i < length; i++) {
        counts[tokens[i]] = 0;
    }
}

/* ---- DRY ---- */

static bool dry_wanted(const struct dry_sampling *dry) {
    return dry->multiplier > 0.0f && dry->window > 0;
}

static bool ends_with_run(const int32_t *tokens, size_t end, const int32_t *run, size_t length) {
    if (length > end) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (tokens[end - length + i] != run[i]) {
            return false;
        }
    }
    return true;
}

/* Does a breaker end with tokens[end - 1]? */
static bool breaker_ends(const struct dry_sampling *dry, const int32_t *tokens, size_t end) {
    size_t last = (size_t)tokens[end - 1];
    if (dry->breaker_bits != NULL && (dry->breaker_bits[last / 64] >> (last % 64) & 1) != 0) {
        return true;
    }
    for (size_t i = 0; i < dry->breaker_run_length; i += 1 + (size_t)dry->breaker_runs[i]) {
        if (ends_with_run(tokens, end, dry->breaker_runs + i + 1, (size_t)dry->breaker_runs[i])) {
            return true;
        }
    }
    return false;
}

/* How many of the last tokens follow the last breaker. */
static size_t unbroken(const struct dry_sampling *dry, const int32_t *tokens, size_t length) {
    size_t count = 0;
    while (count < length && !breaker_ends(dry, tokens, length - count)) {
        count++;
    }
    return count;
}

/* repeats[d] = how many tokens before the last d equal the last tokens, counted backwards; the Z
 * function (Gusfield 1997) of the reversed text, so it takes linear time however much repeats.
 *
 *     tokens   . a b c . . a b c       d = 5: repeats[5] = 3
 *                    ^         ^ the last token
 *                    d before it */
static void find_repeats(const int32_t *tokens, size_t length, uint32_t *repeats) {
    const int32_t *last = tokens + length - 1;
    size_t left = 0;
    size_t right = 0; /* [left, right) is the match found so far that reaches furthest */
    for (size_t d = 1; d < length; d++) {
        size_t match = 0;
        if (d < right) {
            size_t within = right - d;
            match = repeats[d - left] < within ? repeats[d - left] : within;
        }
        while (d + match < length && *(last - match) == *(last - d - match)) {
            match++;
        }
        if (d + match > right) {
            left = d;
            right = d + match;
        }
        repeats[d] = (uint32_t)match;
    }
}

/* What base^exponent may be at most: e^88 is the greatest power of e below the greatest f32. */
static float dry_penalty(const struct dry_sampling *dry, size_t repeated) {
    float exponent = (float)(repeated - dry->allowed_length) * logf(dry->base);
    return dry->multiplier * expf(exponent < 88.0f ? exponent : 88.0f);
}

static void penalize_repeats(struct penalties *penalties, const struct dry_sampling *dry,
                             float *logits, const int32_t *tokens, size_t length) {
    size_t window = dry->window < penalties->tokens_max ? dry->window : penalties->tokens_max;
    size_t first = window_start(length, window);
    tokens += first;
    length -= first;
    const size_t limit = unbroken(dry, tokens, length);
    if (limit < dry->allowed_length || length < 2) {
        return;
    }
    uint32_t *counts = penalties->counts; /* the longest repetition that each token would prolong */
    find_repeats(tokens, length, penalties->repeats);
    for (size_t d = 1; d < length; d++) {
        size_t repeated = penalties->repeats[d] < limit ? penalties->repeats[d] : limit;
        int32_t next = tokens[length - d];
        if (repeated >= dry->allowed_length && repeated + 1 > counts[next]) {
            counts[next] = (uint32_t)repeated + 1;
        }
    }
    for (size_t i = 0; i < length; i++) {
        if (counts[tokens[i]] > 0) {
            logits[tokens[i]] -= dry_penalty(dry, counts[tokens[i]] - 1);
            counts[tokens[i]] = 0;
        }
    }
}

/* ---- Public ---- */

bool penalties_wanted(const struct sampling *sampling) {
    return counts_wanted(sampling) || dry_wanted(&sampling->dry);
}

void penalties_apply(struct penalties *penalties, const struct sampling *sampling, float *logits,
                     const int32_t *tokens, size_t length, size_t reply_start) {
    if (counts_wanted(sampling)) {
        penalize_counts(penalties, sampling, logits, tokens, length, reply_start);
    }
    if (dry_wanted(&sampling->dry)) {
        penalize_repeats(penalties, &sampling->dry, logits, tokens, length);
    }
}
