/* The KV cache: pages of 16 positions from one pool, and a block table for each sequence and layer
 * group.
 *
 * Layers with the same window and shape belong to one class; each class is cut into groups of the
 * same number of layers (the greatest common divisor of the class sizes), so that pages of all
 * groups have one size and come from one pool. Gemma-3-1b: 22 windowed and 4 full layers make 11 +
 * 2 groups of 2 layers.
 *
 *     page of a group = [layer 0 | layer 1 | ...]     layer = [KV head 0 | KV head 1 | ...]
 *     KV head         = [keys (head_dim, 16) | values (16, head_dim)]          see kernels.h
 *
 *     sequence  group 0: block table  [ 7][ 3][12][  ]     position p is in block p / 16, slot p %
 * 16 group 1: block table  [ -][ -][ 9][  ]     '-': behind the window, given back
 *
 * A windowed group gives a page back as soon as no later row can see it, so its cost is bounded by
 * the window.
 *
 * A page may be in the block tables of several sequences, and the prefix cache (prefix_cache.h) may
 * keep it when none has it any more. Only full pages are shared, so that nobody writes to one.
 *
 * Invariants: a page is free while no table holds it and the prefix cache does not keep it; the live
 * blocks of a group are [first_block, end_block).
 *
 * Owned by one thread (the engine thread); workers only read block tables during a step. Nothing
 * here locks. */
#ifndef QUERN_ENGINE_KV_CACHE_H
#define QUERN_ENGINE_KV_CACHE_H

#include "engine/error.h"
#include "engine/kernels/kernels.h"
#include "engine/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_cache;

/* Reserves address space for `pages` pages; memory is used as pages are first written. */
bool kv_cache_open(struct kv_cache **out, const struct plan *plan, enum kv_type type, size_t pages,
                   struct error *err);
void kv_cache_close(struct kv_cache *cache);

size_t kv_cache_pages_total(const struct kv_cache *cache);
size_t kv_cache_pages_free(const struct kv_cache *cache);
size_t kv_cache_pages_held(const struct kv_cache *cache); /* by sequences */
size_t kv_cache_page_bytes(const struct kv_cache *cache);
size_t kv_cache_group_count(const struct kv_cache *cache);

/* The window of a group's layers; 0: all positions stay visible. */
size_t kv_cache_window(const struct kv_cache *cache, size_t group);

/* The first block of a group that a row at `position` sees. */
size_t kv_cache_first_visible(const struct kv_cache *cache, size_t group, size_t position);

/* ---- Pages ---- */

/* A block table takes a page that is not free, or lets go of it. */
void kv_page_hold(struct kv_cache *cache, uint32_t page);
void kv_page_let_go(struct kv_cache *cache, uint32_t page);
bool kv_page_is_held(const struct kv_cache *cache, uint32_t page);

/* The prefix cache keeps a page that is held, or forgets it. */
void kv_page_keep(struct kv_cache *cache, uint32_t page);
void kv_page_forget(struct kv_cache *cache, uint32_t page);

/* ---- One sequence ---- */

/* The most pages that one sequence of `positions` positions holds at any time, if no step adds more
 * than `step` positions to it. kv_plan_pages says the same before a cache exists. */
size_t kv_cache_pages_needed(const struct kv_cache *cache, size_t positions, size_t step);
bool kv_plan_pages(const struct plan *plan, size_t positions, size_t step, size_t *pages,
                   struct error *err);

struct kv_block_table {
    uint32_t *pages; /* [blocks_max], by block */
    size_t first_block;
    size_t end_block;
};

struct kv_sequence {
    struct kv_block_table *tables; /* [kv_cache_group_count] */
    size_t blocks_max;
};

/* Tables for up to `positions` positions, no pages yet. */
bool kv_sequence_open(struct kv_sequence *sequence, const struct kv_cache *cache, size_t positions,
                      struct error *err);

/* Gives all pages back and frees the tables. A zeroed sequence is fine. */
void kv_sequence_close(struct kv_sequence *sequence, struct kv_cache *cache);

/* Pages in the tables, and pages still missing for positions up to `end` (exclusive). */
size_t kv_sequence_pages(const struct kv_sequence *sequence, const struct kv_cache *cache);
size_t kv_sequence_missing(const struct kv_sequence *sequence, const struct kv_cache *cache,
                           size_t end);

/* Takes the missing pages. False, and nothing taken, where the pool has too few free ones. */
bool kv_sequence_reserve(struct kv_sequence *sequence, struct kv_cache *cache, size_t end);

/* Gives back what no row at position `next` or later can see. */
void kv_sequence_reclaim(struct kv_sequence *sequence, struct kv_cache *cache, size_t next);

/* Gives all pages back; the tables stay, for a recomputation from position 0. */
void kv_sequence_clear(struct kv_sequence *sequence, struct kv_cache *cache);

/* Keys of KV head `head` of plan layer `layer` in the page of `block`; the values follow them. */
uint8_t *kv_sequence_head(const struct kv_sequence *sequence, const struct kv_cache *cache,
                          size_t layer, size_t head, size_t block);

#endif
