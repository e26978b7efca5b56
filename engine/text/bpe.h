/* Byte-pair encoding: a word's characters, merged pair by pair, lowest rank first.
 *
 *     "▁the"   ▁ t h e  ──(t h: rank 3)──▶  ▁ th e  ──(th e: rank 9)──▶  ▁ the  ──▶  ▁the
 *
 * Symbols form a linked list; candidates for merging wait in a heap ordered by rank, then position,
 * and are checked again when their turn comes. n characters cost O(n log n) time and O(n) memory.
 * (Hugging Face tokenizers, BPE) */
#ifndef QUERN_ENGINE_TEXT_BPE_H
#define QUERN_ENGINE_TEXT_BPE_H

#include "engine/error.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe_options {
    bool byte_fallback; /* an unknown character becomes its bytes, <0x00> to <0xFF>, if all of them
                           are tokens */
    bool fuse_unknown;  /* neighbouring unknown characters become one unknown token */
    int32_t unknown;    /* token for what is not in the vocabulary, or -1: it is dropped */
};

struct bpe {
    struct bpe_options options;
    struct merge *merges; /* open addressing, [merges_size], a power of two */
    size_t merges_size;
    size_t merge_count;
    int32_t byte_tokens[256]; /* -1 where there is none */
};

void bpe_init(struct bpe *bpe);
void bpe_deinit(struct bpe *bpe);

/* Adds the next merge; the first has rank 0. Both parts and what they make must be tokens:
 * ERROR_BAD_FILE. */
bool bpe_add_merge(struct bpe *bpe, const struct vocabulary *vocabulary, struct token_text left,
                   struct token_text right, struct error *err);

/* To be called once the vocabulary is complete. */
void bpe_finish(struct bpe *bpe, const struct vocabulary *vocabulary, struct bpe_options options);

/* Appends the tokens of `length` bytes of valid UTF-8. */
bool bpe_encode(const struct bpe *bpe, const struct vocabulary *vocabulary, const char *text,
                size_t length, struct token_list *ids, struct error *err);

#endif
