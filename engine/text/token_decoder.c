#include "engine/text/token_decoder.h"

#include "engine/text/byte_alphabet.h"
#include "engine/text/hexadecimal.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct decoder_step {
    enum decoder_step_kind kind;
    struct pattern pattern;
    struct text_buffer content;
    size_t start;
    size_t stop;
    bool left;
    bool fused;      /* it is handed one token only */
    size_t *borders; /* of a string pattern, see replace_string */
};

/* What a step remembers from one part to the next. */
struct step_state {
    size_t tokens;            /* that have ended */
    size_t matched;           /* replace: bytes of the pattern that wait */
    size_t cut;               /* strip: characters cut from the beginning of this token */
    bool inside;              /* strip: that is over */
    size_t waiting;           /* strip: characters that are cut if the token ends behind them */
    struct text_buffer bytes; /* byte fallback: the run; byte level: an unfinished character */
    size_t valid;             /* byte fallback: bytes of the run that are whole characters, */
    size_t characters;        /* and how many they are */
    struct text_buffer made;  /* what it hands on next */
    struct pattern_search search;
};

struct decoder_stream {
    const struct token_decoder *decoder;
    enum decoder_stream_kind kind;
    struct step_state *states; /* [decoder->count] */
    struct text_buffer *output;
    struct error *err;
};

/* What a replacement may make of a part of a token: few steps that each make ten letters of one would
 * make a gigabyte. */
enum { REPLACED_BYTES_MAX = 16 << 20 };

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for decoded text");
}

/* Hands a part of a token from step to step: the step with that index is next. */
static bool hand_on(struct decoder_stream *stream, size_t index, struct token_text bytes,
                    bool ends);

/* The same with what step `index` has made. */
static bool hand_on_made(struct decoder_stream *stream, size_t index, bool ends);

/* ---- Replace ---- */

/* borders[n]: the longest proper beginning of the pattern that its first n bytes end with, so that
 * after a mismatch no byte is looked at again. (Knuth, Morris, Pratt) */
static bool find_borders(struct decoder_step *step) {
    const struct text_buffer *string = &step->pattern.string;
    step->borders = calloc(string->length + 1, sizeof *step->borders);
    if (step->borders == NULL) {
        return false;
    }
    size_t border = 0;
    for (size_t n = 2; n <= string->length; n++) {
        while (border > 0 && string->bytes[border] != string->bytes[n - 1]) {
            border = step->borders[border];
        }
        border += string->bytes[border] == string->bytes[n - 1];
        step->borders[n] = border;
    }
    return true;
}

/* Reads bytes up to the next match or their end; appends what is certainly part of none. */
static bool search_match(const struct decoder_step *step, struct step_state *state,
                         struct token_text *bytes, bool *matches) {
    const struct text_buffer *pattern = &step->pattern.string;
    *matches = false;
    while (bytes->length > 0 && !*matches) {
        if (state->matched == 0) {
            const char *first = memchr(bytes->bytes, pattern->bytes[0], bytes->length);
            size_t before = first == NULL ? bytes->length : (size_t)(first - bytes->bytes);
            if (!text_buffer_append(&state->made, bytes->bytes, before)) {
                return false;
            }
            state->matched = first != NULL;
            bytes->bytes += before + state->matched;
            bytes->length -= before + state->matched;
        } else if (pattern->bytes[state->matched] == bytes->bytes[0]) {
            state->matched++;
            bytes->bytes++;
            bytes->length--;
        } else {
            /* What waits is always a beginning of the pattern itself. */
            size_t border = step->borders[state->matched];
            if (!text_buffer_append(&state->made, pattern->bytes, state->matched - border)) {
                return false;
            }
            state->matched = border;
        }
        *matches = state->matched == pattern->length;
    }
    return true;
}

static bool append_content(struct decoder_stream *stream, size_t index) {
    const struct text_buffer *content = &stream->decoder->steps[index].content;
    struct text_buffer *made = &stream->states[index].made;
    if (made->length + content->length > REPLACED_BYTES_MAX) {
        return error_set(stream->err, ERROR_UNSUPPORTED,
                         "the tokenizer's decoder makes more than %d bytes of a token",
                         REPLACED_BYTES_MAX);
    }
    return text_buffer_append(made, content->bytes, content->length) || no_memory(stream->err);
}

static bool replace_string(struct decoder_stream *stream, size_t index, struct token_text bytes,
                           bool ends) {
    const struct decoder_step *step = &stream->decoder->steps[index];
    struct step_state *state = &stream->states[index];
    bool matches = true;
    state->made.length = 0;
    while (matches) {
        if (!search_match(step, state, &bytes, &matches)) {
            return no_memory(stream->err);
        }
        if (matches) {
            state->matched = 0;
            if (!append_content(stream, index)) {
                return false;
            }
        }
    }
    if (ends) {
        if (!text_buffer_append(&state->made, step->pattern.string.bytes, state->matched)) {
            return no_memory(stream->err);
        }
        state->matched = 0;
    }
    return hand_on_made(stream, index, ends);
}

/* A token as a whole, see token_decoder_add. */
static bool replace_matches(struct decoder_stream *stream, size_t index, struct token_text token,
                            bool ends) {
    struct step_state *state = &stream->states[index];
    size_t copied = 0;
    bool found = true;
    state->made.length = 0;
    pattern_search_begin(&state->search, token);
    while (found) {
        size_t begin = token.length;
        size_t end = token.length;
        if (!pattern_search_next(&state->search, &found, &begin, &end, stream->err)) {
            return false;
        }
        begin = found ? begin : token.length;
        if (!text_buffer_append(&state->made, token.bytes + copied, begin - copied)) {
            return no_memory(stream->err);
        }
        if (found && !append_content(stream, index)) {
            return false;
        }
        copied = end;
    }
    return hand_on_made(stream, index, ends);
}

static bool replace(struct decoder_stream *stream, size_t index, struct token_text bytes,
                    bool ends) {
    bool string = stream->decoder->steps[index].pattern.kind == PATTERN_STRING;
    return string ? replace_string(stream, index, bytes, ends)
                  : replace_matches(stream, index, bytes, ends);
}

/* ---- Bytes ---- */

/* The byte that a token like <0x41> stands for, or -1. */
static int byte_of(struct token_text token) {
    if (token.length != 6 || memcmp(token.bytes, "<0x", 3) != 0 || token.bytes[5] != '>') {
        return -1;
    }
    int high = hexadecimal_digit(token.bytes[3]);
    int low = hexadecimal_digit(token.bytes[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool finish_bytes(struct decoder_stream *stream, size_t index) {
    struct step_state *state = &stream->states[index];
    const struct token_text run = {state->bytes.bytes, state->bytes.length};
    const struct token_text replacement = {UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT)};
    bool valid = state->valid == run.length;
    state->bytes.length = 0;
    state->valid = 0;
    state->characters = 0;
    if (valid) {
        return run.length == 0 || hand_on(stream, index + 1, run, true);
    }
    for (size_t i = 0; i < run.length; i++) {
        if (!hand_on(stream, index + 1, replacement, true)) {
            return false;
        }
    }
    return true;
}

static bool push_byte(struct step_state *state, char byte) {
    if (!text_buffer_append(&state->bytes, &byte, 1)) {
        return false;
    }
    size_t whole =
        utf8_character(state->bytes.bytes + state->valid, state->bytes.length - state->valid);
    state->valid += whole;
    state->characters += whole > 0;
    return true;
}

static bool byte_fallback(struct decoder_stream *stream, size_t index, struct token_text token,
                          bool ends) {
    int byte = byte_of(token);
    if (byte >= 0 && stream->kind == DECODER_STREAM_BYTES) {
        /* No later step can do anything with it: it may be no character. */
        return text_buffer_append(stream->output, &(char){(char)byte}, 1) || no_memory(stream->err);
    }
    if (byte >= 0) {
        return push_byte(&stream->states[index], (char)byte) || no_memory(stream->err);
    }
    return finish_bytes(stream, index) && hand_on(stream, index + 1, token, ends);
}

/* Whole characters of the bytes that wait; U+FFFD for each beginning of a character that cannot be
 * continued, and at the end of everything for one that is not. (Unicode Standard 16.0, 3.9.6) */
static bool decode_bytes(struct step_state *state, bool all) {
    const char *bytes = state->bytes.bytes;
    size_t length = state->bytes.length;
    size_t at = 0;
    while (at < length) {
        size_t valid = utf8_valid_prefix(bytes + at, length - at);
        if (!text_buffer_append(&state->made, bytes + at, valid)) {
            return false;
        }
        at += valid;
        size_t bad = 0; /* bytes that begin a character, as far as that goes */
        while (at + bad < length && utf8_may_continue(bytes + at, bad + 1)) {
            bad++;
        }
        if (at == length || (at + bad == length && !all)) {
            break;
        }
        at += bad > 0 ? bad : 1;
        if (!text_buffer_append(&state->made, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT))) {
            return false;
        }
    }
    memmove(state->bytes.bytes, bytes + at, length - at);
    state->bytes.length = length - at;
    return true;
}

/* The bytes that the characters of a token stand for; of a token with any other character its own
 * bytes. */
static bool append_token_bytes(struct text_buffer *output, struct token_text token) {
    size_t before = output->length;
    for (size_t at = 0; at < token.length;) {
        size_t bytes = utf8_character(token.bytes + at, token.length - at);
        int byte = byte_alphabet_byte(utf8_decode(token.bytes + at, bytes));
        if (byte < 0) {
            output->length = before;
            return text_buffer_append(output, token.bytes, token.length);
        }
        if (!text_buffer_append(output, &(char){(char)byte}, 1)) {
            return false;
        }
        at += bytes;
    }
    return true;
}

static bool byte_level(struct decoder_stream *stream, size_t index, struct token_text token,
                       bool ends) {
    struct step_state *state = &stream->states[index];
    (void)ends;
    if (stream->kind == DECODER_STREAM_BYTES) {
        return append_token_bytes(stream->output, token) || no_memory(stream->err);
    }
    state->made.length = 0;
    if (!append_token_bytes(&state->bytes, token) || !decode_bytes(state, false)) {
        return no_memory(stream->err);
    }
    return hand_on_made(stream, index, false);
}

static bool finish_byte_level(struct decoder_stream *stream, size_t index) {
    struct step_state *state = &stream->states[index];
    state->made.length = 0;
    return (decode_bytes(state, true) || no_memory(stream->err)) &&
           hand_on_made(stream, index, true);
}

/* ---- The others ---- */

static bool fuse(struct decoder_stream *stream, size_t index, struct token_text bytes, bool ends) {
    return hand_on(stream, index + 1, bytes, ends && stream->kind == DECODER_STREAM_BYTES);
}

static bool finish_fuse(struct decoder_stream *stream, size_t index) {
    return hand_on(stream, index + 1, (struct token_text){"", 0}, true);
}

static bool is_content(const struct decoder_step *step, const char *character, size_t bytes) {
    return bytes == step->content.length && memcmp(character, step->content.bytes, bytes) == 0;
}

static bool append_contents(const struct decoder_step *step, size_t count,
                            struct text_buffer *output) {
    for (size_t i = 0; i < count; i++) {
        if (!text_buffer_append(output, step->content.bytes, step->content.length)) {
            return false;
        }
    }
    return true;
}

/* One more character, which is not cut from the beginning. */
static bool keep_character(const struct decoder_step *step, struct step_state *state,
                           const char *character, size_t bytes) {
    if (is_content(step, character, bytes) && state->waiting < step->stop) {
        state->waiting++;
        return true;
    }
    /* Of more such characters than are cut at the end, the first is kept. */
    size_t sure = is_content(step, character, bytes) ? 0 : state->waiting;
    state->waiting -= sure;
    return append_contents(step, sure, &state->made) &&
           text_buffer_append(&state->made, character, bytes);
}

static bool strip(struct decoder_stream *stream, size_t index, struct token_text text, bool ends) {
    const struct decoder_step *step = &stream->decoder->steps[index];
    struct step_state *state = &stream->states[index];
    if (step->fused && stream->kind == DECODER_STREAM_BYTES) {
        return hand_on(stream, index + 1, text, ends); /* neither its beginning nor its end */
    }
    state->made.length = 0;
    for (size_t at = 0; at < text.length;) {
        size_t bytes = utf8_character(text.bytes + at, text.length - at);
        state->inside =
            state->inside || state->cut == step->start || !is_content(step, text.bytes + at, bytes);
        state->cut += !state->inside;
        if (state->inside && !keep_character(step, state, text.bytes + at, bytes)) {
            return no_memory(stream->err);
        }
        at += bytes;
    }
    if (ends) {
        state->cut = 0;
        state->waiting = 0;
        state->inside = false;
    }
    return hand_on_made(stream, index, ends);
}

static bool metaspace(struct decoder_stream *stream, size_t index, struct token_text text,
                      bool ends) {
    const struct decoder_step *step = &stream->decoder->steps[index];
    struct step_state *state = &stream->states[index];
    bool drops = step->left && state->tokens == 0 && stream->kind == DECODER_STREAM_TEXT;
    state->made.length = 0;
    for (size_t at = 0; at < text.length;) {
        size_t bytes = utf8_character(text.bytes + at, text.length - at);
        bool space = is_content(step, text.bytes + at, bytes);
        if (!text_buffer_append(&state->made, space ? " " : text.bytes + at,
                                !space  ? bytes
                                : drops ? 0
                                        : 1)) {
            return no_memory(stream->err);
        }
        at += bytes;
    }
    state->tokens += ends;
    return hand_on_made(stream, index, ends);
}

static bool join(struct decoder_stream *stream, size_t index, struct token_text text, bool ends) {
    struct step_state *state = &stream->states[index];
    bool first = state->tokens == 0 && stream->kind == DECODER_STREAM_TEXT;
    if (!first && !hand_on(stream, index + 1, (struct token_text){" ", 1}, false)) {
        return false;
    }
    state->tokens += ends;
    return hand_on(stream, index + 1, text, ends);
}

/* ---- All steps ---- */

static const struct decoder_kind {
    const char *name;
    /* A part of a token; `ends`: its last one. */
    bool (*take)(struct decoder_stream *stream, size_t index, struct token_text bytes, bool ends);
    /* There are no more tokens; NULL: nothing waits. */
    bool (*finish)(struct decoder_stream *stream, size_t index);
    bool needs_whole_tokens;
    bool fuses;
} kinds[] = {
    [DECODER_REPLACE] = {"Replace", replace, NULL, false, false},
    [DECODER_BYTE_FALLBACK] = {"ByteFallback", byte_fallback, finish_bytes, true, false},
    [DECODER_FUSE] = {"Fuse", fuse, finish_fuse, false, true},
    [DECODER_STRIP] = {"Strip", strip, NULL, false, false},
    [DECODER_METASPACE] = {"Metaspace", metaspace, NULL, false, false},
    [DECODER_BYTE_LEVEL] = {"ByteLevel", byte_level, finish_byte_level, true, true},
    [DECODER_JOIN] = {"Join", join, NULL, true, false},
};

static bool hand_on(struct decoder_stream *stream, size_t index, struct token_text bytes,
                    bool ends) {
    if (index == stream->decoder->count) {
        return text_buffer_append(stream->output, bytes.bytes, bytes.length) ||
               no_memory(stream->err);
    }
    return kinds[stream->decoder->steps[index].kind].take(stream, index, bytes, ends);
}

static bool hand_on_made(struct decoder_stream *stream, size_t index, bool ends) {
    const struct text_buffer *made = &stream->states[index].made;
    return hand_on(stream, index + 1, (struct token_text){made->bytes, made->length}, ends);
}

/* ---- Building ---- */

static void step_deinit(struct decoder_step *step) {
    pattern_deinit(&step->pattern);
    text_buffer_deinit(&step->content);
    free(step->borders);
}

static bool step_init(struct decoder_step *step, const struct decoder_step_definition *definition,
                      struct error *err) {
    *step = (struct decoder_step){.kind = definition->kind,
                                  .start = definition->start,
                                  .stop = definition->stop,
                                  .left = definition->left};
    bool ok =
        text_buffer_append(&step->content, definition->content.bytes, definition->content.length) ||
        no_memory(err);
    if (step->kind == DECODER_REPLACE) {
        ok = ok && pattern_init(&step->pattern, &definition->pattern, err) &&
             (step->pattern.kind != PATTERN_STRING || find_borders(step) || no_memory(err));
    }
    if (!ok) {
        step_deinit(step);
    }
    return ok;
}

bool token_decoder_add(struct token_decoder *decoder,
                       const struct decoder_step_definition *definition, struct error *err) {
    const struct decoder_kind *kind = &kinds[definition->kind];
    bool whole = kind->needs_whole_tokens || (definition->kind == DECODER_REPLACE &&
                                              definition->pattern.kind != PATTERN_STRING);
    if (whole && decoder->fused) {
        return error_set(err, ERROR_UNSUPPORTED,
                         "the decoder %s behind one that makes all tokens one is not supported",
                         kind->name);
    }
    struct decoder_step *steps = realloc(decoder->steps, (decoder->count + 1) * sizeof *steps);
    if (steps == NULL) {
        return no_memory(err);
    }
    decoder->steps = steps;
    if (!step_init(&steps[decoder->count], definition, err)) {
        return false;
    }
    steps[decoder->count++].fused = decoder->fused;
    decoder->fused = decoder->fused || kind->fuses;
    return true;
}

void token_decoder_deinit(struct token_decoder *decoder) {
    for (size_t i = 0; i < decoder->count; i++) {
        step_deinit(&decoder->steps[i]);
    }
    free(decoder->steps);
    *decoder = (struct token_decoder){0};
}

/* ---- Streams ---- */

bool decoder_stream_open(struct decoder_stream **out, const struct token_decoder *decoder,
                         enum decoder_stream_kind kind, struct error *err) {
    struct decoder_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL ||
        (stream->states = calloc(decoder->count + 1, sizeof *stream->states)) == NULL) {
        free(stream);
        return no_memory(err);
    }
    stream->decoder = decoder;
    stream->kind = kind;
    bool ok = true;
    for (size_t i = 0; ok && i < decoder->count; i++) {
        struct step_state *state = &stream->states[i];
        ok =
            (text_buffer_append(&state->made, "", 0) && text_buffer_append(&state->bytes, "", 0)) ||
            no_memory(err);
        ok = ok && (decoder->steps[i].kind != DECODER_REPLACE ||
                    pattern_search_init(&state->search, &decoder->steps[i].pattern, err));
    }
    if (!ok) {
        decoder_stream_close(stream);
        return false;
    }
    *out = stream;
    return true;
}

void decoder_stream_close(struct decoder_stream *stream) {
    if (stream == NULL) {
        return;
    }
    for (size_t i = 0; i < stream->decoder->count; i++) {
        text_buffer_deinit(&stream->states[i].bytes);
        text_buffer_deinit(&stream->states[i].made);
        pattern_search_deinit(&stream->states[i].search);
    }
    free(stream->states);
    free(stream);
}

void decoder_stream_continue(struct decoder_stream *stream) {
    for (size_t i = 0; i < stream->decoder->count; i++) {
        stream->states[i].tokens = 1;
        stream->states[i].inside = stream->decoder->steps[i].fused;
    }
}

size_t decoder_stream_waiting(const struct decoder_stream *stream) {
    size_t characters = 0;
    for (size_t i = 0; i < stream->decoder->count; i++) {
        characters += stream->states[i].characters;
    }
    return characters;
}

bool decoder_stream_push(struct decoder_stream *stream, struct token_text token,
                         struct text_buffer *output, struct error *err) {
    stream->output = output;
    stream->err = err;
    return hand_on(stream, 0, token, true);
}

bool decoder_stream_finish(struct decoder_stream *stream, struct text_buffer *output,
                           struct error *err) {
    bool ok = true;
    stream->output = output;
    stream->err = err;
    for (size_t i = 0; ok && i < stream->decoder->count; i++) {
        const struct decoder_kind *kind = &kinds[stream->decoder->steps[i].kind];
        ok = kind->finish == NULL || kind->finish(stream, i);
    }
    return ok;
}
