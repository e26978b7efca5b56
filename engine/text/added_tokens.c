#include "engine/text/added_tokens.h"

#include "engine/secret_hash.h"
#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

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
    size_t place = (size_t)((((uint64_t)node << 8 | byte) * added->multiplier) >> 32) & mask;
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
    added->multiplier = secret_number() | 1;
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
    added->begins[(uint8_t)text[0]] = true;
    if (added->endings[end] < 0) {
        added->endings[end] = (int32_t)added->count;
        added->tokens[added->count++] = *token;
    }
    return true;
}

/* ---- Matching ---- */

/* The character before a place in a text. */
static uint32_t character_before(const char *text, size_t at, size_t *bytes) {
    size_t begin = at - 1;
    while (((uint8_t)text[begin] & 0xC0) == 0x80) {
        begin--;
    }
    *bytes = at - begin;
    return utf8_decode(text + begin, *bytes);
}

static uint32_t character_behind(const char *text, size_t length, size_t at, size_t *bytes) {
    *bytes = utf8_character(text + at, length - at);
    return utf8_decode(text + at, *bytes);
}

static bool stands_alone(const struct added_search *search, const struct added_match *match) {
    size_t bytes;
    return (match->begin == 0 ||
            !unicode_is_word(character_before(search->text, match->begin, &bytes))) &&
           (match->end == search->length ||
            !unicode_is_word(character_behind(search->text, search->length, match->end, &bytes)));
}

static void take_space_before(const struct added_search *search, struct added_match *match) {
    if (match->begin < search->taken) {
        match->begin = search->taken;
    }
    while (match->begin > search->taken) {
        size_t bytes;
        if (!unicode_is_space(character_before(search->text, match->begin, &bytes))) {
            break;
        }
        match->begin -= bytes;
    }
}

/* Within white space that was looked at before, the end is known. */
static void take_space_behind(struct added_search *search, struct added_match *match) {
    if (match->end < search->space_end) {
        match->end = search->space_end;
    }
    while (match->end < search->length) {
        size_t bytes;
        if (!unicode_is_space(character_behind(search->text, search->length, match->end, &bytes))) {
            break;
        }
        match->end += bytes;
    }
    search->space_end = match->end;
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

struct added_match added_search_next(struct added_search *search) {
    const struct added_tokens *added = search->added;
    while (added->count > 0 && search->at < search->length) {
        struct added_match match = {0};
        if (added->begins[(uint8_t)search->text[search->at]]) {
            match = match_at(added, search->text, search->length, search->at);
        }
        if (match.token == NULL) {
            search->at++;
            continue;
        }
        search->at = match.end;
        if (match.token->special && search->literal) {
            continue;
        }
        if (match.token->single_word && !stands_alone(search, &match)) {
            continue;
        }
        if (match.token->strip_left) {
            take_space_before(search, &match);
        }
        if (match.token->strip_right) {
            take_space_behind(search, &match);
        }
        search->taken = match.end;
        if (match.begin < match.end) {
            return match;
        } /* else it was white space that another token had taken */
    }
    return (struct added_match){.begin = search->length, .end = search->length};
}
