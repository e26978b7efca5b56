#include "engine/kv_cache.h"

#include "engine/checked.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Where a layer lies: in which group, and how far into that group's pages. */
struct layer_place {
    size_t group;
    size_t offset;     /* bytes from the page's start */
    size_t head_bytes; /* bytes of one KV head's keys and values */
};

struct kv_group {
    size_t window; /* 0: all positions stay visible */
};

/* How the layers of a plan are grouped; computed once. */
struct kv_layout {
    size_t group_count;
    struct kv_group *groups;
    struct layer_place *places;
    size_t page_bytes;
};

/* Who has a page. */
struct page_owners {
    uint32_t holders; /* block tables */
    bool kept;        /* by the prefix cache */
};

struct kv_cache {
    struct kv_layout layout;
    size_t pages_total;
    size_t pages_held;
    struct page_owners *owners; /* [pages_total] */
    uint8_t *memory;
    size_t memory_bytes;
    uint32_t *free_pages; /* a stack: the page given back last is used first, so that few are ever
                             touched */
    size_t free_count;
};

/* ---- Layout ---- */

static bool same_class(const struct plan_kv_layer *a, const struct plan_kv_layer *b) {
    return a->window == b->window && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim;
}

static size_t greatest_common_divisor(size_t a, size_t b) {
    while (b != 0) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static size_t class_size(const struct plan *plan, size_t layer) {
    size_t size = 0;
    for (size_t i = 0; i < plan->kv_layer_count; i++) {
        size += same_class(&plan->kv_layers[i], &plan->kv_layers[layer]);
    }
    return size;
}

/* How many layers before `layer` are of its class. */
static size_t class_rank(const struct plan *plan, size_t layer) {
    size_t rank = 0;
    for (size_t i = 0; i < layer; i++) {
        rank += same_class(&plan->kv_layers[i], &plan->kv_layers[layer]);
    }
    return rank;
}

static void layout_deinit(struct kv_layout *layout) {
    free(layout->groups);
    free(layout->places);
    *layout = (struct kv_layout){0};
}

static bool layout_init(struct kv_layout *layout, const struct plan *plan, enum kv_type type,
                        struct error *err) {
    size_t layers = plan->kv_layer_count;
    *layout = (struct kv_layout){0};
    layout->groups = calloc(layers + 1, sizeof *layout->groups);
    layout->places = calloc(layers + 1, sizeof *layout->places);
    if (layout->groups == NULL || layout->places == NULL) {
        layout_deinit(layout);
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the KV layout of %zu layers",
                         layers);
    }
    size_t group_layers = 0;
    for (size_t i = 0; i < layers; i++) {
        group_layers = greatest_common_divisor(group_layers, class_size(plan, i));
    }
    assert(group_layers > 0 || layers == 0);
    for (size_t i = 0; i < layers; i++) {
        const struct plan_kv_layer *layer = &plan->kv_layers[i];
        struct layer_place *place = &layout->places[i];
        size_t slot = class_rank(plan, i) % group_layers;
        if (slot == 0) {
            layout->groups[layout->group_count].window = layer->window;
            place->group = layout->group_count++;
        } else {
            size_t leader = i - 1; /* the previous layer of the class */
            while (!same_class(&plan->kv_layers[leader], layer)) {
                leader--;
            }
            place->group = layout->places[leader].group;
        }
        place->head_bytes = kv_head_bytes(type, layer->head_dim);
        size_t layer_bytes = place->head_bytes * layer->kv_heads;
        place->offset = slot * layer_bytes;
        if (layout->page_bytes < layer_bytes * group_layers) {
            layout->page_bytes = layer_bytes * group_layers;
        }
    }
    return true;
}

static size_t blocks_for(size_t positions) {
    return (positions + KV_PAGE_POSITIONS - 1) / KV_PAGE_POSITIONS;
}

static size_t layout_pages_needed(const struct kv_layout *layout, size_t positions, size_t step) {
    size_t pages = 0;
    for (size_t g = 0; g < layout->group_count; g++) {
        size_t visible = positions;
        size_t window = layout->groups[g].window;
        /* A step of `step` rows begins with the window of its first row and ends with its last row;
         * either end may lie anywhere within its page. */
        if (window > 0 && window < positions && step < positions - window) {
            visible = window + step + KV_PAGE_POSITIONS;
        }
        size_t blocks = blocks_for(visible);
        pages += blocks < blocks_for(positions) ? blocks : blocks_for(positions);
    }
    return pages;
}

/* ---- The pool ---- */

bool kv_cache_open(struct kv_cache **out, const struct plan *plan, enum kv_type type, size_t pages,
                   struct error *err) {
    struct kv_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the KV cache");
    }
    if (!layout_init(&cache->layout, plan, type, err)) {
        free(cache);
        return false;
    }
    cache->pages_total = pages;
    cache->free_pages = calloc(pages + 1, sizeof *cache->free_pages);
    cache->owners = calloc(pages + 1, sizeof *cache->owners);
    if (cache->free_pages == NULL || cache->owners == NULL || pages >= UINT32_MAX ||
        !checked_multiply(pages, cache->layout.page_bytes, &cache->memory_bytes)) {
        kv_cache_close(cache);
        return error_set(err, ERROR_OUT_OF_MEMORY,
                         "no memory for a KV pool of %zu pages; ask for fewer positions", pages);
    }
    if (cache->memory_bytes > 0) {
        void *memory = mmap(NULL, cache->memory_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            size_t bytes = cache->memory_bytes;
            cache->memory_bytes = 0;
            kv_cache_close(cache);
            return error_set(
                err, ERROR_OUT_OF_MEMORY,
                "no address space for a KV pool of %zu pages (%zu bytes); ask for fewer positions",
                pages, bytes);
        }
        cache->memory = memory;
    }
    for (size_t i = 0; i < pages; i++) {
        cache->free_pages[i] = (uint32_t)(pages - 1 - i); /* page 0 is used first */
    }
    cache->free_count = pages;
    *out = cache;
    return true;
}

void kv_cache_close(struct kv_cache *cache) {
    if (cache == NULL) {
        return;
    }
    if (cache->memory_bytes > 0) {
        munmap(cache->memory, cache->memory_bytes);
    }
    free(cache->free_pages);
    free(cache->owners);
    layout_deinit(&cache->layout);
    free(cache);
}

size_t kv_cache_pages_total(const struct kv_cache *cache) {
    return cache->pages_total;
}

size_t kv_cache_pages_free(const struct kv_cache *cache) {
    return cache->free_count;
}

size_t kv_cache_pages_held(const struct kv_cache *cache) {
    return cache->pages_held;
}

size_t kv_cache_page_bytes(const struct kv_cache *cache) {
    return cache->layout.page_bytes;
}

size_t kv_cache_group_count(const struct kv_cache *cache) {
    return cache->layout.group_count;
}

size_t kv_cache_pages_needed(const struct kv_cache *cache, size_t positions, size_t step) {
    return layout_pages_needed(&cache->layout, positions, step);
}

bool kv_plan_pages(const struct plan *plan, size_t positions, size_t step, size_t *pages,
                   struct error *err) {
    struct kv_layout layout;
    if (!layout_init(&layout, plan, KV_F32, err)) {
        return false;
    }
    *pages = layout_pages_needed(&layout, positions, step);
    layout_deinit(&layout);
    return true;
}

size_t kv_cache_window(const struct kv_cache *cache, size_t group) {
    return cache->layout.groups[group].window;
}

size_t kv_cache_first_visible(const struct kv_cache *cache, size_t group, size_t position) {
    size_t window = cache->layout.groups[group].window;
    return window == 0 || position + 1 <= window ? 0 : (position + 1 - window) / KV_PAGE_POSITIONS;
}

/* ---- Pages ---- */

static void free_if_ownerless(struct kv_cache *cache, uint32_t page) {
    if (cache->owners[page].holders == 0 && !cache->owners[page].kept) {
        assert(cache->free_count < cache->pages_total);
        cache->free_pages[cache->free_count++] = page;
    }
}

void kv_page_hold(struct kv_cache *cache, uint32_t page) {
    if (cache->owners[page].holders++ == 0) {
        cache->pages_held++;
    }
}

void kv_page_let_go(struct kv_cache *cache, uint32_t page) {
    assert(cache->owners[page].holders > 0);
    if (--cache->owners[page].holders == 0) {
        cache->pages_held--;
        free_if_ownerless(cache, page);
    }
}

bool kv_page_is_held(const struct kv_cache *cache, uint32_t page) {
    return cache->owners[page].holders > 0;
}

void kv_page_keep(struct kv_cache *cache, uint32_t page) {
    assert(cache->owners[page].holders > 0 && !cache->owners[page].kept);
    cache->owners[page].kept = true;
}

void kv_page_forget(struct kv_cache *cache, uint32_t page) {
    assert(cache->owners[page].kept);
    cache->owners[page].kept = false;
    free_if_ownerless(cache, page);
}

/* ---- Sequences ---- */

bool kv_sequence_open(struct kv_sequence *sequence, const struct kv_cache *cache, size_t positions,
                      struct error *err) {
    size_t groups = cache->layout.group_count;
    size_t blocks = blocks_for(positions);
    size_t entries;
    *sequence = (struct kv_sequence){.blocks_max = blocks};
    struct kv_block_table *tables = calloc(groups + 1, sizeof *tables);
    uint32_t *pages =
        checked_multiply(groups, blocks, &entries) ? calloc(entries + 1, sizeof *pages) : NULL;
    if (tables == NULL || pages == NULL) {
        free(tables);
        free(pages);
        return error_set(err, ERROR_OUT_OF_MEMORY,
                         "no memory for the block tables of %zu positions", positions);
    }
    for (size_t g = 0; g <= groups; g++) {
        tables[g].pages = g < groups ? pages + g * blocks : pages; /* table 0 owns the memory */
    }
    sequence->tables = tables;
    return true;
}

void kv_sequence_close(struct kv_sequence *sequence, struct kv_cache *cache) {
    if (sequence->tables == NULL) {
        return;
    }
    kv_sequence_clear(sequence, cache);
    free(sequence->tables[0].pages);
    free(sequence->tables);
    *sequence = (struct kv_sequence){0};
}

static void give_back(struct kv_cache *cache, struct kv_block_table *table, size_t end) {
    for (; table->first_block < end; table->first_block++) {
        kv_page_let_go(cache, table->pages[table->first_block]);
    }
}

size_t kv_sequence_pages(const struct kv_sequence *sequence, const struct kv_cache *cache) {
    size_t pages = 0;
    for (size_t g = 0; g < cache->layout.group_count; g++) {
        pages += sequence->tables[g].end_block - sequence->tables[g].first_block;
    }
    return pages;
}

size_t kv_sequence_missing(const struct kv_sequence *sequence, const struct kv_cache *cache,
                           size_t end) {
    size_t blocks = blocks_for(end);
    size_t missing = 0;
    for (size_t g = 0; g < cache->layout.group_count; g++) {
        size_t have = sequence->tables[g].end_block;
        missing += blocks > have ? blocks - have : 0;
    }
    return missing;
}

bool kv_sequence_reserve(struct kv_sequence *sequence, struct kv_cache *cache, size_t end) {
    size_t blocks = blocks_for(end);
    assert(blocks <= sequence->blocks_max);
    if (kv_sequence_missing(sequence, cache, end) > cache->free_count) {
        return false;
    }
    for (size_t g = 0; g < cache->layout.group_count; g++) {
        struct kv_block_table *table = &sequence->tables[g];
        while (table->end_block < blocks) {
            uint32_t page = cache->free_pages[--cache->free_count];
            kv_page_hold(cache, page);
            table->pages[table->end_block++] = page;
        }
    }
    return true;
}

void kv_sequence_reclaim(struct kv_sequence *sequence, struct kv_cache *cache, size_t next) {
    for (size_t g = 0; g < cache->layout.group_count; g++) {
        struct kv_block_table *table = &sequence->tables[g];
        size_t end = kv_cache_first_visible(cache, g, next);
        give_back(cache, table, end < table->end_block ? end : table->end_block);
    }
}

void kv_sequence_clear(struct kv_sequence *sequence, struct kv_cache *cache) {
    for (size_t g = 0; g < cache->layout.group_count; g++) {
        struct kv_block_table *table = &sequence->tables[g];
        give_back(cache, table, table->end_block);
        table->first_block = 0;
        table->end_block = 0;
    }
}

uint8_t *kv_sequence_head(const struct kv_sequence *sequence, const struct kv_cache *cache,
                          size_t layer, size_t head, size_t block) {
    const struct layer_place *place = &cache->layout.places[layer];
    const struct kv_block_table *table = &sequence->tables[place->group];
    assert(table->first_block <= block && block < table->end_block);
    return cache->memory + (size_t)table->pages[block] * cache->layout.page_bytes + place->offset +
           head * place->head_bytes;
}
