/* The plan as text: one line an instruction, then what it needs. */
#include "engine/plan.h"

static void print_vector(const struct plan *plan, const char *label, int vector, FILE *out) {
    if (vector != PLAN_NONE) {
        fprintf(out, " %s=%s", label, plan->vectors[vector].name);
    }
}

static void print_register(const struct plan *plan, int reg, FILE *out) {
    fprintf(out, "r%d[%zu]", reg, plan->registers[reg].width);
}

/* "q4/32 (512, 96) zero points", "q8/row (512, 96)" or "f32 (512, 96)". */
static void print_weight(const struct plan *plan, int index, FILE *out) {
    const struct plan_weight *weight = &plan->weights[index];
    if (weight->bits == 0) {
        fprintf(out, "%s %s", weight->name, element_type_name(weight->type));
    } else if (weight->block_size < weight->columns) {
        fprintf(out, "%s %s/%zu", weight->name, plan_weight_code_name(weight), weight->block_size);
    } else {
        fprintf(out, "%s %s/row", weight->name, plan_weight_code_name(weight));
    }
    fprintf(out, " (%zu, %zu)%s%s", weight->rows, weight->columns,
            weight->zero_points.bytes != NULL ? " zero points" : "",
            weight->group_index != NULL ? " group index" : "");
}

static void print_embed(const struct plan *plan, const struct plan_embed *embed, FILE *out) {
    fprintf(out, embed->by_position ? "embed       positions -> " : "embed       ids -> ");
    print_register(plan, embed->output, out);
    fprintf(out, "  ");
    print_weight(plan, embed->table, out);
    fprintf(out, " scale=%.9g", (double)embed->scale);
    if (embed->first_position > 0) {
        fprintf(out, " first=%zu", embed->first_position);
    }
}

static void print_norm(const struct plan *plan, const struct plan_norm *norm, FILE *out) {
    fprintf(out, "norm        ");
    print_register(plan, norm->input, out);
    if (norm->residual != PLAN_NONE) {
        fprintf(out, " + ");
        print_register(plan, norm->residual, out);
    }
    fprintf(out, " -> ");
    print_register(plan, norm->output, out);
    if (norm->sum != PLAN_NONE) {
        fprintf(out, ", sum ");
        print_register(plan, norm->sum, out);
    }
    fprintf(out, "  %s group=%zu epsilon=%.9g", norm->kind == PLAN_NORM_RMS ? "rms" : "layer",
            norm->group, (double)norm->epsilon);
    print_vector(plan, "weight", norm->weight, out);
    print_vector(plan, "bias", norm->bias, out);
}

static void print_linear(const struct plan *plan, const struct plan_linear *linear, FILE *out) {
    fprintf(out, "linear      ");
    print_register(plan, linear->input, out);
    fprintf(out, " ->");
    for (size_t i = 0; i < linear->count; i++) {
        fprintf(out, i == 0 ? " " : "; ");
        print_register(plan, linear->outputs[i].output, out);
        fprintf(out, " ");
        print_weight(plan, linear->outputs[i].weight, out);
        print_vector(plan, "bias", linear->outputs[i].bias, out);
        if (linear->outputs[i].low_rank != PLAN_NONE) {
            fprintf(out, " + adapter");
        }
    }
}

/* " q=r2@0", or " q=r2@0+96" for heads that lie 96 columns apart. */
static void print_heads(const char *label, const struct plan_operand *operand, FILE *out) {
    fprintf(out, " %s=r%d@%zu", label, operand->reg, operand->first);
    if (operand->step > 0) {
        fprintf(out, "+%zu", operand->step);
    }
}

static void print_attention(const struct plan *plan, const struct plan_attention *attention,
                            FILE *out) {
    const struct plan_kv_layer *layer = &plan->kv_layers[attention->layer];
    fprintf(out, "attention  ");
    print_heads("q", &attention->query, out);
    print_heads("k", &attention->key, out);
    print_heads("v", &attention->value, out);
    fprintf(out, " -> ");
    print_register(plan, attention->output, out);
    fprintf(out, "  layer=%zu heads=%zu/%zu head_dim=%zu window=%zu scale=%.9g", attention->layer,
            attention->heads, layer->kv_heads, layer->head_dim, layer->window,
            (double)attention->scale);
    if (attention->softcap > 0) {
        fprintf(out, " softcap=%.9g", (double)attention->softcap);
    }
    if (attention->rope != PLAN_NONE) {
        fprintf(out, " rope=%s%s%s", plan->ropes[attention->rope].name,
                attention->rope_interleaved ? " interleaved" : "",
                attention->rope_first ? " before the norms" : "");
        if (plan->short_rope_length > 0) {
            fprintf(out, " other angles above %zu positions", plan->short_rope_length);
        }
    }
    print_vector(plan, "q_norm", attention->q_norm, out);
    print_vector(plan, "k_norm", attention->k_norm, out);
    print_vector(plan, "sinks", attention->sinks, out);
    print_vector(plan, "k_scales", attention->k_scales, out);
    print_vector(plan, "v_scales", attention->v_scales, out);
    if (attention->k_scales != PLAN_NONE || attention->v_scales != PLAN_NONE) {
        fprintf(out, " cache_bits=%u", attention->cache_bits);
    }
}

static void print_operand(const struct plan *plan, struct plan_operand operand, FILE *out) {
    print_register(plan, operand.reg, out);
    if (operand.first > 0) {
        fprintf(out, "@%zu", operand.first);
    }
}

static void print_gate(const struct plan *plan, const struct plan_gate *gate, FILE *out) {
    fprintf(out, "gate        ");
    print_operand(plan, gate->gate, out);
    if (gate->up.reg != PLAN_NONE) {
        fprintf(out, " * ");
        print_operand(plan, gate->up, out);
    }
    fprintf(out, " -> ");
    print_register(plan, gate->output, out);
    fprintf(out, "  %s", plan_activation_name(gate->activation));
}

static void print_add(const struct plan *plan, const struct plan_add *add, FILE *out) {
    fprintf(out, "add         ");
    print_register(plan, add->first, out);
    if (add->second != PLAN_NONE) {
        fprintf(out, " + ");
        print_register(plan, add->second, out);
    }
    fprintf(out, " -> ");
    print_register(plan, add->output, out);
    print_vector(plan, " vector", add->vector, out);
}

static void print_scale(const struct plan *plan, const struct plan_scale *scale, FILE *out) {
    fprintf(out, "scale       ");
    print_register(plan, scale->input, out);
    fprintf(out, " -> ");
    print_register(plan, scale->output, out);
    fprintf(out, "  factor=%.9g", (double)scale->factor);
    if (scale->softcap > 0) {
        fprintf(out, " softcap=%.9g", (double)scale->softcap);
    }
}

static void print_expert_matrix(const struct plan *plan, const char *label,
                                const struct plan_expert_matrix *matrix, FILE *out) {
    if (matrix->weights != PLAN_NONE) {
        fprintf(out, "; %s ", label);
        print_weight(plan, matrix->weights, out);
        print_vector(plan, "bias", matrix->bias, out);
    }
}

static void print_experts(const struct plan *plan, const struct plan_experts *experts, FILE *out) {
    fprintf(out, "experts     ");
    print_register(plan, experts->input, out);
    fprintf(out, " by ");
    print_register(plan, experts->router, out);
    fprintf(out, " -> ");
    print_register(plan, experts->output, out);
    fprintf(out, "  %zu of %zu%s", experts->chosen, experts->experts,
            experts->softmax_over_all ? " softmax over all" : "");
    if (experts->swiglu) {
        fprintf(out, " swiglu alpha=%.9g beta=%.9g limit=%.9g", (double)experts->alpha,
                (double)experts->beta, (double)experts->limit);
    } else {
        fprintf(out, " %s", plan_activation_name(experts->activation));
    }
    print_expert_matrix(plan, "gate", &experts->gate, out);
    print_expert_matrix(plan, "up", &experts->up, out);
    print_expert_matrix(plan, "down", &experts->down, out);
}

void plan_print(const struct plan *plan, FILE *out) {
    for (size_t i = 0; i < plan->instruction_count; i++) {
        const struct plan_instruction *instruction = &plan->instructions[i];
        fprintf(out, "%4zu  ", i);
        switch (instruction->kind) {
        case PLAN_EMBED:
            print_embed(plan, &instruction->embed, out);
            break;
        case PLAN_NORM:
            print_norm(plan, &instruction->norm, out);
            break;
        case PLAN_LINEAR:
            print_linear(plan, &instruction->linear, out);
            break;
        case PLAN_ATTENTION:
            print_attention(plan, &instruction->attention, out);
            break;
        case PLAN_GATE:
            print_gate(plan, &instruction->gate, out);
            break;
        case PLAN_ADD:
            print_add(plan, &instruction->add, out);
            break;
        case PLAN_SCALE:
            print_scale(plan, &instruction->scale, out);
            break;
        case PLAN_EXPERTS:
            print_experts(plan, &instruction->experts, out);
            break;
        case PLAN_SELECT_ROWS:
            fprintf(out, "select_rows");
            break;
        case PLAN_KIND_COUNT:
            break;
        }
        fprintf(out, "\n");
    }
}
