#include "engine/text/grammar/token_trie.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- Slices ---- */

static enum token_slice slice_of(struct token_text text) {
    const bool blank = text.length > 1 && text.bytes[0] == ' ';
    const char *word = text.bytes + blank;
    const size_t length = text.length - blank;
    size_t characters;
    const character_set groups = character_groups_of(word, length, &characters);
    size_t ignored;
    const character_set first = character_groups_of(word, 1, &ignored);
    const character_set rest = character_groups_of(word + 1, length - 1, &ignored);
    const bool malformed = (groups & GROUP_BIT(GROUP_MALFORMED)) != 0;
    if ((malformed ? length : characters) + blank > TRIE_SHORT_CHARACTERS) {
        return SLICE_LONG;
    }
    if ((groups & ~GROUPS_SMALL) == 0) {
        return blank ? SLICE_BLANK_SMALL : SLICE_SMALL;
    }
    if ((first & ~GROUPS_CAPITAL) == 0 && (rest & ~GROUPS_SMALL) == 0) {
        return blank ? SLICE_BLANK_CAPITAL : SLICE_CAPITAL;
    }
    if ((groups & ~(GROUPS_SMALL | GROUPS_CAPITAL)) == 0) {
        return SLICE_MIXED;
    }
    if ((groups & ~GROUPS_OTHER_SCRIPTS) == 0) {
        return blank ? SLICE_BLANK_BEYOND : SLICE_BEYOND;
    }
    if ((groups & ~(GROUPS_SMALL | GROUPS_CAPITAL | GROUPS_OTHER_SCRIPTS)) == 0) {
        return SLICE_ACCENTED;
    }
    if ((groups & (GROUP_BIT(GROUP_OF('"')) | GROUP_BIT(GROUP_OF('\\')) |
                   GROUP_BIT(GROUP_BLANK_BEYOND_ASCII) | GROUP_BIT(GROUP_BEGINNING) |
                   GROUP_BIT(GROUP_MALFORMED))) != 0) {
        return SLICE_OTHER;
    }
    return (groups & GROUPS_CONTROL) != 0 ? SLICE_CONTROL : SLICE_PLAIN;
}

/* ---- Sorting ---- */

struct sorted_token {
    const char *bytes;
    uint32_t length;
    int32_t id;
};

/* The tokens by slices, within them by bytes. */
struct sorted_tokens {
    struct sorted_token *tokens;
    size_t count;
    size_t begins[SLICE_COUNT + 1];
};

enum {
    FEW = 32,               /* tokens that are sorted by insertion */
    KINDS_TOKENS_LEAST = 3, /* below a node, for what is known of their characters to be worth it */
};

static int compare_tokens(const struct sorted_token *a, const struct sorted_token *b) {
    size_t shared = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->bytes, b->bytes, shared);
    if (order == 0) {
        order = (a->length > b->length) - (a->length < b->length);
    }
    return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

static void sort_few(struct sorted_token *tokens, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct sorted_token token = tokens[i];
        size_t place = i;
        for (; place > 0 && compare_tokens(&tokens[place - 1], &token) > 0; place--) {
            tokens[place] = tokens[place - 1];
        }
        tokens[place] = token;
    }
}

/* 0 for a token that ends here, or 1 + its byte. */
static size_t bin_of(const struct sorted_token *token, size_t depth) {
    return token->length == depth ? 0 : 1 + (size_t)(unsigned char)token->bytes[depth];
}

/* Tokens that have their first `depth` bytes in common, by the next ones. (Radix sort) */
static void sort_tokens(struct sorted_token *tokens, size_t count, size_t depth,
                        struct sorted_token *scratch) {
    enum { BINS = 257 };
    if (count <= FEW) {
        sort_few(tokens, count);
        return;
    }
    uint32_t ends[BINS + 1] = {0};
    for (size_t i = 0; i < count; i++) {
        ends[bin_of(&tokens[i], depth) + 1]++;
    }
    for (size_t bin = 0; bin < BINS; bin++) {
        ends[bin + 1] += ends[bin];
    }
    for (size_t i = 0; i < count; i++) {
        scratch[ends[bin_of(&tokens[i], depth)]++] = tokens[i];
    }
    memcpy(tokens, scratch, count * sizeof *tokens);
    for (size_t bin = 1; bin < BINS; bin++) {
        sort_tokens(tokens + ends[bin - 1], ends[bin] - ends[bin - 1], depth + 1, scratch);
    }
}

static bool is_in_trie(struct token_text text) {
    return text.length > 0 && text.length <= TRIE_DEPTH_MAX;
}

/* Where each slice begins, from the slice of each token. */
static void find_begins(struct sorted_tokens *sorted, const struct token_bytes *tokens,
                        const uint8_t *slices) {
    for (size_t id = 0; id < tokens->size; id++) {
        if (slices[id] < SLICE_COUNT) {
            sorted->begins[slices[id] + 1]++;
        }
    }
    for (size_t slice = 0; slice < SLICE_COUNT; slice++) {
        sorted->begins[slice + 1] += sorted->begins[slice];
    }
    sorted->count = sorted->begins[SLICE_COUNT];
}

static void list_tokens(struct sorted_tokens *sorted, const struct token_bytes *tokens,
                        const uint8_t *slices) {
    size_t ends[SLICE_COUNT];
    memcpy(ends, sorted->begins, sizeof ends);
    for (size_t id = 0; id < tokens->size; id++) {
        struct token_text text = token_bytes_of(tokens, id);
        if (slices[id] < SLICE_COUNT) {
            sorted->tokens[ends[slices[id]]++] =
                (struct sorted_token){text.bytes, (uint32_t)text.length, (int32_t)id};
        }
    }
}

static bool open_sorted(struct sorted_tokens *sorted, const struct token_bytes *tokens) {
    struct sorted_token *scratch = calloc(tokens->size + 1, sizeof *scratch);
    uint8_t *slices = malloc(tokens->size + 1);
    sorted->tokens = calloc(tokens->size + 1, sizeof *sorted->tokens);
    bool ok = scratch != NULL && slices != NULL && sorted->tokens != NULL;
    if (ok) {
        for (size_t id = 0; id < tokens->size; id++) {
            struct token_text text = token_bytes_of(tokens, id);
            slices[id] = is_in_trie(text) ? (uint8_t)slice_of(text) : SLICE_COUNT;
        }
        find_begins(sorted, tokens, slices);
        list_tokens(sorted, tokens, slices);
        for (size_t i = 0; i < SLICE_COUNT; i++) {
            size_t begin = sorted->begins[i];
            sort_tokens(sorted->tokens + begin, sorted->begins[i + 1] - begin, 0, scratch);
        }
    }
    free(scratch);
    free(slices);
    return ok;
}

static size_t count_nodes(const struct sorted_token *sorted, size_t count) {
    size_t nodes = 1;
    for (size_t i = 0; i < count; i++) {
        size_t shared = 0;
        while (i > 0 && shared < sorted[i - 1].length && shared < sorted[i].length &&
               sorted[i - 1].bytes[shared] == sorted[i].bytes[shared]) {
            shared++;
        }
        nodes += sorted[i].length - shared;
    }
    return nodes;
}

/* ---- Kinds of characters ---- */

/* A node that has its place, but no children yet: of tokens [begin, end). */
struct pending {
    uint32_t node;
    uint32_t begin;
    uint32_t end;
    uint32_t depth;
    uint32_t border; /* the depth at which the last character has begun */
};

struct build {
    struct token_trie *trie;
    struct sorted_tokens sorted;
    struct pending *pending; /* a stack: at most the children of each node on one way */
    size_t pending_count;
};

static void add_kinds(struct token_trie_kinds *kinds, const struct sorted_token *token,
                      size_t depth) {
    size_t characters;
    character_set groups =
        character_groups_of(token->bytes + depth, token->length - depth, &characters);
    kinds->groups |= groups;
    kinds->common &= groups | character_families_with(groups);
    if (characters > kinds->characters) {
        kinds->characters = (uint8_t)characters;
    }
}

/* ---- The tree ---- */

/* What is below the node: the tokens from `begin` on, its own ones left out. */
static void note_kinds(struct build *build, const struct pending *pending, size_t begin) {
    struct token_trie *trie = build->trie;
    struct token_trie_node *node = &trie->nodes[pending->node];
    if (pending->border != pending->depth) {
        node->kinds = KINDS_INSIDE;
    } else if (pending->end - begin >= KINDS_TOKENS_LEAST) {
        struct token_trie_kinds *kinds = &trie->kinds[trie->kinds_count];
        node->kinds = (uint32_t)trie->kinds_count++;
        kinds->common = UINT64_MAX;
        for (size_t i = begin; i < pending->end; i++) {
            add_kinds(kinds, &build->sorted.tokens[i], pending->depth);
        }
    }
}

/* One byte further, on the way to a token. Behind bytes that are no character there is no border. */
static uint32_t next_border(const struct sorted_token *token, const struct pending *pending) {
    const uint32_t border = pending->border;
    size_t length = utf8_character(token->bytes + border, token->length - border);
    return length > 0 && border + length == pending->depth + 1 ? pending->depth + 1 : border;
}

/* The children of a node get their places, and wait for theirs; the first one is next. */
static void add_children(struct build *build, const struct pending *pending, size_t begin) {
    struct token_trie *trie = build->trie;
    struct token_trie_node *node = &trie->nodes[pending->node];
    const size_t depth = pending->depth;
    node->children = (uint32_t)trie->node_count;
    for (size_t i = begin; i < pending->end; node->child_count++) {
        char byte = build->sorted.tokens[i].bytes[depth];
        size_t end = i + 1;
        while (end < pending->end && build->sorted.tokens[end].bytes[depth] == byte) {
            end++;
        }
        trie->nodes[trie->node_count + node->child_count] =
            (struct token_trie_node){.first = (uint32_t)i, .byte = (uint8_t)byte};
        i = end;
    }
    size_t end = pending->end;
    for (size_t child = node->child_count; child-- > 0;) {
        uint32_t index = node->children + (uint32_t)child;
        size_t first = trie->nodes[index].first;
        build->pending[build->pending_count++] = (struct pending){
            .node = index,
            .begin = (uint32_t)first,
            .end = (uint32_t)end,
            .depth = (uint32_t)depth + 1,
            .border = next_border(&build->sorted.tokens[first], pending),
        };
        end = first;
    }
    trie->node_count += node->child_count;
}

static void build_tree(struct build *build) {
    struct token_trie *trie = build->trie;
    const struct sorted_token *sorted = build->sorted.tokens;
    trie->node_count = SLICE_COUNT;
    trie->kinds_count = KINDS_INSIDE + 1;
    for (uint32_t i = SLICE_COUNT; i-- > 0;) {
        uint32_t begin = (uint32_t)build->sorted.begins[i];
        uint32_t end = (uint32_t)build->sorted.begins[i + 1];
        trie->nodes[i].first = begin;
        build->pending[build->pending_count++] =
            (struct pending){.node = i, .begin = begin, .end = end};
    }
    while (build->pending_count > 0) {
        const struct pending pending = build->pending[--build->pending_count];
        size_t i = pending.begin;
        while (i < pending.end && sorted[i].length == pending.depth) {
            i++;
        }
        size_t own = i - pending.begin;
        trie->nodes[pending.node].own = own < UINT8_MAX ? (uint8_t)own : UINT8_MAX;
        if (pending.begin < pending.end) {
            note_kinds(build, &pending, i);
            add_children(build, &pending, i);
        }
    }
    for (size_t slice = 0; slice < SLICE_COUNT; slice++) {
        uint64_t *tokens = trie->slices + slice * trie->words;
        for (size_t i = build->sorted.begins[slice]; i < build->sorted.begins[slice + 1]; i++) {
            size_t blank = token_slice_has_blank(slice);
            size_t characters;
            trie->order[i] = sorted[i].id;
            trie->groups[i] =
                character_groups_of(sorted[i].bytes + blank, sorted[i].length - blank, &characters);
            tokens[(size_t)sorted[i].id / 64] |= UINT64_C(1) << sorted[i].id % 64;
        }
    }
}

/* ---- What can be spelled ---- */

static void add_spelled(struct token_trie *trie, uint32_t first, uint32_t last) {
    trie->spelled[trie->spelled_count++] = (struct code_range){first, last};
}

/* The characters that begin with the byte `lead`. (RFC 3629) */
static struct code_range range_of_lead(unsigned lead) {
    if (lead < 0xE0) {
        return (struct code_range){(lead & 0x1F) << 6, ((lead & 0x1F) << 6) + 0x3F};
    }
    uint32_t first = lead < 0xF0 ? (lead & 0x0F) << 12 : (lead & 0x07) << 18;
    uint32_t last = first + (lead < 0xF0 ? 0xFFF : 0x3FFFF);
    first = lead == 0xE0 ? 0x800 : lead == 0xF0 ? 0x10000 : first;
    last = lead == 0xED ? 0xD7FF : lead == 0xF4 ? 0x10FFFF : last;
    return (struct code_range){first, last};
}

/* Characters that are tokens, and those that bytes that are tokens make. */
static void find_spelled(struct token_trie *trie, const struct sorted_token *sorted) {
    bool single[256] = {false};
    for (size_t i = 0; i < trie->token_count; i++) {
        size_t length = utf8_character(sorted[i].bytes, sorted[i].length);
        if (sorted[i].length == 1) {
            single[(unsigned char)sorted[i].bytes[0]] = true;
        }
        if (length == sorted[i].length) {
            uint32_t code = utf8_decode(sorted[i].bytes, length);
            add_spelled(trie, code, code);
        }
    }
    trie->finishes = true;
    for (size_t byte = 0x80; byte <= 0xBF; byte++) {
        trie->finishes = trie->finishes && single[byte];
    }
    for (unsigned lead = 0xC2; lead <= 0xF4 && trie->finishes; lead++) {
        if (single[lead]) {
            struct code_range range = range_of_lead(lead);
            add_spelled(trie, range.first, range.last);
        }
    }
    trie->spelled_count = code_ranges_join(trie->spelled, trie->spelled_count);
}

/* ---- Public ---- */

static bool allocate(struct token_trie *trie, struct build *build, size_t vocabulary_size) {
    enum { LEADS = 0xF5 - 0xC2 };
    const struct sorted_tokens *sorted = &build->sorted;
    size_t nodes = 0;
    for (size_t i = 0; i < SLICE_COUNT; i++) {
        size_t begin = sorted->begins[i];
        nodes += count_nodes(sorted->tokens + begin, sorted->begins[i + 1] - begin);
    }
    size_t bytes = 0; /* each is at one node, with at least so many tokens */
    for (size_t i = 0; i < trie->token_count; i++) {
        bytes += sorted->tokens[i].length;
    }
    trie->words = vocabulary_size / 64 + 1;
    trie->nodes = calloc(nodes, sizeof *trie->nodes);
    trie->kinds =
        calloc(bytes / KINDS_TOKENS_LEAST + KINDS_INSIDE + SLICE_COUNT + 1, sizeof *trie->kinds);
    trie->order = calloc(trie->token_count + 1, sizeof *trie->order);
    trie->groups = calloc(trie->token_count + 1, sizeof *trie->groups);
    trie->slices = calloc(SLICE_COUNT * trie->words, sizeof *trie->slices);
    trie->spelled = calloc(trie->token_count + LEADS, sizeof *trie->spelled);
    build->pending = calloc(nodes, sizeof *build->pending);
    return trie->nodes != NULL && trie->kinds != NULL && trie->order != NULL &&
           trie->groups != NULL && trie->slices != NULL && trie->spelled != NULL &&
           build->pending != NULL;
}

static void *shrink(void *memory, size_t count, size_t size) {
    void *shrunk = reallocarray(memory, count, size);
    return shrunk != NULL ? shrunk : memory;
}

bool token_trie_open(struct token_trie **out, const struct token_bytes *tokens, struct error *err) {
    struct token_trie *trie = calloc(1, sizeof *trie);
    struct build build = {.trie = trie};
    bool ok = trie != NULL && open_sorted(&build.sorted, tokens);
    if (ok) {
        trie->tokens = tokens;
        trie->token_count = build.sorted.count;
        ok = allocate(trie, &build, tokens->size);
    }
    if (ok) {
        build_tree(&build);
        find_spelled(trie, build.sorted.tokens);
        trie->kinds = shrink(trie->kinds, trie->kinds_count, sizeof *trie->kinds);
        trie->spelled = shrink(trie->spelled, trie->spelled_count + 1, sizeof *trie->spelled);
        *out = trie;
    } else {
        token_trie_close(trie);
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a trie of %zu tokens", tokens->size);
    }
    free(build.pending);
    free(build.sorted.tokens);
    return ok;
}

void token_trie_close(struct token_trie *trie) {
    if (trie == NULL) {
        return;
    }
    free(trie->nodes);
    free(trie->kinds);
    free(trie->order);
    free(trie->groups);
    free(trie->slices);
    free(trie->spelled);
    free(trie);
}
