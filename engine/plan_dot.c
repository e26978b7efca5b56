/* The plan as a drawing, in the language of Graphviz: an instruction is a box, a register an arrow from
 * the instruction that writes it to those that read it. */
#include "engine/plan.h"

#include <stdlib.h>
#include <string.h>

/* Text within double quotes. */
static void print_quoted(const char *text, FILE *out) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        if ((unsigned char)*text >= ' ') {
            fputc(*text, out);
        }
    }
    fputc('"', out);
}

struct drawing {
    const struct plan *plan;
    size_t *writers; /* of each register */
    size_t instruction;
    FILE *out;
};

static void draw_register(void *context, int reg, bool written) {
    struct drawing *drawing = context;
    if (written) {
        drawing->writers[reg] = drawing->instruction;
        return;
    }
    fprintf(drawing->out, "  i%zu -> i%zu [label=\"r%d: %zu\"];\n", drawing->writers[reg],
            drawing->instruction, reg, drawing->plan->registers[reg].width);
}

/* The line that plan_print has for an instruction begins with what it is. */
static void draw_box(const struct plan *plan, size_t index, FILE *out) {
    const struct plan_instruction *instruction = &plan->instructions[index];
    char label[256];
    snprintf(label, sizeof label, "%s\n%s", plan_kind_name(instruction->kind), instruction->name);
    fprintf(out, "  i%zu [label=", index);
    char *line = strchr(label, '\n');
    *line = '\0';
    print_quoted(label, out);
    fprintf(out, ", tooltip=");
    print_quoted(line + 1, out);
    fprintf(out, "%s];\n",
            instruction->kind == PLAN_ATTENTION ? ", style=filled, fillcolor=\"#dde8f5\"" : "");
}

bool plan_print_dot(const struct plan *plan, FILE *out) {
    struct drawing drawing = {
        .plan = plan,
        .writers = calloc(plan->register_count + 1, sizeof *drawing.writers),
        .out = out,
    };
    if (drawing.writers == NULL) {
        return false;
    }
    fprintf(out, "digraph plan {\n  node [shape=box, fontname=\"sans-serif\"];\n"
                 "  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for (size_t i = 0; i < plan->instruction_count; i++) {
        drawing.instruction = i;
        draw_box(plan, i, out);
        plan_instruction_registers(&plan->instructions[i], draw_register, &drawing);
    }
    fprintf(out, "}\n");
    free(drawing.writers);
    return true;
}
