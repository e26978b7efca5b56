#include "engine/prefix_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    ROOT = 0, /* of the first tree, and no node where one is looked for */
    BLOCK = KV_PAGE_POSITIONS,
    /* When pages run out, this part of the pool is freed at once, so that not every step has to
     * look for some. */
    ROOM_FRACTION = 64,
};

#define NO_PAGE UINT32_MAX

struct node {
    int32_t tokens[BLOCK];
    uint32_t parent;
    uint32_t children;
    uint32_t cursors;
    uint32_t next_in_bucket; /* or in the list of unused nodes; ROOT ends both */
    uint32_t older;          /* a ring through ROOT, by last use */
    uint32_t newer;
    bool marked; /* a point to go on from lies within a window behind it */
};

struct prefix_cache {
    struct kv_cache *cache;
    size_t trees; /* node i < trees is the root of tree i */
    size_t groups;
    size_t window_blocks; /* of the longest window, and one to spare; 0: there is none */
    size_t node_count;
    struct node *nodes; /* [node_count] */
    uint32_t *pages;    /* [node_count][groups] */
    uint32_t unused;    /* the first node of a list */
    uint32_t *buckets;  /* [bucket_mask + 1] */
    size_t bucket_mask;
    uint64_t hash_key;
    size_t *run; /* [groups], of prefix_cache_match: consecutive blocks that have a page */
};

/* ---- Open, close ---- */

static bool is_windowed(const struct prefix_cache *p, size_t group) {
    return kv_cache_window(p->cache, group) > 0;
}

static void list_unused(struct prefix_cache *p) {
    for (size_t i = p->node_count - 1; i >= p->trees; i--) {
        p->nodes[i].next_in_bucket = p->unused;
        p->unused = (uint32_t)i;
    }
}

bool prefix_cache_open(struct prefix_cache **out, struct kv_cache *cache, size_t trees,
                       struct error *err) {
    struct prefix_cache *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the prefix cache");
    }
    p->cache = cache;
    p->trees = trees;
    p->groups = kv_cache_group_count(cache);
    size_t full_groups = 0;
    for (size_t g = 0; g < p->groups; g++) {
        size_t blocks = is_windowed(p, g) ? kv_cache_window(cache, g) / BLOCK + 2 : 0;
        p->window_blocks = blocks > p->window_blocks ? blocks : p->window_blocks;
        full_groups += blocks == 0;
    }
    /* A node has a page of every group without a window, or at least one page. */
    p->node_count = kv_cache_pages_total(cache) / (full_groups > 0 ? full_groups : 1) + trees;
    size_t buckets = 16;
    while (buckets < p->node_count) {
        buckets *= 2;
    }
    p->bucket_mask = buckets - 1;
    p->nodes = calloc(p->node_count, sizeof *p->nodes);
    p->pages = calloc(p->node_count * p->groups + 1, sizeof *p->pages);
    p->buckets = calloc(buckets, sizeof *p->buckets);
    p->run = calloc(p->groups + 1, sizeof *p->run);
    if (p->nodes == NULL || p->pages == NULL || p->buckets == NULL || p->run == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a prefix cache of %zu blocks",
                  p->node_count);
        prefix_cache_close(p);
        return false;
    }
    if (getrandom(&p->hash_key, sizeof p->hash_key, GRND_NONBLOCK) != sizeof p->hash_key) {
        p->hash_key = (uint64_t)(uintptr_t)p;
    }
    list_unused(p);
    *out = p;
    return true;
}

void prefix_cache_close(struct prefix_cache *p) {
    if (p == NULL) {
        return;
    }
    free(p->nodes);
    free(p->pages);
    free(p->buckets);
    free(p->run);
    free(p);
}

/* ---- Nodes ---- */

static uint32_t *pages_of(const struct prefix_cache *p, uint32_t node) {
    return p->pages + node * p->groups;
}

/* The key keeps anyone from choosing tokens that all fall into one bucket. */
static uint32_t *bucket_of(const struct prefix_cache *p, uint32_t parent, const int32_t *tokens) {
    uint64_t hash = p->hash_key ^ parent;
    for (size_t i = 0; i < BLOCK; i++) {
        hash = (hash ^ (uint32_t)tokens[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return &p->buckets[hash & p->bucket_mask];
}

static bool same_block(const int32_t *a, const int32_t *b) {
    return memcmp(a, b, BLOCK * sizeof *a) == 0;
}

/* The child of `parent` with these tokens, or ROOT. */
static uint32_t find_child(const struct prefix_cache *p, uint32_t parent, const int32_t *tokens) {
    uint32_t node = *bucket_of(p, parent, tokens);
    while (node != ROOT &&
           !(p->nodes[node].parent == parent && same_block(p->nodes[node].tokens, tokens))) {
        node = p->nodes[node].next_in_bucket;
    }
    return node;
}

static void ring_remove(struct prefix_cache *p, uint32_t node) {
    struct node *n = &p->nodes[node];
    p->nodes[n->older].newer = n->newer;
    p->nodes[n->newer].older = n->older;
}

static void ring_add_newest(struct prefix_cache *p, uint32_t node) {
    struct node *n = &p->nodes[node];
    n->newer = ROOT;
    n->older = p->nodes[ROOT].older;
    p->nodes[n->older].newer = node;
    p->nodes[ROOT].older = node;
}

static uint32_t oldest(const struct prefix_cache *p) {
    return p->nodes[ROOT].newer;
}

static bool is_block(const struct prefix_cache *p, uint32_t node) {
    return node >= p->trees;
}

static bool can_be_removed(const struct prefix_cache *p, uint32_t node) {
    return is_block(p, node) && p->nodes[node].children == 0 && p->nodes[node].cursors == 0;
}

static void forget_page(struct prefix_cache *p, uint32_t node, size_t group) {
    uint32_t *page = &pages_of(p, node)[group];
    if (*page != NO_PAGE) {
        kv_page_forget(p->cache, *page);
        *page = NO_PAGE;
    }
}

static void remove_node(struct prefix_cache *p, uint32_t node) {
    struct node *n = &p->nodes[node];
    assert(can_be_removed(p, node));
    for (size_t g = 0; g < p->groups; g++) {
        forget_page(p, node, g);
    }
    uint32_t *link = bucket_of(p, n->parent, n->tokens);
    while (*link != node) {
        link = &p->nodes[*link].next_in_bucket;
    }
    *link = n->next_in_bucket;
    p->nodes[n->parent].children--;
    ring_remove(p, node);
    n->next_in_bucket = p->unused;
    p->unused = node;
}

/* A node that is not in use: where there is none, that of the leaf unused longest. ROOT if all are
 * in use. */
static uint32_t take_node(struct prefix_cache *p) {
    for (uint32_t node = oldest(p); p->unused == ROOT && node != ROOT;
         node = p->nodes[node].newer) {
        if (can_be_removed(p, node)) {
            remove_node(p, node);
            break;
        }
    }
    uint32_t node = p->unused;
    p->unused = p->nodes[node].next_in_bucket;
    return node;
}

static void mark_window(struct prefix_cache *p, uint32_t node) {
    for (size_t i = 0; i < p->window_blocks && is_block(p, node); i++) {
        p->nodes[node].marked = true;
        node = p->nodes[node].parent;
    }
}

static uint32_t add_child(struct prefix_cache *p, uint32_t parent, const int32_t *tokens) {
    p->nodes[parent].cursors++; /* it must not be taken itself */
    uint32_t node = take_node(p);
    p->nodes[parent].cursors--;
    if (node == ROOT) {
        return ROOT;
    }
    uint32_t *bucket = bucket_of(p, parent, tokens);
    p->nodes[node] = (struct node){.parent = parent, .next_in_bucket = *bucket};
    memcpy(p->nodes[node].tokens, tokens, sizeof p->nodes[node].tokens);
    *bucket = node;
    for (size_t g = 0; g < p->groups; g++) {
        pages_of(p, node)[g] = NO_PAGE;
    }
    if (p->nodes[parent].children++ > 0) {
        mark_window(p, parent); /* prompts part here: a third one may, too */
    }
    ring_add_newest(p, node);
    return node;
}

static void move_cursor(struct prefix_cache *p, struct prefix_cursor *cursor, uint32_t node,
                        size_t blocks) {
    p->nodes[node].cursors++;
    p->nodes[cursor->node].cursors--;
    cursor->node = node;
    cursor->blocks = blocks;
}

void prefix_cursor_choose_tree(struct prefix_cursor *cursor, size_t tree) {
    assert(cursor->blocks == 0);
    *cursor = (struct prefix_cursor){.tree = (uint32_t)tree, .node = (uint32_t)tree};
}

/* ---- Match ---- */

/* Can one go on behind the first `blocks` blocks, given p->run? */
static bool has_windows(const struct prefix_cache *p, size_t blocks) {
    for (size_t g = 0; g < p->groups; g++) {
        if (p->run[g] < blocks - kv_cache_first_visible(p->cache, g, blocks * BLOCK)) {
            return false;
        }
    }
    return true;
}

/* Puts the pages of the blocks that end at `node` into a table, as far as they are visible. */
static void attach(struct prefix_cache *p, uint32_t node, size_t blocks, size_t group,
                   struct kv_block_table *table) {
    size_t first = kv_cache_first_visible(p->cache, group, blocks * BLOCK);
    size_t had_end = table->end_block;
    for (size_t b = table->first_block; b < had_end && b < blocks; b++) {
        kv_page_let_go(p->cache, table->pages[b]);
    }
    for (size_t b = blocks; b > first; b--) {
        table->pages[b - 1] = pages_of(p, node)[group];
        kv_page_hold(p->cache, table->pages[b - 1]);
        node = p->nodes[node].parent;
    }
    table->first_block = first;
    table->end_block = had_end > blocks ? had_end : blocks;
}

size_t prefix_cache_match(struct prefix_cache *p, struct prefix_cursor *cursor,
                          const int32_t *tokens, size_t length, size_t computed,
                          struct kv_sequence *sequence) {
    if (p == NULL) {
        return computed;
    }
    uint32_t best = ROOT;
    size_t best_blocks = computed / BLOCK; /* more than these */
    uint32_t node = cursor->tree;
    memset(p->run, 0, p->groups * sizeof *p->run);
    for (size_t b = 0; (b + 1) * BLOCK < length; b++) {
        node = find_child(p, node, tokens + b * BLOCK);
        if (node == ROOT) {
            break;
        }
        for (size_t g = 0; g < p->groups; g++) {
            p->run[g] = pages_of(p, node)[g] == NO_PAGE ? 0 : p->run[g] + 1;
        }
        if (b + 1 > best_blocks && has_windows(p, b + 1)) {
            best = node;
            best_blocks = b + 1;
        }
    }
    if (best == ROOT) {
        return computed;
    }
    for (size_t g = 0; g < p->groups; g++) {
        attach(p, best, best_blocks, g, &sequence->tables[g]);
    }
    move_cursor(p, cursor, best, best_blocks);
    return best_blocks * BLOCK;
}

bool prefix_cache_same_next(const struct prefix_cache *p, const struct prefix_cursor *a,
                            const int32_t *a_tokens, size_t a_length, const struct prefix_cursor *b,
                            const int32_t *b_tokens, size_t b_length) {
    size_t begin = a->blocks * BLOCK;
    return p != NULL && a->node == b->node && a->blocks == b->blocks && begin + BLOCK < a_length &&
           begin + BLOCK < b_length && same_block(a_tokens + begin, b_tokens + begin);
}

/* ---- Insert ---- */

/* One page for both: the node's, or, where it has none, the table's. */
static void unite(struct prefix_cache *p, uint32_t *kept, struct kv_block_table *table,
                  size_t block) {
    if (block < table->first_block || *kept == table->pages[block]) {
        return;
    }
    if (*kept == NO_PAGE) {
        *kept = table->pages[block];
        kv_page_keep(p->cache, *kept);
        return;
    }
    kv_page_hold(p->cache, *kept);
    kv_page_let_go(p->cache, table->pages[block]);
    table->pages[block] = *kept;
}

void prefix_cache_insert(struct prefix_cache *p, struct prefix_cursor *cursor,
                         const int32_t *tokens, size_t computed, struct kv_sequence *sequence) {
    for (size_t b = cursor->blocks; p != NULL && b < computed / BLOCK; b++) {
        const int32_t *block = tokens + b * BLOCK;
        uint32_t node = find_child(p, cursor->node, block);
        node = node != ROOT ? node : add_child(p, cursor->node, block);
        if (node == ROOT) {
            return;
        }
        for (size_t g = 0; g < p->groups; g++) {
            unite(p, &pages_of(p, node)[g], &sequence->tables[g], b);
        }
        move_cursor(p, cursor, node, b + 1);
    }
}

void prefix_cache_mark(struct prefix_cache *p, const struct prefix_cursor *cursor) {
    if (p != NULL) {
        mark_window(p, cursor->node);
    }
}

void prefix_cache_release(struct prefix_cache *p, struct prefix_cursor *cursor) {
    if (p == NULL) {
        return;
    }
    for (uint32_t node = cursor->node; is_block(p, node); node = p->nodes[node].parent) {
        ring_remove(p, node);
        ring_add_newest(p, node);
    }
    move_cursor(p, cursor, cursor->tree, 0);
}

/* ---- Forget ---- */

static bool has_room(const struct prefix_cache *p, size_t pages) {
    return kv_cache_pages_free(p->cache) >= pages;
}

static void forget_windowed(struct prefix_cache *p, uint32_t node) {
    for (size_t g = 0; g < p->groups; g++) {
        uint32_t page = pages_of(p, node)[g];
        if (is_windowed(p, g) && page != NO_PAGE && !kv_page_is_held(p->cache, page)) {
            forget_page(p, node, g);
        }
    }
}

/* Removes the leaf, and what it hangs from as far as that becomes a leaf by this. Returns the first
 * newer node that is left. */
static uint32_t remove_from_leaf(struct prefix_cache *p, uint32_t node, size_t pages) {
    uint32_t newer = p->nodes[node].newer;
    while (can_be_removed(p, node) && !has_room(p, pages)) {
        uint32_t parent = p->nodes[node].parent;
        newer = node == newer ? p->nodes[node].newer : newer;
        remove_node(p, node);
        node = parent;
    }
    return newer;
}

void prefix_cache_make_room(struct prefix_cache *p, size_t pages) {
    if (p == NULL || has_room(p, pages)) {
        return;
    }
    size_t more = kv_cache_pages_total(p->cache) / ROOM_FRACTION;
    pages = pages > more ? pages : more;
    for (uint32_t n = oldest(p); n != ROOT && !has_room(p, pages); n = p->nodes[n].newer) {
        if (!p->nodes[n].marked) {
            forget_windowed(p, n);
        }
    }
    uint32_t node = oldest(p);
    while (node != ROOT && !has_room(p, pages)) {
        forget_windowed(p, node);
        node = remove_from_leaf(p, node, pages);
    }
}
