#include "engine/text/template/value.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(template_value, a_dict_finds_what_a_list_of_its_entries_would) {
    enum { KEYS = 3000 };
    struct arena arena;
    arena_init(&arena);
    struct template_dict *dict = template_dict_new(&arena);
    for (int64_t i = 0; i < KEYS; i++) {
        char name[24];
        int length = snprintf(name, sizeof name, "key %d", (int)(i * 7919 % KEYS));
        char *kept = arena_copy_text(&arena, name, (size_t)length);
        cr_assert(template_dict_set(&arena, dict, template_from_text(kept, (size_t)length),
                                    template_from_integer(i)));
        cr_assert(template_dict_set(&arena, dict, template_from_integer(i * i),
                                    template_from_integer(-i)));
    }
    cr_assert_eq(dict->count, 2 * KEYS);
    for (size_t i = 0; i < dict->count; i++) {
        const struct template_value *found = template_dict_find(dict, dict->entries[i].key);
        cr_assert(found == &dict->entries[i].value, "entry %zu", i);
    }
    cr_assert_null(template_dict_find_text(dict, "key"));
    cr_assert_null(template_dict_find(dict, template_from_integer(-1)));
    arena_deinit(&arena);
}

Test(template_value, a_key_keeps_its_place_and_gets_the_last_value) {
    struct arena arena;
    arena_init(&arena);
    struct template_dict *dict = template_dict_new(&arena);
    const struct template_value keys[] = {template_from_integer(1),  template_from_text("a", 1),
                                          template_from_number(1.0), template_from_boolean(true),
                                          template_none(),           template_from_number(1.5)};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cr_assert(template_dict_set(&arena, dict, keys[i], template_from_integer((int64_t)i)));
    }
    cr_assert_eq(dict->count, 4);
    cr_assert_eq(dict->entries[0].key.type, TEMPLATE_INTEGER);
    cr_assert_eq(dict->entries[0].value.integer, 3);
    cr_assert_eq(template_dict_find(dict, template_from_number(1.5))->integer, 5);
    cr_assert_null(template_dict_find(dict, template_from_list(template_list_new(&arena))));
    arena_deinit(&arena);
}
