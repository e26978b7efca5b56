/* Where in a model's reply the texts stand that are read out of it: which tokens they are made of follows
 * from that.
 *
 *     reply      <think>Hm.</think>\n\nIt is 42.
 *     texts                             It is 42.      characters 21 to 30
 *
 * What is read out of a reply leaves things out: marks, white space around them, thoughts, calls; but it
 * keeps the order, and the end of what has been pushed is what it tells of last.
 *
 * One thread at a time. */
#ifndef QUERN_SERVER_TEXT_RANGE_H
#define QUERN_SERVER_TEXT_RANGE_H

#include "engine/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

/* Start from {0}. */
struct text_range {
    struct text_buffer raw; /* of the reply, what no text may have come of yet */
    size_t skipped;         /* characters before that */
    size_t begin;           /* of the text that was found last: characters of the reply */
    size_t end;
};

/* More of the reply has come. False when memory is out. */
bool text_range_push(struct text_range *range, const char *bytes, size_t length);

/* Finds a text of the reply, and says false if there is none such. */
bool text_range_find(struct text_range *range, const char *text, size_t length);

/* What has come is no text. */
void text_range_skip(struct text_range *range);

void text_range_deinit(struct text_range *range);

#endif
