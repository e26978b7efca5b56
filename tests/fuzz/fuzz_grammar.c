/* Any bytes as a form: behind a first byte that says which, a JSON Schema, a grammar in GBNF or a regular
 * expression. Should it be understood, texts are made by it, token by token, which must never come to
 * a dead end; those of a schema must be JSON. */
#include "engine/text/grammar/grammar_builder.h"
#include "engine/text/grammar/grammar_gbnf.h"
#include "engine/text/grammar/grammar_matcher.h"
#include "engine/text/grammar/grammar_regex.h"
#include "engine/text/utf8.h"
#include "server/json.h"
#include "server/schema/json_schema.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { TOKENS_MAX = 1200, WORDS = 200 };

/* A broken promise ends the program, so that the fuzzer keeps the input. */
static void require(bool promise) {
    if (!promise) {
        abort();
    }
}

/* Words of few letters, half of them with a blank, so many of each kind that they are judged at once. */
static size_t write_word(char *word, uint32_t *random, const char *letters) {
    size_t length = 0;
    *random = *random * 1664525u + 1013904223u;
    uint32_t draws = *random >> 8;
    if (draws % 2 == 0) {
        word[length++] = ' ';
    }
    for (draws /= 2; draws > 0 && length < 6; draws /= 16) {
        word[length++] = letters[draws % strlen(letters)];
    }
    return length;
}

/* A token for each byte, and some longer ones. */
static const struct token_trie *open_trie(void) {
    static const char *const words[] = {"\": \"", "{\"",  "\"}",           "], [",
                                        "true",   "null", "abc",           "12",
                                        "\n\n",   "\\u",  "\u00e9t\u00e9", "\xe2\x82"};
    static struct token_trie *trie;
    static const char *const alphabets[] = {"abcde", "ABe", "12,;", "a1 ."};
    static char pool[8192];
    static uint32_t offsets[TOKENS_MAX];
    static struct token_bytes tokens = {.pool = pool, .offsets = offsets};
    if (trie == NULL) {
        uint32_t end = 0;
        for (int byte = 0; byte < 256; byte++) {
            pool[end++] = (char)byte;
            offsets[++tokens.size] = end;
        }
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            memcpy(pool + end, words[i], strlen(words[i]));
            end += (uint32_t)strlen(words[i]);
            offsets[++tokens.size] = end;
        }
        uint32_t random = 1;
        for (size_t i = 0; i < WORDS * sizeof alphabets / sizeof *alphabets; i++) {
            end += (uint32_t)write_word(pool + end, &random, alphabets[i / WORDS]);
            offsets[++tokens.size] = end;
        }
        require(token_trie_open(&trie, &tokens, NULL));
    }
    return trie;
}

static grammar_expression build_schema(struct grammar_builder *builder, const char *text,
                                       size_t length) {
    cJSON *schema = NULL;
    struct error err = {0};
    grammar_expression root = json_parse(&schema, text, length, &err)
                                  ? json_schema(builder, schema)
                                  : grammar_fail(builder, err.code, "%s", err.text);
    cJSON_Delete(schema);
    return root;
}

static grammar_expression build(struct grammar_builder *builder, unsigned kind, const char *text,
                                size_t length) {
    const struct grammar_regex_style style = {.search = kind == 3};
    return kind == 0   ? build_schema(builder, text, length)
           : kind == 1 ? grammar_gbnf(builder, text, length)
                       : grammar_regex(builder, text, length, &style);
}

/* One of the tokens of the mask, or -1 if there is none. */
static int32_t draw(const uint64_t *mask, uint32_t *random) {
    int32_t allowed[TOKENS_MAX];
    size_t count = 0;
    for (int32_t id = 0; id < TOKENS_MAX; id++) {
        if ((mask[id / 64] >> id % 64 & 1) != 0) {
            allowed[count++] = id;
        }
    }
    *random = *random * 1664525u + 1013904223u;
    return count > 0 ? allowed[(*random >> 8) % count] : -1;
}

static void check_json(const struct text_buffer *text) {
    cJSON *value = NULL;
    require(json_parse(&value, text->bytes, text->length, NULL) ||
            text->length > JSON_DEPTH_MAX); /* it may be nested too deeply */
    cJSON_Delete(value);
}

static void say(struct grammar *grammar, uint32_t seed, size_t left, bool is_json) {
    struct grammar_matcher *matcher = NULL;
    struct text_buffer text = {0};
    require(grammar_matcher_open(&matcher, grammar, TOKENS_MAX, NULL));
    for (; left > 0 && !grammar_matcher_is_finished(matcher); left--) {
        int32_t token = draw(grammar_matcher_mask(matcher, left), &seed);
        if (token < 0) {
            require(grammar_matcher_accepts(matcher));
            break;
        }
        require(grammar_matcher_advance(matcher, token));
        struct token_text bytes = token_bytes_of(grammar->trie->tokens, (size_t)token);
        require(text_buffer_append(&text, bytes.bytes, bytes.length));
    }
    if (is_json && grammar_matcher_accepts(matcher)) {
        check_json(&text);
    }
    text_buffer_deinit(&text);
    grammar_matcher_close(matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct grammar_builder *builder = NULL;
    struct grammar *grammar = NULL;
    struct error err = {0};
    if (size == 0) {
        return 0;
    }
    unsigned kind = bytes[0] % 4;
    char *text = malloc(size);
    require(text != NULL && grammar_builder_open(&builder, open_trie(), NULL));
    memcpy(text, bytes + 1, size - 1);
    text[size - 1] = '\0';
    grammar_expression root = build(builder, kind, text, size - 1);
    if (grammar_builder_finish(builder, root, &grammar, &err)) {
        say(grammar, bytes[0], 40, kind == 0);
        say(grammar, bytes[0] + 1, 200, kind == 0);
        grammar_release(grammar);
    } else {
        require(err.code != ERROR_NONE && err.text[0] != '\0');
    }
    grammar_builder_close(builder);
    free(text);
    return 0;
}
