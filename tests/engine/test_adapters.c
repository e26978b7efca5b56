/* Rows and sessions of several adapters at once: each as if it were alone. */
#include "fixture.h"
#include "sessions.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char model_name[] = "llama-lora-int4";

/* ---- Rows of a decoder ---- */

enum { PLAYERS = 6, TOKENS = 48, STEP_MAX = 40, VOCABULARY = 512 };

/* A sequence with an adapter, the logits of all its rows. */
struct player {
    struct kv_sequence sequence;
    size_t adapter;
    int32_t tokens[TOKENS];
    size_t done;
    float *logits; /* (TOKENS, VOCABULARY) */
};

static struct decoder open_decoder(const struct fixture *fixture, bool exact, size_t threads) {
    struct decoder decoder;
    struct error err = {0};
    const struct decoder_options options = {
        .exact = exact,
        .kv_type = exact ? KV_F32 : KV_F16,
        .threads = threads,
        .adapters = fixture_adapters(fixture),
        .rows_max = PLAYERS * STEP_MAX,
        .wanted_max = PLAYERS * STEP_MAX,
    };
    cr_assert(decoder_open(&decoder, &fixture->model->plan, &options, &err), "%s", err.text);
    return decoder;
}

static void begin(struct player *player, const struct decoder *decoder, size_t i) {
    struct error err = {0};
    *player = (struct player){.adapter = i % (FIXTURE_ADAPTERS + 1)};
    player->logits = calloc(TOKENS * VOCABULARY, sizeof *player->logits);
    for (size_t t = 0; t < TOKENS; t++) {
        player->tokens[t] = (int32_t)((5 + 29 * i + 17 * t * t) % VOCABULARY);
    }
    cr_assert(kv_sequence_open(&player->sequence, decoder->cache, TOKENS, &err), "%s", err.text);
}

static void end(struct player *player, const struct decoder *decoder) {
    kv_sequence_close(&player->sequence, decoder->cache);
    free(player->logits);
}

static size_t add_rows(struct player *player, const struct decoder *decoder, size_t count,
                       struct executor_row *rows) {
    size_t left = TOKENS - player->done;
    count = count < left ? count : left;
    cr_assert(kv_sequence_reserve(&player->sequence, decoder->cache, player->done + count));
    for (size_t r = 0; r < count; r++) {
        rows[r] = (struct executor_row){.token = player->tokens[player->done + r],
                                        .position = player->done + r,
                                        .sequence = &player->sequence,
                                        .wanted = true,
                                        .adapter = player->adapter};
    }
    return count;
}

/* One step, to which each player gives so many rows, if it has as many left. */
static void step(struct player *players, size_t count, const struct decoder *decoder,
                 const size_t *rows_of) {
    struct executor_row rows[PLAYERS * STEP_MAX];
    size_t counts[PLAYERS];
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        counts[i] = add_rows(&players[i], decoder, rows_of[i], rows + total);
        total += counts[i];
    }
    const float *logits = total > 0 ? executor_run(decoder->executor, rows, total) : NULL;
    for (size_t i = 0; i < count; i++) {
        for (size_t r = 0; r < counts[i]; r++) {
            memcpy(players[i].logits + (players[i].done + r) * VOCABULARY, logits,
                   VOCABULARY * sizeof *logits);
            logits += executor_logits_stride(decoder->executor);
        }
        players[i].done += counts[i];
    }
}

/* The first steps are prompts and single tokens in turns, so that runs of rows of one adapter have
 * all lengths, and begin and end anywhere in what passes over a matrix together. */
static void play_together(struct player *players, const struct decoder *decoder) {
    static const size_t some[] = {1, STEP_MAX, 2, STEP_MAX - 7, 1, 3};
    for (size_t s = 0; s < TOKENS; s++) {
        size_t rows_of[PLAYERS];
        for (size_t i = 0; i < PLAYERS; i++) {
            rows_of[i] = some[(i + s) % PLAYERS];
        }
        step(players, PLAYERS, decoder, rows_of);
    }
}

static void check_rows(const struct fixture *fixture, bool exact, size_t threads) {
    struct decoder decoder = open_decoder(fixture, exact, threads);
    struct player together[PLAYERS];
    for (size_t i = 0; i < PLAYERS; i++) {
        begin(&together[i], &decoder, i);
    }
    play_together(together, &decoder);
    for (size_t i = 0; i < PLAYERS; i++) {
        struct player alone;
        begin(&alone, &decoder, i);
        while (alone.done < TOKENS) {
            step(&alone, 1, &decoder, (const size_t[]){1});
        }
        cr_assert(memcmp(alone.logits, together[i].logits,
                         TOKENS * VOCABULARY * sizeof *alone.logits) == 0,
                  "sequence %zu with adapter %zu has other bits in company, exact %d, %zu threads",
                  i, alone.adapter, exact, threads);
        end(&alone, &decoder);
        end(&together[i], &decoder);
    }
    decoder_close(&decoder);
}

Test(adapters, rows_of_several_adapters_have_the_bits_that_each_has_alone) {
    struct fixture fixture = fixture_open(model_name);
    cr_assert_eq(fixture.adapter_count, FIXTURE_ADAPTERS);
    check_rows(&fixture, true, 1);
    check_rows(&fixture, false, 1);
    check_rows(&fixture, false, 3);
    fixture_close(&fixture);
}

Test(adapters, an_engine_without_them_runs_the_model_itself) {
    struct fixture fixture = fixture_open(model_name);
    struct decoder with = open_decoder(&fixture, false, 1);
    fixture.adapter_count = 0;
    struct decoder without = open_decoder(&fixture, false, 1);
    fixture.adapter_count = FIXTURE_ADAPTERS;
    struct player a;
    struct player b;
    begin(&a, &with, 0);
    begin(&b, &without, 0);
    step(&a, 1, &with, (const size_t[]){STEP_MAX});
    step(&b, 1, &without, (const size_t[]){STEP_MAX});
    cr_expect(memcmp(a.logits, b.logits, STEP_MAX * VOCABULARY * sizeof *a.logits) == 0);
    end(&a, &with);
    end(&b, &without);
    decoder_close(&with);
    decoder_close(&without);
    fixture_close(&fixture);
}

Test(adapters, those_that_memory_has_no_room_for_are_refused) {
    struct fixture fixture = fixture_open(model_name);
    const struct adapters_source source = fixture_adapters(&fixture);
    struct adapters *adapters = NULL;
    struct error err = {0};
    size_t bytes = 0;
    cr_assert(adapters_plan_bytes(&fixture.model->plan, &source, &bytes, &err), "%s", err.text);
    cr_expect_not(adapters_open(&adapters, &fixture.model->plan, &source, true, bytes - 1, &err));
    cr_expect_eq(err.code, ERROR_TOO_LARGE, "%s", err.text);
    cr_assert(adapters_open(&adapters, &fixture.model->plan, &source, true, bytes, &err), "%s",
              err.text);
    cr_expect_eq(adapters_bytes(adapters), bytes);
    cr_expect_eq(adapters_count(adapters), FIXTURE_ADAPTERS + 1);
    cr_expect_eq(adapters_rank(adapters), 20);
    adapters_close(adapters);
    fixture_close(&fixture);
}

/* As the file has them: f32. */
Test(adapters, f16_holds_them_unless_they_are_to_be_exact) {
    struct fixture fixture = fixture_open(model_name);
    const struct adapters_source source = fixture_adapters(&fixture);
    struct error err = {0};
    for (int exact = 0; exact < 2; exact++) {
        struct adapters *adapters = NULL;
        cr_assert(adapters_open(&adapters, &fixture.model->plan, &source, exact, SIZE_MAX, &err));
        const struct packed_low_rank *adds = adapters_find(adapters, 1, 0);
        cr_assert_not_null(adds);
        cr_expect_eq(adds->down.format, exact ? WEIGHT_F32 : WEIGHT_F16);
        cr_expect_eq(adds->up.format, exact ? WEIGHT_F32 : WEIGHT_F16);
        adapters_close(adapters);
    }
    fixture_close(&fixture);
}

/* ---- Sessions of an engine ---- */

enum { SESSIONS = 2 * (FIXTURE_ADAPTERS + 1), PROMPT = 40 };

static struct engine *open_adapted(const struct fixture *fixture, bool prefix_cache) {
    struct engine_options options = small_options();
    options.sessions_max = SESSIONS;
    options.no_prefix_cache = !prefix_cache;
    options.adapters = fixture_adapters(fixture);
    return open_engine_with(fixture->model, &options);
}

/* The same prompt for all: what differs is the adapter. */
static bool submit(struct reply *reply, struct engine *engine, size_t adapter, struct error *err) {
    int32_t prompt[PROMPT];
    for (size_t p = 0; p < PROMPT; p++) {
        prompt[p] = (int32_t)((11 + 7 * p * p) % VOCABULARY);
    }
    struct session_request request = {.prompt = prompt,
                                      .prompt_length = PROMPT,
                                      .max_tokens = REPLY_MAX,
                                      .sampling = sampling_default(),
                                      .drafts_max = DRAFTS_DEFAULT,
                                      .adapter = adapter};
    request.sampling.temperature = 0;
    *reply = (struct reply){0};
    return session_submit(&reply->session, engine, &request, err);
}

static void submit_sound(struct reply *reply, struct engine *engine, size_t adapter) {
    struct error err = {0};
    cr_assert(submit(reply, engine, adapter, &err), "%s", err.text);
}

/* Replies to the prompt with each adapter, none included, from an engine that keeps nothing. */
static void reply_alone(const struct fixture *fixture, struct reply *replies) {
    struct engine *engine = open_adapted(fixture, false);
    for (size_t a = 0; a <= FIXTURE_ADAPTERS; a++) {
        submit_sound(&replies[a], engine, a);
        finish_all(&replies[a], 1);
        cr_assert_eq(replies[a].length, REPLY_MAX);
        for (size_t other = 0; other < a; other++) {
            cr_assert(memcmp(replies[a].tokens, replies[other].tokens, sizeof replies[a].tokens) !=
                          0,
                      "adapters %zu and %zu say the same", a, other);
        }
    }
    engine_close(engine);
}

static void check_reply(const struct reply *reply, const struct reply *alone, size_t adapter) {
    cr_assert_eq(reply->length, REPLY_MAX);
    cr_assert(memcmp(reply->tokens, alone[adapter].tokens, sizeof reply->tokens) == 0,
              "adapter %zu says something else in company", adapter);
}

Test(adapters, sessions_together_say_what_each_says_alone) {
    struct fixture fixture = fixture_open(model_name);
    struct reply alone[FIXTURE_ADAPTERS + 1];
    struct reply together[SESSIONS];
    reply_alone(&fixture, alone);
    struct engine *engine = open_adapted(&fixture, true);
    for (size_t i = 0; i < SESSIONS; i++) {
        submit_sound(&together[i], engine, i % (FIXTURE_ADAPTERS + 1));
    }
    finish_all(together, SESSIONS);
    for (size_t i = 0; i < SESSIONS; i++) {
        check_reply(&together[i], alone, i % (FIXTURE_ADAPTERS + 1));
    }
    engine_close(engine);
    fixture_close(&fixture);
}

Test(adapters, what_one_has_computed_is_nothing_to_another) {
    struct fixture fixture = fixture_open(model_name);
    struct reply alone[FIXTURE_ADAPTERS + 1];
    reply_alone(&fixture, alone);
    struct engine *engine = open_adapted(&fixture, true);
    for (size_t again = 0; again < 2; again++) {
        for (size_t a = 0; a <= FIXTURE_ADAPTERS; a++) {
            struct reply reply;
            submit_sound(&reply, engine, a);
            finish_all(&reply, 1);
            check_reply(&reply, alone, a);
            size_t expected = again == 0 ? 0 : (PROMPT - 1) / KV_PAGE_POSITIONS * KV_PAGE_POSITIONS;
            cr_expect_eq(reply.usage.cached_tokens, expected,
                         "adapter %zu, time %zu: %zu tokens from the cache, expected %zu", a,
                         again + 1, reply.usage.cached_tokens, expected);
        }
    }
    engine_close(engine);
    fixture_close(&fixture);
}

Test(adapters, an_adapter_that_is_not_there_is_an_error) {
    struct fixture fixture = fixture_open(model_name);
    struct engine *engine = open_adapted(&fixture, true);
    struct reply reply;
    struct error err = {0};
    cr_expect_not(submit(&reply, engine, FIXTURE_ADAPTERS + 1, &err));
    cr_expect_eq(err.code, ERROR_INVALID);
    cr_expect_str_eq(err.text, "adapter 3 does not exist; there are 2");
    engine_close(engine);
    fixture_close(&fixture);
}
