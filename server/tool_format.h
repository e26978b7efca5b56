/* How families of models write the calls of tools in their replies: one table. A model's family shows
 * in its chat template, which tells the model how to call and writes earlier calls the same way.
 *
 *     <tool_call>{"name": "f", "arguments": {…}}</tool_call>          Hermes, Qwen, …
 *     [TOOL_CALLS][{"name": "f", "arguments": {…}}, {…}]              Mistral, Phi, Granite
 *     [TOOL_CALLS]f[ARGS]{…}                                          Mistral
 *     {"name": "f", "parameters": {…}}                                Llama
 *     <|channel|>commentary to=functions.f<|message|>{…}<|call|>      gpt-oss
 *
 * The marks around a call are often special tokens, which the text of a reply leaves out; what reads
 * calls (tool_calls.h) must be shown them. */
#ifndef QUERN_SERVER_TOOL_FORMAT_H
#define QUERN_SERVER_TOOL_FORMAT_H

#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOOL_BEGINNINGS_MAX = 2,
    TOOL_MARKS_MAX = 8,
};

struct tool_format {
    const char *name;
    const char *signs[2]; /* a template of the family has one of them; none: any template */
    const char *begins[TOOL_BEGINNINGS_MAX]; /* marks before calls, the usual one first */
    bool bare;                               /* a reply may also begin with a call without a mark */
    bool has_channels;                       /* the reply is read by reply_channels.h */
    const char *end;            /* the mark behind calls, which may be missing; or NULL */
    const char *arguments_mark; /* between name and arguments, where a name follows the mark ... */
    const char *id_mark;        /* ... and before an identifier that stands between them, too */
    const char *opening;        /* what forced calls have before the tool's name ... */
    const char *middle;         /* ... and between that and the arguments */
    const char *shown[TOOL_MARKS_MAX]; /* the marks: they must not be left out of the text */
};

/* The format of a chat template's source. */
const struct tool_format *tool_format_of_template(const char *source, size_t length);

/* Collects the ids of the shown marks that are special tokens. Returns how many. */
size_t tool_format_tokens(const struct tool_format *format, const struct tokenizer *tokenizer,
                          int32_t *ids);

#endif
