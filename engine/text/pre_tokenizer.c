#include "engine/text/pre_tokenizer.h"

#include "engine/checked.h"

#include <stdlib.h>

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the pieces of a text");
}

/* ---- Building ---- */

static void step_deinit(struct pre_tokenizer_step *step) {
    pattern_deinit(&step->pattern);
    text_step_deinit(&step->text);
}

bool pre_tokenizer_add(struct pre_tokenizer *pre_tokenizer,
                       const struct pre_tokenizer_step_definition *definition, struct error *err) {
    struct pre_tokenizer_step *steps =
        realloc(pre_tokenizer->steps, (pre_tokenizer->count + 1) * sizeof *steps);
    if (steps == NULL) {
        return no_memory(err);
    }
    pre_tokenizer->steps = steps;
    struct pre_tokenizer_step *step = &steps[pre_tokenizer->count];
    *step = (struct pre_tokenizer_step){
        .kind = definition->kind, .behavior = definition->behavior, .invert = definition->invert};
    bool ok = step->kind == PRE_TOKENIZER_SPLIT
                  ? pattern_init(&step->pattern, &definition->pattern, err)
                  : text_step_init(&step->text, &definition->text, err);
    pre_tokenizer->count += ok;
    return ok;
}

void pre_tokenizer_deinit(struct pre_tokenizer *pre_tokenizer) {
    for (size_t i = 0; i < pre_tokenizer->count; i++) {
        step_deinit(&pre_tokenizer->steps[i]);
    }
    free(pre_tokenizer->steps);
    *pre_tokenizer = (struct pre_tokenizer){0};
}

/* ---- Pieces ---- */

static bool push_piece(struct piece_list *list, size_t begin, size_t end, struct error *err) {
    if (begin == end) {
        return true;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
        size_t bytes;
        struct piece *pieces = checked_multiply(capacity, sizeof *pieces, &bytes)
                                   ? realloc(list->pieces, bytes)
                                   : NULL;
        if (pieces == NULL) {
            return no_memory(err);
        }
        list->pieces = pieces;
        list->capacity = capacity;
    }
    list->pieces[list->count++] = (struct piece){begin, end};
    return true;
}

void pieces_deinit(struct pieces *pieces) {
    free(pieces->list.pieces);
    free(pieces->next.pieces);
    text_buffer_deinit(&pieces->made);
    text_buffer_deinit(&pieces->next_made);
    *pieces = (struct pieces){0};
}

/* ---- Splitting: the text as stretches, matches and what lies between them, by turns ---- */

struct splitter {
    enum split_behavior behavior;
    struct piece_list *list;
    struct piece open; /* the last stretch, which the next may still join */
    bool has_open;
    bool open_is_match;
};

/* Does a stretch join the one before it? */
static bool joins(const struct splitter *splitter, bool is_match) {
    switch (splitter->behavior) {
    case SPLIT_MERGED_WITH_PREVIOUS:
        return is_match && !splitter->open_is_match;
    case SPLIT_MERGED_WITH_NEXT:
        return !is_match && splitter->open_is_match;
    case SPLIT_CONTIGUOUS:
        return is_match == splitter->open_is_match;
    case SPLIT_ISOLATED:
    case SPLIT_REMOVED:
        return false;
    }
    return false;
}

static bool close_stretch(struct splitter *splitter, struct error *err) {
    bool counts =
        splitter->has_open && !(splitter->behavior == SPLIT_REMOVED && splitter->open_is_match);
    splitter->has_open = false;
    return !counts || push_piece(splitter->list, splitter->open.begin, splitter->open.end, err);
}

static bool take_stretch(struct splitter *splitter, size_t begin, size_t end, bool is_match,
                         struct error *err) {
    if (splitter->has_open && joins(splitter, is_match)) {
        splitter->open.end = end;
    } else {
        if (!close_stretch(splitter, err)) {
            return false;
        }
        splitter->open = (struct piece){begin, end};
        splitter->has_open = true;
    }
    splitter->open_is_match = is_match;
    return true;
}

static bool split_piece(const struct pre_tokenizer_step *step, struct pattern_search *search,
                        struct pieces *pieces, struct piece piece, struct error *err) {
    struct splitter splitter = {.behavior = step->behavior, .list = &pieces->next};
    struct token_text text = {pieces->text + piece.begin, piece.end - piece.begin};
    size_t from = 0;
    pattern_search_begin(search, text);
    for (;;) {
        bool found;
        size_t begin;
        size_t end;
        if (!pattern_search_next(search, &found, &begin, &end, err)) {
            return false;
        }
        size_t between = found ? begin : text.length;
        if (from < between && !take_stretch(&splitter, piece.begin + from, piece.begin + between,
                                            step->invert, err)) {
            return false;
        }
        if (!found) {
            return close_stretch(&splitter, err);
        }
        if (!take_stretch(&splitter, piece.begin + begin, piece.begin + end, !step->invert, err)) {
            return false;
        }
        from = end;
    }
}

static bool split(const struct pre_tokenizer_step *step, struct pieces *pieces, struct error *err) {
    struct pattern_search search;
    bool ok = pattern_search_init(&search, &step->pattern, err);
    for (size_t i = 0; ok && i < pieces->list.count; i++) {
        ok = split_piece(step, &search, pieces, pieces->list.pieces[i], err);
    }
    pattern_search_deinit(&search);
    return ok;
}

/* ---- Text steps ---- */

static bool rewrite(const struct pre_tokenizer_step *step, struct pieces *pieces, bool first,
                    struct error *err) {
    struct text_step_run run;
    struct text_buffer *made = &pieces->next_made;
    made->length = 0;
    bool ok = text_step_run_init(&run, &step->text, err) &&
              (text_buffer_append(made, "", 0) || no_memory(err));
    for (size_t i = 0; ok && i < pieces->list.count; i++) {
        struct piece piece = pieces->list.pieces[i];
        struct token_text text = {pieces->text + piece.begin, piece.end - piece.begin};
        size_t begin = made->length;
        bool applies = step->kind == PRE_TOKENIZER_TEXT || (first && i == 0);
        ok = applies ? text_step_run_apply(&run, text, made, err)
                     : text_buffer_append(made, text.bytes, text.length) || no_memory(err);
        ok = ok && push_piece(&pieces->next, begin, made->length, err);
    }
    text_step_run_deinit(&run);
    struct text_buffer before = pieces->made;
    pieces->made = pieces->next_made;
    pieces->next_made = before;
    pieces->text = pieces->made.bytes;
    return ok;
}

bool pre_tokenizer_apply(const struct pre_tokenizer *pre_tokenizer, struct token_text text,
                         bool first, struct pieces *pieces, struct error *err) {
    pieces->text = text.bytes;
    pieces->list.count = 0;
    bool ok = push_piece(&pieces->list, 0, text.length, err);
    for (size_t i = 0; ok && i < pre_tokenizer->count; i++) {
        const struct pre_tokenizer_step *step = &pre_tokenizer->steps[i];
        pieces->next.count = 0;
        ok = step->kind == PRE_TOKENIZER_SPLIT ? split(step, pieces, err)
                                               : rewrite(step, pieces, first, err);
        struct piece_list before = pieces->list;
        pieces->list = pieces->next;
        pieces->next = before;
        first = first && pieces->list.count > 0 && pieces->list.pieces[0].begin == 0;
    }
    return ok;
}
