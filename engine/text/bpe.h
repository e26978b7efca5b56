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
    bool ignore_merges; /* a word that is a token is that token, whatever the merges make of it */
    int32_t unknown;    /* token for what is not in the vocabulary, or -1: it is dropped */
};

/* Merges are added in batches, because looking texts up in batches is much faster: the 514906 merges
 * of Gemma 3 are most of the time that its tokenizer takes to load. */
enum { MERGES_WAITING_MAX = VOCABULARY_BATCH / 3 };

struct waiting_merge {
    size_t left_length;
    size_t right_length;
};

struct bpe {
    struct bpe_options options;
    struct merge *merges; /* open addressing, [merges_size], a power of two */
    size_t merges_size;
    uint64_t multiplier; /* of the hash, of this process's own */
    size_t merge_count;
    int32_t byte_tokens[256];            /* -1 where there is none */
    struct character_tokens *characters; /* tokens of one character */
    struct waiting_merge waiting[MERGES_WAITING_MAX];
    size_t waiting_count;
    struct text_buffer waiting_text; /* left, right, left, right ... of the waiting merges */
};

/* The memory that a word takes on its way, which the next word uses again. Start from {0}. */
struct bpe_word {
    struct symbol *symbols; /* [capacity] */
    struct candidate *heap; /* [3 * capacity] */
    size_t capacity;
};
void bpe_word_deinit(struct bpe_word *memory);

void bpe_init(struct bpe *bpe);
void bpe_deinit(struct bpe *bpe);

/* Adds the next merge; the first has rank 0. Both parts and what they make must be tokens already,
 * or a later call or bpe_finish says ERROR_BAD_FILE. */
bool bpe_add_merge(struct bpe *bpe, const struct vocabulary *vocabulary, struct token_text left,
                   struct token_text right, struct error *err);

/* To be called once the vocabulary is complete. */
bool bpe_finish(struct bpe *bpe, const struct vocabulary *vocabulary, struct bpe_options options,
                struct error *err);

/* Appends the tokens of `length` bytes of valid UTF-8. */
bool bpe_encode(const struct bpe *bpe, const struct vocabulary *vocabulary, const char *text,
                size_t length, struct bpe_word *memory, struct token_list *ids, struct error *err);

#endif
