/* The pre-tokenizer: cuts a normalized text into pieces, which the model encodes one by one.
 *
 *     "I'm 42" ──regex──▶ "I" "'m" " 42" ──numbers──▶ "I" "'m" " " "4" "2" ──bytes──▶ "I" "'m" "Ġ" "4" "2"
 *
 * A step either cuts pieces, or makes another text of each. Built by one thread, constant
 * afterwards. */
#ifndef QUERN_ENGINE_TEXT_PRE_TOKENIZER_H
#define QUERN_ENGINE_TEXT_PRE_TOKENIZER_H

#include "engine/error.h"
#include "engine/text/pattern.h"
#include "engine/text/text_steps.h"

#include <stdbool.h>
#include <stddef.h>

/* What becomes of the matches, here of "-" in "a--b". (Hugging Face tokenizers,
 * SplitDelimiterBehavior) */
enum split_behavior {
    SPLIT_ISOLATED,             /* a - - b */
    SPLIT_REMOVED,              /* a b */
    SPLIT_MERGED_WITH_PREVIOUS, /* a- - b */
    SPLIT_MERGED_WITH_NEXT,     /* a - -b */
    SPLIT_CONTIGUOUS,           /* a -- b */
};

enum pre_tokenizer_step_kind {
    PRE_TOKENIZER_SPLIT,
    PRE_TOKENIZER_TEXT,
    PRE_TOKENIZER_FIRST_TEXT, /* only of the piece with which the whole input begins */
};

/* Borrows its texts. */
struct pre_tokenizer_step_definition {
    enum pre_tokenizer_step_kind kind;
    struct pattern_definition pattern; /* of a split */
    enum split_behavior behavior;
    bool invert; /* what lies between the matches counts as matches */
    struct text_step_definition text;
};

struct pre_tokenizer_step {
    enum pre_tokenizer_step_kind kind;
    struct pattern pattern;
    enum split_behavior behavior;
    bool invert;
    struct text_step text;
};

struct pre_tokenizer {
    struct pre_tokenizer_step *steps;
    size_t count;
};

bool pre_tokenizer_add(struct pre_tokenizer *pre_tokenizer,
                       const struct pre_tokenizer_step_definition *definition, struct error *err);
void pre_tokenizer_deinit(struct pre_tokenizer *pre_tokenizer);

/* The pieces of a text: text[begin, end), ascending, none of them empty. */
struct piece {
    size_t begin;
    size_t end;
};

struct piece_list {
    struct piece *pieces;
    size_t count;
    size_t capacity;
};

/* Pieces, and the memory that making them takes, which the next text uses again. Start from {0}. */
struct pieces {
    const char *text; /* the given one, or `made` */
    struct piece_list list;
    struct piece_list next; /* what a step makes of `list` */
    struct text_buffer made;
    struct text_buffer next_made;
};

void pieces_deinit(struct pieces *pieces);

/* Cuts a text, valid UTF-8, which must outlive the pieces. `first`: the input begins with it. */
bool pre_tokenizer_apply(const struct pre_tokenizer *pre_tokenizer, struct token_text text,
                         bool first, struct pieces *pieces, struct error *err);

#endif
