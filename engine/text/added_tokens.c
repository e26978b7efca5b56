#include "engine/text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

/* An empty place has child 0: the root is nobody's child. */
struct trie_edge {
    uint32_t node;
    uint32_t child;
    uint8_t byte;
};

enum { ROOT = 0, EDGES_SIZE_FIRST = 256 };

void added_tokens_init(struct added_tokens *added) {
    *added = (struct added_tokens){0};
}

void added_tokens_deinit(struct added_tokens *added) {
    free(added->tokens);
    free(added->edges);
    free(added->endings);
    added_tokens_init(added);
}

/* ---- The trie ---- */

static size_t edge_place(const struct added_tokens *added, uint32_t node, uint8_t byte) {
    size_t mask = added->edges_size - 1;
    size_t place = (size_t)((((uint64_t)node << 8 | byte) * 0x9E3779B97F4A7C15U) >> 32) & mask;
    while (added->edges[place].child != 0 &&
           (added->edges[place].node != node || added->edges[place].byte != byte)) {
        place = (place + 1) & mask;
    }
    return place;
}

static bool grow_edges(struct added_tokens *added) {
    struct trie_edge *old = added->edges;
    size_t old_size = added->edges_size;
    size_t size = old_size > 0 ? 2 * old_size : EDGES_SIZE_FIRST;
    struct trie_edge *edges = calloc(size, sizeof *edges);
    if (edges == NULL) {
        return false;
    }
    added->edges = edges;
    added->edges_size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].child != 0) {
            edges[edge_place(added, old[i].node, old[i].byte)] = old[i];
        }
    }
    free(old);
    return true;
}

static bool add_node(struct added_tokens *added, uint32_t *node) {
    if (added->node_count == added->nodes_capacity) {
        size_t capacity = added->nodes_capacity > 0 ? 2 * added->nodes_capacity : EDGES_SIZE_FIRST;
        int32_t *endings = realloc(added->endings, capacity * sizeof *endings);
        if (endings == NULL) {
            return false;
        }
        added->endings = endings;
        added->nodes_capacity = capacity;
    }
    added->endings[added->node_count] = -1;
    *node = (uint32_t)added->node_count++;
    return true;
}

/* Walks along the text, making what is missing. */
static bool add_path(struct added_tokens *added, const char *text, size_t length, uint32_t *end) {
    uint32_t node = ROOT;
    if (added->node_count == 0 && !add_node(added, &node)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (2 * added->edges_used >= added->edges_size && !grow_edges(added)) {
            return false;
        }
        struct trie_edge *edge = &added->edges[edge_place(added, node, (uint8_t)text[i])];
        if (edge->child == 0) {
            uint32_t child;
            if (!add_node(added, &child)) {
                return false;
            }
            *edge = (struct trie_edge){.node = node, .child = child, .byte = (uint8_t)text[i]};
            added->edges_used++;
        }
        node = edge->child;
    }
    *end = node;
    return true;
}

bool added_tokens_add(struct added_tokens *added, const struct added_token *token, const char *text,
                      size_t length, struct error *err) {
    uint32_t end;
    if (length == 0) {
        return true;
    }
    if (added->count == added->capacity) {
        size_t capacity = added->capacity > 0 ? 2 * added->capacity : 64;
        struct added_token *tokens = realloc(added->tokens, capacity * sizeof *tokens);
        if (tokens == NULL) {
            return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for %zu added tokens", capacity);
        }
        added->tokens = tokens;
        added->capacity = capacity;
    }
    if (!add_path(added, text, length, &end)) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the texts of %zu added tokens",
                         added->count);
    }
    if (added->endings[end] < 0) {
        added->endings[end] = (int32_t)added->count;
        added->tokens[added->count++] = *token;
    }
    return true;
}

/* ---- Matching ---- */

static bool is_word_byte(uint8_t byte) {
    bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    return letter || (byte >= '0' && byte <= '9') || byte == '_' ||
           byte >= 0x80; /* any other script's letters */
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool stands_alone(const char *text, size_t length, size_t begin, size_t end) {
    return (begin == 0 || !is_word_byte((uint8_t)text[begin - 1])) &&
           (end == length || !is_word_byte((uint8_t)text[end]));
}

/* The longest token that begins exactly here. */
static struct added_match match_at(const struct added_tokens *added, const char *text,
                                   size_t length, size_t begin) {
    struct added_match match = {0};
    uint32_t node = ROOT;
    for (size_t i = begin; i < length; i++) {
        const struct trie_edge *edge = &added->edges[edge_place(added, node, (uint8_t)text[i])];
        if (edge->child == 0) {
            break;
        }
        node = edge->child;
        if (added->endings[node] >= 0) {
            match = (struct added_match){&added->tokens[added->endings[node]], begin, i + 1};
        }
    }
    return match;
}

struct added_match added_tokens_find(const struct added_tokens *added, const char *text,
                                     size_t length, size_t from) {
    for (size_t begin = from; added->count > 0 && begin < length; begin++) {
        struct added_match match = match_at(added, text, length, begin);
        if (match.token == NULL) {
            continue;
        }
        if (match.token->single_word && !stands_alone(text, length, match.begin, match.end)) {
            begin = match.end - 1; /* passed over whole, as the reference does */
            continue;
        }
        while (match.token->strip_left && match.begin > from && is_space(text[match.begin - 1])) {
            match.begin--;
        }
        while (match.token->strip_right && match.end < length && is_space(text[match.end])) {
            match.end++;
        }
        return match;
    }
    return (struct added_match){.begin = length, .end = length};
}
