#include "server/completion.h"

#include <string.h>

static void finish(struct completion *completion, enum finish_reason reason) {
    completion->finish = reason;
    if (completion->session != NULL) {
        session_release(completion->session);
        completion->session = NULL;
    }
}

static bool echo_prompt(struct completion *completion, const struct completion_request *request,
                        const struct prompt *prompt, struct error *err) {
    if (prompt->text == NULL) {
        return tokenizer_decode(request->service->model->tokenizer, prompt->ids.ids,
                                prompt->ids.length, true, &completion->text, err);
    }
    if (!text_buffer_append(&completion->text, prompt->text, strlen(prompt->text))) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the echo of the prompt");
    }
    return true;
}

/* A reply of no tokens (an echo, or a check of the request) needs no session. */
static bool start_session(struct completion *completion, const struct completion_request *request,
                          size_t prompt, size_t choice, struct error *err) {
    if (request->max_tokens == 0) {
        finish(completion, FINISH_LENGTH);
        return true;
    }
    const struct model *model = request->service->model;
    struct session_request session = {
        .prompt = request->prompts[prompt].ids.ids,
        .prompt_length = request->prompts[prompt].ids.length,
        .max_tokens = (size_t)request->max_tokens,
        .stop_tokens = model->stop_tokens,
        .stop_token_count = request->ignore_eos ? 0 : model->stop_token_count,
        .sampling = request->sampling,
        .drafts_max = (size_t)request->draft_tokens,
    };
    /* With a seed, a choice is what it would be if its prompt came alone; without one, equal
     * prompts of one request still get different replies. */
    session.sampling.seed += choice + (request->has_seed ? 0 : prompt * (size_t)request->n);
    return session_submit(&completion->session, request->service->engine, &session, err);
}

bool completion_open(struct completion *completion, const struct completion_request *request,
                     size_t prompt, size_t choice, struct error *err) {
    *completion = (struct completion){0};
    const struct tokenizer *tokenizer = request->service->model->tokenizer;
    return detokenizer_open(&completion->detokenizer, tokenizer, true, err) &&
           stop_strings_open(&completion->stops, request->stops, request->stop_count, err) &&
           (!request->echo || echo_prompt(completion, request, &request->prompts[prompt], err)) &&
           start_session(completion, request, prompt, choice, err);
}

/* `piece` is what the detokenizer said: the token's text, or the end's. */
static bool push_piece(struct completion *completion, const struct text_buffer *piece) {
    bool stopped = false;
    if (piece->length > 0 && !stop_strings_push(completion->stops, piece->bytes, piece->length,
                                                &completion->text, &stopped, NULL)) {
        return false;
    }
    if (stopped) {
        finish(completion, FINISH_STOP);
    }
    return true;
}

static bool take_token(struct completion *completion, int32_t token) {
    struct text_buffer piece = {0};
    completion->tokens++;
    bool done = detokenizer_push(completion->detokenizer, token, &piece, NULL) &&
                push_piece(completion, &piece);
    text_buffer_deinit(&piece);
    return done;
}

static bool take_end(struct completion *completion, enum finish_reason reason) {
    struct text_buffer piece = {0};
    bool done =
        detokenizer_finish(completion->detokenizer, &piece, NULL) && push_piece(completion, &piece);
    text_buffer_deinit(&piece);
    if (!done || completion->finish != FINISH_NONE) {
        return done;
    }
    finish(completion, reason);
    return stop_strings_finish(completion->stops, &completion->text, NULL);
}

bool completion_advance(struct completion *completion) {
    struct session_event event;
    if (completion->session == NULL || !session_take(completion->session, &event)) {
        return false;
    }
    completion->usage = session_get_usage(completion->session);
    bool done = event.finish == FINISH_NONE ? take_token(completion, event.token)
                                            : take_end(completion, event.finish);
    if (!done) {
        completion->out_of_memory = true;
        finish(completion, FINISH_CANCELLED);
    }
    return true;
}

void completion_close(struct completion *completion) {
    if (completion->session != NULL) {
        finish(completion, FINISH_CANCELLED);
    }
    detokenizer_close(completion->detokenizer);
    stop_strings_close(completion->stops);
    text_buffer_deinit(&completion->text);
}
