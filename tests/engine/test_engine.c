/* Sessions on a real model: what others do at the same time changes nothing that a reader gets. */
#include "engine/decoder.h"
#include "engine/engine.h"
#include "sessions.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS = 8 };

/* Session i has a prompt, a length and a way to sample of its own. */
static void submit(struct reply *reply, struct engine *engine, size_t i) {
    int32_t prompt[40];
    size_t length = 5 + 4 * i;
    for (size_t p = 0; p < length; p++) {
        prompt[p] = (int32_t)((7 + 31 * i + 13 * p * p) % 512);
    }
    struct session_request request = {.prompt = prompt,
                                      .prompt_length = length,
                                      .max_tokens = REPLY_MAX,
                                      .sampling = sampling_default()};
    request.sampling.temperature = i % 2 == 0 ? 0 : 0.9F;
    request.sampling.seed = i;
    struct error err = {0};
    *reply = (struct reply){0};
    cr_assert(session_submit(&reply->session, engine, &request, &err), "%s", err.text);
}

static void reply_alone(const struct model *model, struct reply *replies) {
    struct engine *engine = open_engine(model, 0, 1, 8);
    for (size_t i = 0; i < SESSIONS; i++) {
        submit(&replies[i], engine, i);
        finish_all(&replies[i], 1);
        cr_assert_eq(replies[i].finish, FINISH_LENGTH);
        cr_assert_eq(replies[i].length, REPLY_MAX);
    }
    engine_close(engine);
}

static void check_same(const struct reply *alone, const struct reply *together) {
    for (size_t i = 0; i < SESSIONS; i++) {
        cr_assert_eq(together[i].length, alone[i].length, "session %zu: %zu tokens, alone %zu", i,
                     together[i].length, alone[i].length);
        cr_assert(memcmp(together[i].tokens, alone[i].tokens, sizeof alone[i].tokens) == 0,
                  "session %zu says something else in company", i);
    }
}

Test(engine, eight_sessions_together_say_what_each_says_alone) {
    struct reply alone[SESSIONS];
    struct reply together[SESSIONS];
    struct model *model = open_model();
    reply_alone(model, alone);
    struct engine *engine = open_engine(model, 0, SESSIONS, 8);
    for (size_t i = 0; i < SESSIONS; i++) {
        submit(&together[i], engine, i);
    }
    finish_all(together, SESSIONS);
    check_same(alone, together);
    engine_close(engine);
    model_close(model);
}

Test(engine, warming_up_runs_a_row_that_nobody_finds_later) {
    struct model *model = open_model();
    struct decoder decoder;
    struct decoder_options options = {.threads = 2, .rows_max = 32, .wanted_max = 1};
    struct error err = {0};
    cr_assert(decoder_open(&decoder, &model->plan, &options, &err), "%s", err.text);
    struct stage_time times[EXECUTOR_STAGE_NAMES_MAX];
    executor_time_stages(decoder.executor, true);
    cr_assert(decoder_warm_up(&decoder, &err), "%s", err.text);
    cr_assert_gt(executor_stage_times(decoder.executor, times), 0);
    cr_assert_gt(times[0].working, 0, "a row has run");
    cr_assert_eq(kv_cache_pages_free(decoder.cache), kv_cache_pages_total(decoder.cache));
    decoder_close(&decoder);
    struct engine *engine = open_engine(model, 0, 1, 8);
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_eq(status.steps + status.prompt_tokens + status.pages_cached + status.pages_used, 0);
    engine_close(engine);
    model_close(model);
}

Test(engine, a_pool_too_small_for_all_preempts_and_changes_nothing) {
    struct reply alone[SESSIONS];
    struct reply together[SESSIONS];
    struct model *model = open_model();
    reply_alone(model, alone);
    struct engine *engine = open_engine(model, 160, SESSIONS, 8);
    for (size_t i = 0; i < SESSIONS; i++) {
        submit(&together[i], engine, i);
    }
    finish_all(together, SESSIONS);
    check_same(alone, together);
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_gt(status.preemptions, 0, "the pool was meant to be too small");
    engine_close(engine);
    model_close(model);
}

Test(engine, a_reader_that_does_not_read_holds_up_only_its_own_session) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 1, 8);
    int32_t prompt[] = {2, 3, 4};
    struct session_request request = {
        .prompt = prompt, .prompt_length = 3, .max_tokens = 200, .sampling = sampling_default()};
    struct session *slow = NULL;
    cr_assert(session_submit(&slow, engine, &request, NULL));
    struct reply other;
    submit(&other, engine, 3);
    finish_all(&other, 1);
    cr_assert_eq(other.length, REPLY_MAX, "the other session finished");
    size_t taken = 0;
    struct session_event event = {0};
    while (event.finish == FINISH_NONE) {
        if (session_take(slow, &event)) {
            taken += event.finish == FINISH_NONE;
        } else {
            wait_for_engine();
        }
    }
    cr_assert_eq(taken, 200, "%zu tokens, none lost", taken);
    session_release(slow);
    engine_close(engine);
    model_close(model);
}

Test(engine, a_released_session_gives_its_pages_back) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 2, 8);
    struct reply first;
    submit(&first, engine, 1);
    wait_for_engine();
    session_release(first.session);
    struct reply second;
    submit(&second, engine, 2);
    finish_all(&second, 1);
    struct engine_status status;
    do {
        engine_get_status(engine, &status); /* the last step publishes after it has rung */
    } while (status.pages_used > 0 || status.running > 0);
    engine_close(engine);
    model_close(model);
}

Test(engine, what_cannot_be_served_is_refused_with_the_reason) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 1, 0);
    int32_t prompt[300] = {2};
    struct session_request request = {
        .prompt = prompt, .prompt_length = 1, .max_tokens = 200, .sampling = sampling_default()};
    struct session *session = NULL;
    struct session *refused = NULL;
    struct error err = {0};
    cr_assert(session_submit(&session, engine, &request, &err), "%s", err.text);
    cr_assert_not(session_submit(&refused, engine, &request, &err));
    cr_assert_eq(err.code, ERROR_BUSY, "%s", err.text);
    request.prompt_length = 300;
    cr_assert_not(session_submit(&refused, engine, &request, &err));
    cr_assert_eq(err.code, ERROR_TOO_LARGE, "%s", err.text);
    cr_assert(strstr(err.text, "300") != NULL && strstr(err.text, "256") != NULL,
              "both numbers: %s", err.text);
    request.prompt_length = 2;
    prompt[1] = 512;
    cr_assert_not(session_submit(&refused, engine, &request, &err));
    cr_assert_eq(err.code, ERROR_INVALID, "%s", err.text);
    session_release(session);
    engine_close(engine);
    model_close(model);
}

Test(engine, a_stop_token_ends_the_reply_and_is_not_delivered) {
    struct model *model = open_model();
    struct engine *engine = open_engine(model, 0, 1, 0);
    struct reply whole;
    submit(&whole, engine, 0);
    finish_all(&whole, 1);
    int32_t prompt[5];
    for (size_t p = 0; p < 5; p++) {
        prompt[p] = (int32_t)((7 + 13 * p * p) % 512);
    }
    size_t first = 0; /* where the stop token appears first */
    while (whole.tokens[first] != whole.tokens[10]) {
        first++;
    }
    struct session_request request = {.prompt = prompt,
                                      .prompt_length = 5,
                                      .max_tokens = REPLY_MAX,
                                      .stop_tokens = &whole.tokens[10],
                                      .stop_token_count = 1,
                                      .sampling = sampling_default()};
    struct reply stopped = {0};
    struct error err = {0};
    while (!session_submit(&stopped.session, engine, &request, &err)) {
        cr_assert_eq(err.code, ERROR_BUSY, "%s",
                     err.text); /* the first session's place is about to be free */
    }
    finish_all(&stopped, 1);
    cr_assert_eq(stopped.finish, FINISH_STOP);
    cr_assert_eq(stopped.length, first, "%zu tokens before the stop token, expected %zu",
                 stopped.length, first);
    engine_close(engine);
    model_close(model);
}

/* A conversation: prompt and reply, the same again, and a next turn; then another that begins with
 * the same 64 tokens. */
enum { TURNS = 4, FIRST_PROMPT = 100, SHARED = 64 };

static void converse(struct engine *engine, struct reply *replies) {
    int32_t prompt[FIRST_PROMPT + REPLY_MAX + 10];
    for (size_t i = 0; i < sizeof prompt / sizeof *prompt; i++) {
        prompt[i] = (int32_t)((3 + 5 * i * i) % 512);
    }
    struct session_request request = {
        .prompt = prompt, .max_tokens = REPLY_MAX, .sampling = sampling_default()};
    request.sampling.temperature = 0.8F;
    for (size_t turn = 0; turn < TURNS; turn++) {
        request.prompt_length = turn == 2 ? FIRST_PROMPT + REPLY_MAX + 10 : FIRST_PROMPT;
        if (turn == 2) {
            memcpy(prompt + FIRST_PROMPT, replies[0].tokens, sizeof replies[0].tokens);
        }
        for (size_t i = SHARED; turn == 3 && i < FIRST_PROMPT; i++) {
            prompt[i] = (int32_t)i;
        }
        struct error err = {0};
        replies[turn] = (struct reply){0};
        cr_assert(session_submit(&replies[turn].session, engine, &request, &err), "%s", err.text);
        finish_all(&replies[turn], 1);
    }
}

Test(engine, a_cached_prefix_changes_the_work_and_not_the_reply) {
    struct model *model = open_model();
    struct engine_options options = small_options();
    struct reply cached[TURNS];
    struct reply computed[TURNS];
    struct engine *engine = open_engine_with(model, &options);
    converse(engine, cached);
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_gt(status.pages_cached, 0);
    engine_close(engine);
    options.no_prefix_cache = true;
    engine = open_engine_with(model, &options);
    converse(engine, computed);
    engine_close(engine);
    const size_t expected[TURNS] = {0, 96, 144, 64};
    for (size_t turn = 0; turn < TURNS; turn++) {
        cr_assert_eq(computed[turn].usage.cached_tokens, 0);
        cr_assert_eq(cached[turn].usage.cached_tokens, expected[turn],
                     "turn %zu: %zu tokens were cached, of %zu", turn,
                     cached[turn].usage.cached_tokens, expected[turn]);
        cr_assert_eq(cached[turn].length, computed[turn].length);
        cr_assert(memcmp(cached[turn].tokens, computed[turn].tokens, sizeof cached[turn].tokens) ==
                      0,
                  "turn %zu says something else when its prefix is cached", turn);
    }
    model_close(model);
}

Test(engine, sessions_with_one_prompt_compute_it_once) {
    struct model *model = open_model();
    struct engine_options options = small_options();
    struct engine *engine = open_engine_with(model, &options);
    int32_t prompt[100];
    for (size_t i = 0; i < 100; i++) {
        prompt[i] = (int32_t)(3 * i);
    }
    struct session_request request = {
        .prompt = prompt, .prompt_length = 100, .max_tokens = 20, .sampling = sampling_default()};
    struct reply replies[SESSIONS] = {0};
    for (size_t i = 0; i < SESSIONS; i++) {
        cr_assert(session_submit(&replies[i].session, engine, &request, NULL));
    }
    finish_all(replies, SESSIONS);
    for (size_t i = 1; i < SESSIONS; i++) {
        cr_assert_eq(replies[i].usage.cached_tokens, 96);
        cr_assert(memcmp(replies[i].tokens, replies[0].tokens, sizeof replies[0].tokens) == 0);
    }
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_eq(status.prompt_tokens, 100 + (SESSIONS - 1) * 4);
    cr_assert_eq(status.cached_tokens, (SESSIONS - 1) * 96);
    engine_close(engine);
    model_close(model);
}

/* Ten tokens over and over, so that there is something to look up; greedy replies of random weights
 * repeat themselves as well. */
static void repeat_after_me(struct engine *engine, struct reply *replies, size_t drafts) {
    int32_t prompt[60];
    for (size_t i = 0; i < SESSIONS; i++) {
        for (size_t p = 0; p < 60; p++) {
            prompt[p] = (int32_t)((p % 10 * (i + 1) * 37) % 512);
        }
        struct session_request request = {.prompt = prompt,
                                          .prompt_length = 60,
                                          .max_tokens = REPLY_MAX,
                                          .sampling = sampling_default(),
                                          .drafts_max = drafts};
        request.sampling.temperature = i % 2 == 0 ? 0 : 0.4F;
        request.sampling.repetition_penalty = i % 3 == 0 ? 1 : 1.05F;
        request.sampling.seed = i;
        replies[i] = (struct reply){0};
        cr_assert(session_submit(&replies[i].session, engine, &request, NULL));
        if (i % 4 == 0) {
            finish_all(&replies[i], 1); /* alone, others in company */
        }
    }
    for (size_t i = 0; i < SESSIONS; i += 4) {
        finish_all(&replies[i + 1], 3);
    }
}

Test(engine, drafts_change_the_steps_and_not_the_reply) {
    struct model *model = open_model();
    struct reply plain[SESSIONS];
    struct reply drafted[SESSIONS];
    struct engine_status status;
    struct engine *engine = open_engine(model, 0, SESSIONS, 8);
    repeat_after_me(engine, plain, 0);
    engine_get_status(engine, &status);
    cr_assert_eq(status.drafted_tokens, 0);
    engine_close(engine);
    for (size_t drafts = 1; drafts <= DRAFTS_MAX; drafts += 2) {
        engine = open_engine(model, 0, SESSIONS, 8);
        repeat_after_me(engine, drafted, drafts);
        check_same(plain, drafted);
        engine_get_status(engine, &status);
        cr_assert_gt(status.accepted_tokens, 0, "nothing was guessed right");
        cr_assert_gt(status.drafted_tokens, status.accepted_tokens, "nothing was guessed wrong");
        engine_close(engine);
    }
    model_close(model);
}

/* A prompt that invites guesses, and the first tokens of a reply. Sessions but the first one must not
 * repeat themselves much, so that small differences would show. */
static void start_repeating(struct reply *reply, struct engine *engine, size_t i,
                            const int32_t *tokens, size_t length, size_t max_tokens) {
    int32_t prompt[60 + REPLY_MAX];
    for (size_t p = 0; p < 60; p++) {
        prompt[p] = (int32_t)((p % 10 * (i + 1) * 37) % 512);
    }
    if (length > 60) {
        memcpy(prompt + 60, tokens, (length - 60) * sizeof *tokens);
    }
    struct session_request request = {.prompt = prompt,
                                      .prompt_length = length,
                                      .max_tokens = max_tokens,
                                      .sampling = sampling_default(),
                                      .drafts_max = DRAFTS_MAX};
    request.sampling.repetition_penalty = i == 0 ? 1.0F : 1.5F;
    struct error err = {0};
    *reply = (struct reply){0};
    cr_assert(session_submit(&reply->session, engine, &request, &err), "%s", err.text);
}

/* As long angles, a quarter turn less those of the table. */
static void add_long_rope(struct plan *plan, size_t short_length) {
    plan->short_rope_length = short_length;
    for (size_t i = 0; i < plan->rope_count; i++) {
        struct plan_rope *rope = &plan->ropes[i];
        rope->long_angles.cosines = rope->angles.sines;
        rope->long_angles.sines = rope->angles.cosines;
    }
}

Test(engine, a_session_that_outgrows_the_short_rope_says_what_a_longer_prompt_would_have_said) {
    enum { COUNT = 3, SHORT = 80 };
    struct model *model = open_model();
    add_long_rope(&model->plan, SHORT);
    struct reply replies[COUNT];
    struct engine *engine = open_engine(model, 0, COUNT, 8);
    for (size_t i = 0; i < COUNT; i++) {
        start_repeating(&replies[i], engine, i, NULL, 60, REPLY_MAX);
    }
    finish_all(replies, COUNT);
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_gt(status.accepted_tokens, 0, "nothing was guessed right");
    engine_close(engine);
    struct engine_options options = small_options();
    options.no_prefix_cache = true;
    engine = open_engine_with(model, &options);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t said = 0; said < REPLY_MAX; said++) {
            struct reply next;
            start_repeating(&next, engine, i, replies[i].tokens, 60 + said, 1);
            finish_all(&next, 1);
            cr_assert_eq(next.tokens[0], replies[i].tokens[said],
                         "session %zu says %d behind %zu tokens, where a prompt of them gives %d",
                         i, replies[i].tokens[said], 60 + said, next.tokens[0]);
        }
    }
    engine_close(engine);
    model_close(model);
}

Test(engine, what_a_plan_will_take_is_known_before_and_may_be_limited) {
    struct model *model = open_model();
    struct engine_options options = small_options();
    struct engine *engine = NULL;
    struct error err = {0};
    size_t bytes;
    options.kv_positions = 256;
    cr_assert(engine_plan_bytes(&model->plan, &options, &bytes, &err), "%s", err.text);
    options.memory_max = bytes;
    cr_assert(engine_open(&engine, &model->plan, &options, &err), "%s", err.text);
    cr_assert_eq(weights_bytes(engine_weights(engine)) + engine_kv_bytes(engine), bytes);
    engine_close(engine);
    options.memory_max = bytes - 1;
    cr_assert_not(engine_open(&engine, &model->plan, &options, &err));
    cr_assert_eq(err.code, ERROR_TOO_LARGE, "%s", err.text);
    model_close(model);
}
