/* A fixture model under tests/models with its expected.json: prompts, greedy tokens and the logits
 * that onnxruntime computes in f32; and its adapters, one.onnx_adapter and two.onnx_adapter, if it
 * has some. */
#ifndef QUERN_TESTS_FIXTURE_H
#define QUERN_TESTS_FIXTURE_H

#include "engine/decoder.h"
#include "importer/adapter.h"
#include "importer/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIXTURE_ADAPTERS = 2 };

struct fixture_case {
    size_t adapter;  /* with which it was run: 1 is the first one; 0: none */
    int32_t *tokens; /* the prompt, then the greedy tokens */
    size_t prompt_length;
    size_t length;
    size_t first_row;         /* the token whose logits are the first of `logits` */
    float *logits;            /* (length - first_row, vocabulary) */
    double onnxruntime_error; /* root mean square, of the model as exported */
};

struct fixture {
    struct model *model;
    struct adapter *adapters[FIXTURE_ADAPTERS];
    const struct plan_low_rank_pair *pairs[FIXTURE_ADAPTERS];
    size_t adapter_count;
    struct fixture_case *cases;
    size_t case_count;
};

/* Ends the test with a message if anything is missing. */
struct fixture fixture_open(const char *name);
void fixture_close(struct fixture *fixture);

/* For decoder_options and engine_options. */
struct adapters_source fixture_adapters(const struct fixture *fixture);

/* Logits of every token from first_row on, (length - first_row, vocabulary); the prompt in steps of
 * `chunk` rows, then one row a step. The caller frees them. */
float *fixture_run(struct decoder *decoder, const struct fixture_case *test, size_t chunk);

#endif
