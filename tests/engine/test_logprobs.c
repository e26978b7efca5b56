/* What a token's logprob is does not depend on whether it was sampled, guessed, or came in a prompt. */
#include "sessions.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* REPEATED: tokens of a reply that the next prompt ends with. */
enum { SESSIONS = 8, REPEATED = 10 };

struct text {
    int32_t tokens[REPLY_PROMPT_MAX];
    size_t length;
};

static struct text make_prompt(size_t i) {
    struct text text = {.length = 5 + 3 * i};
    for (size_t p = 0; p < text.length; p++) {
        text.tokens[p] = (int32_t)((7 + 31 * i + 13 * (p % 12) * p) % 512);
    }
    return text;
}

static void submit(struct reply *reply, struct engine *engine, const struct text *prompt, size_t i,
                   bool scored, size_t max_tokens) {
    struct session_request request = {
        .prompt = prompt->tokens,
        .prompt_length = prompt->length,
        .max_tokens = max_tokens,
        .sampling = sampling_default(),
        .logprobs = true,
        .top_logprobs = REPLY_TOP,
        .prompt_logprobs = scored,
        .drafts_max = i % 2 == 0 ? DRAFTS_MAX : 0,
    };
    request.sampling.temperature = i < 2 ? 0 : 0.9F;
    request.sampling.repetition_penalty = 1.1F;
    request.sampling.seed = i;
    struct error err = {0};
    *reply = (struct reply){0};
    cr_assert(session_submit(&reply->session, engine, &request, &err), "%s", err.text);
}

static void check_same(const struct reply_token *got, const struct reply_token *want, size_t count,
                       size_t i) {
    for (size_t t = 0; t < count; t++) {
        cr_assert_eq(got[t].token, want[t].token, "session %zu, token %zu", i, t);
        cr_assert(memcmp(&got[t], &want[t], sizeof *got) == 0,
                  "session %zu, token %zu: logprob %.9g, not %.9g", i, t, (double)got[t].logprob,
                  (double)want[t].logprob);
    }
}

/* Of what was sampled, a prompt is made, which another engine scores in company. */
static void check_prompt_scores(size_t kv_positions) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 1, 8);
    struct reply sampled[SESSIONS];
    struct text texts[SESSIONS];
    for (size_t i = 0; i < SESSIONS; i++) {
        texts[i] = make_prompt(i);
        submit(&sampled[i], engine, &texts[i], i, false, REPLY_MAX);
        finish_all_with_top(&sampled[i], 1, REPLY_TOP);
    }
    engine_close(engine);
    engine = open_engine(model, kv_positions, SESSIONS, 8);
    struct reply scored[SESSIONS];
    for (size_t i = 0; i < SESSIONS; i++) {
        memcpy(texts[i].tokens + texts[i].length, sampled[i].tokens,
               REPEATED * sizeof *sampled[i].tokens);
        texts[i].length += REPEATED;
        submit(&scored[i], engine, &texts[i], i, true, i == 0 ? 0 : REPLY_MAX);
    }
    finish_all_with_top(scored, SESSIONS, REPLY_TOP);
    for (size_t i = 0; i < SESSIONS; i++) {
        cr_assert_eq(scored[i].finish, FINISH_LENGTH);
        cr_assert_eq(scored[i].length, i == 0 ? 0 : REPLY_MAX);
        cr_assert_eq(scored[i].prompt_length, texts[i].length - 1, "all but the first: %zu of %zu",
                     scored[i].prompt_length, texts[i].length);
        check_same(scored[i].prompt + texts[i].length - 1 - REPEATED, sampled[i].scores, REPEATED,
                   i);
    }
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_eq(status.preemptions > 0, kv_positions > 0, "%d preemptions",
                 (int)status.preemptions);
    engine_close(engine);
    model_close(model);
}

Test(logprobs, of_a_prompt_are_those_of_the_reply_that_it_repeats) {
    check_prompt_scores(0);
}

Test(logprobs, survive_preemption) {
    check_prompt_scores(128);
}

Test(logprobs, of_the_most_probable_tokens_are_sorted_and_hold_the_greedy_choice) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 1, 8);
    struct text prompt = make_prompt(1);
    struct session_request request = {.prompt = prompt.tokens,
                                      .prompt_length = prompt.length,
                                      .max_tokens = REPLY_MAX,
                                      .sampling = sampling_default(),
                                      .top_logprobs = REPLY_TOP,
                                      .logprobs = true};
    struct reply reply = {0};
    cr_assert(session_submit(&reply.session, engine, &request, NULL));
    finish_all_with_top(&reply, 1, REPLY_TOP);
    for (size_t t = 0; t < REPLY_MAX; t++) {
        const struct reply_token *token = &reply.scores[t];
        double sum = 0;
        cr_assert_eq(token->top[0].token, token->token);
        cr_assert_eq(token->top[0].logprob, token->logprob);
        for (size_t i = 0; i < REPLY_TOP; i++) {
            sum += exp((double)token->top[i].logprob);
            cr_assert(i == 0 || token->top[i].logprob <= token->top[i - 1].logprob);
        }
        cr_assert(sum > 0 && sum < 1, "they add up to %g", sum);
    }
    engine_close(engine);
    model_close(model);
}

Test(logprobs, a_prompt_of_one_token_has_nothing_to_score) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 1, 8);
    struct text prompt = {.tokens = {2}, .length = 1};
    for (size_t max_tokens = 0; max_tokens < 3; max_tokens++) {
        struct reply reply;
        submit(&reply, engine, &prompt, 0, true, max_tokens);
        finish_all_with_top(&reply, 1, REPLY_TOP);
        cr_assert_eq(reply.prompt_length, 0);
        cr_assert_eq(reply.length, max_tokens);
    }
    engine_close(engine);
    model_close(model);
}
