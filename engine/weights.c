#include "engine/weights.h"

#include "engine/checked.h"
#include "engine/pack_file.h"
#include "engine/weights_pack.h"
#include "engine/workers.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { JOB_TILES = 64 }; /* what a thread packs in one go: 1024 rows, some megabytes */

struct weights {
    const struct plan *plan;
    struct packed_matrix *matrices; /* (plan->weight_count); those not packed have no bytes */
    const uint8_t *memory;          /* all tiles: in a mapping of our own or in the pack file */
    size_t memory_bytes;
    void *mapping;
    struct pack_file file;
    enum weights_origin origin;
    char note[ERROR_TEXT_BYTES];
};

/* A run of tiles of one matrix. */
struct pack_job {
    const struct plan_weight *source;
    struct packed_matrix *matrix;
    size_t offset; /* of the matrix in the memory of all */
    size_t first_tile;
    size_t end_tile;
    struct pack_form form; /* of a matrix's first job */
    struct source_survey survey;
};

struct packing {
    struct weights *weights;
    const struct weights_options *options;
    struct workers *workers;
    struct pack_job *jobs;
    size_t job_count;
    uint8_t *tiles; /* where all of them go */
    atomic_size_t packed_bytes;
};

/* ---- Jobs ---- */

static void mark_weight(void *context, int weight) {
    bool *packed = context;
    packed[weight] = true;
}

static size_t tiles_of(const struct plan_weight *source) {
    return (source->rows - 1) / TILE_ROWS + 1;
}

/* For each weight of the plan: are rows multiplied with it? To be freed. */
static bool *mark_packed(const struct plan *plan, struct error *err) {
    bool *packed = calloc(plan->weight_count + 1, sizeof *packed);
    if (packed == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a list of weights");
        return NULL;
    }
    for (size_t i = 0; i < plan->instruction_count; i++) {
        plan_instruction_matrices(&plan->instructions[i], mark_weight, packed);
    }
    return packed;
}

/* Jobs for all weights that rows are multiplied with, weight by weight in ascending tiles. */
static bool list_jobs(struct packing *packing, struct weights *weights, struct error *err) {
    const struct plan *plan = weights->plan;
    bool *packed = mark_packed(plan, err);
    if (packed == NULL) {
        return false;
    }
    size_t count = 0;
    for (size_t i = 0; i < plan->weight_count; i++) {
        count += packed[i] ? (tiles_of(&plan->weights[i]) - 1) / JOB_TILES + 1 : 0;
    }
    packing->jobs = calloc(count + 1, sizeof *packing->jobs);
    for (size_t i = 0; i < plan->weight_count && packing->jobs != NULL; i++) {
        size_t tiles = packed[i] ? tiles_of(&plan->weights[i]) : 0;
        for (size_t tile = 0; tile < tiles; tile += JOB_TILES) {
            packing->jobs[packing->job_count++] = (struct pack_job){
                .source = &plan->weights[i],
                .matrix = &weights->matrices[i],
                .first_tile = tile,
                .end_tile = tiles - tile < JOB_TILES ? tiles : tile + JOB_TILES,
            };
        }
    }
    free(packed);
    return packing->jobs != NULL ||
           error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a list of %zu packing jobs", count);
}

static size_t end_row_of(const struct pack_job *job) {
    size_t end = job->end_tile * TILE_ROWS;
    return end < job->source->rows ? end : job->source->rows;
}

/* ---- Layout ---- */

static void survey_job(void *context, size_t thread, size_t item) {
    (void)thread;
    struct pack_job *job = &((struct packing *)context)->jobs[item];
    if (job->source->bits != 0) {
        job->survey = source_survey(job->source, job->first_tile * TILE_ROWS, end_row_of(job));
    }
}

/* The form of the weight whose jobs begin at `job`. */
static struct pack_form choose_form(const struct packing *packing, size_t job) {
    const struct plan_weight *source = packing->jobs[job].source;
    struct source_survey all = packing->jobs[job].survey;
    for (; job < packing->job_count && packing->jobs[job].source == source; job++) {
        const struct source_survey *some = &packing->jobs[job].survey;
        all.narrow &= some->narrow;
        all.halves &= some->halves;
        all.whole &= some->whole;
        all.least_zero_point = fminf(all.least_zero_point, some->least_zero_point);
        all.greatest_zero_point = fmaxf(all.greatest_zero_point, some->greatest_zero_point);
    }
    return source->bits == 0 ? (struct pack_form){0}
                             : pack_choose_form(source, &all, packing->options->exact);
}

static bool check_scales(const struct packing *packing, struct error *err) {
    for (size_t i = 0; i < packing->job_count; i++) {
        const struct pack_job *job = &packing->jobs[i];
        if (job->source->bits != 0 && !job->survey.finite) {
            return error_set(err, ERROR_BAD_FILE,
                             "weight %.200s: the %s of row %zu, block %zu is %g, expected a finite "
                             "number",
                             job->source->name, job->survey.bad_what, job->survey.bad_row,
                             job->survey.bad_block, (double)job->survey.bad_value);
        }
    }
    return true;
}

/* Lays out one matrix behind the others, of `*total` bytes so far. */
static bool lay_out_matrix(const struct plan_weight *source, struct packed_matrix *matrix,
                           struct pack_form form, size_t *total, struct error *err) {
    size_t bytes;
    return (pack_layout(source, form, matrix) &&
            checked_multiply(matrix->tiles, matrix->tile_bytes, &bytes) &&
            checked_add(*total, bytes, total)) ||
           error_set(err, ERROR_TOO_LARGE, "weight %.200s (%zu, %zu) is too large", source->name,
                     source->rows, source->columns);
}

static bool lay_out(struct packing *packing, struct error *err) {
    size_t total = 0;
    size_t offset = 0;
    for (size_t i = 0; i < packing->job_count; i++) {
        struct pack_job *job = &packing->jobs[i];
        if (job->first_tile == 0) {
            offset = total;
            job->form = choose_form(packing, i);
            if (!lay_out_matrix(job->source, job->matrix, job->form, &total, err)) {
                return false;
            }
        }
        job->offset = offset;
    }
    packing->weights->memory_bytes = total;
    return true;
}

static bool check_limit(const struct packing *packing, struct error *err) {
    size_t bytes = packing->weights->memory_bytes;
    size_t most = packing->options->bytes_max;
    return most == 0 || bytes <= most ||
           error_set(err, ERROR_TOO_LARGE,
                     "the packed weights need %zu MB, but the memory limit leaves them %zu MB; "
                     "raise the limit or take a smaller model",
                     bytes / 1000000, most / 1000000);
}

/* ---- The pack file ---- */

static void note(struct weights *weights, const char *path, const char *what,
                 const struct error *why) {
    snprintf(weights->note, sizeof weights->note, "the pack file %.160s %s: %.240s", path, what,
             why->text);
}

/* Entry `entry` of the file must be the matrix of `job` behind the others. */
static bool adopt_matrix(const struct pack_job *job, const struct pack_entry *entry, size_t *total,
                         struct error *err) {
    const size_t offset = *total;
    const struct pack_form form = {.wide = entry->wide == 1, .decoded = entry->decoded == 1};
    if (entry->wide > 1 || entry->decoded > 1 || !pack_form_fits(job->source, form)) {
        return error_set(err, ERROR_BAD_FILE, "its entry of weight %.200s has no form",
                         job->source->name);
    }
    if (!lay_out_matrix(job->source, job->matrix, form, total, err)) {
        return false;
    }
    return (entry->offset == offset && entry->bytes == *total - offset) ||
           error_set(err, ERROR_BAD_FILE, "its entry of weight %.200s does not fit",
                     job->source->name);
}

static size_t count_matrices(const struct packing *packing) {
    size_t count = 0;
    for (size_t i = 0; i < packing->job_count; i++) {
        count += packing->jobs[i].first_tile == 0;
    }
    return count;
}

static bool adopt_matrices(const struct packing *packing, const struct pack_file *file,
                           struct error *err) {
    size_t total = 0;
    size_t entry = 0;
    for (size_t i = 0; i < packing->job_count; i++) {
        const struct pack_job *job = &packing->jobs[i];
        size_t offset = total;
        if (job->first_tile != 0) {
            continue;
        }
        if (!adopt_matrix(job, &file->entries[entry++], &total, err)) {
            return false;
        }
        job->matrix->bytes = file->tiles + offset;
    }
    return total == file->tile_bytes ||
           error_set(err, ERROR_BAD_FILE, "it has %zu bytes of weights, expected %zu",
                     file->tile_bytes, total);
}

static void forget_matrices(const struct packing *packing) {
    for (size_t i = 0; i < packing->job_count; i++) {
        *packing->jobs[i].matrix = (struct packed_matrix){0};
    }
}

static bool map_packed(const struct packing *packing, const struct pack_identity *identity) {
    struct weights *weights = packing->weights;
    const char *path = packing->options->pack_path;
    struct error why;
    bool missing = false;
    if (!pack_file_open(&weights->file, path, identity, count_matrices(packing), packing->workers,
                        &missing, &why) ||
        !adopt_matrices(packing, &weights->file, &why)) {
        if (!missing) {
            note(weights, path, "is made anew", &why);
        }
        pack_file_close(&weights->file);
        forget_matrices(packing);
        return false;
    }
    weights->memory = weights->file.tiles;
    weights->memory_bytes = weights->file.tile_bytes;
    weights->origin = WEIGHTS_MAPPED;
    return true;
}

/* Memory for all tiles: of the pack file, if there may be one. */
static bool take_memory(struct packing *packing, bool file_wanted, struct error *err) {
    struct weights *weights = packing->weights;
    const size_t total = weights->memory_bytes;
    struct error why;
    if (file_wanted && total > 0 && total >= packing->options->pack_least) {
        if (pack_file_create(&weights->file, packing->options->pack_path, count_matrices(packing),
                             total, &why)) {
            packing->tiles = weights->file.tiles;
            weights->origin = WEIGHTS_WRITTEN;
        } else {
            note(weights, packing->options->pack_path, "cannot be written", &why);
        }
    }
    if (packing->tiles == NULL && total > 0) {
        void *memory =
            mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu MB of packed weights",
                             total / 1000000);
        }
        madvise(memory, total, MADV_HUGEPAGE); /* fewer page faults, where there are such */
        weights->mapping = memory;
        packing->tiles = memory;
    }
    weights->memory = packing->tiles;
    for (size_t i = 0; i < packing->job_count; i++) {
        packing->jobs[i].matrix->bytes = weights->memory + packing->jobs[i].offset;
    }
    return true;
}

static void publish(const struct packing *packing, const struct pack_identity *identity) {
    struct weights *weights = packing->weights;
    struct pack_entry *entries = calloc(count_matrices(packing) + 1, sizeof *entries);
    size_t count = 0;
    struct error why = {.text = "no memory"};
    for (size_t i = 0; i < packing->job_count && entries != NULL; i++) {
        const struct pack_job *job = &packing->jobs[i];
        if (job->first_tile == 0) {
            entries[count++] = (struct pack_entry){
                .offset = job->offset,
                .bytes = job->matrix->tiles * job->matrix->tile_bytes,
                .wide = job->form.wide,
                .decoded = job->form.decoded,
            };
        }
    }
    if (entries == NULL || !pack_file_publish(&weights->file, packing->options->pack_path, identity,
                                              entries, packing->workers, &why)) {
        note(weights, packing->options->pack_path, "cannot be written", &why);
        weights->origin = WEIGHTS_IN_MEMORY;
    }
    free(entries);
}

/* ---- Packing ---- */

/* Gives back the whole pages within `bytes` that belong to a mapped file. */
static void release(const struct plan *plan, const uint8_t *bytes, size_t size) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < plan->mapping_count; i++) {
        uintptr_t begin = (uintptr_t)bytes;
        uintptr_t end = begin + size;
        uintptr_t map_begin = (uintptr_t)plan->mappings[i].bytes;
        uintptr_t map_end = map_begin + plan->mappings[i].size;
        begin = begin > map_begin ? begin : map_begin;
        end = end < map_end ? end : map_end;
        begin = (begin + page - 1) / page * page;
        end = end / page * page;
        if (begin < end) {
            madvise((void *)begin, end - begin, MADV_DONTNEED);
        }
    }
}

/* Where rows lie side by side, a page holds rows of many jobs. */
static bool rows_follow_each_other(const struct plan_part *part) {
    return part->row >= part->step;
}

/* Gives back what rows [first, end) of a weight occupy in its file: those parts whose rows follow each
 * other, or those whose rows do not. */
static void release_rows(const struct plan *plan, const struct plan_weight *source, size_t first,
                         size_t end, bool following) {
    for (int which = 0; which < PLAN_WEIGHT_PARTS; which++) {
        enum plan_weight_part part = (enum plan_weight_part)which;
        struct plan_bytes rows = plan_weight_bytes(source, part, first, end);
        if (rows.bytes != NULL &&
            rows_follow_each_other(plan_weight_part(source, part)) == following) {
            release(plan, rows.bytes, rows.size);
        }
    }
}

static void pack_job(void *context, size_t thread, size_t item) {
    struct packing *packing = context;
    const struct pack_job *job = &packing->jobs[item];
    pack_tiles(job->source, job->matrix, job->first_tile, job->end_tile,
               packing->tiles + job->offset);
    release_rows(packing->weights->plan, job->source, job->first_tile * TILE_ROWS, end_row_of(job),
                 true);
    size_t bytes = (job->end_tile - job->first_tile) * job->matrix->tile_bytes;
    size_t done = atomic_fetch_add(&packing->packed_bytes, bytes) + bytes;
    if (thread == 0 && packing->options->progress != NULL) {
        packing->options->progress(packing->options->context, done, packing->weights->memory_bytes);
    }
}

/* What the jobs have not given back. */
static void release_rest(const struct packing *packing) {
    for (size_t i = 0; i < packing->job_count; i++) {
        const struct plan_weight *source = packing->jobs[i].source;
        if (packing->jobs[i].first_tile == 0) {
            release_rows(packing->weights->plan, source, 0, source->rows, false);
        }
    }
}

static bool pack_all(struct packing *packing, const struct pack_identity *identity,
                     struct error *err) {
    struct weights *weights = packing->weights;
    workers_run(packing->workers, survey_job, packing, packing->job_count);
    if (!check_scales(packing, err) || !lay_out(packing, err) || !check_limit(packing, err) ||
        !take_memory(packing, identity != NULL, err)) {
        return false;
    }
    workers_run(packing->workers, pack_job, packing, packing->job_count);
    release_rest(packing);
    if (packing->options->progress != NULL) {
        packing->options->progress(packing->options->context, weights->memory_bytes,
                                   weights->memory_bytes);
    }
    if (weights->origin == WEIGHTS_WRITTEN) {
        publish(packing, identity);
    }
    return true;
}

bool weights_open(struct weights **out, const struct plan *plan,
                  const struct weights_options *options, struct workers *workers,
                  struct error *err) {
    struct weights *weights = calloc(1, sizeof *weights);
    if (weights == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the list of weights");
    }
    weights->plan = plan;
    weights->matrices = calloc(plan->weight_count + 1, sizeof *weights->matrices);
    struct packing packing = {.weights = weights, .options = options, .workers = workers};
    struct pack_identity identity;
    bool opened = false;
    if (weights->matrices == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu weights", plan->weight_count);
    } else if (list_jobs(&packing, weights, err)) {
        bool has_file =
            options->pack_path != NULL && pack_identity(plan, options->exact, &identity);
        opened = has_file && map_packed(&packing, &identity)
                     ? check_limit(&packing, err)
                     : pack_all(&packing, has_file ? &identity : NULL, err);
    }
    free(packing.jobs);
    if (!opened) {
        weights_close(weights);
        return false;
    }
    *out = weights;
    return true;
}

void weights_close(struct weights *weights) {
    if (weights == NULL) {
        return;
    }
    if (weights->mapping != NULL) {
        munmap(weights->mapping, weights->memory_bytes);
    }
    pack_file_close(&weights->file);
    free(weights->matrices);
    free(weights);
}

bool weights_plan_bytes(const struct plan *plan, bool exact, size_t *bytes, struct error *err) {
    bool *packed = mark_packed(plan, err);
    bool fits = packed != NULL;
    *bytes = 0;
    for (size_t i = 0; fits && i < plan->weight_count; i++) {
        const struct plan_weight *source = &plan->weights[i];
        const struct pack_form usual = {.wide = exact && source->bits != 0};
        struct packed_matrix matrix;
        fits = !packed[i] || lay_out_matrix(source, &matrix, usual, bytes, err);
    }
    free(packed);
    return fits;
}

/* ---- Reading ---- */

const struct packed_matrix *weights_matrix(const struct weights *weights, int index) {
    return &weights->matrices[index];
}

void weights_embed_row(const struct weights *weights, int index, size_t row, float scale,
                       float *output) {
    const struct packed_matrix *matrix = &weights->matrices[index];
    const struct plan_weight *source = &weights->plan->weights[index];
    if (matrix->bytes != NULL) {
        read_packed_row(matrix, row, output);
    } else {
        source_row(source, row, output);
    }
    for (size_t k = 0; k < source->columns; k++) {
        output[k] *= scale;
    }
}

size_t weights_bytes(const struct weights *weights) {
    return weights->memory_bytes;
}

enum weights_origin weights_get_origin(const struct weights *weights) {
    return weights->origin;
}

const char *weights_note(const struct weights *weights) {
    return weights->note;
}
