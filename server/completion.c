#include "server/completion.h"

#include "engine/text/utf8.h"

#include <string.h>

static void finish(struct completion *completion, enum finish_reason reason) {
    completion->finish = reason;
    if (completion->session != NULL) {
        session_release(completion->session);
        completion->session = NULL;
    }
}

/* ---- Opening ---- */

static bool echo_prompt(struct completion *completion, const struct completion_options *options,
                        const struct prompt *prompt, struct error *err) {
    if (!options->echo) {
        return true;
    }
    if (prompt->text == NULL) {
        return tokenizer_decode(options->service->model->tokenizer, prompt->ids.ids,
                                prompt->ids.length, true, &completion->text, err);
    }
    if (!text_buffer_append(&completion->text, prompt->text, strlen(prompt->text))) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the echo of the prompt");
    }
    return true;
}

/* Begins with the first token of an echoed prompt, of which no event tells. */
static bool open_logprobs(struct completion *completion, const struct completion_options *options,
                          const struct prompt *prompt, struct error *err) {
    completion->tells_logprobs = options->logprobs;
    completion->keeps_logprobs = options->logprobs || options->ranked;
    completion->logprobs.top_count = options->top_logprobs;
    completion->said = utf8_count(completion->text.bytes, completion->text.length);
    completion->characters = completion->said;
    if (!options->logprobs || !options->echo) {
        return true;
    }
    struct text_buffer piece = {0};
    int32_t first = prompt->ids.ids[0];
    bool ok = detokenizer_open(&completion->prompt_detokenizer, options->service->model->tokenizer,
                               true, err) &&
              detokenizer_push(completion->prompt_detokenizer, first, &piece, err) &&
              (logprobs_push(&completion->logprobs, first, NULL, NULL, 0) ||
               error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the logprobs of the prompt"));
    completion->characters = utf8_count(piece.bytes, piece.length);
    text_buffer_deinit(&piece);
    return ok;
}

/* It is part of the reply's text, but no token's. */
static bool write_opening(struct completion *completion, const char *opening, struct error *err) {
    if (opening == NULL) {
        return true;
    }
    completion->said += utf8_count(opening, strlen(opening));
    return text_buffer_append(&completion->text, opening, strlen(opening)) ||
           error_set(err, ERROR_OUT_OF_MEMORY, "No memory for the beginning of the reply");
}

/* A reply of no tokens (an echo, or a check of the request) needs no session. */
static bool start_session(struct completion *completion, const struct completion_options *options,
                          const struct prompt *prompt, struct session_request *session,
                          struct error *err) {
    bool scored = options->logprobs && options->echo;
    if (options->generation->max_tokens == 0 && !scored) {
        finish(completion, FINISH_LENGTH);
        return true;
    }
    session->prompt = prompt->ids.ids;
    session->prompt_length = prompt->ids.length;
    session->logprobs = completion->keeps_logprobs;
    session->top_logprobs = options->top_logprobs;
    session->prompt_logprobs = scored;
    return session_submit(&completion->session, options->service->engine, session, err);
}

bool completion_open(struct completion *completion, const struct completion_options *options,
                     const struct prompt *prompt, size_t prompt_index, size_t choice,
                     struct error *err) {
    *completion = (struct completion){
        .keeps_tokens = options->generation->return_tokens,
        .keeps_stop = options->generation->include_stop,
    };
    const struct tokenizer *tokenizer = options->service->model->tokenizer;
    const struct generation *generation = options->generation;
    struct session_request session = generation_session(generation, prompt_index, choice);
    if (!detokenizer_open(&completion->detokenizer, tokenizer, generation->skip_special, err)) {
        return false;
    }
    detokenizer_show(completion->detokenizer, options->shown, options->shown_count);
    detokenizer_continue(completion->detokenizer); /* what the prompt began */
    return stop_strings_open(&completion->stops, generation->stops, generation->stop_count, err) &&
           echo_prompt(completion, options, prompt, err) &&
           open_logprobs(completion, options, prompt, err) &&
           write_opening(completion, options->opening, err) &&
           start_session(completion, options, prompt, &session, err);
}

/* ---- Running ---- */

/* `piece` is what the detokenizer said: the token's text, or the end's. */
static bool push_piece(struct completion *completion, const struct text_buffer *piece) {
    bool stopped = false;
    size_t before = completion->text.length;
    completion->characters += utf8_count(piece->bytes, piece->length);
    if (piece->length > 0 && !stop_strings_push(completion->stops, piece->bytes, piece->length,
                                                &completion->text, &stopped, NULL)) {
        return false;
    }
    if (stopped && completion->keeps_stop) {
        const char *stop = stop_strings_found(completion->stops);
        if (!text_buffer_append(&completion->text, stop, strlen(stop))) {
            return false;
        }
    }
    completion->said +=
        utf8_count(completion->text.bytes + before, completion->text.length - before);
    if (stopped) {
        finish(completion, FINISH_STOP);
    }
    return true;
}

/* The token's text begins behind what `detokenizer` has said and what waits in it. */
static bool push_logprobs(struct completion *completion, const struct session_event *event,
                          const struct detokenizer *detokenizer) {
    return !completion->keeps_logprobs ||
           logprobs_push(&completion->logprobs, event->token, &event->logprob, event->top,
                         completion->characters + detokenizer_waiting(detokenizer));
}

/* A token of the prompt: its text has been echoed. */
static bool take_prompt_token(struct completion *completion, const struct session_event *event) {
    struct text_buffer piece = {0};
    bool done = push_logprobs(completion, event, completion->prompt_detokenizer) &&
                detokenizer_push(completion->prompt_detokenizer, event->token, &piece, NULL);
    completion->characters += utf8_count(piece.bytes, piece.length);
    text_buffer_deinit(&piece);
    return done;
}

static bool take_token(struct completion *completion, const struct session_event *event) {
    struct text_buffer piece = {0};
    if (completion->tokens++ == 0) {
        /* The echo's end, and not that of the texts of its tokens: a tokenizer may have changed
         * what it was given. */
        completion->characters = completion->said;
    }
    completion->first_ns = completion->first_ns > 0 ? completion->first_ns : event->at_ns;
    completion->last_ns = event->at_ns;
    completion->logprob_sum += (double)event->logprob;
    bool done =
        (!completion->keeps_tokens || token_list_push(&completion->kept_tokens, event->token)) &&
        push_logprobs(completion, event, completion->detokenizer) &&
        detokenizer_push(completion->detokenizer, event->token, &piece, NULL) &&
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
    completion->said = SIZE_MAX; /* no token is held back any longer */
    return stop_strings_finish(completion->stops, &completion->text, NULL);
}

bool completion_advance(struct completion *completion) {
    struct session_event event;
    if (completion->session == NULL || !session_take(completion->session, &event)) {
        return false;
    }
    completion->usage = session_get_usage(completion->session);
    completion->in_prompt = event.finish == FINISH_NONE && event.of_prompt;
    bool done = event.finish != FINISH_NONE ? take_end(completion, event.finish)
                : event.of_prompt           ? take_prompt_token(completion, &event)
                                            : take_token(completion, &event);
    if (!done) {
        completion->out_of_memory = true;
        finish(completion, FINISH_CANCELLED);
    }
    return true;
}

void completion_stop(struct completion *completion) {
    finish(completion, FINISH_STOP);
}

cJSON *completion_take_logprobs(struct completion *completion, const struct tokenizer *tokenizer,
                                logprobs_taker *take) {
    return completion->tells_logprobs ? take(&completion->logprobs, tokenizer, completion->said)
                                      : cJSON_CreateNull();
}

cJSON *completion_take_tokens(struct completion *completion) {
    struct token_list *kept = &completion->kept_tokens;
    cJSON *tokens =
        kept->length > 0 ? cJSON_CreateIntArray(kept->ids, (int)kept->length) : cJSON_CreateArray();
    kept->length = 0;
    return tokens;
}

void completion_close(struct completion *completion) {
    if (completion->session != NULL) {
        finish(completion, FINISH_CANCELLED);
    }
    detokenizer_close(completion->detokenizer);
    detokenizer_close(completion->prompt_detokenizer);
    stop_strings_close(completion->stops);
    text_buffer_deinit(&completion->text);
    token_list_deinit(&completion->kept_tokens);
    logprobs_deinit(&completion->logprobs);
}
