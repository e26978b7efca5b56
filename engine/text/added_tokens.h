/* Added tokens: texts like <bos> or <start_of_turn> that are cut out of the input before anything
 * else looks at it.
 *
 * A trie over bytes finds the leftmost, and there the longest, of several thousand. Its edges are
 * one open-addressing table (node, byte) -> node. Built by one thread, constant afterwards. */
#ifndef QUERN_ENGINE_TEXT_ADDED_TOKENS_H
#define QUERN_ENGINE_TEXT_ADDED_TOKENS_H

#include "engine/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct added_token {
    int32_t id;
    bool special;     /* skip_special leaves it out of decoded text */
    bool normalized;  /* it is looked for after normalization, not before */
    bool single_word; /* it counts only where no word character touches it */
    bool strip_left;  /* it takes the white space before it along */
    bool strip_right; /* and after it */
};

struct added_tokens {
    struct added_token *tokens;
    size_t count;
    size_t capacity;
    struct trie_edge *edges; /* [edges_size], a power of two */
    size_t edges_size;
    uint64_t multiplier; /* of the hash, of this process's own */
    size_t edges_used;
    int32_t *endings; /* [nodes_capacity], by node: index of the token that ends there, or -1 */
    size_t node_count;
    size_t nodes_capacity;
    bool begins[256]; /* does a text begin with this byte? */
};

void added_tokens_init(struct added_tokens *added);
void added_tokens_deinit(struct added_tokens *added);

/* Adds a token with its text. A text that is there already, or is empty, is left as it is. */
bool added_tokens_add(struct added_tokens *added, const struct added_token *token, const char *text,
                      size_t length, struct error *err);

/* The matches in a text, from left to right. */
struct added_search {
    const struct added_tokens *added;
    const char *text; /* valid UTF-8 */
    size_t length;
    bool literal;     /* special tokens are text like any other */
    size_t at;        /* where the next match may begin */
    size_t taken;     /* the end of the last match with the white space that it took */
    size_t space_end; /* the end of the white space that was looked at last */
};

struct added_match {
    const struct added_token *token; /* NULL: there is none */
    size_t begin;
    size_t end;
};

/* The next match, with the white space that it takes; without one, the text's end. What lies before
 * it, [search->taken before the call, begin), is text; it may be empty or, where white space was taken
 * that is a token itself, less than that. (Hugging Face tokenizers, AddedVocabulary) */
struct added_match added_search_next(struct added_search *search);

#endif
