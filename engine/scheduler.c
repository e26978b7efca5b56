#include "engine/scheduler.h"

#include "engine/sampler.h"
#include "engine/sizes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    /* Rows of prompts in a step in which others decode: enough to be bound by arithmetic and not by
     * reading weights, few enough that a decoding session hardly notices. */
    PROMPT_ROWS_BESIDE_DECODES = 32,
    /* Rows that pass over the weights once (see kernels.h): up to so many, drafts included, cost
     * little more than one. */
    DECODE_ROWS_CHEAP = 8,
    /* Rows of prompts in a step that score the token after them: each needs logits of its own. */
    SCORE_ROWS = 32,
};

/* A singly linked list with its end: sessions join at either end and leave from anywhere. */
struct session_list {
    struct session *first;
    struct session **end; /* where the next one is hung in */
    size_t count;
};

struct counters {
    atomic_size_t running;
    atomic_size_t waiting;
    atomic_size_t pages_used;
    atomic_size_t pages_cached;
    _Atomic uint64_t steps;
    _Atomic uint64_t prompt_tokens;
    _Atomic uint64_t cached_tokens;
    _Atomic uint64_t generated_tokens;
    _Atomic uint64_t drafted_tokens;
    _Atomic uint64_t accepted_tokens;
    _Atomic uint64_t preemptions;
};

/* One row of logits that says how probable a token of a prompt was. */
struct scoring {
    struct session *session;
    size_t index; /* among those of its session in this step */
};

struct scheduler {
    struct decoder *decoder;
    struct prefix_cache *prefixes; /* NULL: none are kept */
    size_t sessions_max;
    struct session_list running;
    struct session_list waiting;
    struct executor_row *rows;  /* [rows_max] of the step */
    struct session **samplings; /* [sessions_max]: whose logits are wanted, in row order */
    size_t sampling_count;
    struct scoring scorings[SCORE_ROWS];
    size_t scoring_count;
    float *logits;
    struct sampler **samplers; /* one a thread */
    bool delivered;
    atomic_size_t places_taken;
    struct counters counters;
    struct measures measures;
    uint64_t now_ns; /* when the step began, or what it computed was there */
};

/* ---- Lists ---- */

static void list_init(struct session_list *list) {
    *list = (struct session_list){.end = &list->first};
}

static void list_append(struct session_list *list, struct session *session) {
    session->next = NULL;
    *list->end = session;
    list->end = &session->next;
    list->count++;
}

static void list_prepend(struct session_list *list, struct session *session) {
    session->next = list->first;
    if (list->first == NULL) {
        list->end = &session->next;
    }
    list->first = session;
    list->count++;
}

/* Takes out the session that *link points to. */
static struct session *list_remove(struct session_list *list, struct session **link) {
    struct session *session = *link;
    *link = session->next;
    if (list->end == &session->next) {
        list->end = link;
    }
    session->next = NULL;
    list->count--;
    return session;
}

/* ---- Open, close ---- */

/* Trees of the prefix cache: for each adapter, and for none, those of short and long RoPE. */
static size_t trees(const struct decoder *decoder) {
    return 2 * adapters_count(decoder->adapters);
}

static size_t tree_of(const struct session *session) {
    return 2 * session->adapter + session->long_rope;
}

size_t scheduler_wanted_max(size_t sessions_max) {
    return sessions_max + DRAFTS_MAX + SCORE_ROWS;
}

bool scheduler_open(struct scheduler **out, struct decoder *decoder, size_t sessions_max,
                    bool keep_prefixes, struct error *err) {
    size_t threads = workers_count(decoder->workers);
    struct scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (scheduler == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the scheduler");
    }
    scheduler->decoder = decoder;
    scheduler->sessions_max = sessions_max;
    list_init(&scheduler->running);
    list_init(&scheduler->waiting);
    scheduler->rows = calloc(decoder->rows_max, sizeof *scheduler->rows);
    scheduler->samplings = calloc(sessions_max, sizeof *scheduler->samplings);
    scheduler->samplers = calloc(threads, sizeof *scheduler->samplers);
    bool ok =
        scheduler->rows != NULL && scheduler->samplings != NULL && scheduler->samplers != NULL;
    if (!ok) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a scheduler of %zu sessions",
                  sessions_max);
    }
    ok = ok && (!keep_prefixes ||
                prefix_cache_open(&scheduler->prefixes, decoder->cache, trees(decoder), err));
    for (size_t i = 0; ok && i < threads; i++) {
        ok = sampler_open(&scheduler->samplers[i], decoder->plan->vocabulary_size,
                          decoder->context_length, decoder->kernels, err);
    }
    if (!ok) {
        scheduler_close(scheduler);
        return false;
    }
    *out = scheduler;
    return true;
}

/* ---- Measuring ---- */

/* From a time of a session that has come to this moment. */
static void measure_since(struct scheduler *scheduler, enum measure measure, uint64_t began_ns) {
    uint64_t now = scheduler->now_ns;
    measures_add(&scheduler->measures, measure, now > began_ns ? now - began_ns : 0);
}

static void measure_admitted(struct scheduler *scheduler, struct session *session) {
    if (atomic_load(&session->admitted_ns) == 0) { /* it may come again, after preemption */
        atomic_store(&session->admitted_ns, scheduler->now_ns);
        measure_since(scheduler, MEASURE_QUEUE, atomic_load(&session->submitted_ns));
    }
}

static void measure_token(struct scheduler *scheduler, struct session *session) {
    if (atomic_load(&session->first_ns) == 0) {
        atomic_store(&session->first_ns, scheduler->now_ns);
        measure_since(scheduler, MEASURE_FIRST_TOKEN, atomic_load(&session->submitted_ns));
        measure_since(scheduler, MEASURE_PREFILL, atomic_load(&session->admitted_ns));
    } else {
        measure_since(scheduler, MEASURE_INTER_TOKEN, atomic_load(&session->last_ns));
    }
    atomic_store(&session->last_ns, scheduler->now_ns);
}

/* Sessions that were cancelled say how long clients wait, not how fast replies are. */
static void measure_finished(struct scheduler *scheduler, const struct session *session,
                             enum finish_reason reason) {
    if (reason != FINISH_CANCELLED && atomic_load(&session->first_ns) != 0) {
        measure_since(scheduler, MEASURE_DECODE, atomic_load(&session->first_ns));
        measure_since(scheduler, MEASURE_SESSION, atomic_load(&session->submitted_ns));
    }
}

static void measure_step(struct scheduler *scheduler, uint64_t began_ns, size_t rows) {
    size_t sessions = 0;
    for (const struct session *s = scheduler->running.first; s != NULL; s = s->next) {
        sessions += s->step_rows > 0;
    }
    measure_since(scheduler, MEASURE_STEP, began_ns);
    measures_add(&scheduler->measures, MEASURE_ROWS, rows);
    measures_add(&scheduler->measures, MEASURE_SESSIONS, sessions);
}

/* ---- Ending ---- */

/* The engine's part in a session ends: its reader gets the reason, the pool its pages. */
static void finish(struct scheduler *scheduler, struct session *session,
                   enum finish_reason reason) {
    measure_finished(scheduler, session, reason);
    prefix_cache_mark(scheduler->prefixes, &session->cursor);
    kv_sequence_close(&session->sequence, scheduler->decoder->cache);
    prefix_cache_release(scheduler->prefixes, &session->cursor);
    *session_event_ahead(session, 0) = (struct session_event){.finish = reason};
    session_push(session);
    session_let_go(session);
    scheduler_give_up_place(scheduler);
    scheduler->delivered = true;
}

static void cancel_all(struct scheduler *scheduler, struct session_list *list) {
    while (list->first != NULL) {
        finish(scheduler, list_remove(list, &list->first), FINISH_CANCELLED);
    }
}

void scheduler_close(struct scheduler *scheduler) {
    if (scheduler == NULL) {
        return;
    }
    cancel_all(scheduler, &scheduler->running);
    cancel_all(scheduler, &scheduler->waiting);
    for (size_t i = 0;
         scheduler->samplers != NULL && i < workers_count(scheduler->decoder->workers); i++) {
        sampler_close(scheduler->samplers[i]);
    }
    prefix_cache_close(scheduler->prefixes);
    free(scheduler->samplers);
    free(scheduler->samplings);
    free(scheduler->rows);
    free(scheduler);
}

/* ---- Who runs ---- */

bool scheduler_claim_place(struct scheduler *scheduler, size_t places_max) {
    if (atomic_fetch_add(&scheduler->places_taken, 1) < places_max) {
        return true;
    }
    scheduler_give_up_place(scheduler);
    return false;
}

void scheduler_give_up_place(struct scheduler *scheduler) {
    atomic_fetch_sub(&scheduler->places_taken, 1);
}

static void drop_released(struct scheduler *scheduler, struct session_list *list) {
    for (struct session **link = &list->first; *link != NULL;) {
        if (atomic_load(&(*link)->released)) {
            finish(scheduler, list_remove(list, link), FINISH_CANCELLED);
        } else {
            link = &(*link)->next;
        }
    }
}

/* Pages that a session still needs to compute the tokens that it has. */
static size_t pages_missing(const struct scheduler *scheduler, const struct session *session) {
    const struct kv_cache *cache = scheduler->decoder->cache;
    size_t needed = kv_cache_pages_needed(cache, session->length, scheduler->decoder->rows_max);
    size_t had = kv_sequence_pages(&session->sequence, cache);
    return needed > had ? needed - had : 0;
}

/* Takes what the prefix cache has of the session's tokens. */
static void take_prefix(struct scheduler *scheduler, struct session *session) {
    /* Rows that score tokens must be computed, whoever else has computed them. */
    size_t useful = session_scores_left(session) > 0 ? session->scored : session->length;
    size_t computed = prefix_cache_match(scheduler->prefixes, &session->cursor, session->tokens,
                                         useful, session->computed, &session->sequence);
    size_t gained = computed - session->computed;
    session->computed = computed;
    if (!session->restarted) { /* it would find itself again */
        atomic_fetch_add(&session->cached_tokens, gained);
    }
}

/* The session is at its beginning again. */
static void give_pages_back(struct scheduler *scheduler, struct session *session) {
    kv_sequence_clear(&session->sequence, scheduler->decoder->cache);
    prefix_cache_release(scheduler->prefixes, &session->cursor);
    session->computed = 0;
    if (!session->restarted) {
        atomic_store(&session->cached_tokens, 0);
    }
}

/* Keys that the short RoPE tables rotated are of no use to a session that has outgrown them. */
static void choose_rope(struct scheduler *scheduler, struct session *session) {
    if (session->long_rope || !plan_uses_long_rope(scheduler->decoder->plan, session->length)) {
        return;
    }
    session->restarted |= session->computed > 0;
    give_pages_back(scheduler, session);
    session->long_rope = true;
    prefix_cursor_choose_tree(&session->cursor, tree_of(session));
}

void scheduler_add(struct scheduler *scheduler, struct session *session) {
    if (session->capacity == session->prompt_length && session_scores_left(session) == 0) {
        finish(scheduler, session, FINISH_LENGTH); /* it asks for no tokens */
    } else if (session_is_complete(session) && session_scores_left(session) == 0) {
        finish(scheduler, session, FINISH_STOP); /* its grammar matches nothing but no tokens */
    } else {
        prefix_cursor_choose_tree(&session->cursor, tree_of(session));
        choose_rope(scheduler, session);
        list_append(&scheduler->waiting, session);
    }
}

/* The running session that gives way first: the youngest of those whose reader is slow, which could
 * not go on anyway, or else the youngest. Only the former if `paused_only`; NULL if there is none. */
static struct session **first_to_give_way(struct scheduler *scheduler, bool paused_only) {
    struct session **choice = NULL;
    bool choice_paused = false;
    for (struct session **link = &scheduler->running.first; *link != NULL; link = &(*link)->next) {
        bool paused = !session_has_room(*link);
        if (paused || (!paused_only && !choice_paused)) {
            choice = link;
            choice_paused = paused;
        }
    }
    return choice;
}

/* Gives a running session's pages back; it waits before all that are younger. */
static struct session *preempt(struct scheduler *scheduler, struct session **link) {
    struct session *session = list_remove(&scheduler->running, link);
    session->restarted = true;
    session->step_rows = 0;
    give_pages_back(scheduler, session);
    list_prepend(&scheduler->waiting, session);
    atomic_fetch_add(&scheduler->counters.preemptions, 1);
    return session;
}

/* The first waiting session that could go on, or NULL. */
static struct session **next_to_admit(struct scheduler *scheduler) {
    for (struct session **link = &scheduler->waiting.first; *link != NULL; link = &(*link)->next) {
        if (session_has_room(*link)) {
            return link;
        }
    }
    return NULL;
}

static bool fits_beside_running(const struct scheduler *scheduler, const struct session *session) {
    const struct kv_cache *cache = scheduler->decoder->cache;
    size_t pages = kv_cache_pages_held(cache) + pages_missing(scheduler, session);
    for (const struct session *s = scheduler->running.first; s != NULL; s = s->next) {
        pages += pages_missing(scheduler, s);
    }
    return scheduler->running.count == 0 || pages <= kv_cache_pages_total(cache);
}

/* Moves a waiting session to the running ones, if there is room for it. */
static bool admit_one(struct scheduler *scheduler, struct session **link) {
    struct session *session = *link;
    if (scheduler->running.count == scheduler->sessions_max) {
        return false;
    }
    take_prefix(scheduler, session);
    if (!fits_beside_running(scheduler, session)) {
        give_pages_back(scheduler, session);
        return false;
    }
    list_append(&scheduler->running, list_remove(&scheduler->waiting, link));
    measure_admitted(scheduler, session);
    return true;
}

static void admit(struct scheduler *scheduler) {
    for (;;) {
        struct session **next = next_to_admit(scheduler);
        if (next == NULL) {
            return;
        }
        if (admit_one(scheduler, next)) {
            continue;
        }
        struct session **slow = first_to_give_way(scheduler, true);
        if (slow == NULL) {
            return;
        }
        preempt(scheduler, slow);
    }
}

/* Is an older session about to compute the block that comes next here? */
static bool should_wait_for_another(const struct scheduler *scheduler,
                                    const struct session *session) {
    for (const struct session *s = scheduler->running.first; s != session; s = s->next) {
        if (s->step_rows > 1 &&
            prefix_cache_same_next(scheduler->prefixes, &s->cursor, s->tokens, s->length,
                                   &session->cursor, session->tokens, session->length)) {
            return true;
        }
    }
    return false;
}

/* Tokens that are left to compute. The last one of a full session only led to the next. */
static size_t rows_left(const struct session *session) {
    return session->length - session->computed - (session->length == session->capacity);
}

/* The same for a session whose prompt is to be scored: at most `scores_left` of the rows may do so.
 * Row p scores token p + 1, so that the last row is left for a step of its own. */
static size_t scoring_rows(struct session *session, size_t left, size_t scores_left) {
    size_t first = session->scored - 1; /* the rows before it have scored already */
    size_t known = session->computed < first ? first - session->computed : 0;
    size_t scores =
        smaller(session_scores_left(session), smaller(scores_left, session_room(session)));
    size_t rows = smaller(known + scores, left);
    session->step_scores = rows > known ? rows - known : 0;
    return rows;
}

/* Rows for a session that computes its prompt, of `left`. */
static size_t prompt_rows(struct scheduler *scheduler, struct session *session, size_t left,
                          size_t scores_left) {
    take_prefix(scheduler, session); /* another session may have computed it by now */
    if (session_scores_left(session) > 0) {
        return scoring_rows(session, left, scores_left);
    }
    if (should_wait_for_another(scheduler, session)) {
        return 0;
    }
    return smaller(rows_left(session), left);
}

/* One token to compute, and the next one to sample. */
static bool decodes(const struct session *session) {
    return rows_left(session) == 1 && session_scores_left(session) == 0;
}

/* Tokens that may be guessed behind those of a session that decodes: the step yields one token more
 * than there are right guesses, and must not go beyond the RoPE tables that it began with. */
static size_t useful_drafts(const struct scheduler *scheduler, const struct session *session) {
    size_t useful = smaller(session->capacity - session->length, session_room(session)) - 1;
    size_t short_rope = scheduler->decoder->plan->short_rope_length;
    bool bounded = short_rope > 0 && !session->long_rope;
    return bounded ? smaller(useful, short_rope - session->length) : useful;
}

/* Rows for guesses of the sessions that decode, oldest first. Returns how many. */
static size_t add_drafts(struct scheduler *scheduler, size_t decoding, size_t left) {
    size_t budget = decoding < DECODE_ROWS_CHEAP ? DECODE_ROWS_CHEAP - decoding : 0;
    budget = smaller(budget, left);
    size_t drafts = 0;
    for (struct session *s = scheduler->running.first; s != NULL && drafts < budget; s = s->next) {
        if (s->step_rows == 1) {
            size_t useful = useful_drafts(scheduler, s);
            size_t most = smaller(smaller(s->drafts_max, useful), budget - drafts);
            s->drafts = drafter_guess(&s->drafter, s->tokens, s->length, most);
            s->step_rows += s->drafts;
            drafts += s->drafts;
        }
    }
    return drafts;
}

/* Decodes first, then prompts share what is left. */
static void share_rows(struct scheduler *scheduler, bool others_wait) {
    size_t left = scheduler->decoder->rows_max;
    size_t decoding = 0;
    for (struct session *s = scheduler->running.first; s != NULL; s = s->next) {
        s->step_rows = 0;
        s->step_scores = 0;
        s->drafts = 0;
        if (decodes(s) && left > 0 && session_has_room(s)) {
            s->step_rows = 1;
            left--;
            decoding++;
        }
    }
    left -= add_drafts(scheduler, decoding, left);
    if ((decoding > 0 || others_wait) && left > PROMPT_ROWS_BESIDE_DECODES) {
        left = PROMPT_ROWS_BESIDE_DECODES;
    }
    size_t scores_left = SCORE_ROWS;
    for (struct session *s = scheduler->running.first; s != NULL && left > 0; s = s->next) {
        if (!decodes(s) && session_has_room(s)) {
            s->step_rows = prompt_rows(scheduler, s, left, scores_left);
            left -= s->step_rows;
            scores_left -= s->step_scores;
        }
    }
}

static bool reserve(struct scheduler *scheduler, struct session *session) {
    struct kv_cache *cache = scheduler->decoder->cache;
    size_t end = session->computed + session->step_rows;
    prefix_cache_make_room(scheduler->prefixes,
                           kv_sequence_missing(&session->sequence, cache, end));
    return kv_sequence_reserve(&session->sequence, cache, end);
}

static void reserve_pages(struct scheduler *scheduler) {
    for (struct session *s = scheduler->running.first; s != NULL; s = s->next) {
        while (!reserve(scheduler, s)) {
            if (preempt(scheduler, first_to_give_way(scheduler, false)) == s) {
                return; /* it was the youngest itself: nobody comes after it */
            }
        }
    }
}

/* ---- The step ---- */

/* Does the step compute the session's last token, and is there room for one after it? */
static bool will_sample(const struct session *session) {
    return session->step_rows > 0 && session->computed + session->step_rows >= session->length &&
           session->length < session->capacity;
}

/* The wanted rows of a session follow each other: those that score, those that sample. */
static void want_logits(struct scheduler *scheduler, struct session *session, size_t *logits_row) {
    session->logits_row = *logits_row;
    session->sampled = 0;
    for (size_t i = 0; i < session->step_scores; i++) {
        scheduler->scorings[scheduler->scoring_count++] = (struct scoring){session, i};
    }
    *logits_row += session->step_scores;
    if (will_sample(session)) {
        scheduler->samplings[scheduler->sampling_count++] = session;
        *logits_row += session->drafts + 1;
    }
}

static size_t list_rows(struct scheduler *scheduler) {
    size_t count = 0;
    size_t logits_row = 0;
    scheduler->sampling_count = 0;
    scheduler->scoring_count = 0;
    for (struct session *s = scheduler->running.first; s != NULL; s = s->next) {
        size_t end = s->computed + s->step_rows;
        size_t first_sampling = will_sample(s) ? s->length - 1 : end;
        for (size_t position = s->computed; position < end; position++) {
            bool scores = s->step_scores > 0 && position + 1 >= s->scored;
            scheduler->rows[count++] = (struct executor_row){
                .token = s->tokens[position],
                .position = position,
                .sequence = &s->sequence,
                .wanted = scores || position >= first_sampling,
                .long_rope = s->long_rope,
                .adapter = s->adapter,
            };
        }
        want_logits(scheduler, s, &logits_row);
    }
    return count;
}

/* Writes the logprobs of a token that follows the row with these logits into the event that will
 * say it. */
static void score(struct scheduler *scheduler, struct session *s, size_t thread,
                  const float *logits, int32_t token, size_t ahead) {
    session_event_ahead(s, ahead)->logprob = sampler_score(
        scheduler->samplers[thread], logits, token, session_event_top(s, ahead), s->top_logprobs);
}

/* Samples from row to row, as long as what comes out is what the next row was computed with: so
 * the reply is the same with drafts and without. */
static void sample(struct scheduler *scheduler, struct session *s, size_t thread) {
    size_t stride = executor_logits_stride(scheduler->decoder->executor);
    bool right = true;
    for (s->sampled = 0; s->sampled <= s->drafts && right; s->sampled++) {
        size_t length = s->length + s->sampled;
        const uint64_t *allowed;
        if (!session_allows(s, length, &allowed)) {
            s->stuck = true;
            break;
        }
        const struct sampler_row row = {
            .logits = scheduler->logits + (s->logits_row + s->sampled) * stride,
            .allowed = allowed,
            .tokens = s->tokens,
            .length = length,
            .reply_start = s->prompt_length,
        };
        int32_t token =
            sampler_choose(scheduler->samplers[thread], &s->sampling, &s->sampling_state, &row);
        if (s->logprobs) {
            score(scheduler, s, thread, row.logits, token, s->sampled);
        }
        bool guessed = s->sampled < s->drafts && token == s->tokens[length];
        s->tokens[length] = token;
        right = session_goes_on_behind(s, token) && guessed;
    }
}

/* One item of work on the step's logits: first come the sessions that sample, then the rows that
 * score. A session does not do both in one step. */
static void read_logits(void *context, size_t thread, size_t item) {
    struct scheduler *scheduler = context;
    if (item < scheduler->sampling_count) {
        sample(scheduler, scheduler->samplings[item], thread);
        return;
    }
    const struct scoring *scoring = &scheduler->scorings[item - scheduler->sampling_count];
    struct session *s = scoring->session;
    size_t stride = executor_logits_stride(scheduler->decoder->executor);
    score(scheduler, s, thread, scheduler->logits + (s->logits_row + scoring->index) * stride,
          s->tokens[s->scored + scoring->index], scoring->index);
}

/* Hands the event that comes next, with the logprobs that it has already, to the reader. */
static void deliver_token(struct scheduler *scheduler, struct session *s, int32_t token,
                          bool of_prompt) {
    struct session_event *event = session_event_ahead(s, 0);
    event->token = token;
    event->finish = FINISH_NONE;
    event->of_prompt = of_prompt;
    session_push(s);
    scheduler->delivered = true;
}

static void deliver_scores(struct scheduler *scheduler, struct session *s) {
    for (size_t i = 0; i < s->step_scores; i++) {
        deliver_token(scheduler, s, s->tokens[s->scored], true);
        s->scored++;
    }
}

/* Takes the session in *link as many tokens further as were sampled. Returns the link to go on
 * from. */
static struct session **deliver(struct scheduler *scheduler, struct session **link) {
    struct session *s = *link;
    deliver_scores(scheduler, s);
    for (size_t i = 0; i < s->sampled; i++) {
        int32_t token = s->tokens[s->length];
        if (session_is_stop_token(s, token)) {
            finish(scheduler, list_remove(&scheduler->running, link), session_end(s));
            return link;
        }
        s->length++;
        measure_token(scheduler, s);
        deliver_token(scheduler, s, token, false);
        atomic_fetch_add(&scheduler->counters.generated_tokens, 1);
    }
    bool complete = session_is_complete(s);
    bool ends = complete || s->stuck || s->length == s->capacity;
    if (ends && session_scores_left(s) == 0) {
        finish(scheduler, list_remove(&scheduler->running, link),
               complete ? session_end(s) : FINISH_LENGTH);
        return link;
    }
    choose_rope(scheduler, s);
    return &s->next;
}

/* Takes back the rows of guesses that were wrong. */
static void verify_drafts(struct scheduler *scheduler, struct session *s) {
    size_t right = s->sampled > 0 ? s->sampled - 1 : 0;
    drafter_learn(&s->drafter, s->drafts, right);
    s->step_rows -= s->drafts - right;
    atomic_fetch_add(&s->drafted_tokens, s->drafts);
    atomic_fetch_add(&s->accepted_tokens, right);
    atomic_fetch_add(&scheduler->counters.drafted_tokens, s->drafts);
    atomic_fetch_add(&scheduler->counters.accepted_tokens, right);
}

/* Counts what the step did for a session, and sorts its pages. */
static void settle(struct scheduler *scheduler, struct session *s) {
    bool computes_prompt = s->computed < s->prompt_length;
    s->computed += s->step_rows;
    prefix_cache_insert(scheduler->prefixes, &s->cursor, s->tokens, s->computed, &s->sequence);
    kv_sequence_reclaim(&s->sequence, scheduler->decoder->cache, s->computed);
    if (!computes_prompt) {
        return;
    }
    atomic_fetch_add(&scheduler->counters.prompt_tokens, s->step_rows);
    if (s->computed >= s->prompt_length) {
        prefix_cache_mark(scheduler->prefixes, &s->cursor);
    }
    if (s->computed == s->prompt_length && s->length == s->prompt_length) {
        atomic_fetch_add(&scheduler->counters.cached_tokens, atomic_load(&s->cached_tokens));
    }
}

static void advance(struct scheduler *scheduler) {
    for (struct session **link = &scheduler->running.first; *link != NULL;) {
        struct session *s = *link;
        if (s->step_rows == 0) {
            link = &s->next;
            continue;
        }
        if (s->drafts > 0) {
            verify_drafts(scheduler, s);
        }
        settle(scheduler, s);
        link = deliver(scheduler, link);
    }
}

static void publish(struct scheduler *scheduler) {
    const struct kv_cache *cache = scheduler->decoder->cache;
    atomic_store(&scheduler->counters.running, scheduler->running.count);
    atomic_store(&scheduler->counters.waiting, scheduler->waiting.count);
    size_t held = kv_cache_pages_held(cache);
    atomic_store(&scheduler->counters.pages_used, held);
    atomic_store(&scheduler->counters.pages_cached,
                 kv_cache_pages_total(cache) - kv_cache_pages_free(cache) - held);
}

struct scheduler_outcome scheduler_step(struct scheduler *scheduler, bool others_wait) {
    uint64_t began_ns = scheduler->now_ns = measures_now();
    drop_released(scheduler, &scheduler->running);
    drop_released(scheduler, &scheduler->waiting);
    admit(scheduler);
    share_rows(scheduler, others_wait);
    reserve_pages(scheduler);
    size_t count = list_rows(scheduler);
    if (count > 0) {
        publish(scheduler);
        scheduler->logits = executor_run(scheduler->decoder->executor, scheduler->rows, count);
        workers_run(scheduler->decoder->workers, read_logits, scheduler,
                    scheduler->sampling_count + scheduler->scoring_count);
        scheduler->now_ns = measures_now();
        measure_step(scheduler, began_ns, count);
        advance(scheduler);
        atomic_fetch_add(&scheduler->counters.steps, 1);
    }
    publish(scheduler);
    struct scheduler_outcome outcome = {.ran = count > 0, .delivered = scheduler->delivered};
    scheduler->delivered = false;
    return outcome;
}

void scheduler_get_status(const struct scheduler *scheduler, struct engine_status *status) {
    const struct counters *counters = &scheduler->counters;
    *status = (struct engine_status){
        .running = atomic_load(&counters->running),
        .waiting = atomic_load(&counters->waiting),
        .pages_used = atomic_load(&counters->pages_used),
        .pages_cached = atomic_load(&counters->pages_cached),
        .pages_total = kv_cache_pages_total(scheduler->decoder->cache),
        .steps = atomic_load(&counters->steps),
        .prompt_tokens = atomic_load(&counters->prompt_tokens),
        .cached_tokens = atomic_load(&counters->cached_tokens),
        .generated_tokens = atomic_load(&counters->generated_tokens),
        .drafted_tokens = atomic_load(&counters->drafted_tokens),
        .accepted_tokens = atomic_load(&counters->accepted_tokens),
        .preemptions = atomic_load(&counters->preemptions),
    };
}

const struct measures *scheduler_measures(const struct scheduler *scheduler) {
    return &scheduler->measures;
}
