#include "engine/sampler.h"

#include "engine/candidates.h"
#include "engine/penalties.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sampler {
    const struct kernels *kernels;
    size_t vocabulary_size;
    struct candidates candidates;
    struct penalties penalties;
    float *adjusted; /* [vocabulary_size] logits after mask, penalties and biases */
};

bool sampler_open(struct sampler **out, size_t vocabulary_size, size_t tokens_max,
                  const struct kernels *kernels, struct error *err) {
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler != NULL) {
        sampler->kernels = kernels;
        sampler->vocabulary_size = vocabulary_size;
        sampler->adjusted = calloc(vocabulary_size, sizeof *sampler->adjusted);
        bool candidates = candidates_open(&sampler->candidates, vocabulary_size, kernels);
        bool penalties = penalties_open(&sampler->penalties, vocabulary_size, tokens_max);
        if (candidates && penalties && sampler->adjusted != NULL) {
            *out = sampler;
            return true;
        }
    }
    sampler_close(sampler);
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a sampler of %zu tokens",
                     vocabulary_size);
}

void sampler_close(struct sampler *sampler) {
    if (sampler == NULL) {
        return;
    }
    candidates_close(&sampler->candidates);
    penalties_close(&sampler->penalties);
    free(sampler->adjusted);
    free(sampler);
}

/* ---- Before the draw: mask, penalties, biases ---- */

/* Most words of a mask are all ones or all zeros. */
static void apply_mask(const float *logits, const uint64_t *allowed, size_t count, float *masked) {
    for (size_t i = 0; i < count; i += 64) {
        const uint64_t word = allowed[i / 64];
        const size_t here = count - i < 64 ? count - i : 64;
        if (word == UINT64_MAX) {
            memcpy(masked + i, logits + i, here * sizeof *masked);
            continue;
        }
        for (size_t bit = 0; bit < here; bit++) {
            masked[i + bit] = -INFINITY;
        }
        for (uint64_t rest = word; rest != 0; rest &= rest - 1) {
            size_t bit = (size_t)__builtin_ctzll(rest);
            if (bit < here) {
                masked[i + bit] = logits[i + bit];
            }
        }
    }
}

static int32_t first_allowed(const uint64_t *allowed) {
    size_t word = 0;
    while (allowed[word] == 0) {
        word++;
    }
    return (int32_t)(word * 64) + __builtin_ctzll(allowed[word]);
}

/* The logits that the draw sees. */
static const float *adjust(struct sampler *sampler, const struct sampling *sampling,
                           const struct sampler_row *row) {
    if (row->allowed == NULL && sampling->bias_count == 0 && !penalties_wanted(sampling)) {
        return row->logits;
    }
    float *adjusted = sampler->adjusted;
    if (row->allowed != NULL) {
        apply_mask(row->logits, row->allowed, sampler->vocabulary_size, adjusted);
    } else {
        memcpy(adjusted, row->logits, sampler->vocabulary_size * sizeof *adjusted);
    }
    penalties_apply(&sampler->penalties, sampling, adjusted, row->tokens, row->length,
                    row->reply_start);
    for (size_t i = 0; i < sampling->bias_count; i++) {
        adjusted[sampling->biases[i].token] += sampling->biases[i].bias;
    }
    return adjusted;
}

/* ---- Randomness ---- */

/* The mixing function of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Number `index` of the sequence that belongs to `seed`, in [0, 1). */
static double uniform(uint64_t seed, uint64_t index) {
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    return (double)(mix(mix(seed + golden) + (index + 1) * golden) >> 11) * 0x1p-53;
}

/* Whether XTC acts is drawn from a sequence of its own. */
static double xtc_uniform(uint64_t seed, uint64_t index) {
    return uniform(~mix(seed), index);
}

/* ---- Cuts ---- */

/* The mean of ln(weight), weighted; the entropy of the candidates is ln(total) minus it. `origin`
 * and `temperature` are what they were weighed with. */
static double mean_log_weight(const struct candidates *candidates, double total, float origin,
                              float temperature) {
    double sum = 0.0;
    for (size_t i = 0; i < candidates->count; i++) {
        sum += (double)candidates->weights[i] * ((double)candidates->logits[i] - (double)origin);
    }
    return sum / (double)temperature / total;
}

/* Keeps the fewest candidates that reach probability p, those first whose surprise -ln(p) is nearest
 * to the entropy: which is how near ln(weight) is to its mean. What is further away than is needed
 * is left out before the cut: that is most of the vocabulary. */
static void cut_typical(struct candidates *candidates, float origin, float temperature, float p) {
    const double total = candidates_total(candidates);
    const double target = (double)p * total;
    const float mean = (float)mean_log_weight(candidates, total, origin, temperature);
    const float near = 3.0f;
    float furthest = 0.0f;
    double near_weight = 0.0;
    for (size_t i = 0; i < candidates->count; i++) {
        float distance = fabsf((candidates->logits[i] - origin) / temperature - mean);
        candidates->scores[i] = -distance;
        furthest = fmaxf(furthest, distance);
        near_weight += distance <= near ? (double)candidates->weights[i] : 0.0;
    }
    if (near_weight >= target) {
        furthest = fminf(furthest, near);
        candidates_keep_from(candidates, candidates->scores, -furthest);
    }
    candidates_cut(candidates, candidates->scores, -furthest, 0.0f, true, target);
}

/* Takes out, of the candidates with p >= threshold, all but the least probable one (the last of
 * equals): for two of them to be there, the threshold must not be above 1/2. */
static void cut_obvious(struct candidates *candidates, float threshold) {
    const double least = (double)threshold * candidates_total(candidates);
    size_t chosen = candidates->count;
    for (size_t i = 0; i < candidates->count; i++) {
        bool obvious = (double)candidates->weights[i] >= least;
        if (obvious && (chosen == candidates->count ||
                        candidates->weights[i] <= candidates->weights[chosen])) {
            chosen = i;
        }
    }
    if (chosen == candidates->count) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        if (i == chosen || (double)candidates->weights[i] < least) {
            candidates->ids[kept] = candidates->ids[i];
            candidates->logits[kept] = candidates->logits[i];
            candidates->weights[kept] = candidates->weights[i];
            kept++;
        }
    }
    candidates->count = kept;
}

/* ---- Collecting ---- */

/* Logits, and what candidates are weighed with. */
struct distribution {
    const float *logits;
    float greatest;
    float temperature;
};

static void collect(struct candidates *candidates, const struct distribution *distribution,
                    float least) {
    candidates_collect(candidates, distribution->logits, least);
    candidates_weigh(candidates, distribution->greatest, distribution->temperature);
}

/* Where top_p is the first cut, most distributions need few of the tokens: one with all their
 * weight within 6 temperatures of the greatest logit, hundreds of 262144. */
static void collect_top_p(struct candidates *candidates, const struct distribution *distribution,
                          float p) {
    static const float reaches[] = {6.0f, 12.0f, CANDIDATE_REACH};
    candidates_weigh_all(candidates, distribution->logits, distribution->greatest,
                         distribution->temperature);
    const double target = (double)p * candidates_total(candidates);
    float least = distribution->greatest;
    for (size_t i = 0; i < sizeof reaches / sizeof *reaches; i++) {
        least = distribution->greatest - reaches[i] * distribution->temperature;
        collect(candidates, distribution, least);
        if (candidates_total(candidates) >= target) {
            break;
        }
    }
    candidates_cut(candidates, candidates->logits, least, distribution->greatest, true, target);
}

/* The least logit with p >= min_p * p_max, `greatest` being the logit of p_max. */
static float min_p_bound(float greatest, float temperature, float min_p) {
    return greatest + temperature * logf(min_p);
}

/* The candidates that all cuts but XTC leave. */
static void collect_and_cut(struct candidates *candidates, const struct sampling *sampling,
                            const struct distribution *distribution) {
    const bool typical = sampling->typical_p < 1.0f;
    const bool top_p = sampling->top_p < 1.0f;
    const float greatest = distribution->greatest;
    const float temperature = distribution->temperature;
    float least = greatest - CANDIDATE_REACH * temperature;
    if (top_p && !typical && sampling->top_k == 0) {
        collect_top_p(candidates, distribution, sampling->top_p);
    } else {
        if (sampling->top_k != 0) {
            least = candidates_bound(candidates, distribution->logits, sampling->top_k, least,
                                     greatest);
        }
        if (sampling->min_p > 0.0f && !typical && !top_p) {
            /* No cut between them asks what min_p leaves out. */
            least = fmaxf(least, min_p_bound(greatest, temperature, sampling->min_p));
        }
        collect(candidates, distribution, least);
        if (sampling->top_k != 0 && sampling->top_k < candidates->count) {
            candidates_cut(candidates, candidates->logits, least, greatest, false,
                           (double)sampling->top_k);
        }
        if (typical) {
            cut_typical(candidates, greatest, temperature, sampling->typical_p);
        }
        if (top_p) {
            candidates_cut(candidates, candidates->logits, least, greatest, true,
                           (double)sampling->top_p * candidates_total(candidates));
        }
    }
    if (sampling->min_p > 0.0f) {
        float most = candidates->kernels->greatest(candidates->logits, candidates->count);
        candidates_keep_from(candidates, candidates->logits,
                             min_p_bound(most, temperature, sampling->min_p));
    }
}

/* ---- The draw ---- */

/* A single candidate has no entropy, and any temperature draws it. */
static float dynamic_temperature(const struct candidates *candidates,
                                 const struct sampling *sampling, float origin) {
    const double total = candidates_total(candidates);
    const double entropy = log(total) - mean_log_weight(candidates, total, origin, 1.0f);
    const double greatest = log((double)candidates->count);
    const double share = greatest > 0.0 ? fmin(fmax(entropy / greatest, 0.0), 1.0) : 0.0;
    const float low = fmaxf(sampling->temperature - sampling->dynatemp_range, 0.0f);
    const float high = sampling->temperature + sampling->dynatemp_range;
    return low + (high - low) * (float)pow(share, (double)sampling->dynatemp_exponent);
}

/* Weighs the candidates anew with a temperature that depends on them. */
static void weigh_dynamically(struct sampler *sampler, const struct sampling *sampling,
                              float origin) {
    struct candidates *candidates = &sampler->candidates;
    const float temperature = dynamic_temperature(candidates, sampling, origin);
    const float greatest = sampler->kernels->greatest(candidates->logits, candidates->count);
    if (temperature > 0.0f) {
        candidates_weigh(candidates, greatest, temperature);
        return;
    }
    for (size_t i = 0; i < candidates->count; i++) {
        candidates->weights[i] = candidates->logits[i] == greatest ? 1.0f : 0.0f;
    }
}

static int32_t draw(const struct candidates *candidates, double share) {
    return candidates_draw(candidates, share * candidates_total(candidates));
}

/* Candidates whose surprise, -log2 of the probability, is within the limit, but at least the most
 * probable; the limit moves by how far what was drawn is from tau, by its probability among them. */
static int32_t draw_mirostat(struct candidates *candidates, const struct sampling *sampling,
                             struct sampling_state *state, const struct distribution *distribution,
                             double share) {
    candidates_weigh_all(candidates, distribution->logits, distribution->greatest,
                         distribution->temperature);
    const double log_total = log(candidates_total(candidates));
    const double reach = (double)state->surprise_limit * log(2.0) - log_total;
    const double distance = fmin(fmax(reach, 0.0), (double)CANDIDATE_REACH);
    collect(candidates, distribution,
            distribution->greatest - (float)distance * distribution->temperature);
    const double total = candidates_total(candidates);
    int32_t token = draw(candidates, share);
    double surprise =
        (log(total) - ((double)distribution->logits[token] - (double)distribution->greatest) /
                          (double)distribution->temperature) /
        log(2.0);
    state->surprise_limit -=
        sampling->mirostat_eta * (float)(surprise - (double)sampling->mirostat_tau);
    return token;
}

/* Nothing is cut, and the temperature is what it is. */
static bool is_plain(const struct sampling *sampling) {
    return sampling->top_k == 0 && sampling->typical_p == 1.0f && sampling->top_p == 1.0f &&
           sampling->min_p == 0.0f && sampling->xtc_probability == 0.0f &&
           sampling->dynatemp_range == 0.0f;
}

static int32_t draw_token(struct sampler *sampler, const struct sampling *sampling,
                          struct sampling_state *state, const struct distribution *distribution,
                          uint64_t index) {
    struct candidates *candidates = &sampler->candidates;
    const double share = uniform(sampling->seed, index);
    if (sampling->mirostat) {
        return draw_mirostat(candidates, sampling, state, distribution, share);
    }
    if (is_plain(sampling)) {
        candidates_weigh_all(candidates, distribution->logits, distribution->greatest,
                             distribution->temperature);
        return draw(candidates, share);
    }
    collect_and_cut(candidates, sampling, distribution);
    if (sampling->xtc_probability > 0.0f &&
        xtc_uniform(sampling->seed, index) < (double)sampling->xtc_probability) {
        cut_obvious(candidates, sampling->xtc_threshold);
    }
    if (sampling->dynatemp_range > 0.0f) {
        weigh_dynamically(sampler, sampling, distribution->greatest);
    }
    return draw(candidates, share);
}

int32_t sampler_choose(struct sampler *sampler, const struct sampling *sampling,
                       struct sampling_state *state, const struct sampler_row *row) {
    const float *logits = adjust(sampler, sampling, row);
    const size_t best = sampler->kernels->argmax(logits, sampler->vocabulary_size);
    const float greatest = logits[best];
    if (row->allowed != NULL && !(greatest > -INFINITY)) {
        return first_allowed(row->allowed); /* the model has nothing to say about what is allowed */
    }
    if (sampling->temperature == 0.0f || !isfinite(greatest)) {
        return (int32_t)best;
    }
    struct distribution distribution = {
        .logits = logits,
        .greatest = greatest,
        .temperature = sampling->dynatemp_range > 0.0f ? 1.0f : sampling->temperature,
    };
    return draw_token(sampler, sampling, state, &distribution, row->length - row->reply_start);
}

/* ---- Scores ---- */

/* Puts a candidate into the `filled` best, which are sorted and at most `count`. */
static size_t insert(struct token_logprob *top, size_t filled, size_t count, int32_t token,
                     float logit) {
    if (filled == count && (count == 0 || logit <= top[count - 1].logprob)) {
        return filled;
    }
    size_t place = filled < count ? filled++ : count - 1;
    for (; place > 0 && logit > top[place - 1].logprob; place--) {
        top[place] = top[place - 1];
    }
    top[place] = (struct token_logprob){token, logit};
    return filled;
}

float sampler_score(struct sampler *sampler, const float *logits, int32_t token,
                    struct token_logprob *top, size_t count) {
    struct candidates *candidates = &sampler->candidates;
    const float greatest = sampler->kernels->greatest(logits, sampler->vocabulary_size);
    for (size_t i = 0; i < count; i++) {
        top[i] = (struct token_logprob){-1, -INFINITY};
    }
    if (!isfinite(greatest)) {
        return logits[token] == greatest ? 0.0f : -INFINITY;
    }
    candidates_weigh_all(candidates, logits, greatest, 1.0f);
    const double log_total = (double)greatest + log(candidates_total(candidates));
    if (count > 0) {
        float least = candidates_bound(candidates, logits, count, -FLT_MAX, greatest);
        candidates_collect(candidates, logits, least);
        size_t filled = 0;
        for (size_t i = 0; i < candidates->count; i++) {
            filled = insert(top, filled, count, candidates->ids[i], candidates->logits[i]);
        }
        for (size_t i = 0; i < filled; i++) {
            top[i].logprob = (float)((double)top[i].logprob - log_total);
        }
    }
    return (float)((double)logits[token] - log_total);
}
