/* Decoding: the texts of tokens to the text that they spell, one token at a time.
 *
 *     "▁Caf" "<0xC3>" "<0xA9>" ──replace──▶ " Caf" "<0xC3>" "<0xA9>" ──bytes──▶ " Caf" "é"
 *                              ──fuse──▶ " Café" ──strip──▶ "Café"
 *
 * Each step is handed the bytes of a token, or of a part of it, and whether the token ends there; it
 * hands on what is certain and keeps what may still change. What comes out at the end is always whole
 * characters, and the same whether it is read token by token or at once.
 *
 * A decoder is built by one thread and constant afterwards; a stream belongs to one thread. */
#ifndef QUERN_ENGINE_TEXT_TOKEN_DECODER_H
#define QUERN_ENGINE_TEXT_TOKEN_DECODER_H

#include "engine/error.h"
#include "engine/text/pattern.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>

/* (Hugging Face tokenizers, decoders) */
enum decoder_step_kind {
    DECODER_REPLACE,       /* each match of `pattern` within a token becomes `content` */
    DECODER_BYTE_FALLBACK, /* tokens <0x00> to <0xFF> are bytes. A run of them is the text that it
                              spells, or as many U+FFFD as it has bytes if it spells none: it can only
                              come out at its end */
    DECODER_FUSE,          /* all tokens become one */
    DECODER_STRIP,         /* up to `start` and `stop` of the character `content` go from the
                              beginning and the end of each token */
    DECODER_METASPACE,     /* `content` becomes a space, or nothing in the first token if `left` */
    DECODER_BYTE_LEVEL,    /* characters of the byte alphabet are bytes; all tokens become one */
    DECODER_JOIN,          /* a space goes before each token but the first */
};

/* Borrows its texts. */
struct decoder_step_definition {
    enum decoder_step_kind kind;
    struct pattern_definition pattern;
    struct token_text content;
    size_t start;
    size_t stop;
    bool left;
};

struct decoder_step;

struct token_decoder {
    struct decoder_step *steps;
    size_t count;
    bool fused; /* all tokens have become one */
};

/* Copies what is borrowed. ERROR_UNSUPPORTED for a step that needs whole tokens where they have been
 * fused to one. */
bool token_decoder_add(struct token_decoder *decoder,
                       const struct decoder_step_definition *definition, struct error *err);
void token_decoder_deinit(struct token_decoder *decoder);

struct decoder_stream;

/* What becomes of the tokens that a stream is handed. */
enum decoder_stream_kind {
    DECODER_STREAM_TEXT, /* together, from the first to the last, they are a text */
    DECODER_STREAM_BYTES, /* each by itself is what it adds amid a text: bytes, perhaps of only a part
                             of a character; nothing waits */
};

/* The decoder must outlive the stream. */
bool decoder_stream_open(struct decoder_stream **out, const struct token_decoder *decoder,
                         enum decoder_stream_kind kind, struct error *err);
void decoder_stream_close(struct decoder_stream *stream);

/* Before the first token: it is not the first of the text, but goes on from an earlier token. */
void decoder_stream_continue(struct decoder_stream *stream);

/* Appends to `output` what the next token lets be said. */
bool decoder_stream_push(struct decoder_stream *stream, struct token_text token,
                         struct text_buffer *output, struct error *err);

/* How many characters a run of bytes that waits has so far. */
size_t decoder_stream_waiting(const struct decoder_stream *stream);

/* After the last token: appends what still waits. */
bool decoder_stream_finish(struct decoder_stream *stream, struct text_buffer *output,
                           struct error *err);

#endif
