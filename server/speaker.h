/* A model that speaks on standard output: token ids in, text out while it is made. What `quern run`
 * is built on.
 *
 *     speaker_open ─▶ speaker_say ─▶ speaker_say … ─▶ speaker_close
 *
 * Later prompts that begin like earlier ones go on from the prefix cache.
 *
 * One at a time, because a signal handler has to find it; on the main thread. */
#ifndef QUERN_SERVER_SPEAKER_H
#define QUERN_SERVER_SPEAKER_H

#include "engine/engine.h"
#include "importer/model.h"
#include "server/pack_cache.h"

struct speaker;

struct speaker_options {
    const char *folder;  /* NULL: the demo model */
    const char *adapter; /* file of an adapter of all replies; NULL: none */
    bool exact;
    size_t threads; /* 0: one a processor */
    struct pack_cache_options cache;
};

bool speaker_open(struct speaker **out, const struct speaker_options *options, struct error *err);
void speaker_close(struct speaker *speaker);
const struct model *speaker_model(const struct speaker *speaker);

/* From now on Ctrl-C (SIGINT) ends the reply that is being made, or the next one if none is; a second
 * one, where the first was not heard, ends the process. Forgets those before. */
void speaker_hear_interrupts(void);

/* How replies are made: the numbers of sampling.h, as a command line has them. */
struct reply_options {
    size_t max_tokens;
    double temperature;
    size_t top_k;
    double top_p;
    double min_p;
    double repetition_penalty;
    double presence_penalty;
    double frequency_penalty;
    size_t seed; /* 0: another one each time */
    bool ignore_eos;
};

struct reply {
    struct text_buffer text; /* as the model said it */
    size_t prompt_tokens;
    size_t cached_tokens; /* of these, from the prefix cache */
    size_t tokens;
    double prompt_s; /* until the first token */
    double decode_s; /* from then to the last one */
    uint64_t seed;
    enum finish_reason finish; /* FINISH_CANCELLED: by Ctrl-C */
};

/* Says what the model makes of the prompt. `goes_on`: the reply belongs to the prompt's text, and may
 * begin with a space. A terminal gets the text without control characters. Start `reply` from {0},
 * and deinitialize it also after an error. */
bool speaker_say(struct speaker *speaker, const struct token_list *prompt, bool goes_on,
                 const struct reply_options *options, struct reply *reply, struct error *err);
void reply_deinit(struct reply *reply);

/* "[12 prompt tokens, 8 of them cached, in 0.10 s; 40 tokens, 85.1 tokens/s; seed 7]" and a line feed,
 * on standard error. */
void reply_print_statistics(const struct reply *reply);

#endif
