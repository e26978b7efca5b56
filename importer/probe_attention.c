#include "importer/probe_attention.h"

#include "engine/kernels/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* What a masked score has added at least: f16 exports have -10000 for minus infinity. */
static const double masked = -9999;

static bool unlike(struct error *err, const char *what) {
    return error_set(err, ERROR_UNSUPPORTED, "%s", what);
}

/* Does the graph contradict itself where several tokens are new behind a past? Some exports cannot be
 * asked for that; a mask and angles that are right at every position leave no doubt what it would be. */
static bool cannot_run(struct probe_runs *probes, enum probe_run which, int value) {
    struct error why = {0};
    return which == PROBE_CHUNK &&
           interpretation_shape(&probes->runs[which], value, &why) == NULL &&
           why.code == ERROR_BAD_FILE;
}

/* ---- One experiment: numbers in, numbers out ---- */

struct experiment {
    struct interpretation run;
    size_t past;
    size_t fresh;
    struct error *err;
};

static bool experiment_begin(struct experiment *experiment, struct probe_runs *probes,
                             enum probe_run which, struct error *err) {
    experiment->past = probes->past[which];
    experiment->fresh = probes->fresh[which];
    experiment->err = err;
    return interpretation_init_from(&experiment->run, &probes->runs[which], probes->end, err);
}

/* Experiments look at nothing behind this value: a layer need not be found again and again in all that
 * follows from it. */
static void look_up_to(struct probe_runs *probes, int value) {
    const struct graph *graph = probes->graph;
    const struct graph_node *producer = graph_producer(graph, value);
    probes->end = producer != NULL ? (size_t)(producer - graph->nodes) + 1 : graph->node_count;
}

/* Element `index` of a tensor that is fed. */
typedef double number_at(const void *context, size_t index);

/* Feeds a value of that shape. */
static bool feed_numbers(struct experiment *experiment, int value, size_t rank, const size_t *dims,
                         number_at *number, const void *context) {
    struct tensor *tensor = arena_allocate(&experiment->run.arena, 1, sizeof *tensor);
    int64_t sizes[TENSOR_RANK_MAX];
    size_t count = 1;
    for (size_t d = 0; d < rank; d++) {
        sizes[d] = (int64_t)dims[d];
        count *= dims[d];
    }
    if (count > INTERPRET_ELEMENTS_MAX) {
        return unlike(experiment->err, "the attention is too large to be tried out");
    }
    if (tensor == NULL) {
        return error_set(experiment->err, ERROR_OUT_OF_MEMORY, "no memory to evaluate a graph");
    }
    uint8_t *bytes =
        tensor_allocate(tensor, &experiment->run.arena, TENSOR_F32, rank, sizes, experiment->err);
    for (size_t i = 0; bytes != NULL && i < tensor->count; i++) {
        float element = (float)number(context, i);
        memcpy(bytes + i * sizeof element, &element, sizeof element);
    }
    return bytes != NULL &&
           interpretation_replace(&experiment->run, value, tensor, experiment->err);
}

/* The shape of a value, as the run that this one began with found it. */
static const struct tensor *shape_of(struct probe_runs *probes, enum probe_run which, int value,
                                     struct error *err) {
    return interpretation_shape(&probes->runs[which], value, err);
}

/* The dimensions of (batch, heads, rows, columns), where the batch, which is 1, may be left out: older
 * exports multiply stacks of matrices, one for each head. */
static bool head_dims(const struct tensor *tensor, size_t *dims) {
    if (tensor->rank < 3 || tensor->rank > 4) {
        return false;
    }
    dims[0] = 1;
    memcpy(dims + 4 - tensor->rank, tensor->dims, tensor->rank * sizeof dims[0]);
    return dims[0] == 1;
}

/* Feeds numbers of four dimensions, or three if that is how the value is. */
static bool feed_heads(struct experiment *experiment, int value, const size_t *dims,
                       number_at *number, const void *context) {
    const struct tensor *shape = interpretation_shape(&experiment->run, value, experiment->err);
    size_t rank = shape != NULL && shape->rank == 3 ? 3 : 4;
    return shape != NULL && feed_numbers(experiment, value, rank, dims + 4 - rank, number, context);
}

static const struct tensor *numbers_of(struct experiment *experiment, int value, size_t count) {
    const struct tensor *tensor = interpretation_value(&experiment->run, value, experiment->err);
    if (tensor != NULL && tensor->count != count) {
        unlike(experiment->err, "a part of the attention has an unexpected size");
        return NULL;
    }
    return tensor;
}

static bool near(double found, double expected) {
    return fabs(found - expected) <= 2e-4 * fmax(1, fabs(expected));
}

/* Numbers without a pattern, from -1 to 1. */
static double scattered(const void *context, size_t index) {
    (void)context;
    uint64_t bits = (index + 1) * 0x9e3779b97f4a7c15u;
    bits ^= bits >> 29;
    bits *= 0xbf58476d1ce4e5b9u;
    return (double)(bits >> 40) / (double)(1u << 23) - 1;
}

static double one(const void *context, size_t index) {
    (void)context;
    (void)index;
    return 1;
}

/* ---- Projections: rows to heads ---- */

struct head_shape {
    size_t heads;
    size_t fresh;
    size_t head_dim;
    size_t columns;   /* of the rows */
    size_t rows_rank; /* 2: they have no batch dimension, 3 */
};

static size_t at_head(const struct head_shape *shape, size_t head, size_t row, size_t dim) {
    return (head * shape->fresh + row) * shape->head_dim + dim;
}

static bool read_shape(struct probe_runs *probes, enum probe_run which,
                       const struct projection *projection, struct head_shape *shape,
                       struct error *err) {
    const struct tensor *rows = shape_of(probes, which, projection->rows, err);
    const struct tensor *value =
        rows != NULL ? shape_of(probes, which, projection->value, err) : NULL;
    if (value == NULL) {
        return false;
    }
    size_t fresh = probes->fresh[which];
    size_t rank = rows->rank;
    bool has_rows = rank >= 2 && rank <= 3 && rows->dims[rank - 2] == fresh &&
                    rows->count == fresh * rows->dims[rank - 1];
    size_t heads[4];
    if (!has_rows || !head_dims(value, heads) || heads[2] != fresh || value->count == 0) {
        return unlike(err, "queries, keys and values are not (batch, heads, sequence, head_dim)");
    }
    *shape = (struct head_shape){.heads = heads[1],
                                 .fresh = fresh,
                                 .head_dim = heads[3],
                                 .columns = rows->dims[rank - 1],
                                 .rows_rank = rank};
    return true;
}

/* Only the number of rows may differ from one run to another. */
static bool projection_shape(struct probe_runs *probes, enum probe_run which,
                             const struct projection *projection, struct head_shape *shape,
                             struct error *err) {
    struct head_shape prompt;
    if (!read_shape(probes, PROBE_PROMPT, projection, &prompt, err) ||
        !read_shape(probes, which, projection, shape, err)) {
        return false;
    }
    return (shape->heads == prompt.heads && shape->head_dim == prompt.head_dim &&
            shape->columns == prompt.columns) ||
           unlike(err, "its heads are not the same in every step");
}

/* The projection of rows of such numbers. The norm is left out: what it passes on is taken for what
 * it was given, since only their places matter. */
static const struct tensor *project(struct experiment *experiment,
                                    const struct projection *projection,
                                    const struct head_shape *shape, number_at *number,
                                    const void *context) {
    const size_t dims[] = {1, shape->fresh, shape->columns};
    if (!feed_numbers(experiment, projection->rows, shape->rows_rank, dims + 3 - shape->rows_rank,
                      number, context)) {
        return NULL;
    }
    if (projection->norm_input != GRAPH_NONE) {
        const struct tensor *normed =
            interpretation_value(&experiment->run, projection->norm_input, experiment->err);
        if (normed == NULL || !interpretation_replace(&experiment->run, projection->norm_output,
                                                      normed, experiment->err)) {
            return NULL;
        }
    }
    return numbers_of(experiment, projection->value, shape->heads * shape->fresh * shape->head_dim);
}

/* Each column has its number, counted from 1. */
static double column_number(const void *context, size_t index) {
    const size_t *columns = context;
    return (double)(index % *columns + 1);
}

/* What a projection does at position 0, where every rotation is by nothing: the columns of its heads,
 * and the factor of each dimension. */
static bool probe_columns(struct probe_runs *probes, const struct projection *projection,
                          struct head_columns *columns, double *factors, struct error *err) {
    struct head_shape shape;
    struct experiment ones;
    struct experiment numbered;
    if (!projection_shape(probes, PROBE_PROMPT, projection, &shape, err) ||
        !experiment_begin(&ones, probes, PROBE_PROMPT, err)) {
        return false;
    }
    if (!experiment_begin(&numbered, probes, PROBE_PROMPT, err)) {
        interpretation_deinit(&ones.run);
        return false;
    }
    const struct tensor *factor = project(&ones, projection, &shape, one, NULL);
    const struct tensor *code =
        factor != NULL ? project(&numbered, projection, &shape, column_number, &shape.columns)
                       : NULL;
    bool sound = code != NULL;
    *columns = (struct head_columns){.step = shape.head_dim};
    for (size_t h = 0; sound && h < shape.heads; h++) {
        for (size_t d = 0; sound && d < shape.head_dim; d++) {
            size_t index = at_head(&shape, h, 0, d);
            double scale = tensor_number(factor, index);
            double column = round(tensor_number(code, index) / scale) - 1;
            if (d == 0 && h < 2 && column >= 0 && column < (double)shape.columns) {
                *(h == 0 ? &columns->first : &columns->step) = (size_t)column - columns->first;
            }
            if (h == 0) {
                factors[d] = scale;
            }
            sound =
                (isfinite(scale) && scale != 0 && near(scale, factors[d]) &&
                 columns->step >= shape.head_dim && columns->step <= shape.columns &&
                 column == (double)(columns->first + h * columns->step + d)) ||
                unlike(err, "at position 0 its heads are not a multiple of neighbouring columns");
        }
    }
    interpretation_deinit(&numbered.run);
    interpretation_deinit(&ones.run);
    return sound;
}

/* ---- Rotation ---- */

struct rotation {
    size_t half; /* 0: none */
    bool interleaved;
    double factor;    /* of all dimensions */
    double amplitude; /* of those that are rotated, besides */
    float frequencies[HEAD_DIM_MAX / 2];
};

/* Dimensions from the last one that stays the same at a later position are not rotated. */
static bool count_rotated(struct probe_runs *probes, const struct projection *projection,
                          const double *factors, size_t *rotated, struct error *err) {
    struct head_shape shape;
    struct experiment experiment;
    if (!projection_shape(probes, PROBE_FAR, projection, &shape, err) ||
        !experiment_begin(&experiment, probes, PROBE_FAR, err)) {
        return false;
    }
    const struct tensor *far = project(&experiment, projection, &shape, one, NULL);
    *rotated = 0;
    for (size_t d = 0; far != NULL && d < shape.head_dim; d++) {
        double change = tensor_number(far, at_head(&shape, 0, 0, d)) / factors[d] - 1;
        *rotated = fabs(change) > 1e-6 ? d + 1 : *rotated;
    }
    /* A very slow last pair may look still. */
    *rotated += *rotated % 2;
    interpretation_deinit(&experiment.run);
    return far != NULL;
}

/* Where the first and second dimension of pair i are. */
static size_t pair_first(const struct rotation *rotation, size_t i) {
    return rotation->interleaved ? 2 * i : i;
}
static size_t pair_second(const struct rotation *rotation, size_t i) {
    return rotation->interleaved ? 2 * i + 1 : i + rotation->half;
}

/* Ones in the first dimension of each pair of each head, zeros elsewhere. */
struct pattern {
    const struct rotation *rotation;
    size_t columns;
    struct head_columns heads;
};

static double first_of_pair(const void *context, size_t index) {
    const struct pattern *pattern = context;
    size_t column = index % pattern->columns;
    if (column < pattern->heads.first) {
        return 0;
    }
    size_t dim = (column - pattern->heads.first) % pattern->heads.step;
    const struct rotation *rotation = pattern->rotation;
    return rotation->interleaved ? dim < 2 * rotation->half && dim % 2 == 0 : dim < rotation->half;
}

/* At position 1 the angle of a pair is its frequency: the first dimension becomes its cosine, the
 * second its sine. */
static bool find_frequencies(struct probe_runs *probes, const struct projection *projection,
                             struct head_columns columns, struct rotation *rotation,
                             struct error *err) {
    struct head_shape shape;
    struct experiment experiment;
    if (!projection_shape(probes, PROBE_PROMPT, projection, &shape, err) ||
        !experiment_begin(&experiment, probes, PROBE_PROMPT, err)) {
        return false;
    }
    struct pattern pattern = {rotation, shape.columns, columns};
    const struct tensor *turned = project(&experiment, projection, &shape, first_of_pair, &pattern);
    for (size_t i = 0; turned != NULL && i < rotation->half; i++) {
        double cosine = tensor_number(turned, at_head(&shape, 0, 1, pair_first(rotation, i)));
        double sine = tensor_number(turned, at_head(&shape, 0, 1, pair_second(rotation, i)));
        rotation->frequencies[i] = (float)atan2(sine, cosine);
    }
    interpretation_deinit(&experiment.run);
    return turned != NULL;
}

static bool same_frequencies(const struct tensor *constant, const struct rotation *rotation) {
    for (size_t i = 0; i < rotation->half; i++) {
        double frequency = (double)rotation->frequencies[i];
        if (fabs(tensor_number(constant, i) - frequency) > 1e-5 * fabs(frequency) + 1e-9) {
            return false;
        }
    }
    return true;
}

/* The angles of later positions need every bit of a frequency, so the constant of the graph is taken
 * that has them. */
static void take_exact_frequencies(const struct graph *graph, struct rotation *rotation) {
    for (size_t v = 0; v < graph->value_count; v++) {
        const struct tensor *constant = graph->values[v].constant;
        if (constant == NULL || constant->count != rotation->half ||
            !tensor_type_is_float(constant->type) || !same_frequencies(constant, rotation)) {
            continue;
        }
        for (size_t i = 0; i < rotation->half; i++) {
            rotation->frequencies[i] = (float)tensor_number(constant, i);
        }
        return;
    }
}

/* What the rotation makes of a head at a position. */
static void rotate(const struct rotation *rotation, const double *head, size_t head_dim,
                   size_t position, double *turned) {
    for (size_t d = 0; d < head_dim; d++) {
        turned[d] = rotation->factor * head[d];
    }
    for (size_t i = 0; i < rotation->half; i++) {
        double a = head[pair_first(rotation, i)];
        double b = head[pair_second(rotation, i)];
        double angle = (double)((float)position * rotation->frequencies[i]);
        double factor = rotation->factor * rotation->amplitude;
        turned[pair_first(rotation, i)] = factor * (a * cos(angle) - b * sin(angle));
        turned[pair_second(rotation, i)] = factor * (b * cos(angle) + a * sin(angle));
    }
}

/* Does the projection of scattered numbers agree with the rotation, in every head and row of a run? */
static bool confirm_rotation(struct probe_runs *probes, enum probe_run which,
                             const struct projection *projection, struct head_columns columns,
                             const struct rotation *rotation, struct error *err) {
    struct head_shape shape;
    struct experiment experiment;
    if (!projection_shape(probes, which, projection, &shape, err) ||
        !experiment_begin(&experiment, probes, which, err)) {
        return false;
    }
    const struct tensor *value = project(&experiment, projection, &shape, scattered, NULL);
    bool sound = value != NULL;
    for (size_t h = 0; sound && h < shape.heads; h++) {
        for (size_t row = 0; sound && row < shape.fresh; row++) {
            double head[HEAD_DIM_MAX];
            double turned[HEAD_DIM_MAX];
            for (size_t d = 0; d < shape.head_dim; d++) {
                size_t column = columns.first + h * columns.step + d;
                head[d] = (double)(float)scattered(NULL, row * shape.columns + column);
            }
            rotate(rotation, head, shape.head_dim, experiment.past + row, turned);
            for (size_t d = 0; sound && d < shape.head_dim; d++) {
                double found = tensor_number(value, at_head(&shape, h, row, d));
                sound = near(found / rotation->factor, turned[d] / rotation->factor) ||
                        unlike(err, "rotates heads by something else than position x frequency");
            }
        }
    }
    interpretation_deinit(&experiment.run);
    return sound;
}

static bool confirm_everywhere(struct probe_runs *probes, const struct projection *projection,
                               struct head_columns columns, const struct rotation *rotation,
                               struct error *err) {
    for (enum probe_run which = 0; which < PROBE_RUNS; which++) {
        if (!cannot_run(probes, which, projection->value) &&
            !confirm_rotation(probes, which, projection, columns, rotation, err)) {
            return false;
        }
    }
    return true;
}

/* All dimensions that are rotated have one factor at position 0, all others another. */
static bool split_factors(const double *factors, size_t rotated_dims, size_t head_dim,
                          struct rotation *rotation, struct error *err) {
    rotation->factor = factors[head_dim - 1];
    rotation->amplitude = rotated_dims > 0 ? factors[0] / rotation->factor : 1;
    for (size_t d = 0; d < head_dim; d++) {
        double expected = d < rotated_dims ? factors[0] : rotation->factor;
        if (!near(factors[d] / expected, 1)) {
            return unlike(err, "scales the dimensions of a head differently");
        }
    }
    return true;
}

/* Finds out by which angles the heads of a projection are rotated. */
static bool probe_rotation(struct probe_runs *probes, const struct projection *projection,
                           struct head_columns columns, const double *factors, size_t head_dim,
                           struct rotation *rotation, struct error *err) {
    size_t rotated_dims;
    if (!count_rotated(probes, projection, factors, &rotated_dims, err) ||
        !split_factors(factors, rotated_dims, head_dim, rotation, err)) {
        return false;
    }
    rotation->half = rotated_dims / 2;
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        rotation->interleaved = interleaved == 1;
        if (!find_frequencies(probes, projection, columns, rotation, err)) {
            return false;
        }
        take_exact_frequencies(probes->graph, rotation);
        if (confirm_everywhere(probes, projection, columns, rotation, err)) {
            return true;
        }
    }
    return false;
}

/* ---- Queries, keys and values ---- */

static bool probe_heads(struct probe_runs *probes, const struct attention_parts *parts,
                        struct attention_meaning *meaning, struct error *err) {
    struct head_shape query;
    struct head_shape key;
    struct head_shape value;
    if (!projection_shape(probes, PROBE_PROMPT, &parts->query, &query, err) ||
        !projection_shape(probes, PROBE_PROMPT, &parts->key, &key, err) ||
        !projection_shape(probes, PROBE_PROMPT, &parts->value, &value, err)) {
        return false;
    }
    if (key.head_dim != query.head_dim || value.head_dim != query.head_dim ||
        value.heads != key.heads || query.heads % key.heads != 0 || query.head_dim > HEAD_DIM_MAX) {
        return error_set(err, ERROR_UNSUPPORTED,
                         "has %zu heads of %zu, keys %zu of %zu, values %zu of %zu", query.heads,
                         query.head_dim, key.heads, key.head_dim, value.heads, value.head_dim);
    }
    meaning->heads = query.heads;
    meaning->kv_heads = key.heads;
    meaning->head_dim = query.head_dim;
    return true;
}

static bool keep_rotation(struct probe_runs *probes, const struct rotation *rotation,
                          struct attention_meaning *meaning, struct error *err) {
    meaning->rope_half = rotation->half;
    meaning->rope_interleaved = rotation->interleaved && rotation->half > 0;
    meaning->rope_amplitude = (float)rotation->amplitude;
    meaning->frequencies =
        arena_allocate(probes->graph->arena, rotation->half + 1, sizeof *meaning->frequencies);
    if (meaning->frequencies == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for frequencies");
    }
    memcpy(meaning->frequencies, rotation->frequencies,
           rotation->half * sizeof *meaning->frequencies);
    return true;
}

/* Keys are rotated as queries are, but may have another factor. */
static bool probe_projections(struct probe_runs *probes, const struct attention_parts *parts,
                              struct attention_meaning *meaning, struct error *err) {
    double factors[HEAD_DIM_MAX] = {0};
    struct rotation rotation = {0};
    if (!probe_columns(probes, &parts->query, &meaning->query, factors, err) ||
        !probe_rotation(probes, &parts->query, meaning->query, factors, meaning->head_dim,
                        &rotation, err)) {
        return error_prefix(err, "the query");
    }
    if (!keep_rotation(probes, &rotation, meaning, err)) {
        return false;
    }
    meaning->scale = (float)rotation.factor;
    if (!probe_columns(probes, &parts->key, &meaning->key, factors, err)) {
        return error_prefix(err, "the key");
    }
    rotation.factor = factors[meaning->head_dim - 1];
    meaning->scale *= (float)rotation.factor;
    if (!confirm_everywhere(probes, &parts->key, meaning->key, &rotation, err)) {
        return error_prefix(err, "the key");
    }
    struct rotation none = {.factor = 1, .amplitude = 1};
    return (probe_columns(probes, &parts->value, &meaning->value, factors, err) &&
            confirm_everywhere(probes, &parts->value, meaning->value, &none, err)) ||
           error_prefix(err, "the value");
}

/* ---- From the cache to the operands: each KV head serves a group of query heads ---- */

/* Element (head, position, dim) of an operand; keys are transposed. */
static size_t at_operand(const struct attention_meaning *meaning, size_t total, bool transposed,
                         size_t head, size_t position, size_t dim) {
    return transposed ? (head * meaning->head_dim + dim) * total + position
                      : (head * total + position) * meaning->head_dim + dim;
}

/* One KV head need not be repeated for its query heads: a product does so itself. */
static size_t operand_heads(struct probe_runs *probes, int operand,
                            const struct attention_meaning *meaning, struct error *err) {
    const struct tensor *shape = shape_of(probes, PROBE_PROMPT, operand, err);
    size_t dims[4];
    bool single = shape != NULL && head_dims(shape, dims) && dims[1] == 1;
    return single && meaning->kv_heads == 1 ? 1 : meaning->heads;
}

/* *factor is what the operand has been multiplied with. */
static bool probe_operand(struct probe_runs *probes, int present, int operand, bool transposed,
                          const struct attention_meaning *meaning, double *factor,
                          struct error *err) {
    struct experiment experiment;
    if (!experiment_begin(&experiment, probes, PROBE_PROMPT, err)) {
        return false;
    }
    size_t total = experiment.past + experiment.fresh;
    size_t group = meaning->heads / meaning->kv_heads;
    size_t heads = operand_heads(probes, operand, meaning, err);
    const size_t dims[] = {1, meaning->kv_heads, total, meaning->head_dim};
    bool fed = feed_numbers(&experiment, present, 4, dims, scattered, NULL);
    const struct tensor *numbers =
        fed ? numbers_of(&experiment, operand, heads * total * meaning->head_dim) : NULL;
    bool sound = numbers != NULL;
    if (sound) {
        *factor = tensor_number(numbers, 0) / (double)(float)scattered(NULL, 0);
    }
    for (size_t h = 0; sound && h < heads; h++) {
        for (size_t i = 0; sound && i < total * meaning->head_dim; i++) {
            size_t position = i / meaning->head_dim;
            size_t dim = i % meaning->head_dim;
            size_t from = (h / group * total + position) * meaning->head_dim + dim;
            size_t to = at_operand(meaning, total, transposed, h, position, dim);
            sound =
                near(tensor_number(numbers, to) / *factor, (double)(float)scattered(NULL, from)) ||
                unlike(err, "does not share KV heads among neighbouring query heads");
        }
    }
    interpretation_deinit(&experiment.run);
    return sound;
}

static bool probe_operands(struct probe_runs *probes, const struct attention_parts *parts,
                           struct attention_meaning *meaning, struct error *err) {
    double key_factor;
    double value_factor;
    if (!probe_operand(probes, parts->present_key, parts->key_operand, true, meaning, &key_factor,
                       err) ||
        !probe_operand(probes, parts->present_value, parts->value_operand, false, meaning,
                       &value_factor, err)) {
        return false;
    }
    meaning->scale *= (float)key_factor;
    return near(value_factor, 1) || unlike(err, "scales its values");
}

/* ---- From scores to weights: scale, softcap, mask ---- */

static double same_number(const void *context, size_t index) {
    (void)index;
    return *(const double *)context;
}

/* Feeds `score` as all scores, of a single head where that may do. */
static bool feed_scores(struct experiment *experiment, int scores, double score) {
    const struct tensor *shape = interpretation_shape(&experiment->run, scores, experiment->err);
    size_t dims[4];
    if (shape == NULL || !head_dims(shape, dims)) {
        return shape != NULL && unlike(experiment->err, "its scores have unexpected dimensions");
    }
    dims[1] = shape->rank == 3 ? dims[1] : 1;
    return feed_heads(experiment, scores, dims, same_number, &score);
}

/* What goes into the softmax of a run if all scores are `score`: (heads of the mask, fresh, total), as
 * some masks repeat themselves for each head. */
static const struct tensor *soften(struct experiment *experiment,
                                   const struct attention_parts *parts, double score) {
    size_t total = experiment->past + experiment->fresh;
    size_t dims[4];
    bool fed = parts->scores == GRAPH_NONE || feed_scores(experiment, parts->scores, score);
    const struct tensor *tensor =
        fed ? interpretation_value(&experiment->run, parts->softmax_input, experiment->err) : NULL;
    if (tensor != NULL && (!head_dims(tensor, dims) || dims[1] == 0 ||
                           dims[2] != experiment->fresh || dims[3] != total)) {
        unlike(experiment->err, "its mask has unexpected dimensions");
        return NULL;
    }
    return tensor;
}

/* Element (head, row, position) of a mask: is the position seen? */
static bool check_mask(struct experiment *experiment, const struct tensor *mask, bool causal,
                       size_t window) {
    size_t total = experiment->past + experiment->fresh;
    for (size_t i = 0; i < mask->count; i++) {
        assert(total > 0 && experiment->fresh > 0); /* or there would be no elements */
        size_t here = experiment->past + i / total % experiment->fresh;
        size_t position = i % total;
        bool seen = position <= here && (window == 0 || position + window > here);
        double added = tensor_number(mask, i);
        if (causal && position > here) {
            continue;
        }
        if (seen ? fabs(added) > 1e-6 : !(added <= masked)) {
            return error_set(experiment->err, ERROR_UNSUPPORTED,
                             "its mask adds %g to the score of position %zu at position %zu%s",
                             added, position, here,
                             seen && added > masked
                                 ? ", and scores with a bias, as ALiBi has it, have no instruction"
                                 : "");
        }
    }
    return true;
}

/* A mask that repeats itself for each head may be too large at the end of the longest context: then the
 * long run ends earlier, for this attention and all that follow. */
static bool shorten_long_run(struct probe_runs *probes, const struct attention_parts *parts,
                             size_t heads, struct error *err) {
    const struct tensor *shape = shape_of(probes, PROBE_LONG, parts->softmax_input, err);
    if (shape == NULL) {
        return false;
    }
    size_t longest = PROBE_POSITIONS_MAX / (heads > 0 ? heads : 1);
    size_t dims[4];
    if (!head_dims(shape, dims) || dims[1] == 1 || probes->past[PROBE_LONG] < longest) {
        return true;
    }
    return probe_runs_shorten(probes, longest, err);
}

/* At the end of the longest context a window shows where it begins. */
static bool probe_window(struct probe_runs *probes, const struct attention_parts *parts,
                         size_t heads, size_t *window, struct error *err) {
    struct experiment experiment;
    if (!shorten_long_run(probes, parts, heads, err) ||
        !experiment_begin(&experiment, probes, PROBE_LONG, err)) {
        return false;
    }
    const struct tensor *mask = soften(&experiment, parts, 0);
    size_t total = experiment.past + experiment.fresh;
    size_t begin = 0;
    while (mask != NULL && begin < total && tensor_number(mask, begin) <= masked) {
        begin++;
    }
    *window = begin > 0 ? total - begin : 0;
    bool sound = mask != NULL && check_mask(&experiment, mask, parts->causal, *window);
    interpretation_deinit(&experiment.run);
    return sound;
}

static bool confirm_mask(struct probe_runs *probes, enum probe_run which,
                         const struct attention_parts *parts, size_t window, struct error *err) {
    struct experiment experiment;
    if (cannot_run(probes, which, parts->softmax_input)) {
        return true;
    }
    if (!experiment_begin(&experiment, probes, which, err)) {
        return false;
    }
    const struct tensor *mask = soften(&experiment, parts, 0);
    bool sound = mask != NULL && check_mask(&experiment, mask, parts->causal, window);
    interpretation_deinit(&experiment.run);
    return sound;
}

static bool probe_whole_mask(struct probe_runs *probes, const struct attention_parts *parts,
                             size_t heads, size_t *window, struct error *err) {
    return probe_window(probes, parts, heads, window, err) &&
           confirm_mask(probes, PROBE_PROMPT, parts, *window, err) &&
           confirm_mask(probes, PROBE_CHUNK, parts, *window, err) &&
           confirm_mask(probes, PROBE_FAR, parts, *window, err);
}

bool probe_mask(struct probe_runs *probes, int mask, size_t heads, size_t *window,
                struct error *err) {
    const struct attention_parts parts = {
        .scores = GRAPH_NONE, .softmax_input = mask, .causal = true};
    look_up_to(probes, mask);
    return probe_whole_mask(probes, &parts, heads, window, err);
}

/* What a score that is seen becomes. */
static bool softened_score(struct probe_runs *probes, const struct attention_parts *parts,
                           double score, double *result, struct error *err) {
    struct experiment experiment;
    if (!experiment_begin(&experiment, probes, PROBE_PROMPT, err)) {
        return false;
    }
    const struct tensor *scores = soften(&experiment, parts, score);
    *result = scores != NULL ? tensor_number(scores, 0) : 0;
    interpretation_deinit(&experiment.run);
    return scores != NULL;
}

/* scale * x, or softcap * tanh(scale * x / softcap): the slope at 0 and the limit tell which. */
static bool probe_scale(struct probe_runs *probes, const struct attention_parts *parts,
                        struct attention_meaning *meaning, struct error *err) {
    static const double samples[] = {-70, -3, 0.5, 2, 11, 250};
    const double small = 0x1p-14; /* where a cap is not felt yet */
    const double large = 0x1p40;
    double near_zero;
    double limit;
    if (!softened_score(probes, parts, small, &near_zero, err) ||
        !softened_score(probes, parts, large, &limit, err)) {
        return false;
    }
    double scale = near_zero / small;
    bool capped = !near(limit / (scale * large), 1);
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        double x = scale * samples[i];
        double found;
        if (!softened_score(probes, parts, samples[i], &found, err)) {
            return false;
        }
        if (!near(found, capped ? limit * tanh(x / limit) : x)) {
            return unlike(err, "does something else to its scores than scaling and capping them");
        }
    }
    meaning->scale *= (float)scale;
    meaning->softcap = capped ? (float)limit : 0;
    return true;
}

/* The weights are the softmax's output, but for repairs of NaN. */
static bool probe_weights(struct probe_runs *probes, const struct attention_parts *parts,
                          size_t heads, struct error *err) {
    struct experiment experiment;
    if (!experiment_begin(&experiment, probes, PROBE_PROMPT, err)) {
        return false;
    }
    const size_t dims[] = {1, heads, experiment.fresh, experiment.past + experiment.fresh};
    size_t count = heads * dims[2] * dims[3];
    bool fed = feed_heads(&experiment, parts->softmax_output, dims, scattered, NULL);
    const struct tensor *weights = fed ? numbers_of(&experiment, parts->weights, count) : NULL;
    bool sound = weights != NULL;
    for (size_t i = 0; sound && i < count; i++) {
        sound = near(tensor_number(weights, i), (double)(float)scattered(NULL, i)) ||
                unlike(err, "changes its weights behind the softmax");
    }
    interpretation_deinit(&experiment.run);
    return sound;
}

static bool probe_scores(struct probe_runs *probes, const struct attention_parts *parts,
                         struct attention_meaning *meaning, struct error *err) {
    return probe_whole_mask(probes, parts, meaning->heads, &meaning->window, err) &&
           probe_scale(probes, parts, meaning, err) &&
           probe_weights(probes, parts, meaning->heads, err);
}

/* ---- From the context to rows ---- */

static bool probe_output(struct probe_runs *probes, const struct attention_parts *parts,
                         const struct attention_meaning *meaning, struct error *err) {
    struct experiment experiment;
    if (!experiment_begin(&experiment, probes, PROBE_PROMPT, err)) {
        return false;
    }
    size_t fresh = experiment.fresh;
    size_t width = meaning->heads * meaning->head_dim;
    const size_t dims[] = {1, meaning->heads, fresh, meaning->head_dim};
    bool fed = feed_heads(&experiment, parts->context, dims, scattered, NULL);
    const struct tensor *rows = fed ? numbers_of(&experiment, parts->output, fresh * width) : NULL;
    bool sound = rows != NULL;
    for (size_t i = 0; sound && i < fresh * width; i++) {
        size_t row = i / width;
        size_t head = i % width / meaning->head_dim;
        size_t from = (head * fresh + row) * meaning->head_dim + i % meaning->head_dim;
        sound = near(tensor_number(rows, i), (double)(float)scattered(NULL, from)) ||
                unlike(err, "does not put its heads side by side");
    }
    interpretation_deinit(&experiment.run);
    return sound;
}

bool probe_attention(struct probe_runs *probes, const struct attention_parts *parts,
                     struct attention_meaning *meaning, struct error *err) {
    look_up_to(probes, parts->output);
    return probe_heads(probes, parts, meaning, err) &&
           probe_projections(probes, parts, meaning, err) &&
           probe_operands(probes, parts, meaning, err) &&
           probe_scores(probes, parts, meaning, err) && probe_output(probes, parts, meaning, err);
}
