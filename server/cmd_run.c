/* quern run: a conversation at a terminal, or one prompt and its continuation for a pipe. */
#include "server/commands.h"
#include "server/exit_status.h"
#include "server/options.h"
#include "server/repl.h"
#include "server/speaker.h"
#include "server/transcript.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run_options {
    const char *folder;
    const char *prompt;
    const char *mode;
    const char *system;
    bool stats;
    struct reply_options reply;
    struct speaker_options speaker;
};

enum { TOKENS_MAX = 1000000, THREADS_MAX = 1024, EXIT_INTERRUPTED = 128 + SIGINT };

static const char *const modes[] = {"chat", "text", NULL};

#define FIELD(name) .offset = offsetof(struct run_options, name)

/* An option is a few lines, its help the last. The first ones are those that /set knows, too. */
/* clang-format off */
static const struct option options_table[] = {
    {.name = "max-tokens", .type = OPTION_SIZE, FIELD(reply.max_tokens), .argument = "N",
     .minimum = 1, .maximum = TOKENS_MAX, .fallback = "1024",
     .help = "tokens after which to stop"},
    {.name = "temperature", .type = OPTION_NUMBER, FIELD(reply.temperature), .argument = "T",
     .maximum = 2, .fallback = "0.7",
     .help = "0: always the most likely token; higher: more variety"},
    {.name = "top-k", .type = OPTION_SIZE, FIELD(reply.top_k), .argument = "K",
     .maximum = TOKENS_MAX, .fallback = "0",
     .help = "choose among the K most likely tokens; 0: all"},
    {.name = "top-p", .type = OPTION_NUMBER, FIELD(reply.top_p), .argument = "P",
     .minimum = 0, .maximum = 1, .fallback = "0.95",
     .help = "choose among the fewest tokens that together reach probability P"},
    {.name = "min-p", .type = OPTION_NUMBER, FIELD(reply.min_p), .argument = "P",
     .minimum = 0, .maximum = 1, .fallback = "0",
     .help = "leave out tokens less likely than P times the most likely one"},
    {.name = "repetition-penalty", .type = OPTION_NUMBER, FIELD(reply.repetition_penalty),
     .argument = "X", .minimum = 0.01, .maximum = 10, .fallback = "1",
     .help = "above 1: tokens of prompt and reply become less likely"},
    {.name = "presence-penalty", .type = OPTION_NUMBER, FIELD(reply.presence_penalty),
     .argument = "X", .minimum = -2, .maximum = 2, .fallback = "0",
     .help = "taken from the logit of each token of the reply"},
    {.name = "frequency-penalty", .type = OPTION_NUMBER, FIELD(reply.frequency_penalty),
     .argument = "X", .minimum = -2, .maximum = 2, .fallback = "0",
     .help = "the same, for each time that it occurs"},
    {.name = "seed", .type = OPTION_SIZE, FIELD(reply.seed), .argument = "N", .fallback = "0",
     .help = "the same seed says the same; 0: another one each time"},
    {.name = "mode", .type = OPTION_TEXT, FIELD(mode), .argument = "MODE", .choices = modes,
     .help = "what a text is: a message that is answered, or the beginning of a text; by default a "
             "message where a person types it and the model has a chat template"},
    {.name = "system", .type = OPTION_TEXT, FIELD(system), .argument = "TEXT",
     .help = "the system message of a chat"},
    {.name = "stats", .type = OPTION_FLAG, FIELD(stats),
     .help = "say on standard error how many tokens there were, and how fast"},
    {.name = "ignore-eos", .type = OPTION_FLAG, FIELD(reply.ignore_eos),
     .help = "go on where the model would stop"},
    {.name = "adapter", .type = OPTION_TEXT, FIELD(speaker.adapter), .argument = "FILE",
     .help = "adapter (.onnx_adapter) of the model that all replies are made with"},
    {.name = "threads", .type = OPTION_SIZE, FIELD(speaker.threads), .argument = "N", .minimum = 1,
     .maximum = THREADS_MAX,
     .help = "compute threads, otherwise one for each processor"},
    {.name = "exact", .type = OPTION_FLAG, FIELD(speaker.exact),
     .help = "activations and KV cache in f32"},
    PACK_CACHE_OPTIONS(offsetof(struct run_options, speaker.cache)),
};
/* clang-format on */

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .required = true,
     .offset = offsetof(struct run_options, folder),
     .help =
         "folder with an ONNX model, or the ONNX file in it; \"-\" for the embedded demo model"},
    {.name = "PROMPT",
     .offset = offsetof(struct run_options, prompt),
     .help = "text to continue; without it, what is typed, or all of standard input"},
};

const struct command_line run_command_line = {
    .command = "run",
    .description =
        "Talks with a model. At a terminal it reads messages and answers them (/help says more). "
        "With a PROMPT, or text on standard input, it streams what follows to standard output and "
        "ends. Ctrl-C ends a reply (status 130, but not at the terminal).",
    .operands = operands,
    .operand_count = sizeof operands / sizeof operands[0],
    .options = options_table,
    .option_count = sizeof options_table / sizeof options_table[0],
};

/* What /set knows. */
static const struct command_line settings = {
    .command = "/set", .options = options_table, .option_count = 9};

/* ---- One prompt ---- */

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

static bool read_prompt(const struct run_options *options, struct text_buffer *text,
                        struct error *err) {
    if (options->prompt == NULL) {
        return text_buffer_append(text, "", 0) && read_standard_input(text, err);
    }
    return text_buffer_append(text, options->prompt, strlen(options->prompt)) ||
           error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the prompt");
}

/* The prompt of a conversation that is this one message. */
static bool make_message(const struct run_options *options, const struct model *model,
                         struct text_buffer *text, struct error *err) {
    struct transcript transcript = {0};
    bool fine = options->system == NULL || transcript_set_system(&transcript, options->system, err);
    fine = fine && transcript_add(&transcript, "user", text->bytes, text->length, err);
    text->length = 0;
    fine = fine && transcript_prompt(&transcript, model->chat_template, text, err);
    transcript_deinit(&transcript);
    return fine;
}

static bool encode_prompt(const struct run_options *options, bool chat, const struct model *model,
                          struct token_list *ids, struct error *err) {
    struct text_buffer text = {0};
    bool fine = read_prompt(options, &text, err) &&
                (!chat || make_message(options, model, &text, err)) &&
                tokenizer_encode(model->tokenizer, text.bytes, text.length, !chat, ids, err) &&
                (ids->length > 0 || error_set(err, ERROR_INVALID, "the prompt is empty"));
    text_buffer_deinit(&text);
    return fine;
}

/* *status becomes that of the process. */
static bool answer_once(const struct run_options *options, bool chat, struct speaker *speaker,
                        int *status, struct error *err) {
    struct token_list ids = {0};
    struct reply reply = {0};
    bool fine = encode_prompt(options, chat, speaker_model(speaker), &ids, err);
    if (fine) {
        speaker_hear_interrupts();
        fine = speaker_say(speaker, &ids, !chat, &options->reply, &reply, err);
    }
    if (fine) {
        fine = (putchar('\n') != EOF && fflush(stdout) == 0) ||
               error_set(err, ERROR_IO, "cannot write standard output: %s", strerror(errno));
        *status = reply.finish == FINISH_CANCELLED ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    }
    if (fine && options->stats) {
        reply_print_statistics(&reply);
    }
    token_list_deinit(&ids);
    reply_deinit(&reply);
    return fine;
}

/* ---- Either ---- */

static bool is_typed(const struct run_options *options) {
    return options->prompt == NULL && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* Without --mode, what a person types is a message, and what comes from elsewhere is none. */
static bool check_system(const struct run_options *options, struct error *err) {
    bool text = options->mode != NULL ? strcmp(options->mode, "text") == 0 : !is_typed(options);
    return options->system == NULL || !text ||
           error_set(err, ERROR_INVALID,
                     "--system is the system message of a chat; use it with --mode chat");
}

static bool run(struct run_options *options, struct speaker *speaker, int *status,
                struct error *err) {
    const struct model *model = speaker_model(speaker);
    bool typed = is_typed(options);
    bool chat = options->mode != NULL
                    ? strcmp(options->mode, "chat") == 0
                    : typed && (model->chat_template != NULL || options->system != NULL);
    if (chat && model->chat_template == NULL) {
        return error_set(err, ERROR_UNSUPPORTED, "chat is not possible with \"%s\": %s", model->id,
                         model->chat_template_error.text);
    }
    if (!typed) {
        return answer_once(options, chat, speaker, status, err);
    }
    struct repl_options repl = {
        .speaker = speaker,
        .chat = chat,
        .system = options->system,
        .statistics = options->stats,
        .reply = &options->reply,
        .settings = &settings,
        .settings_values = options,
    };
    return repl_run(&repl, err);
}

int cmd_run(int argc, char **argv) {
    struct run_options options = {0};
    int status;
    if (!options_start(&run_command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct error err = {0};
    if (!check_system(&options, &err)) {
        options_report("run", &err);
        options_free(&run_command_line, &options);
        return EXIT_USAGE;
    }
    struct speaker *speaker = NULL;
    options.speaker.folder = strcmp(options.folder, "-") == 0 ? NULL : options.folder;
    status = EXIT_SUCCESS;
    if (!speaker_open(&speaker, &options.speaker, &err) || !run(&options, speaker, &status, &err)) {
        status = options_report("run", &err);
    }
    speaker_close(speaker);
    options_free(&run_command_line, &options);
    return status;
}
