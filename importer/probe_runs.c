#include "importer/probe_runs.h"

#include "importer/probe.h"

enum { LONG_DEFAULT = 8192 }; /* where no configuration says how long a context may be */

static bool begin_run(struct probe_runs *probes, enum probe_run which, struct error *err) {
    struct interpretation *run = &probes->runs[which];
    struct probe_batch batch = {
        .size = 1, .past = probes->past[which], .fresh = probes->fresh[which]};
    batch.lengths[0] = batch.past + batch.fresh;
    if (!interpretation_init(run, probes->graph, err) ||
        !probe_feed(run, &batch, probes->config, err)) {
        return false;
    }
    interpretation_run(run);
    return true;
}

bool probe_runs_open(struct probe_runs *probes, const struct graph *graph,
                     const struct model_config *config, struct error *err) {
    size_t context = config->context_length;
    size_t longest = context == 0                    ? LONG_DEFAULT
                     : context > PROBE_POSITIONS_MAX ? PROBE_POSITIONS_MAX
                                                     : context;
    *probes = (struct probe_runs){
        .graph = graph,
        .config = config,
        .past = {[PROBE_PROMPT] = 0,
                 [PROBE_CHUNK] = 3,
                 [PROBE_FAR] = longest > 302 ? 300 : longest / 2,
                 [PROBE_LONG] = longest - 1},
        .fresh = {[PROBE_PROMPT] = 5, [PROBE_CHUNK] = 4, [PROBE_FAR] = 1, [PROBE_LONG] = 1},
    };
    for (enum probe_run which = 0; which < PROBE_RUNS; which++) {
        if (!begin_run(probes, which, err)) {
            probe_runs_close(probes);
            return false;
        }
    }
    return true;
}

bool probe_runs_shorten(struct probe_runs *probes, size_t positions, struct error *err) {
    interpretation_deinit(&probes->runs[PROBE_LONG]);
    probes->past[PROBE_LONG] = positions - 1;
    return begin_run(probes, PROBE_LONG, err);
}

void probe_runs_close(struct probe_runs *probes) {
    for (size_t i = 0; i < PROBE_RUNS; i++) {
        if (probes->runs[i].graph != NULL) {
            interpretation_deinit(&probes->runs[i]);
        }
    }
}
