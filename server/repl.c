#include "server/repl.h"

#include "server/line_editor.h"
#include "server/terminal.h"
#include "server/transcript.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct repl {
    const struct repl_options *options;
    const struct model *model;
    const struct terminal_styles *styles; /* of standard output */
    struct transcript transcript;
    bool statistics;
    bool done;
};

/* ---- Saying something else than answers ---- */

__attribute__((format(printf, 2, 3))) static void remark(const struct repl *repl,
                                                         const char *format, ...) {
    va_list arguments;
    fputs(repl->styles->faint, stdout);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("%s\n", repl->styles->plain);
}

static void complain(const struct repl *repl, const struct error *err) {
    printf("%s%s%s\n", repl->styles->wrong, err->text, repl->styles->plain);
}

/* ---- Answers ---- */

static bool encode(const struct repl *repl, const struct text_buffer *text, bool add_special,
                   struct token_list *ids, struct error *err) {
    return tokenizer_encode(repl->model->tokenizer, text->bytes, text->length, add_special, ids,
                            err) &&
           (ids->length > 0 || error_set(err, ERROR_INVALID, "there is nothing to answer"));
}

static void tell_end(const struct repl *repl, const struct reply *reply) {
    size_t length = reply->text.length;
    if (length == 0 || reply->text.bytes[length - 1] != '\n') {
        putchar('\n');
    }
    if (reply->finish == FINISH_CANCELLED) {
        remark(repl, "[stopped]");
    } else if (reply->finish == FINISH_LENGTH) {
        bool full = reply->tokens < repl->options->reply->max_tokens;
        remark(repl,
               full ? "[the context is full; /reset begins anew]"
                    : "[cut off after %zu tokens; /set max-tokens N allows more]",
               reply->tokens);
    }
    if (repl->statistics) {
        reply_print_statistics(reply);
    }
}

/* Says the answer to a prompt. `answer` gets its text. */
static bool say(struct repl *repl, const struct text_buffer *prompt, struct reply *answer,
                struct error *err) {
    bool chat = repl->options->chat;
    struct token_list ids = {0};
    /* A chat template writes the special tokens itself, BOS among them. */
    bool fine = encode(repl, prompt, !chat, &ids, err) &&
                speaker_say(repl->options->speaker, &ids, !chat, repl->options->reply, answer, err);
    if (fine) {
        tell_end(repl, answer);
    }
    token_list_deinit(&ids);
    return fine;
}

/* Answers the messages that there are. */
static bool say_next_message(struct repl *repl, struct error *err) {
    struct text_buffer prompt = {0};
    struct reply answer = {0};
    bool fine =
        transcript_prompt(&repl->transcript, repl->model->chat_template, &prompt, err) &&
        say(repl, &prompt, &answer, err) &&
        transcript_add(&repl->transcript, "assistant", answer.text.bytes, answer.text.length, err);
    text_buffer_deinit(&prompt);
    reply_deinit(&answer);
    return fine;
}

static bool answer_message(struct repl *repl, const char *text, struct error *err) {
    size_t before = repl->transcript.count;
    bool fine = transcript_add(&repl->transcript, "user", text, strlen(text), err) &&
                say_next_message(repl, err);
    if (!fine) {
        transcript_cut(&repl->transcript, before);
    }
    return fine;
}

static bool continue_text(struct repl *repl, const char *text, struct error *err) {
    struct text_buffer prompt = {0};
    struct reply answer = {0};
    bool fine = (text_buffer_append(&prompt, text, strlen(text)) ||
                 error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the text")) &&
                say(repl, &prompt, &answer, err);
    text_buffer_deinit(&prompt);
    reply_deinit(&answer);
    return fine;
}

/* ---- Commands ---- */

static bool do_help(struct repl *repl, const char *argument, struct error *err);

static bool do_reset(struct repl *repl, const char *argument, struct error *err) {
    (void)argument, (void)err;
    transcript_cut(&repl->transcript, 0);
    remark(repl, "A new conversation.");
    return true;
}

static bool do_system(struct repl *repl, const char *argument, struct error *err) {
    if (!transcript_set_system(&repl->transcript, argument, err)) {
        return false;
    }
    remark(repl, argument[0] != '\0' ? "The system message is set." : "No system message.");
    return true;
}

static bool do_retry(struct repl *repl, const char *argument, struct error *err) {
    (void)argument;
    if (repl->transcript.count == 0) {
        return error_set(err, ERROR_INVALID, "There is no answer yet.");
    }
    transcript_cut(&repl->transcript, repl->transcript.count - 1);
    if (!say_next_message(repl, err)) {
        transcript_cut(&repl->transcript, repl->transcript.count - 1);
        return false;
    }
    return true;
}

static bool do_save(struct repl *repl, const char *argument, struct error *err) {
    if (argument[0] == '\0') {
        return error_set(err, ERROR_INVALID, "/save needs the name of a file.");
    }
    if (!transcript_save(&repl->transcript, argument, err)) {
        return false;
    }
    remark(repl, "Saved %zu messages.", repl->transcript.count);
    return true;
}

static bool do_set(struct repl *repl, const char *argument, struct error *err) {
    const struct command_line *settings = repl->options->settings;
    void *values = repl->options->settings_values;
    static const char margin[] = "                              "; /* 30 columns */
    size_t length = strcspn(argument, " \t=");
    if (length == 0) {
        for (size_t i = 0; i < settings->option_count; i++) {
            const struct option *option = &settings->options[i];
            char text[32];
            printf("  %-20s%-8s%s", option->name, option_value_text(option, values, text),
                   repl->styles->faint);
            options_print_text(option->help, margin, stdout);
            fputs(repl->styles->plain, stdout);
        }
        return true;
    }
    const struct option *option = option_find(settings, argument, length);
    if (option == NULL) {
        return error_set(err, ERROR_INVALID, "There is no setting \"%.*s\"; /set alone lists them.",
                         (int)(length < 40 ? length : 40), argument);
    }
    const char *value = argument + length + strspn(argument + length, " \t=");
    return option_read(option, option->name, value, values, err);
}

static bool do_statistics(struct repl *repl, const char *argument, struct error *err) {
    (void)argument, (void)err;
    repl->statistics = !repl->statistics;
    remark(repl,
           repl->statistics ? "Answers are followed by how fast they came." : "No more figures.");
    return true;
}

static bool do_exit(struct repl *repl, const char *argument, struct error *err) {
    (void)argument, (void)err;
    repl->done = true;
    return true;
}

static const struct repl_command {
    const char *name;
    const char *argument; /* what help calls it */
    const char *help;
    bool chat_only;
    bool (*run)(struct repl *repl, const char *argument, struct error *err);
} commands[] = {
    {"/help", "", "this list", false, do_help},
    {"/reset", "", "forget the conversation", true, do_reset},
    {"/system", "[TEXT]", "set the system message, or take it away", true, do_system},
    {"/retry", "", "answer the last message again", true, do_retry},
    {"/save", "FILE", "write the conversation to a new file, as JSON", true, do_save},
    {"/set", "[NAME VALUE]", "change how answers are made, or list the settings", false, do_set},
    {"/stats", "", "say after each answer how fast it came, or no longer", false, do_statistics},
    {"/exit", "", "end, as Ctrl-D does", false, do_exit},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static bool do_help(struct repl *repl, const char *argument, struct error *err) {
    (void)argument, (void)err;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (repl->options->chat || !commands[i].chat_only) {
            printf("  %-8s%-14s%s%s%s\n", commands[i].name, commands[i].argument,
                   repl->styles->faint, commands[i].help, repl->styles->plain);
        }
    }
    remark(repl, "Alt-Enter, or a backslash before Enter, begins another line. Ctrl-C stops an\n"
                 "answer. Two slashes begin a message that begins with one.");
    return true;
}

static bool obey(struct repl *repl, const char *entry, struct error *err) {
    size_t length = strcspn(entry, " \t\n");
    struct suggestion suggestion = {0};
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1),
             entry);
    suggestion.word = word;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!repl->options->chat && commands[i].chat_only) {
            continue;
        }
        if (strlen(commands[i].name) == length && strncmp(commands[i].name, entry, length) == 0) {
            const char *argument = entry + length + strspn(entry + length, " \t\n");
            return commands[i].run(repl, argument, err);
        }
        suggestion_offer(&suggestion, commands[i].name);
    }
    return error_set(err, ERROR_INVALID, "There is no command %s%s%s; /help lists them.", word,
                     suggestion.name != NULL ? "; did you mean " : "",
                     suggestion.name != NULL ? suggestion.name : "");
}

/* ---- The loop ---- */

static void take_entry(struct repl *repl, const char *entry) {
    struct error err = {0};
    bool fine = true;
    if (entry[strspn(entry, " \t\n")] == '\0') {
        return;
    }
    if (entry[0] == '/' && entry[1] != '/') {
        fine = obey(repl, entry, &err);
    } else {
        entry += entry[0] == '/';
        fine = repl->options->chat ? answer_message(repl, entry, &err)
                                   : continue_text(repl, entry, &err);
    }
    if (!fine) {
        complain(repl, &err);
    }
}

static void greet(const struct repl *repl) {
    const struct model *model = repl->model;
    if (!repl->options->chat && model->chat_template == NULL) {
        remark(repl, "%s continues what you type; chat is not possible: %s", model->id,
               model->chat_template_error.text);
    } else {
        remark(repl,
               repl->options->chat ? "%s answers what you type." : "%s continues what you type.",
               model->id);
    }
    remark(repl, "/help lists commands, Ctrl-D ends.");
}

bool repl_run(const struct repl_options *options, struct error *err) {
    struct repl repl = {
        .options = options,
        .model = speaker_model(options->speaker),
        .styles = terminal_styles_of(stdout),
        .statistics = options->statistics,
    };
    const char *words[COMMAND_COUNT + 1] = {0};
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        words[i] = commands[i].name;
    }
    struct line_editor *editor = NULL;
    bool fine = (options->system == NULL ||
                 transcript_set_system(&repl.transcript, options->system, err)) &&
                line_editor_open(&editor, words, err);
    if (fine) {
        greet(&repl);
    }
    const char *entry = NULL;
    while (fine && !repl.done && (entry = line_editor_read(editor)) != NULL) {
        speaker_hear_interrupts();
        take_entry(&repl, entry);
    }
    if (fine && entry == NULL) {
        putchar('\n');
    }
    line_editor_close(editor);
    transcript_deinit(&repl.transcript);
    return fine;
}
