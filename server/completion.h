/* One running completion: a session of the engine, and what makes its tokens the text of a choice.
 *
 *     session ─▶ token ─▶ detokenizer ─▶ whole characters ─▶ stop strings ─▶ text
 *                  └────────────────▶ logprobs, which wait for their text
 *
 * Owned by one exchange, on the loop thread. */
#ifndef QUERN_SERVER_COMPLETION_H
#define QUERN_SERVER_COMPLETION_H

#include "engine/engine.h"
#include "engine/text/stop_strings.h"
#include "engine/text/tokenizer.h"
#include "server/generation.h"
#include "server/logprobs.h"

#include <stdbool.h>
#include <stddef.h>

struct prompt {
    const char *text; /* borrowed; NULL for a prompt of token ids */
    struct token_list ids;
};

/* What the completions of a request have in common. */
struct completion_options {
    const struct service *service;
    const struct generation *generation;
    bool echo;           /* the text begins with the prompt's */
    const char *opening; /* or with this: how a reply begins that the prompt has begun; NULL: not */
    bool logprobs;       /* tell them ... */
    size_t top_logprobs; /* ... and those of so many of the most probable tokens */
    bool ranked;         /* keep them, to rank completions by */
    const int32_t *shown; /* special tokens that are part of the text, as long as it runs */
    size_t shown_count;
};

struct completion {
    struct session *session; /* NULL once finished */
    struct detokenizer *detokenizer;
    struct stop_strings *stops;
    bool keeps_stop;         /* generation.include_stop */
    struct text_buffer text; /* what the reader has not taken: it sets length to 0 */
    size_t tokens;
    uint64_t first_ns; /* when the first one came, and the last one so far: see session_event */
    uint64_t last_ns;
    bool keeps_tokens;             /* generation.return_tokens */
    struct token_list kept_tokens; /* those that the reader has not taken */
    bool keeps_logprobs;           /* to be told, or to rank the completion by */
    bool tells_logprobs;
    struct logprobs logprobs;
    double logprob_sum;                     /* of the reply's tokens */
    struct detokenizer *prompt_detokenizer; /* NULL unless the prompt has logprobs */
    size_t characters; /* of the prompt, if it is echoed, and of all tokens so far */
    size_t said;       /* of them, those that have become text */
    bool in_prompt;    /* the last event was a token of the prompt: the text waits for the others */
    struct session_usage usage;
    enum finish_reason finish; /* FINISH_NONE while it runs */
    bool out_of_memory;        /* it was given up; finish is FINISH_CANCELLED */
};

/* Starts choice `choice` of a prompt. Whatever happens, close it. */
bool completion_open(struct completion *completion, const struct completion_options *options,
                     const struct prompt *prompt, size_t prompt_index, size_t choice,
                     struct error *err);

/* Takes one event of the session, if there is one. */
bool completion_advance(struct completion *completion);

/* Ends the reply here, as if the model had. */
void completion_stop(struct completion *completion);

/* The logprobs of the tokens whose text has been said, an object or null; NULL when memory is out. */
cJSON *completion_take_logprobs(struct completion *completion, const struct tokenizer *tokenizer,
                                logprobs_taker *take);

/* The ids of the tokens since the last time, an array; NULL when memory is out. Only where
 * keeps_tokens. */
cJSON *completion_take_tokens(struct completion *completion);

/* Ends the session, if it runs; its pages are free within one step. */
void completion_close(struct completion *completion);

#endif
