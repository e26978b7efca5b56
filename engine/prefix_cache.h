/* The prefix cache: keys and values of tokens that were computed before, found again by the tokens.
 *
 * A tree of blocks of 16 tokens; a node stands for its block behind all blocks above it, and has
 * the pages that hold the block's keys and values, one for each group of the KV cache:
 *
 *     root ── "You are a he" ── "lpful bot.\n" ──┬── "What is a qu" ── ...
 *             [ 0: 7 | 1: 3 ]   [ 0: 8 | 1: - ]  └── "Tell me abou" ── ...
 *
 * Groups with a window need the pages of one window only to go on from a block, so a node may be
 * without theirs ('-'), and can then not be gone on from; but any node that still has a window of
 * them above itself can be.
 *
 * Every full block that a session computes is put here before its page leaves the session's
 * window, and stays when the session has ended, until pages run out. Then go, longest unused first,
 *
 *     1. windowed pages where no prompt or reply ended and no two prompts parted within a window:
 *        nobody is likely to go on from there,
 *     2. all other pages, leaves before what they hang from.
 *
 * A lookup compares tokens, not hashes: nobody ever gets another one's keys and values. What comes
 * from here has the same bits as if it were computed again (see executor.h).
 *
 * Invariants: a node is not removed while it has children or a cursor; no page is in two nodes; a
 * session holds the pages of every node from the root to its cursor that its rows can see.
 *
 * All memory is taken at open. Owned by one thread (the engine thread). A NULL cache is one that
 * holds nothing. */
#ifndef QUERN_ENGINE_PREFIX_CACHE_H
#define QUERN_ENGINE_PREFIX_CACHE_H

#include "engine/error.h"
#include "engine/kv_cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefix_cache;

/* `cache` must outlive it. There are `trees` trees, at least one: the same tokens have other keys
 * and values with another adapter, or where long RoPE tables rotate them (plan.h), and those are
 * kept apart. */
bool prefix_cache_open(struct prefix_cache **out, struct kv_cache *cache, size_t trees,
                       struct error *err);

/* All cursors have been released. */
void prefix_cache_close(struct prefix_cache *prefixes);

/* How far into its tree a session is: its first `blocks` blocks end at `node`. Begins as zeros. */
struct prefix_cursor {
    uint32_t tree;
    uint32_t node;
    size_t blocks;
};

/* Chooses the tree of a cursor that is at the beginning of one. */
void prefix_cursor_choose_tree(struct prefix_cursor *cursor, size_t tree);

/* Gives `sequence` the longest part of tokens[0, length) from which it can go on, where that is
 * longer than the `computed` positions that it has. At least one token is left to compute. Returns
 * the positions that the sequence has now. */
size_t prefix_cache_match(struct prefix_cache *prefixes, struct prefix_cursor *cursor,
                          const int32_t *tokens, size_t length, size_t computed,
                          struct kv_sequence *sequence);

/* Puts the full blocks of tokens[0, computed) here; to be called before the sequence gives back what
 * it no longer sees. Where a block is here already, the sequence gets its page for its own. */
void prefix_cache_insert(struct prefix_cache *prefixes, struct prefix_cursor *cursor,
                         const int32_t *tokens, size_t computed, struct kv_sequence *sequence);

/* Someone may go on from here: a prompt or a reply ends. */
void prefix_cache_mark(struct prefix_cache *prefixes, const struct prefix_cursor *cursor);

/* The session lets go; its blocks count as just used. The cursor is at the beginning of its tree. */
void prefix_cache_release(struct prefix_cache *prefixes, struct prefix_cursor *cursor);

/* Would two sessions that both have only prompt tokens before them compute the same block next? Then
 * one of them better waits for the other. */
bool prefix_cache_same_next(const struct prefix_cache *prefixes, const struct prefix_cursor *a,
                            const int32_t *a_tokens, size_t a_length, const struct prefix_cursor *b,
                            const int32_t *b_tokens, size_t b_length);

/* Forgets blocks until `pages` pages are free, or nothing is left to forget. */
void prefix_cache_make_room(struct prefix_cache *prefixes, size_t pages);

#endif
