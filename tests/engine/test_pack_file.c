#include "engine/pack_file.h"
#include "engine/weights.h"
#include "tests/engine/random_weight.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A plan of two matrices from "a file", whose identity the test sets, and a folder for pack files. */
struct setup {
    struct plan_weight sources[2];
    struct plan plan;
    struct plan_mapping mapping;
    char folder[64];
    char path[128];
};

static void set_up(struct setup *s) {
    *s = (struct setup){.mapping = {(const uint8_t *)"abcdefgh", 8, {.known = true, .inode = 5}}};
    s->sources[0] = random_weight((struct weight_form){.rows = 2100,
                                                       .columns = 96,
                                                       .bits = 4,
                                                       .type = ELEMENT_F16,
                                                       .block_size = 32,
                                                       .zero_points = ZERO_POINTS_CODES},
                                  1);
    s->sources[1] =
        random_weight((struct weight_form){.rows = 33, .columns = 7, .type = ELEMENT_F32}, 2);
    plan_init(&s->plan);
    cr_assert(plan_add_mapping(&s->plan, &s->mapping));
    for (size_t i = 0; i < 2; i++) {
        struct plan_instruction linear = {
            .kind = PLAN_LINEAR,
            .name = "linear",
            .linear = {.count = 1,
                       .outputs = {{.weight = plan_add_weight(&s->plan, &s->sources[i])}}}};
        cr_assert(plan_append(&s->plan, &linear));
    }
    strcpy(s->folder, "/tmp/quern-pack-XXXXXX");
    cr_assert_not_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof s->path, "%s/model.pack", s->folder);
}

static void tear_down(struct setup *s) {
    unlink(s->path);
    cr_assert_eq(rmdir(s->folder), 0, "something was left beside the pack file");
    plan_deinit(&s->plan);
    random_weight_free(&s->sources[0]);
    random_weight_free(&s->sources[1]);
}

/* Opens, checks the origin, and that the tiles are those of weights packed into memory. */
static void expect(const struct setup *s, enum weights_origin origin, const char *note) {
    struct weights *weights;
    struct weights *reference;
    struct error err = {0};
    cr_assert(weights_open(&weights, &s->plan, &(struct weights_options){.pack_path = s->path},
                           NULL, &err),
              "%s", err.text);
    cr_assert(weights_open(&reference, &s->plan, &(struct weights_options){0}, NULL, &err));
    cr_assert_eq(weights_get_origin(weights), origin, "origin %d, expected %d: %s",
                 (int)weights_get_origin(weights), (int)origin, weights_note(weights));
    cr_assert_not_null(strstr(weights_note(weights), note), "note \"%s\" without \"%s\"",
                       weights_note(weights), note);
    cr_assert_eq(weights_bytes(weights), weights_bytes(reference));
    for (int i = 0; i < 2; i++) {
        const struct packed_matrix *got = weights_matrix(weights, i);
        const struct packed_matrix *want = weights_matrix(reference, i);
        cr_assert_eq(got->tile_bytes, want->tile_bytes);
        cr_assert_eq(memcmp(got->bytes, want->bytes, want->tiles * want->tile_bytes), 0);
    }
    weights_close(reference);
    weights_close(weights);
}

static size_t file_bytes(const struct setup *s) {
    struct stat status;
    cr_assert_eq(stat(s->path, &status), 0);
    return (size_t)status.st_size;
}

static void flip_byte(const struct setup *s, size_t offset) {
    int file = open(s->path, O_RDWR);
    uint8_t byte;
    cr_assert_eq(pread(file, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(file, &byte, 1, (off_t)offset), 1);
    close(file);
}

Test(pack_file, the_second_start_maps_what_the_first_wrote) {
    struct setup s;
    set_up(&s);
    expect(&s, WEIGHTS_WRITTEN, "");
    expect(&s, WEIGHTS_MAPPED, "");
    tear_down(&s);
}

Test(pack_file, no_byte_of_it_is_trusted) {
    struct setup s;
    set_up(&s);
    expect(&s, WEIGHTS_WRITTEN, "");
    size_t size = file_bytes(&s);
    /* magic, layout, identity, counts, digest; an entry; a digest; the first and the last tile */
    const size_t offsets[] = {
        0, 8, 16, 32, 40, 48, 56, 64, 72, 4096, 4096 + 16, 4096 + 2 * 24, size / 2, size - 1};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        flip_byte(&s, offsets[i]);
        expect(&s, WEIGHTS_WRITTEN, "is made anew");
        expect(&s, WEIGHTS_MAPPED, "");
    }
    tear_down(&s);
}

Test(pack_file, a_truncated_or_longer_one_is_made_anew) {
    struct setup s;
    set_up(&s);
    expect(&s, WEIGHTS_WRITTEN, "");
    size_t size = file_bytes(&s);
    const size_t sizes[] = {0, 1, 100, 4095, 4096, 5000, size / 2, size - 1, size + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        cr_assert_eq(truncate(s.path, (off_t)sizes[i]), 0);
        expect(&s, WEIGHTS_WRITTEN, "is made anew");
        expect(&s, WEIGHTS_MAPPED, "");
    }
    tear_down(&s);
}

Test(pack_file, another_state_of_the_model_has_another_identity) {
    struct setup s;
    set_up(&s);
    expect(&s, WEIGHTS_WRITTEN, "");
    s.plan.mappings[0].identity.changed_ns++;
    expect(&s, WEIGHTS_WRITTEN, "another state of the model");
    s.plan.mappings[0].bytes = (const uint8_t *)"abcdefgH"; /* within the resolution of the times */
    expect(&s, WEIGHTS_WRITTEN, "another state of the model");
    expect(&s, WEIGHTS_MAPPED, "");
    s.plan.mappings[0].identity.known = false; /* not a file: packed into memory, nothing said */
    expect(&s, WEIGHTS_IN_MEMORY, "");
    tear_down(&s);
}

Test(pack_file, what_others_could_have_written_is_not_read) {
    struct setup s;
    set_up(&s);
    expect(&s, WEIGHTS_WRITTEN, "");
    cr_assert_eq(chmod(s.path, 0620), 0);
    expect(&s, WEIGHTS_WRITTEN, "others than its owner may write it");
    char elsewhere[160];
    snprintf(elsewhere, sizeof elsewhere, "%s.real", s.path);
    cr_assert_eq(rename(s.path, elsewhere), 0);
    cr_assert_eq(symlink(elsewhere, s.path), 0);
    expect(&s, WEIGHTS_WRITTEN, "is made anew");
    expect(&s, WEIGHTS_MAPPED, "");
    unlink(elsewhere);
    tear_down(&s);
}

Test(pack_file, without_a_place_for_it_the_weights_are_packed_into_memory) {
    struct setup s;
    set_up(&s);
    char path[sizeof s.path];
    strcpy(path, s.path);
    snprintf(s.path, sizeof s.path, "%s/none/model.pack", s.folder);
    expect(&s, WEIGHTS_IN_MEMORY, "cannot be written");
    strcpy(s.path, path);

    /* Another process is writing it. */
    char temporary[160];
    snprintf(temporary, sizeof temporary, "%s.new", s.path);
    int other = open(temporary, O_RDWR | O_CREAT, 0600);
    cr_assert_eq(flock(other, LOCK_EX), 0);
    expect(&s, WEIGHTS_IN_MEMORY, "another process is writing it");
    close(other);
    expect(&s, WEIGHTS_WRITTEN, ""); /* what a crash left there is in nobody's way */
    tear_down(&s);
}

Test(pack_file, mapped_weights_count_against_the_memory_limit_like_others) {
    struct setup s;
    set_up(&s);
    for (size_t start = 0; start < 2; start++) {
        struct weights *weights;
        struct error err = {0};
        struct weights_options options = {.pack_path = s.path, .bytes_max = 1000};
        cr_assert_not(weights_open(&weights, &s.plan, &options, NULL, &err));
        cr_assert_eq(err.code, ERROR_TOO_LARGE, "%s", err.text);
        expect(&s, start == 0 ? WEIGHTS_WRITTEN : WEIGHTS_MAPPED, "");
    }
    tear_down(&s);
}
