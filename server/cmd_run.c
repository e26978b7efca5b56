/* quern run: one prompt, its continuation streamed to the terminal. */
#include "engine/engine.h"
#include "importer/model.h"
#include "server/commands.h"
#include "server/options.h"
#include "server/pack_cache.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct run_options {
    const char *folder;
    const char *prompt;
    size_t max_tokens;
    double temperature;
    size_t top_k;
    double top_p;
    double min_p;
    double repetition_penalty;
    double presence_penalty;
    double frequency_penalty;
    size_t seed;
    size_t threads;
    bool exact;
    bool ignore_eos;
    struct pack_cache_options cache;
};

enum { TOKENS_MAX = 1000000, THREADS_MAX = 1024, EXIT_INTERRUPTED = 128 + SIGINT };

#define FIELD(name) .offset = offsetof(struct run_options, name)

/* An option is a few lines, its help the last. */
/* clang-format off */
static const struct option options_table[] = {
    {.name = "max-tokens", .type = OPTION_SIZE, FIELD(max_tokens), .argument = "N",
     .minimum = 1, .maximum = TOKENS_MAX, .fallback = "256",
     .help = "tokens after which to stop"},
    {.name = "temperature", .type = OPTION_NUMBER, FIELD(temperature), .argument = "T",
     .maximum = 2, .fallback = "0.7",
     .help = "0: always the most likely token; higher: more variety"},
    {.name = "top-k", .type = OPTION_SIZE, FIELD(top_k), .argument = "K",
     .maximum = TOKENS_MAX, .fallback = "0",
     .help = "choose among the K most likely tokens; 0: all"},
    {.name = "top-p", .type = OPTION_NUMBER, FIELD(top_p), .argument = "P",
     .minimum = 0, .maximum = 1, .fallback = "0.95",
     .help = "choose among the fewest tokens that together reach probability P"},
    {.name = "min-p", .type = OPTION_NUMBER, FIELD(min_p), .argument = "P",
     .minimum = 0, .maximum = 1, .fallback = "0",
     .help = "leave out tokens less likely than P times the most likely one"},
    {.name = "repetition-penalty", .type = OPTION_NUMBER, FIELD(repetition_penalty),
     .argument = "X", .minimum = 0.01, .maximum = 10, .fallback = "1",
     .help = "above 1: tokens of prompt and reply become less likely"},
    {.name = "presence-penalty", .type = OPTION_NUMBER, FIELD(presence_penalty),
     .argument = "X", .minimum = -2, .maximum = 2, .fallback = "0",
     .help = "taken from the logit of each token of the reply"},
    {.name = "frequency-penalty", .type = OPTION_NUMBER, FIELD(frequency_penalty),
     .argument = "X", .minimum = -2, .maximum = 2, .fallback = "0",
     .help = "the same, for each time that it occurs"},
    {.name = "seed", .type = OPTION_SIZE, FIELD(seed), .argument = "N", .fallback = "0",
     .help = "the same seed says the same; 0: another one each time"},
    {.name = "ignore-eos", .type = OPTION_FLAG, FIELD(ignore_eos),
     .help = "go on where the model would stop"},
    {.name = "threads", .type = OPTION_SIZE, FIELD(threads), .argument = "N", .minimum = 1,
     .maximum = THREADS_MAX,
     .help = "compute threads (default: one for each processor)"},
    {.name = "exact", .type = OPTION_FLAG, FIELD(exact),
     .help = "activations and KV cache in f32"},
    PACK_CACHE_OPTIONS(struct run_options, cache),
};
/* clang-format on */

static const struct operand operands[] = {
    {"MODEL_DIR", true, offsetof(struct run_options, folder),
     "folder with an ONNX model, or the ONNX file in it; \"-\" for the embedded demo model"},
    {"PROMPT", false, offsetof(struct run_options, prompt),
     "text to continue; without it, all of standard input"},
};

static const struct command_line command_line = {
    .command = "run",
    .description = "Continues a text and streams what it says to standard output. Ctrl-C ends the\n"
                   "reply (status 130).",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

struct run {
    const struct run_options *options;
    struct model *model;
    struct engine *engine;
    struct session *session;
    struct detokenizer *detokenizer;
    struct text_buffer prompt; /* of standard input */
    struct token_list ids;
    struct text_buffer text; /* not yet written */
    uint64_t seed;
    size_t tokens;
    double begin; /* seconds on the monotonic clock */
    double first; /* when the first token came */
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
    (void)number;
    int saved = errno;
    interrupted = 1;
    wake(NULL);
    errno = saved;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool read_standard_input(struct text_buffer *text, struct error *err) {
    char bytes[4096];
    size_t length;
    while ((length = fread(bytes, 1, sizeof bytes, stdin)) > 0) {
        if (!text_buffer_append(text, bytes, length)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a prompt of %zu bytes",
                             text->length + length);
        }
    }
    return !ferror(stdin) ||
           error_set(err, ERROR_IO, "cannot read standard input: %s", strerror(errno));
}

static bool encode_prompt(struct run *run, struct error *err) {
    const char *text = run->options->prompt;
    size_t length = text != NULL ? strlen(text) : 0;
    if (text == NULL) {
        if (!read_standard_input(&run->prompt, err)) {
            return false;
        }
        text = run->prompt.bytes != NULL ? run->prompt.bytes : "";
        length = run->prompt.length;
    }
    if (!tokenizer_encode(run->model->tokenizer, text, length, true, &run->ids, err)) {
        return false;
    }
    return run->ids.length > 0 || error_set(err, ERROR_INVALID, "the prompt is empty");
}

static bool open_engine(struct run *run, struct error *err) {
    wake_descriptor = eventfd(0, EFD_CLOEXEC);
    if (wake_descriptor < 0) {
        return error_set(err, ERROR_IO, "eventfd: %s", strerror(errno));
    }
    struct engine_options options = engine_options_default();
    options.exact = run->options->exact;
    options.kv_type = options.exact ? KV_F32 : KV_F16;
    options.threads = run->options->threads;
    options.sessions_max = 1;
    options.queue_max = 1;
    options.wake = wake;
    struct pack_cache cache;
    pack_cache_open(&cache, &run->options->cache, run->options->folder, options.exact,
                    &options.packing);
    bool opened = engine_open(&run->engine, &run->model->plan, &options, err);
    if (opened) {
        pack_cache_report(&cache, engine_weights(run->engine));
    }
    pack_cache_close(&cache);
    if (!opened) {
        return false;
    }
    /* A second Ctrl-C ends the process, should the first not be heard. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    return true;
}

static bool submit(struct run *run, struct error *err) {
    const struct run_options *options = run->options;
    run->seed = options->seed;
    if (run->seed == 0 && getrandom(&run->seed, sizeof run->seed, 0) != sizeof run->seed) {
        return error_set(err, ERROR_IO, "getrandom: %s", strerror(errno));
    }
    struct sampling sampling = sampling_default();
    sampling.temperature = (float)options->temperature;
    sampling.top_k = options->top_k;
    sampling.top_p = (float)options->top_p;
    sampling.min_p = (float)options->min_p;
    sampling.repetition_penalty = (float)options->repetition_penalty;
    sampling.presence_penalty = (float)options->presence_penalty;
    sampling.frequency_penalty = (float)options->frequency_penalty;
    sampling.seed = run->seed;
    struct session_request request = {
        .prompt = run->ids.ids,
        .prompt_length = run->ids.length,
        .max_tokens = options->max_tokens,
        .stop_tokens = run->model->stop_tokens,
        .stop_token_count = options->ignore_eos ? 0 : run->model->stop_token_count,
        .sampling = sampling,
        .drafts_max = DRAFTS_DEFAULT,
    };
    run->begin = now();
    return session_submit(&run->session, run->engine, &request, err);
}

static bool write_text(struct run *run, struct error *err) {
    size_t length = run->text.length;
    run->text.length = 0;
    if (fwrite(run->text.bytes, 1, length, stdout) != length || fflush(stdout) != 0) {
        return error_set(err, ERROR_IO, "cannot write standard output: %s", strerror(errno));
    }
    return true;
}

/* Says what the session has ready. *finish is set once it has ended. */
static bool say(struct run *run, enum finish_reason *finish, struct error *err) {
    struct session_event event;
    while (*finish == FINISH_NONE && session_take(run->session, &event)) {
        *finish = event.finish;
        if (event.finish == FINISH_NONE) {
            run->first = run->tokens++ == 0 ? now() : run->first;
            if (!detokenizer_push(run->detokenizer, event.token, &run->text, err)) {
                return false;
            }
        }
    }
    return run->text.length == 0 || write_text(run, err);
}

static bool stream(struct run *run, struct error *err) {
    enum finish_reason finish = FINISH_NONE;
    while (finish == FINISH_NONE && !interrupted) {
        uint64_t count;
        ssize_t got = read(wake_descriptor, &count, sizeof count);
        if (got < 0 && errno != EINTR) {
            return error_set(err, ERROR_IO, "eventfd: %s", strerror(errno));
        }
        if (!say(run, &finish, err)) {
            return false;
        }
    }
    return detokenizer_finish(run->detokenizer, &run->text, err) &&
           text_buffer_append(&run->text, "\n", 1) && write_text(run, err);
}

/* For people at a terminal only. */
static void print_statistics(const struct run *run) {
    if (!isatty(STDERR_FILENO) || run->tokens == 0) {
        return;
    }
    double decoding = now() - run->first;
    fprintf(stderr, "[%zu prompt tokens in %.2f s, %zu tokens", run->ids.length,
            run->first - run->begin, run->tokens);
    if (run->tokens > 1 && decoding > 0) {
        fprintf(stderr, ", %.1f tokens/s", (double)(run->tokens - 1) / decoding);
    }
    fprintf(stderr, ", seed %llu]\n", (unsigned long long)run->seed);
}

static bool open_model(struct run *run, struct error *err) {
    const char *folder = run->options->folder;
    if (!model_open(&run->model, strcmp(folder, "-") == 0 ? NULL : folder, NULL, err)) {
        return false;
    }
    if (run->model->tokenizer == NULL) {
        return error_set(err, ERROR_UNSUPPORTED, "the model \"%s\" cannot take text: %s",
                         run->model->id, run->model->tokenizer_error.text);
    }
    if (!detokenizer_open(&run->detokenizer, run->model->tokenizer, true, err)) {
        return false;
    }
    detokenizer_continue(run->detokenizer); /* what the prompt began */
    return true;
}

static void close_run(struct run *run) {
    if (run->session != NULL) {
        session_release(run->session);
    }
    engine_close(run->engine);
    detokenizer_close(run->detokenizer);
    token_list_deinit(&run->ids);
    text_buffer_deinit(&run->prompt);
    text_buffer_deinit(&run->text);
    model_close(run->model);
    if (wake_descriptor >= 0) {
        close(wake_descriptor);
    }
}

int cmd_run(int argc, char **argv) {
    struct run_options options = {0};
    int status;
    if (!options_start(&command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct error err = {0};
    struct run run = {.options = &options};
    if (open_model(&run, &err) && encode_prompt(&run, &err) && open_engine(&run, &err) &&
        submit(&run, &err) && stream(&run, &err)) {
        print_statistics(&run);
        status = interrupted ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    } else {
        status = options_report("run", &err);
    }
    close_run(&run);
    options_free(&command_line, &options);
    return status;
}
