/* A fixture model under tests/models with its expected.json: prompts, greedy tokens and the logits
 * that onnxruntime computes in f32. */
#ifndef QUERN_TESTS_FIXTURE_H
#define QUERN_TESTS_FIXTURE_H

#include "engine/decoder.h"
#include "importer/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fixture_case {
    int32_t *tokens; /* the prompt, then the greedy tokens */
    size_t prompt_length;
    size_t length;
    size_t first_row;         /* the token whose logits are the first of `logits` */
    float *logits;            /* (length - first_row, vocabulary) */
    double onnxruntime_error; /* root mean square, of the model as exported */
};

struct fixture {
    struct model *model;
    struct fixture_case *cases;
    size_t case_count;
};

/* Ends the test with a message if anything is missing. */
struct fixture fixture_open(const char *name);
void fixture_close(struct fixture *fixture);

/* Logits of every token from first_row on, (length - first_row, vocabulary); the prompt in steps of
 * `chunk` rows, then one row a step. The caller frees them. */
float *fixture_run(struct decoder *decoder, const struct fixture_case *test, size_t chunk);

#endif
