/* What requests may call a model. */
#include "server/model_names.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct model_options options = {.aliases = "gpt small:1",
                                             .adapters = "poet=a.onnx_adapter b:c=b.onnx_adapter"};

static void check(const char *name, bool meant, size_t expected) {
    size_t adapter = 99;
    cr_expect_eq(model_names_mean("gemma:1b", &options, name, &adapter), meant, "%s", name);
    cr_expect_eq(adapter, expected, "%s means adapter %zu", name, adapter);
}

Test(model_names, a_model_has_its_id_and_aliases) {
    check("gemma:1b", true, 0);
    check("gpt", true, 0);
    check("small:1", true, 0);
    check("gemma", false, 0);
    check("", false, 0);
    check("gpt small:1", false, 0);
}

Test(model_names, an_adapter_may_come_behind_any_name_of_its_model) {
    check("poet", true, 1);
    check("b:c", true, 2);
    check("gemma:1b:poet", true, 1);
    check("gpt:b:c", true, 2);
    check("small:1:b:c", true, 2);
    check("gpt:poe", false, 0);
    check("other:poet", false, 0);
    check("gpt:", false, 0);
}

Test(model_names, the_list_ends_where_it_becomes_long) {
    struct name_list list = {0};
    model_names_add(&list, "gemma:1b", &options);
    cr_expect_str_eq(list.text, "\"gemma:1b\", \"poet\", \"b:c\"");
    for (int i = 0; i < 40; i++) {
        model_names_add(&list, "gemma:1b", &options);
    }
    cr_expect_eq(strlen(list.text), sizeof list.text - 1);
}
