#include "engine/weights.h"

#include "engine/checked.h"
#include "engine/weights_pack.h"
#include "engine/workers.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { JOB_TILES = 64 }; /* what a thread packs in one go: 1024 rows, some megabytes */

struct weights {
    const struct plan *plan;
    struct packed_matrix *matrices; /* (plan->weight_count); those not packed have no bytes */
    uint8_t *memory;                /* one mapping that holds all tiles */
    size_t memory_bytes;
};

/* A run of tiles of one matrix. */
struct pack_job {
    const struct plan_weight *source;
    struct packed_matrix *matrix;
    size_t offset; /* of the matrix in the memory of all */
    size_t first_tile;
    size_t end_tile;
    struct scale_survey survey;
};

struct packing {
    const struct weights *weights;
    struct pack_job *jobs;
    size_t job_count;
};

/* ---- Jobs ---- */

static void mark_linear_weights(const struct plan *plan, bool *linear) {
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &plan->instructions[i];
        if (instruction->kind != PLAN_LINEAR) {
            continue;
        }
        for (size_t output = 0; output < instruction->linear.count; output++) {
            linear[instruction->linear.outputs[output].weight] = true;
        }
    }
}

static size_t tiles_of(const struct plan_weight *source) {
    return (source->rows - 1) / TILE_ROWS + 1;
}

/* Jobs for all weights that a linear instruction uses, weight by weight in ascending tiles. */
static bool list_jobs(struct packing *packing, struct weights *weights, struct error *err) {
    const struct plan *plan = weights->plan;
    bool *linear = calloc(plan->weight_count + 1, sizeof *linear);
    if (linear == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a list of weights");
    }
    mark_linear_weights(plan, linear);
    size_t count = 0;
    for (size_t i = 0; i < plan->weight_count; i++) {
        count += linear[i] ? (tiles_of(&plan->weights[i]) - 1) / JOB_TILES + 1 : 0;
    }
    packing->jobs = calloc(count + 1, sizeof *packing->jobs);
    for (size_t i = 0; i < plan->weight_count && packing->jobs != NULL; i++) {
        size_t tiles = linear[i] ? tiles_of(&plan->weights[i]) : 0;
        for (size_t tile = 0; tile < tiles; tile += JOB_TILES) {
            packing->jobs[packing->job_count++] = (struct pack_job){
                .source = &plan->weights[i],
                .matrix = &weights->matrices[i],
                .first_tile = tile,
                .end_tile = tiles - tile < JOB_TILES ? tiles : tile + JOB_TILES,
            };
        }
    }
    free(linear);
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
        job->survey = survey_scales(job->source, job->first_tile * TILE_ROWS, end_row_of(job));
    }
}

/* Do the scales of `source`, whose jobs begin at `job`, fit into f16? */
static bool scales_are_narrow(const struct packing *packing, size_t job, bool exact) {
    const struct plan_weight *source = packing->jobs[job].source;
    bool narrow = !exact || source->scale_type == ELEMENT_F16;
    for (; job < packing->job_count && packing->jobs[job].source == source; job++) {
        narrow &= packing->jobs[job].survey.narrow;
    }
    return narrow;
}

static bool check_scales(const struct packing *packing, struct error *err) {
    for (size_t i = 0; i < packing->job_count; i++) {
        const struct pack_job *job = &packing->jobs[i];
        if (job->source->bits != 0 && !job->survey.finite) {
            return error_set(
                err, ERROR_BAD_FILE, "weight %.200s: scale %zu is %g, expected a finite number",
                job->source->name, job->survey.bad_index, (double)job->survey.bad_value);
        }
    }
    return true;
}

/* Lays out the matrices of all jobs, one behind the other, and takes the memory. */
static bool lay_out(struct weights *weights, const struct packing *packing, bool exact,
                    struct error *err) {
    size_t total = 0;
    size_t offset = 0;
    for (size_t i = 0; i < packing->job_count; i++) {
        struct pack_job *job = &packing->jobs[i];
        if (job->first_tile == 0) {
            bool wide = job->source->bits != 0 && !scales_are_narrow(packing, i, exact);
            size_t bytes;
            offset = total;
            if (!pack_layout(job->source, wide, job->matrix) ||
                !checked_multiply(job->matrix->tiles, job->matrix->tile_bytes, &bytes) ||
                !checked_add(total, bytes, &total)) {
                return error_set(err, ERROR_TOO_LARGE, "weight %.200s (%zu, %zu) is too large",
                                 job->source->name, job->source->rows, job->source->columns);
            }
        }
        job->offset = offset;
    }
    if (total == 0) {
        return true;
    }
    void *memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu bytes of packed weights",
                         total);
    }
    madvise(memory, total, MADV_HUGEPAGE); /* fewer page faults and TLB misses, where there are */
    weights->memory = memory;
    weights->memory_bytes = total;
    for (size_t i = 0; i < packing->job_count; i++) {
        packing->jobs[i].matrix->bytes = weights->memory + packing->jobs[i].offset;
    }
    return true;
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

/* Gives back what rows [first, end) of a weight occupy in its file. */
static void release_rows(const struct plan *plan, const struct plan_weight *source, size_t first,
                         size_t end) {
    if (source->bits == 0) {
        size_t row_bytes = source->columns * element_type_bytes(source->type);
        release(plan, source->data + first * row_bytes, (end - first) * row_bytes);
        return;
    }
    size_t blocks = (source->columns - 1) / source->block_size + 1;
    size_t code_bytes = blocks * source->block_size * source->bits / 8;
    size_t scale_bytes = blocks * element_type_bytes(source->scale_type);
    release(plan, source->data + first * code_bytes, (end - first) * code_bytes);
    release(plan, source->scales + first * scale_bytes, (end - first) * scale_bytes);
}

static void pack_job(void *context, size_t thread, size_t item) {
    (void)thread;
    const struct packing *packing = context;
    const struct pack_job *job = &packing->jobs[item];
    pack_tiles(job->source, job->matrix, job->first_tile, job->end_tile,
               packing->weights->memory + job->offset);
    if (!job->source->transposed) { /* else a page holds rows of many jobs */
        release_rows(packing->weights->plan, job->source, job->first_tile * TILE_ROWS,
                     end_row_of(job));
    }
}

static void release_transposed(const struct packing *packing) {
    for (size_t i = 0; i < packing->job_count; i++) {
        const struct plan_weight *source = packing->jobs[i].source;
        if (source->transposed && packing->jobs[i].first_tile == 0) {
            release_rows(packing->weights->plan, source, 0, source->rows);
        }
    }
}

bool weights_open(struct weights **out, const struct plan *plan, bool exact,
                  struct workers *workers, struct error *err) {
    struct packing packing = {0};
    bool opened = false;
    struct weights *weights = calloc(1, sizeof *weights);
    if (weights == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the list of weights");
    }
    weights->plan = plan;
    packing.weights = weights;
    weights->matrices = calloc(plan->weight_count + 1, sizeof *weights->matrices);
    if (weights->matrices == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu weights", plan->weight_count);
        goto cleanup;
    }
    if (!list_jobs(&packing, weights, err)) {
        goto cleanup;
    }
    workers_run(workers, survey_job, &packing, packing.job_count);
    if (!check_scales(&packing, err) || !lay_out(weights, &packing, exact, err)) {
        goto cleanup;
    }
    workers_run(workers, pack_job, &packing, packing.job_count);
    release_transposed(&packing);
    opened = true;

cleanup:
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
    if (weights->memory != NULL) {
        munmap(weights->memory, weights->memory_bytes);
    }
    free(weights->matrices);
    free(weights);
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
        read_source_row(source, row, output);
    }
    for (size_t k = 0; k < source->columns; k++) {
        output[k] *= scale;
    }
}

size_t weights_bytes(const struct weights *weights) {
    return weights->memory_bytes;
}
