/* quern tokenize: JSON lines in, JSON lines out; text to ids and ids to text. */
#include "importer/json_reader.h"
#include "importer/model_dir.h"
#include "importer/tokenizer_file.h"
#include "server/commands.h"
#include "server/json_lines.h"
#include "server/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tokenize_options {
    const char *folder;
};

static const struct operand operands[] = {
    {.name = "MODEL_DIR",
     .offset = offsetof(struct tokenize_options, folder),
     .help = "folder with a tokenizer.json; without it, the embedded demo model"},
};

const struct command_line tokenize_command_line = {
    .command = "tokenize",
    .description =
        "Reads one JSON object a line from standard input and answers each with one line:\n"
        "  {\"text\": \"...\", \"add_special\": false}  ->  {\"ids\": [...]}\n"
        "  {\"ids\": [...], \"skip_special\": false}  ->  {\"text\": \"...\"}\n"
        "A line that is neither, or has an id of no token, is answered with {\"error\": \"...\"}.",
    .operands = operands,
    .operand_count = 1,
};

/* A line's request: the members that count. */
struct request {
    bool has_text;
    bool has_ids;
    struct text_buffer text;
    struct token_list ids;
    bool add_special;
    bool skip_special;
};

static void read_ids(struct json_reader *json, const struct tokenizer *tokenizer,
                     struct token_list *ids) {
    int64_t id;
    json_begin_array(json);
    while (json_next_element(json) && json_integer(json, &id)) {
        if (!tokenizer_has(tokenizer, id)) {
            error_set(&json->error, ERROR_INVALID,
                      "the id at index %zu is %" PRId64 ", which no token of the %zu has",
                      ids->length, id, tokenizer_vocabulary_size(tokenizer));
        } else if (!token_list_push(ids, (int32_t)id)) {
            error_set(&json->error, ERROR_OUT_OF_MEMORY, "no memory for the ids");
        }
    }
}

static void read_request(struct json_reader *json, const struct tokenizer *tokenizer,
                         struct request *request) {
    struct token_text key;
    struct token_text text;
    json_begin_object(json);
    while (json_next_key(json, &key)) {
        if (token_text_is(key, "text")) {
            request->text.length = 0; /* of equal keys the last counts */
            request->has_text = json_string(json, &text);
            if (request->has_text && !text_buffer_append(&request->text, text.bytes, text.length)) {
                error_set(&json->error, ERROR_OUT_OF_MEMORY, "no memory for the text");
            }
        } else if (token_text_is(key, "ids")) {
            request->has_ids = true;
            request->ids.length = 0;
            read_ids(json, tokenizer, &request->ids);
        } else if (token_text_is(key, "add_special")) {
            json_boolean(json, &request->add_special);
        } else if (token_text_is(key, "skip_special")) {
            json_boolean(json, &request->skip_special);
        } else {
            json_skip(json);
        }
    }
}

static void print_ids(const struct token_list *ids) {
    printf("{\"ids\": [");
    for (size_t i = 0; i < ids->length; i++) {
        printf(i == 0 ? "%d" : ", %d", ids->ids[i]);
    }
    puts("]}");
}

static bool answer(const struct tokenizer *tokenizer, const struct request *request,
                   struct error *err) {
    struct token_list ids = {0};
    struct text_buffer text = {0};
    bool ok;
    if (request->has_text) {
        ok = tokenizer_encode(tokenizer, request->text.bytes, request->text.length,
                              request->add_special, &ids, err);
        if (ok) {
            print_ids(&ids);
        }
    } else if (request->has_ids) {
        ok = tokenizer_decode(tokenizer, request->ids.ids, request->ids.length,
                              request->skip_special, &text, err);
        if (ok) {
            json_lines_print("text", text.bytes, text.length);
        }
    } else {
        ok = error_set(err, ERROR_INVALID,
                       "expected an object with a string \"text\" or an array \"ids\"");
    }
    token_list_deinit(&ids);
    text_buffer_deinit(&text);
    return ok;
}

static void answer_line(void *context, const char *line, size_t length) {
    const struct tokenizer *tokenizer = context;
    struct json_reader json;
    struct request request = {0};
    json_reader_init(&json, line, length);
    read_request(&json, tokenizer, &request);
    json_end(&json);
    struct error err = json.error;
    if (err.code != ERROR_NONE || !answer(tokenizer, &request, &err)) {
        json_lines_print("error", err.text, strlen(err.text));
    }
    text_buffer_deinit(&request.text);
    token_list_deinit(&request.ids);
    json_reader_deinit(&json);
}

int cmd_tokenize(int argc, char **argv) {
    struct tokenize_options options = {0};
    int status;
    if (!options_start(&tokenize_command_line, argc, argv, &options, &status)) {
        return status;
    }
    struct error err = {0};
    struct model_dir *folder = NULL;
    struct tokenizer *tokenizer = NULL;
    bool ok = model_dir_open(&folder, options.folder, &err);
    const struct model_file *file = ok ? model_dir_map(folder, "tokenizer.json", &err) : NULL;
    ok = file != NULL && (tokenizer_file_load(&tokenizer, file->bytes, file->size, &err) ||
                          error_prefix(&err, "tokenizer.json"));
    if (!ok) {
        if (folder != NULL && options.folder != NULL) {
            error_prefix(&err, "%.200s", options.folder);
        }
        status = options_report("tokenize", &err);
    } else {
        status = json_lines_run(answer_line, tokenizer) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    tokenizer_close(tokenizer);
    model_dir_close(folder);
    return status;
}
