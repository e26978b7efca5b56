/* Sessions whose replies match grammars: whatever runs beside them, however it is computed. */
#include "engine/session.h"
#include "engine/text/grammar/grammar_automaton.h"
#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_gbnf.h"
#include "sessions.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SESSIONS = 8, GRAMMARS = 4, STOP_TOKEN = 1 };

static const char *const texts[GRAMMARS] = {
    "root ::= \"{\" [a-z]{1,20} \": \" [0-9]{1,30} \"}\"",
    "root ::= (\"yes\" | \"no\" | \"may\" \"be\"?) \"!\"*",
    "root ::= [^\\x00-\\x1f\\x7f]*",
    "root ::= \"[\" (root (\",\" root)*)? \"]\"",
};

struct constraints {
    struct model *model;
    struct token_bytes *tokens;
    struct token_trie *trie;
    struct grammar *grammars[GRAMMARS];
};

static struct constraints open_constraints(void) {
    struct constraints c = {.model = open_model()};
    struct error err = {0};
    cr_assert(token_bytes_open(&c.tokens, c.model->tokenizer, &err), "%s", err.text);
    cr_assert(token_trie_open(&c.trie, c.tokens, &err), "%s", err.text);
    for (size_t i = 0; i < GRAMMARS; i++) {
        struct grammar_builder *builder = NULL;
        cr_assert(grammar_builder_open(&builder, c.trie, &err));
        grammar_expression root = grammar_gbnf(builder, texts[i], strlen(texts[i]));
        cr_assert(grammar_builder_finish(builder, root, &c.grammars[i], &err), "%s", err.text);
        grammar_builder_close(builder);
    }
    return c;
}

static void close_constraints(struct constraints *c) {
    for (size_t i = 0; i < GRAMMARS; i++) {
        grammar_release(c->grammars[i]);
    }
    token_trie_close(c->trie);
    token_bytes_close(c->tokens);
    model_close(c->model);
}

static void submit(struct reply *reply, struct engine *engine, const struct constraints *c,
                   size_t i, size_t drafts, size_t max_tokens) {
    static const int32_t stop_token = STOP_TOKEN;
    int32_t prompt[40];
    size_t length = 5 + 4 * i;
    for (size_t p = 0; p < length; p++) {
        prompt[p] = (int32_t)((7 + 31 * i + 13 * (p % 6)) % 512);
    }
    struct session_request request = {
        .prompt = prompt,
        .prompt_length = length,
        .max_tokens = max_tokens,
        .stop_tokens = &stop_token,
        .stop_token_count = 1,
        .sampling = sampling_default(),
        .grammar = c->grammars[i % GRAMMARS],
        .drafts_max = drafts,
    };
    request.sampling.temperature = i < GRAMMARS ? 0 : 1.5F;
    request.sampling.seed = i;
    struct error err = {0};
    *reply = (struct reply){0};
    cr_assert(session_submit(&reply->session, engine, &request, &err), "%s", err.text);
}

static bool reply_matches(const struct reply *reply, const struct constraints *c, size_t i) {
    struct grammar_automaton *automaton = NULL;
    cr_assert(grammar_automaton_open(&automaton, c->grammars[i % GRAMMARS], NULL));
    uint32_t state = grammar_automaton_start(automaton);
    for (size_t t = 0; t < reply->length; t++) {
        struct token_text text = token_bytes_of(c->tokens, (size_t)reply->tokens[t]);
        for (size_t b = 0; b < text.length && state != AUTOMATON_DEAD; b++) {
            state = grammar_automaton_step(automaton, state, (uint8_t)text.bytes[b]);
        }
    }
    bool accepts = automaton->states[state].accepts;
    grammar_automaton_close(automaton);
    return accepts;
}

static void run(const struct constraints *c, struct reply *replies, size_t kv_positions,
                bool together, size_t drafts, size_t max_tokens) {
    struct engine *engine = open_engine(c->model, kv_positions, together ? SESSIONS : 1, 8);
    for (size_t i = 0; i < SESSIONS; i++) {
        submit(&replies[i], engine, c, i, drafts, max_tokens);
        if (!together) {
            finish_all(&replies[i], 1);
        }
    }
    if (together) {
        finish_all(replies, SESSIONS);
    }
    struct engine_status status;
    engine_get_status(engine, &status);
    /* A small pool preempts, unless the machine is so busy that sessions follow one another. */
    cr_assert(kv_positions > 0 || status.preemptions == 0, "%d preemptions",
              (int)status.preemptions);
    cr_assert_eq(status.drafted_tokens > 0, drafts > 0);
    engine_close(engine);
}

static void check_same(const struct reply *got, const struct reply *want, const char *how) {
    for (size_t i = 0; i < SESSIONS; i++) {
        cr_assert_eq(got[i].length, want[i].length, "session %zu %s: %zu tokens, not %zu", i, how,
                     got[i].length, want[i].length);
        cr_assert_eq(got[i].finish, want[i].finish, "session %zu %s", i, how);
        cr_assert(memcmp(got[i].tokens, want[i].tokens, sizeof got[i].tokens) == 0,
                  "session %zu says something else %s", i, how);
    }
}

Test(constrained, replies_match_their_grammars_and_company_changes_nothing) {
    struct constraints c = open_constraints();
    struct reply alone[SESSIONS];
    struct reply other[SESSIONS];
    run(&c, alone, 0, false, 0, REPLY_MAX);
    for (size_t i = 0; i < SESSIONS; i++) {
        cr_assert(reply_matches(&alone[i], &c, i), "session %zu does not match", i);
    }
    run(&c, other, 0, true, 0, REPLY_MAX);
    check_same(other, alone, "in company");
    run(&c, other, 0, true, DRAFTS_MAX, REPLY_MAX);
    check_same(other, alone, "with drafts");
    run(&c, other, 144, true, 0, REPLY_MAX);
    check_same(other, alone, "with too small a pool");
    close_constraints(&c);
}

Test(constrained, replies_are_complete_with_few_tokens_too) {
    struct constraints c = open_constraints();
    struct reply replies[SESSIONS];
    for (size_t max_tokens = 6; max_tokens < 10; max_tokens++) {
        run(&c, replies, 0, true, 0, max_tokens);
        for (size_t i = 0; i < SESSIONS; i++) {
            cr_assert(reply_matches(&replies[i], &c, i), "session %zu with %zu tokens", i,
                      max_tokens);
            cr_assert_leq(replies[i].length, max_tokens);
        }
    }
    close_constraints(&c);
}

Test(constrained, a_grammar_of_nothing_needs_no_step) {
    struct constraints c = open_constraints();
    struct grammar_builder *builder = NULL;
    struct error err = {0};
    grammar_release(c.grammars[0]);
    cr_assert(grammar_builder_open(&builder, c.trie, &err));
    cr_assert(grammar_builder_finish(builder, grammar_text(builder, "", 0), &c.grammars[0], &err));
    grammar_builder_close(builder);
    struct engine *engine = open_engine(c.model, 0, 1, 8);
    struct reply reply;
    submit(&reply, engine, &c, 0, 0, 10);
    finish_all(&reply, 1);
    cr_assert_eq(reply.finish, FINISH_STOP);
    cr_assert_eq(reply.length, 0);
    struct engine_status status;
    engine_get_status(engine, &status);
    cr_assert_eq(status.prompt_tokens, 0);
    engine_close(engine);
    close_constraints(&c);
}

/* What a mask allowed may have no room in the automaton, in texts that are nested without end. */
Test(constrained, a_reply_ends_where_its_matcher_cannot_follow) {
    struct constraints c = open_constraints();
    struct session session = {.vocabulary_size = 512};
    struct error err = {0};
    cr_assert(grammar_matcher_open(&session.matcher, c.grammars[0], 512, &err), "%s", err.text);
    int32_t token = 0;
    while (grammar_matcher_advance(session.matcher, token)) {
        token++;
    }
    cr_assert_not(session_goes_on_behind(&session, token), "token %d", (int)token);
    cr_assert(session.stuck);
    grammar_matcher_close(session.matcher);
    close_constraints(&c);
}
