/* Sequences of few different tokens over a small pool, each position marked with a fingerprint of
 * all tokens up to it: what a sequence sees must always be its own past. */
#include "engine/prefix_cache.h"

#include <criterion/criterion.h>
#include <string.h>

enum { WINDOW = 40, BLOCK = KV_PAGE_POSITIONS, LENGTH_MAX = 200, SEQUENCES = 4, TREES = 4 };

struct player {
    int32_t tokens[LENGTH_MAX];
    size_t length;
    size_t computed;
    struct kv_sequence sequence;
    struct prefix_cursor cursor;
};

struct ground {
    struct plan plan;
    struct kv_cache *cache;
    struct prefix_cache *prefixes;
    uint32_t random;
};

/* Layer 1, if there is one, sees all positions; layer 0 sees a window, or all. */
static struct ground open_ground(size_t pages, size_t layers, size_t window) {
    struct ground ground = {.random = 1};
    struct error err = {0};
    plan_init(&ground.plan);
    for (size_t i = 0; i < layers; i++) {
        struct plan_kv_layer layer = {.kv_heads = 1, .head_dim = 32, .window = i == 0 ? window : 0};
        cr_assert_geq(plan_add_kv_layer(&ground.plan, &layer), 0);
    }
    cr_assert(kv_cache_open(&ground.cache, &ground.plan, KV_F16, pages, &err), "%s", err.text);
    cr_assert(prefix_cache_open(&ground.prefixes, ground.cache, TREES, &err), "%s", err.text);
    return ground;
}

static void close_ground(struct ground *ground) {
    size_t pages = kv_cache_pages_total(ground->cache);
    cr_assert_eq(kv_cache_pages_held(ground->cache), 0);
    prefix_cache_make_room(ground->prefixes, pages);
    cr_assert_eq(kv_cache_pages_free(ground->cache), pages, "some pages are lost");
    prefix_cache_close(ground->prefixes);
    kv_cache_close(ground->cache);
    plan_deinit(&ground->plan);
}

static size_t draw(struct ground *ground, size_t below) {
    ground->random = ground->random * 1664525U + 1013904223U;
    return (ground->random >> 8) % below;
}

/* Where the fingerprint of a position lies. */
static uint8_t *mark_of(const struct ground *ground, const struct player *player, size_t layer,
                        size_t position) {
    return kv_sequence_head(&player->sequence, ground->cache, layer, 0, position / BLOCK) +
           position % BLOCK * sizeof(uint32_t);
}

static uint32_t fingerprint(const struct player *player, size_t position) {
    uint32_t print = 2166136261U ^ (uint32_t)player->cursor.tree;
    for (size_t i = 0; i <= position; i++) {
        print = (print ^ (uint32_t)player->tokens[i]) * 16777619U;
    }
    return print;
}

static void check_past(const struct ground *ground, const struct player *player) {
    for (size_t layer = 0; layer < ground->plan.kv_layer_count; layer++) {
        size_t window = ground->plan.kv_layers[layer].window;
        size_t next = player->computed;
        size_t first = window > 0 && next + 1 > window ? next + 1 - window : 0;
        for (size_t position = first; position < next; position++) {
            uint32_t found;
            memcpy(&found, mark_of(ground, player, layer, position), sizeof found);
            cr_assert_eq(found, fingerprint(player, position),
                         "layer %zu, position %zu of %zu: not its own past", layer, position, next);
        }
    }
}

static void start(struct player *player, const struct ground *ground, const int32_t *tokens,
                  size_t length) {
    *player = (struct player){.length = length};
    memcpy(player->tokens, tokens, length * sizeof *tokens);
    cr_assert(kv_sequence_open(&player->sequence, ground->cache, LENGTH_MAX, NULL));
}

static size_t match(struct ground *ground, struct player *player) {
    player->computed = prefix_cache_match(ground->prefixes, &player->cursor, player->tokens,
                                          player->length, player->computed, &player->sequence);
    check_past(ground, player);
    return player->computed;
}

/* Computes `rows` positions. False where the pool has no pages for them. */
static bool compute(struct ground *ground, struct player *player, size_t rows) {
    size_t end = player->computed + rows;
    prefix_cache_make_room(ground->prefixes,
                           kv_sequence_missing(&player->sequence, ground->cache, end));
    if (!kv_sequence_reserve(&player->sequence, ground->cache, end)) {
        return false;
    }
    check_past(ground, player);
    for (size_t layer = 0; layer < ground->plan.kv_layer_count; layer++) {
        for (size_t position = player->computed; position < end; position++) {
            uint32_t print = fingerprint(player, position);
            memcpy(mark_of(ground, player, layer, position), &print, sizeof print);
        }
    }
    player->computed = end;
    prefix_cache_insert(ground->prefixes, &player->cursor, player->tokens, end, &player->sequence);
    kv_sequence_reclaim(&player->sequence, ground->cache, end);
    check_past(ground, player);
    return true;
}

static void stop(struct ground *ground, struct player *player) {
    if (player->sequence.tables == NULL) {
        return;
    }
    prefix_cache_mark(ground->prefixes, &player->cursor);
    kv_sequence_close(&player->sequence, ground->cache);
    prefix_cache_release(ground->prefixes, &player->cursor);
}

/* A player that is somewhere between its first and its last token goes on, or ends. */
static void play(struct ground *ground, struct player *player) {
    if (player->sequence.tables == NULL) {
        int32_t tokens[LENGTH_MAX];
        size_t length = 1 + draw(ground, LENGTH_MAX);
        for (size_t i = 0; i < length; i++) {
            tokens[i] = i % 50 == 20 ? (int32_t)draw(ground, 3) : 0; /* parts here and there */
        }
        start(player, ground, tokens, length);
        prefix_cursor_choose_tree(&player->cursor, draw(ground, TREES));
    }
    if (draw(ground, 2) == 0) {
        match(ground, player);
    }
    size_t rows = 1 + draw(ground, 30);
    size_t left = player->length - player->computed;
    bool done = !compute(ground, player, rows < left ? rows : left);
    if (done || player->computed == player->length || draw(ground, 40) == 0) {
        stop(ground, player);
    }
}

static void play_at_random(size_t pages, size_t layers, size_t window) {
    struct ground ground = open_ground(pages, layers, window);
    struct player players[SEQUENCES] = {0};
    for (size_t turn = 0; turn < 4000; turn++) {
        play(&ground, &players[draw(&ground, SEQUENCES)]);
    }
    for (size_t i = 0; i < SEQUENCES; i++) {
        stop(&ground, &players[i]);
    }
    close_ground(&ground);
}

Test(prefix_cache, every_sequence_sees_its_own_past) {
    play_at_random(40, 2, WINDOW);
    play_at_random(400, 2, WINDOW);
    play_at_random(30, 1, WINDOW);
    play_at_random(30, 1, 0);
}

/* Begins with `same` tokens of 7, then `other`; computed to its end. */
static void run_prompt(struct ground *ground, size_t same, int32_t other, size_t length,
                       size_t expected) {
    struct player player;
    int32_t tokens[LENGTH_MAX];
    for (size_t i = 0; i < length; i++) {
        tokens[i] = i < same ? 7 : other;
    }
    start(&player, ground, tokens, length);
    size_t found = match(ground, &player);
    cr_assert_eq(found, expected, "%zu tokens were found, of %zu", found, expected);
    while (player.computed < length) {
        size_t left = length - player.computed;
        cr_assert(compute(ground, &player, left < 24 ? left : 24));
    }
    stop(ground, &player);
}

Test(prefix_cache, a_prompt_is_found_to_its_last_full_block_and_leaves_one_token_to_compute) {
    struct ground ground = open_ground(100, 2, WINDOW);
    run_prompt(&ground, 150, 1, 150, 0);
    run_prompt(&ground, 150, 1, 150, 144);
    run_prompt(&ground, 144, 1, 144, 128);
    run_prompt(&ground, 145, 1, 145, 144);
    run_prompt(&ground, 16, 1, 16, 0);
    close_ground(&ground);
}

Test(prefix_cache, prompts_that_part_share_what_they_share_windows_included) {
    struct ground ground = open_ground(100, 2, WINDOW);
    run_prompt(&ground, 100, 1, 180, 0);
    run_prompt(&ground, 100, 2, 180, 96);
    close_ground(&ground);
}

Test(prefix_cache, ends_and_partings_outlive_what_lies_between_them) {
    /* 12 blocks of two groups; the second prompt needs room for 12 - 6 more. */
    struct ground ground = open_ground(30, 2, WINDOW);
    run_prompt(&ground, 100, 1, 192, 0);
    run_prompt(&ground, 100, 2, 192, 96);
    run_prompt(&ground, 100, 1, 192, 176);
    run_prompt(&ground, 100, 3, 120, 96);
    close_ground(&ground);
}

Test(prefix_cache, the_page_of_a_block_computed_twice_is_held_once) {
    struct ground ground = open_ground(100, 2, WINDOW);
    int32_t tokens[64] = {0};
    struct player a;
    struct player b;
    start(&a, &ground, tokens, 64);
    start(&b, &ground, tokens, 64);
    cr_assert(compute(&ground, &a, 64));
    cr_assert(compute(&ground, &b, 64));
    cr_assert_eq(kv_cache_pages_held(ground.cache), kv_sequence_pages(&a.sequence, ground.cache));
    stop(&ground, &a);
    check_past(&ground, &b);
    stop(&ground, &b);
    close_ground(&ground);
}
