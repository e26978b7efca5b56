#include "engine/text/bpe.h"

#include "engine/checked.h"
#include "engine/secret_hash.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* left right -> result; an empty place has left = -1. */
struct merge {
    int32_t left;
    int32_t right;
    uint32_t rank;
    int32_t result;
};

enum {
    MERGES_SIZE_FIRST = 1024,
    BLOCK_CHARACTERS = 256,
    BLOCK_COUNT = 0x110000 / BLOCK_CHARACTERS
};

/* Every character of a text is looked up here: two reads from memory that mostly is in a cache. */
struct character_tokens {
    uint16_t block[BLOCK_COUNT];      /* of the code points from 256 i on; block 0 has no tokens */
    int32_t (*ids)[BLOCK_CHARACTERS]; /* [count], -1: no token */
    size_t count;
};

void bpe_init(struct bpe *bpe) {
    *bpe = (struct bpe){0};
}

void bpe_deinit(struct bpe *bpe) {
    free(bpe->merges);
    if (bpe->characters != NULL) {
        free(bpe->characters->ids);
        free(bpe->characters);
    }
    text_buffer_deinit(&bpe->waiting_text);
    bpe_init(bpe);
}

/* ---- Merges ---- */

static size_t first_place(const struct bpe *bpe, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)((pair * bpe->multiplier) >> 32) & (bpe->merges_size - 1);
}

static size_t merge_place(const struct bpe *bpe, int32_t left, int32_t right) {
    size_t mask = bpe->merges_size - 1;
    size_t place = first_place(bpe, left, right);
    while (bpe->merges[place].left >= 0 &&
           (bpe->merges[place].left != left || bpe->merges[place].right != right)) {
        place = (place + 1) & mask;
    }
    return place;
}

static const struct merge *find_merge(const struct bpe *bpe, int32_t left, int32_t right) {
    if (bpe->merges_size == 0) {
        return NULL;
    }
    const struct merge *merge = &bpe->merges[merge_place(bpe, left, right)];
    return merge->left >= 0 ? merge : NULL;
}

static bool grow_merges(struct bpe *bpe) {
    struct merge *old = bpe->merges;
    size_t old_size = bpe->merges_size;
    size_t size = old_size > 0 ? 2 * old_size : MERGES_SIZE_FIRST;
    struct merge *merges = malloc(size * sizeof *merges);
    if (merges == NULL) {
        return false;
    }
    memset(merges, 0xFF, size * sizeof *merges); /* left is -1: empty */
    bpe->merges = merges;
    bpe->merges_size = size;
    bpe->multiplier = secret_number() | 1;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].left >= 0) {
            merges[merge_place(bpe, old[i].left, old[i].right)] = old[i];
        }
    }
    free(old);
    return true;
}

static bool refuse_merge(size_t rank, const struct token_text *texts, const int32_t *ids,
                         struct error *err) {
    return error_set(err, ERROR_BAD_FILE,
                     "merge %zu: \"%.*s\" + \"%.*s\": %s is not in the vocabulary", rank,
                     token_text_shown(texts[0].length), texts[0].bytes,
                     token_text_shown(texts[1].length), texts[1].bytes,
                     ids[0] < 0   ? "the left part"
                     : ids[1] < 0 ? "the right part"
                                  : "the result");
}

/* Looks the waiting merges up, three texts each: left, right, and both, which lie side by side. */
static bool add_waiting(struct bpe *bpe, const struct vocabulary *vocabulary, struct error *err) {
    struct token_text texts[3 * MERGES_WAITING_MAX];
    int32_t ids[3 * MERGES_WAITING_MAX];
    const size_t count = bpe->waiting_count;
    const char *at = bpe->waiting_text.bytes;
    if (count == 0) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t left = bpe->waiting[i].left_length;
        const size_t right = bpe->waiting[i].right_length;
        texts[3 * i] = (struct token_text){at, left};
        texts[3 * i + 1] = (struct token_text){at + left, right};
        texts[3 * i + 2] = (struct token_text){at, left + right};
        at += left + right;
    }
    vocabulary_find_batch(vocabulary, texts, 3 * count, ids);
    while (2 * (bpe->merge_count + count) > bpe->merges_size) {
        if (!grow_merges(bpe)) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu merges",
                             bpe->merge_count);
        }
    }
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(&bpe->merges[first_place(bpe, ids[3 * i], ids[3 * i + 1])], 1);
    }
    for (size_t i = 0; i < count; i++) {
        const int32_t *id = &ids[3 * i];
        if (id[0] < 0 || id[1] < 0 || id[2] < 0) {
            return refuse_merge(bpe->merge_count, &texts[3 * i], id, err);
        }
        bpe->merges[merge_place(bpe, id[0], id[1])] = (struct merge){
            .left = id[0], .right = id[1], .rank = (uint32_t)bpe->merge_count++, .result = id[2]};
    }
    bpe->waiting_count = 0;
    bpe->waiting_text.length = 0;
    return true;
}

bool bpe_add_merge(struct bpe *bpe, const struct vocabulary *vocabulary, struct token_text left,
                   struct token_text right, struct error *err) {
    if (!text_buffer_append(&bpe->waiting_text, left.bytes, left.length) ||
        !text_buffer_append(&bpe->waiting_text, right.bytes, right.length)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu merges", bpe->merge_count);
    }
    bpe->waiting[bpe->waiting_count++] = (struct waiting_merge){left.length, right.length};
    return bpe->waiting_count < MERGES_WAITING_MAX || add_waiting(bpe, vocabulary, err);
}

/* ---- Tokens of one character ---- */

static bool add_block(struct character_tokens *characters, uint16_t *block) {
    int32_t(*ids)[BLOCK_CHARACTERS] =
        realloc(characters->ids, (characters->count + 1) * sizeof *ids);
    if (ids == NULL) {
        return false;
    }
    characters->ids = ids;
    memset(ids[characters->count], 0xFF, sizeof *ids); /* ids of -1 */
    *block = (uint16_t)characters->count++;
    return true;
}

static bool add_character(struct character_tokens *characters, uint32_t code, int32_t id) {
    uint16_t *block = &characters->block[code / BLOCK_CHARACTERS];
    if (*block == 0 && !add_block(characters, block)) {
        return false;
    }
    characters->ids[*block][code % BLOCK_CHARACTERS] = id;
    return true;
}

static bool find_characters(struct bpe *bpe, const struct vocabulary *vocabulary) {
    uint16_t empty;
    struct character_tokens *characters = calloc(1, sizeof *characters);
    bpe->characters = characters;
    bool ok = characters != NULL && add_block(characters, &empty);
    for (size_t id = 0; ok && id < vocabulary->size; id++) {
        struct token_text text = vocabulary_text(vocabulary, (int32_t)id);
        if (text.length > 0 && utf8_character(text.bytes, text.length) == text.length &&
            vocabulary_find(vocabulary, text.bytes, text.length) == (int32_t)id) {
            ok = add_character(characters, utf8_decode(text.bytes, text.length), (int32_t)id);
        }
    }
    return ok;
}

static int32_t character_token(const struct bpe *bpe, uint32_t code) {
    const struct character_tokens *characters = bpe->characters;
    return characters->ids[characters->block[code / BLOCK_CHARACTERS]][code % BLOCK_CHARACTERS];
}

bool bpe_finish(struct bpe *bpe, const struct vocabulary *vocabulary, struct bpe_options options,
                struct error *err) {
    if (!add_waiting(bpe, vocabulary, err)) {
        return false;
    }
    text_buffer_deinit(&bpe->waiting_text);
    if (!find_characters(bpe, vocabulary)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the tokens of single characters");
    }
    bpe->options = options;
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        bpe->byte_tokens[byte] = vocabulary_find(vocabulary, name, strlen(name));
    }
    return true;
}

/* ---- A word ---- */

enum { GONE = -1, NOBODY = -1 };

struct symbol {
    int32_t id; /* GONE once merged into its left neighbour */
    int32_t previous;
    int32_t next;
};

struct candidate {
    uint32_t rank;
    int32_t position; /* of the left symbol */
    int32_t result;
};

struct word {
    const struct bpe *bpe;
    struct symbol *symbols;
    int32_t count;
    struct candidate *heap; /* least first */
    size_t heap_count;
};

static bool comes_before(const struct candidate *a, const struct candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void heap_push(struct word *word, struct candidate candidate) {
    size_t at = word->heap_count++;
    while (at > 0 && comes_before(&candidate, &word->heap[(at - 1) / 2])) {
        word->heap[at] = word->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    word->heap[at] = candidate;
}

static struct candidate heap_pop(struct word *word) {
    struct candidate least = word->heap[0];
    struct candidate last = word->heap[--word->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= word->heap_count) {
            break;
        }
        if (child + 1 < word->heap_count &&
            comes_before(&word->heap[child + 1], &word->heap[child])) {
            child++;
        }
        if (!comes_before(&word->heap[child], &last)) {
            break;
        }
        word->heap[at] = word->heap[child];
        at = child;
    }
    word->heap[at] = last;
    return least;
}

static void add_symbol(struct word *word, int32_t id) {
    int32_t at = word->count++;
    word->symbols[at] = (struct symbol){.id = id, .previous = at - 1, .next = at + 1};
}

static bool all_bytes_are_tokens(const struct bpe *bpe, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bpe->byte_tokens[(uint8_t)text[i]] < 0) {
            return false;
        }
    }
    return true;
}

/* Characters to symbols. An unknown one waits until it is known whether the next is unknown too, as
 * in the reference; bytes of a fallback do not end that wait there, so they do not here. */
static void split_characters(struct word *word, const char *text, size_t length) {
    const struct bpe_options *options = &word->bpe->options;
    bool unknown_waits = false;
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_character(text + at, length - at);
        assert(bytes > 0);
        int32_t id = character_token(word->bpe, utf8_decode(text + at, bytes));
        if (id >= 0) {
            if (unknown_waits) {
                add_symbol(word, options->unknown);
            }
            unknown_waits = false;
            add_symbol(word, id);
        } else if (options->byte_fallback && all_bytes_are_tokens(word->bpe, text + at, bytes)) {
            for (size_t i = 0; i < bytes; i++) {
                add_symbol(word, word->bpe->byte_tokens[(uint8_t)text[at + i]]);
            }
        } else if (options->unknown >= 0) {
            if (unknown_waits && !options->fuse_unknown) {
                add_symbol(word, options->unknown);
            }
            unknown_waits = true;
        }
        at += bytes;
    }
    if (unknown_waits) {
        add_symbol(word, options->unknown);
    }
}

static void consider(struct word *word, int32_t left) {
    int32_t right = left == NOBODY ? NOBODY : word->symbols[left].next;
    if (right == NOBODY) {
        return;
    }
    const struct merge *merge =
        find_merge(word->bpe, word->symbols[left].id, word->symbols[right].id);
    if (merge != NULL) {
        heap_push(word, (struct candidate){
                            .rank = merge->rank, .position = left, .result = merge->result});
    }
}

/* Each merge takes one candidate out and puts at most two in, one symbol fewer each time: 3 n
 * places are enough. */
static void merge_all(struct word *word) {
    for (int32_t i = 0; i + 1 < word->count; i++) {
        consider(word, i);
    }
    while (word->heap_count > 0) {
        struct candidate top = heap_pop(word);
        struct symbol *left = &word->symbols[top.position];
        if (left->id == GONE || left->next == NOBODY) {
            continue;
        }
        struct symbol *right = &word->symbols[left->next];
        const struct merge *merge = find_merge(word->bpe, left->id, right->id);
        if (merge == NULL || merge->result != top.result) {
            continue; /* one of the two has changed since */
        }
        left->id = top.result;
        right->id = GONE;
        left->next = right->next;
        if (left->next != NOBODY) {
            word->symbols[left->next].previous = top.position;
        }
        consider(word, left->previous);
        consider(word, top.position);
    }
}

/* Room for a word of that many bytes: a character or byte makes at most one symbol each, and see
 * merge_all. */
static bool reserve_word(struct bpe_word *memory, size_t length) {
    size_t symbols;
    size_t heap;
    if (length <= memory->capacity) {
        return true;
    }
    if (length > INT32_MAX || !checked_multiply(length, sizeof *memory->symbols, &symbols) ||
        !checked_multiply(length, 3 * sizeof *memory->heap, &heap)) {
        return false;
    }
    bpe_word_deinit(memory);
    memory->symbols = malloc(symbols);
    memory->heap = malloc(heap);
    bool ok = memory->symbols != NULL && memory->heap != NULL;
    memory->capacity = ok ? length : 0;
    return ok;
}

void bpe_word_deinit(struct bpe_word *memory) {
    free(memory->symbols);
    free(memory->heap);
    *memory = (struct bpe_word){0};
}

bool bpe_encode(const struct bpe *bpe, const struct vocabulary *vocabulary, const char *text,
                size_t length, struct bpe_word *memory, struct token_list *ids, struct error *err) {
    int32_t whole = bpe->options.ignore_merges ? vocabulary_find(vocabulary, text, length) : -1;
    bool ok = reserve_word(memory, length);
    if (whole >= 0) {
        ok = token_list_push(ids, whole);
    } else if (ok && length > 0) {
        struct word word = {.bpe = bpe, .symbols = memory->symbols, .heap = memory->heap};
        split_characters(&word, text, length);
        if (word.count > 0) {
            word.symbols[word.count - 1].next = NOBODY;
        }
        merge_all(&word);
        for (int32_t i = 0; ok && i < word.count; i++) {
            ok = word.symbols[i].id == GONE || token_list_push(ids, word.symbols[i].id);
        }
    }
    return ok ||
           error_set(err, ERROR_OUT_OF_MEMORY, "no memory to tokenize a word of %zu bytes", length);
}
