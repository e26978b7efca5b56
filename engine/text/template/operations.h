/* What can be done with values, as Python does it: truth, arithmetic, order, members, and text.
 *
 * Using an undefined value fails with what it is about, but for printing it, iterating over it,
 * comparing it for equality and asking for its truth. */
#ifndef QUERN_ENGINE_TEXT_TEMPLATE_OPERATIONS_H
#define QUERN_ENGINE_TEXT_TEMPLATE_OPERATIONS_H

#include "engine/text/template/builtin.h"
#include "engine/text/template/render.h"

/* ---- Types ---- */

/* bool(value); an argument that was not given is not true. */
bool template_is_true(struct template_value value);

/* Python's name of the type: "str", "list", ... */
const char *template_type_name(enum template_type type);

bool template_is_number(struct template_value value);  /* booleans are, too */
bool template_is_integer(struct template_value value); /* booleans are, too; big ones are not */
int64_t template_to_integer(struct template_value value);
double template_to_number(struct template_value value);

/* len(value); false for what has none. */
bool template_length(struct template_value value, size_t *length);

bool template_fail_undefined(struct template_render *render, struct template_value value);

/* What an operation does not work on. */
bool template_fail_operands(struct template_render *render, const char *operation,
                            struct template_value left, struct template_value right);

/* ---- Arithmetic and order ---- */

bool template_arithmetic(struct template_render *render, enum template_token_kind operation,
                         struct template_value left, struct template_value right,
                         struct template_value *result);
bool template_sign(struct template_render *render, enum template_token_kind operation,
                   struct template_value value, struct template_value *result);
bool template_equal(struct template_render *render, struct template_value left,
                    struct template_value right, bool *equal);
bool template_compare(struct template_render *render, enum template_comparison comparison,
                      struct template_value left, struct template_value right, bool *holds);

/* Sorts the items by their keys, of which there are as many; items of equal keys keep their order. */
bool template_sort(struct template_render *render, struct template_list *items,
                   struct template_list *keys, bool descending);

/* ---- Members ---- */

/* object.name: a method or the like comes before an item of that name. */
bool template_get_attribute(struct template_render *render, struct template_value object,
                            struct template_text name, struct template_value *result);

/* object[key]: an item comes first. */
bool template_get_item(struct template_render *render, struct template_value object,
                       struct template_value key, struct template_value *result);

/* object[start:stop:step]; bounds that are none or absent are left out. */
bool template_get_slice(struct template_render *render, struct template_value object,
                        const struct template_value bounds[3], struct template_value *result);

/* The item at "a.b.0" within the object; the object itself where the path is absent or none. */
bool template_get_path(struct template_render *render, struct template_value object,
                       struct template_value path, struct template_value *result);

/* ---- Text ---- */

/* Append str(value) and repr(value). */
bool template_print(struct template_render *render, struct template_value value);
bool template_print_repr(struct template_render *render, struct template_value value);

/* str(value): of a text, the text itself. */
bool template_to_text(struct template_render *render, struct template_value value,
                      struct template_text *text);

/* repr(number): the fewest digits that read back as it. */
enum { TEMPLATE_NUMBER_BYTES = 32 };
void template_format_number(double number, char out[TEMPLATE_NUMBER_BYTES]);

/* str(value) with HTML's special characters replaced, unless that has been done. */
bool template_escape(struct template_render *render, struct template_value value,
                     struct template_value *result);

/* format % values: one value, a tuple of them, or a dict for %(name)s. */
bool template_format_percent(struct template_render *render, struct template_text format,
                             struct template_value values, struct template_value *result);

/* format.format(arguments): "{} {0} {name.member[0]}". */
bool template_format_braces(struct template_render *render, struct template_text format,
                            const struct template_arguments *arguments,
                            struct template_value *result);

/* json.dumps(value), as Hugging Face's tojson has it. */
struct template_json_style {
    struct template_text indent; /* of one level; NULL bytes: all in one line */
    struct template_text item_separator;
    struct template_text key_separator;
    bool ensure_ascii;
    bool sort_keys;
};
bool template_print_json(struct template_render *render, const struct template_json_style *style,
                         struct template_value value);

#endif
