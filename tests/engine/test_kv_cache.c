#include "engine/kv_cache.h"

#include <criterion/criterion.h>

enum { WINDOW = 40, PAGES = 40 };

/* Two full layers and four windowed ones: groups of two layers, one full and two windowed. */
static struct plan mixed_plan(void) {
    struct plan plan;
    plan_init(&plan);
    for (size_t i = 0; i < 6; i++) {
        struct plan_kv_layer layer = {
            .kv_heads = 2, .head_dim = 32, .window = i % 3 == 2 ? 0 : WINDOW};
        cr_assert_eq(plan_add_kv_layer(&plan, &layer), (int)i);
    }
    return plan;
}

static struct kv_cache *open_cache(const struct plan *plan, size_t pages) {
    struct kv_cache *cache = NULL;
    struct error err = {0};
    cr_assert(kv_cache_open(&cache, plan, KV_F16, pages, &err), "%s", err.text);
    return cache;
}

Test(kv_cache, layers_of_one_window_are_grouped_so_that_all_pages_have_one_size) {
    struct plan plan = mixed_plan();
    struct kv_cache *cache = open_cache(&plan, PAGES);
    cr_assert_eq(kv_cache_group_count(cache), 3);
    cr_assert_eq(kv_cache_page_bytes(cache), 2 * 2 * kv_head_bytes(KV_F16, 32));
    kv_cache_close(cache);
    plan_deinit(&plan);
}

Test(kv_cache, no_two_layers_heads_or_blocks_share_memory) {
    struct plan plan = mixed_plan();
    struct kv_cache *cache = open_cache(&plan, PAGES);
    struct kv_sequence sequence;
    cr_assert(kv_sequence_open(&sequence, cache, 64, NULL));
    cr_assert(kv_sequence_reserve(&sequence, cache, 33));
    uint8_t *seen[6 * 2 * 3];
    size_t count = 0;
    for (size_t i = 0; i < 6 * 2 * 3; i++) {
        uint8_t *head = kv_sequence_head(&sequence, cache, i % 6, i / 6 % 2, i / 12);
        for (size_t j = 0; j < count; j++) {
            size_t apart = (size_t)(head > seen[j] ? head - seen[j] : seen[j] - head);
            cr_assert_geq(apart, kv_head_bytes(KV_F16, 32), "places %zu and %zu overlap", i, j);
        }
        seen[count++] = head;
    }
    kv_sequence_close(&sequence, cache);
    kv_cache_close(cache);
    plan_deinit(&plan);
}

Test(kv_cache, pages_behind_the_window_come_back_and_the_window_stays) {
    struct plan plan = mixed_plan();
    struct kv_cache *cache = open_cache(&plan, PAGES);
    struct kv_sequence sequence;
    cr_assert(kv_sequence_open(&sequence, cache, 200, NULL));
    size_t most = 0;
    for (size_t position = 0; position < 200; position++) {
        cr_assert(kv_sequence_reserve(&sequence, cache, position + 1), "position %zu", position);
        size_t first_visible = position + 1 > WINDOW ? position + 1 - WINDOW : 0;
        for (size_t block = first_visible / 16; block <= position / 16; block++) {
            cr_assert(kv_sequence_head(&sequence, cache, 0, 0, block) != NULL);
        }
        size_t used = PAGES - kv_cache_pages_free(cache);
        most = used > most ? used : most;
        kv_sequence_reclaim(&sequence, cache, position + 1);
    }
    cr_assert_leq(most, kv_cache_pages_needed(cache, 200, 1), "%zu pages at once", most);
    cr_assert_eq(PAGES - kv_cache_pages_free(cache), 13 + 2 * 3,
                 "13 full blocks, 3 in each windowed group");
    kv_sequence_close(&sequence, cache);
    cr_assert_eq(kv_cache_pages_free(cache), PAGES);
    kv_cache_close(cache);
    plan_deinit(&plan);
}

Test(kv_cache, a_reservation_that_does_not_fit_takes_nothing) {
    struct plan plan = mixed_plan();
    struct kv_cache *cache = open_cache(&plan, 7);
    struct kv_sequence first;
    struct kv_sequence second;
    cr_assert(kv_sequence_open(&first, cache, 64, NULL));
    cr_assert(kv_sequence_open(&second, cache, 64, NULL));
    cr_assert(kv_sequence_reserve(&first, cache, 32));
    cr_assert_eq(kv_cache_pages_free(cache), 1);
    cr_assert_not(kv_sequence_reserve(&second, cache, 1));
    cr_assert_eq(kv_cache_pages_free(cache), 1);
    kv_sequence_clear(&first, cache);
    cr_assert(kv_sequence_reserve(&second, cache, 17));
    kv_sequence_close(&first, cache);
    kv_sequence_close(&second, cache);
    cr_assert_eq(kv_cache_pages_free(cache), 7);
    kv_cache_close(cache);
    plan_deinit(&plan);
}

/* What the estimate promises holds for every way to cut a sequence into steps. */
Test(kv_cache, the_pages_needed_are_enough_for_steps_of_any_size) {
    struct plan plan = mixed_plan();
    for (size_t step = 1; step <= 64; step += 7) {
        for (size_t length = 1; length <= 150; length += 13) {
            size_t pages;
            cr_assert(kv_plan_pages(&plan, length, step, &pages, NULL));
            struct kv_cache *cache = open_cache(&plan, pages);
            struct kv_sequence sequence;
            cr_assert(kv_sequence_open(&sequence, cache, length, NULL));
            for (size_t done = 0; done < length;) {
                size_t end = done + step < length ? done + step : length;
                cr_assert(kv_sequence_reserve(&sequence, cache, end), "%zu of %zu in steps of %zu",
                          end, length, step);
                kv_sequence_reclaim(&sequence, cache, end);
                done = end;
            }
            kv_sequence_close(&sequence, cache);
            kv_cache_close(cache);
        }
    }
    plan_deinit(&plan);
}
