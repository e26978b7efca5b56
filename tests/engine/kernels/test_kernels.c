#include "engine/kernels/kernels.h"

#include <criterion/criterion.h>
#include <string.h>

Test(kernels, tables_that_run_here_have_their_names_and_order) {
    const char *const *name = kernels_names;
    const char *last = NULL;
    for (const char *const *runs = kernels_available(); *runs != NULL; runs++) {
        while (*name != NULL && strcmp(*name, *runs) != 0) {
            cr_assert_null(kernels_select(*name), "%s runs, but is not among those that do", *name);
            name++;
        }
        cr_assert_not_null(*name, "%s is not among the names, or too late", *runs);
        cr_assert_str_eq(kernels_select(*runs)->name, *runs);
        last = *name++;
    }
    cr_assert_null(*name, "behind the last that runs there is %s", *name);
    cr_assert_str_eq(last, "scalar");
    cr_assert_str_eq(kernels_select(NULL)->name, *kernels_available());
    cr_assert_null(kernels_select("no such table"));
}
