#include "engine/weights.h"

#include "engine/weights_source.h"
#include "engine/workers.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct weight_form forms[] = {
    {.rows = 17, .columns = 40, .bits = 4, .type = ELEMENT_F32, .block_size = 32},
    {.rows = 17, .columns = 40, .bits = 4, .type = ELEMENT_F16, .block_size = 16},
    {.rows = 16,
     .columns = 96,
     .bits = 4,
     .type = ELEMENT_BF16,
     .block_size = 32,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 5,
     .columns = 300,
     .bits = 4,
     .type = ELEMENT_F32,
     .block_size = 64,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 1100, .columns = 129, .bits = 4, .type = ELEMENT_F16, .block_size = 128},
    {.rows = 33, .columns = 1, .bits = 8, .type = ELEMENT_F32, .block_size = 32},
    {.rows = 1,
     .columns = 100,
     .bits = 8,
     .type = ELEMENT_F16,
     .block_size = 16,
     .zero_points = ZERO_POINTS_CODES},
    {.rows = 40, .columns = 256, .bits = 8, .type = ELEMENT_F32, .block_size = 256},
    {.rows = 17, .columns = 50, .bits = 4, .type = ELEMENT_F32, .block_size = 32, .unpadded = true},
    {.rows = 100,
     .columns = 45,
     .bits = 8,
     .type = ELEMENT_F16,
     .block_size = 32,
     .zero_points = ZERO_POINTS_CODES,
     .unpadded = true,
     .row_skip = 1},
    {.rows = 33,
     .columns = 96,
     .bits = 4,
     .type = ELEMENT_F16,
     .block_size = 96,
     .zero_points = ZERO_POINTS_CODES,
     .row_skip = 1},
    {.rows = 17, .columns = 33, .type = ELEMENT_F32},
    {.rows = 40, .columns = 33, .type = ELEMENT_F32, .row_skip = 1},
    {.rows = 19, .columns = 20, .type = ELEMENT_BF16, .row_skip = 2},
    {.rows = 1100, .columns = 7, .type = ELEMENT_F16},
    {.rows = 31, .columns = 64, .type = ELEMENT_BF16},
    {.rows = 1100, .columns = 9, .type = ELEMENT_F32, .transposed = true},
    {.rows = 20, .columns = 50, .type = ELEMENT_F16, .transposed = true},
    {.rows = 3, .columns = 5, .type = ELEMENT_BF16, .transposed = true},
    /* 2 bits are packed as 4. */
    {.rows = 17, .columns = 40, .bits = 2, .type = ELEMENT_F32, .block_size = 16},
    {.rows = 5, .columns = 70, .bits = 2, .type = ELEMENT_F32, .is_signed = true, .block_size = 32},
    {.rows = 20,
     .columns = 100,
     .bits = 2,
     .type = ELEMENT_F16,
     .block_size = 32,
     .zero_points = ZERO_POINTS_CODES},
    /* As DequantizeLinear has them. */
    {.rows = 33,
     .columns = 70,
     .bits = 4,
     .type = ELEMENT_F32,
     .transposed = true,
     .is_signed = true,
     .block_size = 32,
     .unpadded = true},
    {.rows = 34,
     .columns = 70,
     .bits = 4,
     .type = ELEMENT_F16,
     .transposed = true,
     .block_size = 64,
     .zero_points = ZERO_POINTS_CODES,
     .unpadded = true},
    {.rows = 19,
     .columns = 96,
     .bits = 4,
     .type = ELEMENT_F32,
     .is_signed = true,
     .block_size = 32,
     .zero_points = ZERO_POINTS_CODES,
     .unpadded = true},
    {.rows = 40,
     .columns = 100,
     .bits = 8,
     .type = ELEMENT_F32,
     .transposed = true,
     .is_signed = true,
     .block_size = 100},
    {.rows = 40,
     .columns = 100,
     .bits = 8,
     .type = ELEMENT_F32,
     .shared = true,
     .block_size = 100,
     .zero_points = ZERO_POINTS_CODES},
    /* As MatMulBnb4 has them: blocks of 64 in rows of 96. */
    {.rows = 40,
     .columns = 192,
     .bits = 4,
     .type = ELEMENT_F32,
     .code_book = &code_book_fp4,
     .block_size = 64,
     .unpadded = true},
    {.rows = 19,
     .columns = 96,
     .bits = 4,
     .type = ELEMENT_F16,
     .code_book = &code_book_nf4,
     .block_size = 32,
     .shared_scales = 2,
     .unpadded = true},
    /* Blocks of several times 16, zero points that are whole numbers. */
    {.rows = 17, .columns = 100, .bits = 4, .type = ELEMENT_F32, .block_size = 48},
    {.rows = 17,
     .columns = 70,
     .bits = 4,
     .type = ELEMENT_F32,
     .block_size = 32,
     .zero_points = ZERO_POINTS_WHOLE},
};

enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

/* A plan of one weight that a linear instruction uses, or only an embedding. */
static void plan_of(struct plan *plan, const struct plan_weight *weight, bool linear) {
    plan_init(plan);
    int index = plan_add_weight(plan, weight);
    struct plan_instruction embed = {
        .kind = PLAN_EMBED, .name = "embed", .embed = {.table = index}};
    struct plan_instruction product = {.kind = PLAN_LINEAR,
                                       .name = "linear",
                                       .linear = {.count = 1, .outputs = {{.weight = index}}}};
    cr_assert(plan_append(plan, &embed));
    cr_assert(!linear || plan_append(plan, &product));
}

static void rows_are_those_of_the_file(bool linear, bool exact, struct workers *workers) {
    for (size_t i = 0; i < FORM_COUNT; i++) {
        struct plan_weight weight = random_weight(forms[i], 7);
        struct plan plan;
        plan_of(&plan, &weight, linear);
        struct weights *weights;
        struct error err = {0};
        cr_assert(
            weights_open(&weights, &plan, &(struct weights_options){.exact = exact}, workers, &err),
            "%s", err.text);
        cr_assert_eq(weights_matrix(weights, 0)->bytes != NULL, linear);

        float *output = malloc(weight.columns * sizeof *output);
        for (size_t row = 0; row < weight.rows; row++) {
            weights_embed_row(weights, 0, row, 3.0f, output);
            for (size_t k = 0; k < weight.columns; k++) {
                float want = weight_at(&weight, row, k) * 3.0f;
                cr_assert_eq(output[k], want, "%s at (%zu, %zu): %g, expected %g",
                             weight_form_name(&forms[i]), row, k, (double)output[k], (double)want);
            }
        }
        free(output);
        weights_close(weights);
        plan_deinit(&plan);
        random_weight_free(&weight);
    }
}

Test(weights, packed_rows_read_back_as_the_file_has_them) {
    rows_are_those_of_the_file(true, false, NULL);
    rows_are_those_of_the_file(true, true, NULL);
}

/* Forms that no kernel has: they become numbers, exact ones in exact mode. */
static const struct weight_form decoded_forms[] = {
    {.rows = 17,
     .columns = 70,
     .bits = 4,
     .type = ELEMENT_F32,
     .block_size = 32,
     .zero_points = ZERO_POINTS_FRACTION},
    {.rows = 20,
     .columns = 40,
     .bits = 2,
     .type = ELEMENT_F16,
     .block_size = 16,
     .zero_points = ZERO_POINTS_FRACTION},
    {.rows = 9, .columns = 100, .bits = 4, .type = ELEMENT_F32, .shuffled = true, .block_size = 32},
    {.rows = 9, .columns = 50, .bits = 8, .type = ELEMENT_F32, .is_signed = true, .block_size = 1},
    {.rows = 9,
     .columns = 33,
     .bits = 4,
     .type = ELEMENT_F32,
     .code_book = &code_book_nf4,
     .block_size = 1,
     .shared_scales = 16,
     .unpadded = true},
};

Test(weights, what_no_kernel_has_is_decoded) {
    for (size_t i = 0; i < 2 * sizeof decoded_forms / sizeof decoded_forms[0]; i++) {
        const struct weight_form *form = &decoded_forms[i / 2];
        const bool exact = i % 2 == 0;
        struct plan_weight weight = random_weight(*form, 7);
        struct plan plan;
        struct weights *weights;
        struct error err = {0};
        plan_of(&plan, &weight, true);
        cr_assert(
            weights_open(&weights, &plan, &(struct weights_options){.exact = exact}, NULL, &err),
            "%s", err.text);
        cr_assert_eq(weights_matrix(weights, 0)->format, exact ? WEIGHT_F32 : WEIGHT_F16);
        float output[128];
        for (size_t row = 0; row < weight.rows; row++) {
            weights_embed_row(weights, 0, row, 1.0f, output);
            for (size_t k = 0; k < weight.columns; k++) {
                float want = weight_at(&weight, row, k);
                float tolerance = exact ? 0 : fabsf(want) / 2048 + 1e-7f;
                cr_assert_leq(fabsf(output[k] - want), tolerance,
                              "%s at (%zu, %zu): %g, expected %g", weight_form_name(form), row, k,
                              (double)output[k], (double)want);
            }
        }
        weights_close(weights);
        plan_deinit(&plan);
        random_weight_free(&weight);
    }
}

Test(weights, several_threads_pack_the_same) {
    struct workers *workers;
    struct error err = {0};
    cr_assert(workers_open(&workers, 3, false, &err), "%s", err.text);
    rows_are_those_of_the_file(true, false, workers);
    workers_close(workers);
}

Test(weights, a_table_that_only_embeds_is_read_from_the_file) {
    rows_are_those_of_the_file(false, false, NULL);
}

/* Opens a Q4 weight of 2 blocks a row whose scales are f32, with scale `index` set. */
static bool open_with_scale(size_t index, float scale, bool exact, struct packed_matrix *matrix,
                            struct error *err) {
    struct weight_form form = {
        .rows = 2000, .columns = 64, .bits = 4, .type = ELEMENT_F32, .block_size = 32};
    struct plan_weight weight = random_weight(form, 8);
    memcpy((void *)(uintptr_t)(weight.scales.bytes + index * sizeof scale), &scale, sizeof scale);
    struct plan plan;
    plan_of(&plan, &weight, true);
    struct weights *weights = NULL;
    bool opened =
        weights_open(&weights, &plan, &(struct weights_options){.exact = exact}, NULL, err);
    if (opened) {
        *matrix = *weights_matrix(weights, 0);
        weights_close(weights);
    }
    plan_deinit(&plan);
    random_weight_free(&weight);
    return opened;
}

Test(weights, a_scale_that_is_not_finite_is_refused_by_name) {
    struct packed_matrix matrix;
    struct error err = {0};
    cr_assert(!open_with_scale(3210, INFINITY, false, &matrix, &err));
    cr_assert_eq(err.code, ERROR_BAD_FILE);
    cr_assert_str_eq(
        err.text, "weight random: the scale of row 1605, block 0 is inf, expected a finite number");
}

Test(weights, scales_are_f16_unless_that_would_lose_one) {
    struct packed_matrix matrix;
    cr_assert(open_with_scale(0, 0.0f, false, &matrix, NULL) && !matrix.wide_scales);
    cr_assert(open_with_scale(0, 65504.0f, false, &matrix, NULL) && !matrix.wide_scales);
    cr_assert(open_with_scale(0, 1e-5f, false, &matrix, NULL) && matrix.wide_scales);
    cr_assert(open_with_scale(3999, -1e5f, false, &matrix, NULL) && matrix.wide_scales);
    cr_assert(open_with_scale(0, 1.0f, true, &matrix, NULL) && matrix.wide_scales);
}

/* Is the page at `address` in this process's memory? (Bit 63 of its entry in the page map.) */
static bool page_is_present(const void *address) {
    int map = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry = 0;
    off_t page = (off_t)((uintptr_t)address / (uintptr_t)sysconf(_SC_PAGESIZE));
    cr_assert_eq(pread(map, &entry, sizeof entry, page * (off_t)sizeof entry), sizeof entry);
    close(map);
    return entry >> 63 != 0;
}

Test(weights, f16_suits_numbers_that_it_holds_to_a_part_of_the_greatest) {
    static const struct {
        float numbers[3];
        bool suit;
    } cases[] = {
        {{0.5f, -3e-9f, 0.0f}, true}, {{0.0f, 0.0f, 0.0f}, true},
        {{1.0f, -65504.0f, 0}, true}, {{1.0f, -65505.0f, 0}, false},
        {{1e-9f, 0, 6.2e-5f}, true},  {{1e-9f, 0, -6.1e-5f}, false},
        {{1.0f, NAN, 2.0f}, false},   {{1.0f, 2.0f, -INFINITY}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct plan_weight weight = {
            .rows = 3,
            .columns = 1,
            .type = ELEMENT_F32,
            .data = {.bytes = (const uint8_t *)cases[i].numbers, .row = 1, .step = 1},
        };
        cr_expect_eq(source_suits_f16(&weight), cases[i].suit, "case %zu", i);
    }
}

Test(weights, pages_of_a_mapped_file_are_given_back_and_other_memory_is_kept) {
    struct weight_form form = {.rows = 2048, .columns = 64, .type = ELEMENT_F32};
    struct plan_weight weight = random_weight(form, 9);
    size_t bytes = form.rows * form.columns * sizeof(float);
    uint8_t *copy = malloc(bytes);
    memcpy(copy, weight.data.bytes, bytes);

    int file = memfd_create("weights", 0);
    cr_assert_eq(write(file, weight.data.bytes, bytes), (ssize_t)bytes);
    struct plan_weight mapped = weight;
    mapped.data.bytes = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, file, 0);
    const struct plan_weight *sources[] = {&weight, &mapped};
    for (size_t i = 0; i < 2; i++) {
        struct plan plan;
        plan_of(&plan, sources[i], true);
        cr_assert(plan_add_mapping(
            &plan, &(struct plan_mapping){.bytes = mapped.data.bytes, .size = bytes}));
        struct weights *weights;
        cr_assert(weights_open(&weights, &plan, &(struct weights_options){0}, NULL, NULL));
        weights_close(weights);
        plan_deinit(&plan);
    }
    cr_assert(!page_is_present(mapped.data.bytes + bytes / 2));
    cr_assert_eq(memcmp(weight.data.bytes, copy, bytes), 0);
    cr_assert_eq(memcmp(mapped.data.bytes, copy, bytes), 0);
    munmap((void *)(uintptr_t)mapped.data.bytes, bytes);
    close(file);
    free(copy);
    random_weight_free(&weight);
}

Test(weights, a_tied_embedding_is_packed_once) {
    struct plan_weight weight = random_weight(forms[0], 10);
    struct plan plan;
    plan_of(&plan, &weight, true);
    struct weights *weights;
    cr_assert(weights_open(&weights, &plan, &(struct weights_options){0}, NULL, NULL));
    const struct packed_matrix *matrix = weights_matrix(weights, 0);
    cr_assert_eq(weights_bytes(weights), matrix->tiles * matrix->tile_bytes);
    weights_close(weights);
    plan_deinit(&plan);
    random_weight_free(&weight);
}
