#include "server/speaker.h"

#include "engine/clock.h"
#include "importer/adapter.h"
#include "server/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

struct speaker {
    struct model *model;
    struct engine *engine;
    size_t adapter; /* of the engine */
    bool to_terminal;
};

/* What the main thread sleeps on: the engine's wake and Ctrl-C both write to it. */
static int wake_descriptor = -1;
static volatile sig_atomic_t interrupted;

static void wake(void *context) {
    (void)context;
    uint64_t one = 1;
    /* It can only fail where the counter is full, and then the reader wakes up anyway. */
    ssize_t ignored = write(wake_descriptor, &one, sizeof one);
    (void)ignored;
}

static void on_interrupt(int number) {
    int saved = errno;
    if (interrupted) {
        signal(number, SIG_DFL);
        raise(number);
    }
    interrupted = 1;
    wake(NULL);
    errno = saved;
}

/* ---- Opening ---- */

static bool open_model(struct speaker *speaker, const char *folder, struct error *err) {
    if (!model_open(&speaker->model, folder, NULL, err)) {
        return false;
    }
    const struct model *model = speaker->model;
    return model->tokenizer != NULL ||
           error_set(err, ERROR_UNSUPPORTED, "the model \"%s\" cannot take text: %s", model->id,
                     model->tokenizer_error.text);
}

/* Signals are the main thread's: the engine's threads inherit that they are blocked. */
static bool open_engine(struct speaker *speaker, const struct speaker_options *from,
                        const struct adapters_source *adapters, struct error *err) {
    struct engine_options options = engine_options_default();
    options.exact = from->exact;
    options.kv_type = options.exact ? KV_F32 : KV_F16;
    options.threads = from->threads;
    options.adapters = *adapters;
    options.sessions_max = 1;
    options.queue_max = 1;
    options.wake = wake;
    struct pack_cache cache;
    pack_cache_open(&cache, &from->cache, from->folder, options.exact, &options.packing);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool opened = engine_open(&speaker->engine, &speaker->model->plan, &options, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (opened) {
        pack_cache_report(&cache, engine_weights(speaker->engine));
    }
    pack_cache_close(&cache);
    return opened;
}

/* The engine keeps a copy of the adapter. */
static bool open_with_adapter(struct speaker *speaker, const struct speaker_options *options,
                              struct error *err) {
    struct adapter *adapter = NULL;
    if (options->adapter != NULL &&
        !adapter_open(&adapter, speaker->model, options->adapter, err)) {
        return false;
    }
    const struct plan_low_rank_pair *pairs = adapter != NULL ? adapter_pairs(adapter) : NULL;
    const struct adapters_source adapters = {.adapters = &pairs, .count = pairs != NULL};
    speaker->adapter = adapters.count;
    bool opened = open_engine(speaker, options, &adapters, err);
    adapter_close(adapter);
    return opened;
}

bool speaker_open(struct speaker **out, const struct speaker_options *options, struct error *err) {
    struct speaker *speaker = calloc(1, sizeof *speaker);
    if (speaker == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the model");
    }
    speaker->to_terminal = isatty(STDOUT_FILENO);
    wake_descriptor = eventfd(0, EFD_CLOEXEC);
    if (wake_descriptor < 0) {
        error_set(err, ERROR_IO, "eventfd: %s", strerror(errno));
    } else if (open_model(speaker, options->folder, err) &&
               open_with_adapter(speaker, options, err)) {
        *out = speaker;
        return true;
    }
    speaker_close(speaker);
    return false;
}

void speaker_close(struct speaker *speaker) {
    if (speaker == NULL) {
        return;
    }
    signal(SIGINT, SIG_DFL);
    engine_close(speaker->engine);
    model_close(speaker->model);
    if (wake_descriptor >= 0) {
        close(wake_descriptor);
        wake_descriptor = -1;
    }
    free(speaker);
}

const struct model *speaker_model(const struct speaker *speaker) {
    return speaker->model;
}

/* ---- A reply ---- */

/* A reply on its way. */
struct speech {
    struct speaker *speaker;
    struct reply *reply;
    struct session *session;
    struct detokenizer *detokenizer;
    struct text_buffer harmless; /* for the terminal */
    size_t said;                 /* bytes of the reply */
    double begin;                /* seconds on the monotonic clock */
    double first;                /* when the engine had the first token */
    double latest;               /* and the latest one */
};

static struct sampling sampling_of(const struct reply_options *options, uint64_t seed) {
    struct sampling sampling = sampling_default();
    sampling.temperature = (float)options->temperature;
    sampling.top_k = options->top_k;
    sampling.top_p = (float)options->top_p;
    sampling.min_p = (float)options->min_p;
    sampling.repetition_penalty = (float)options->repetition_penalty;
    sampling.presence_penalty = (float)options->presence_penalty;
    sampling.frequency_penalty = (float)options->frequency_penalty;
    sampling.seed = seed;
    return sampling;
}

static bool submit(struct speech *speech, const struct token_list *prompt,
                   const struct reply_options *options, struct error *err) {
    const struct model *model = speech->speaker->model;
    uint64_t seed = options->seed;
    if (seed == 0 && getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        return error_set(err, ERROR_IO, "getrandom: %s", strerror(errno));
    }
    struct session_request request = {
        .prompt = prompt->ids,
        .prompt_length = prompt->length,
        .max_tokens = options->max_tokens,
        .stop_tokens = model->stop_tokens,
        .stop_token_count = options->ignore_eos ? 0 : model->stop_token_count,
        .sampling = sampling_of(options, seed),
        .drafts_max = DRAFTS_DEFAULT,
        .adapter = speech->speaker->adapter,
    };
    speech->reply->seed = seed;
    speech->reply->prompt_tokens = prompt->length;
    speech->begin = clock_seconds();
    return session_submit(&speech->session, speech->speaker->engine, &request, err);
}

static bool write_text(struct speech *speech, struct error *err) {
    const struct text_buffer *text = &speech->reply->text;
    const char *bytes = text->bytes + speech->said;
    size_t length = text->length - speech->said;
    if (length == 0) {
        return true;
    }
    speech->said = text->length;
    if (speech->speaker->to_terminal) {
        speech->harmless.length = 0;
        if (!terminal_append_harmless(&speech->harmless, bytes, length)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the reply");
        }
        bytes = speech->harmless.bytes;
        length = speech->harmless.length;
    }
    if (fwrite(bytes, 1, length, stdout) != length || fflush(stdout) != 0) {
        return error_set(err, ERROR_IO, "cannot write standard output: %s", strerror(errno));
    }
    return true;
}

/* Says what the session has ready. The reply's finish is set once it has ended. */
static bool say_ready(struct speech *speech, struct error *err) {
    struct reply *reply = speech->reply;
    struct session_event event;
    while (reply->finish == FINISH_NONE && session_take(speech->session, &event)) {
        reply->finish = event.finish;
        if (event.finish == FINISH_NONE) {
            speech->latest = (double)event.at_ns * 1e-9;
            speech->first = reply->tokens++ == 0 ? speech->latest : speech->first;
            if (!detokenizer_push(speech->detokenizer, event.token, &reply->text, err)) {
                return false;
            }
        }
    }
    return write_text(speech, err);
}

static bool stream(struct speech *speech, struct error *err) {
    struct reply *reply = speech->reply;
    while (reply->finish == FINISH_NONE && !interrupted) {
        uint64_t count;
        ssize_t got = read(wake_descriptor, &count, sizeof count);
        if (got < 0 && errno != EINTR) {
            return error_set(err, ERROR_IO, "eventfd: %s", strerror(errno));
        }
        if (!say_ready(speech, err)) {
            return false;
        }
    }
    reply->finish = reply->finish == FINISH_NONE ? FINISH_CANCELLED : reply->finish;
    reply->cached_tokens = session_get_usage(speech->session).cached_tokens;
    reply->prompt_s = speech->first - speech->begin;
    reply->decode_s = speech->latest - speech->first;
    return detokenizer_finish(speech->detokenizer, &reply->text, err) && write_text(speech, err);
}

void speaker_hear_interrupts(void) {
    struct sigaction action = {.sa_handler = on_interrupt};
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
}

bool speaker_say(struct speaker *speaker, const struct token_list *prompt, bool goes_on,
                 const struct reply_options *options, struct reply *reply, struct error *err) {
    struct speech speech = {.speaker = speaker, .reply = reply};
    bool fine = detokenizer_open(&speech.detokenizer, speaker->model->tokenizer, true, err);
    if (fine && goes_on) {
        detokenizer_continue(speech.detokenizer);
    }
    fine = fine && submit(&speech, prompt, options, err) && stream(&speech, err);
    if (speech.session != NULL) {
        session_release(speech.session);
    }
    detokenizer_close(speech.detokenizer);
    text_buffer_deinit(&speech.harmless);
    return fine;
}

void reply_deinit(struct reply *reply) {
    text_buffer_deinit(&reply->text);
}

void reply_print_statistics(const struct reply *reply) {
    const struct terminal_styles *styles = terminal_styles_of(stderr);
    fprintf(stderr, "%s[%zu prompt tokens", styles->faint, reply->prompt_tokens);
    if (reply->cached_tokens > 0) {
        fprintf(stderr, ", %zu of them cached,", reply->cached_tokens);
    }
    if (reply->tokens > 0) {
        fprintf(stderr, " in %.2f s", reply->prompt_s);
    }
    fprintf(stderr, "; %zu tokens", reply->tokens);
    if (reply->tokens > 1 && reply->decode_s > 0) {
        fprintf(stderr, ", %.1f tokens/s", (double)(reply->tokens - 1) / reply->decode_s);
    }
    fprintf(stderr, "; seed %llu]%s\n", (unsigned long long)reply->seed, styles->plain);
}
