#include "engine/text/grammar/grammar_matcher.h"

#include "engine/text/grammar/grammar_automaton.h"

#include <stdlib.h>
#include <string.h>

enum {
    MASKS_KEPT = 16,
    /* A mask is kept if as many nodes were visited for it: some 20 us. */
    NODES_TO_KEEP = 1 << 12,
    /* Nodes visited and instructions looked at for one mask, some 50 ms. Beyond that only tokens of
     * one byte are tried. Texts still match; no grammar that was written to be used comes near. */
    WORK_MAX = 1 << 23,
    /* What the end of a token in the middle of a character may add to a cost. */
    CHARACTER_REST = 3,
};

struct kept_mask {
    uint32_t state; /* AUTOMATON_DEAD: none */
    uint32_t cost;  /* the greatest of the states that its tokens lead to */
    uint64_t used;  /* when */
    uint64_t *bits;
};

struct grammar_matcher {
    struct grammar_automaton *automaton;
    const struct token_trie *trie;
    uint32_t state;
    bool hurried;
    size_t words; /* of a mask */
    uint64_t *mask;
    struct kept_mask kept[MASKS_KEPT];
    uint64_t clock;
    uint64_t *taken;                   /* [token_count] in the order of the trie */
    uint32_t path[TRIE_DEPTH_MAX + 1]; /* the state at each depth of a walk */
};

bool grammar_matcher_open(struct grammar_matcher **out, struct grammar *grammar,
                          size_t vocabulary_size, struct error *err) {
    struct grammar_matcher *matcher = calloc(1, sizeof *matcher);
    if (matcher == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a grammar's matcher");
    }
    size_t tokens = grammar->trie->tokens->size;
    size_t bits = vocabulary_size > tokens ? vocabulary_size : tokens;
    matcher->trie = grammar->trie;
    matcher->words = bits / 64 + 1;
    matcher->mask = calloc(matcher->words, sizeof *matcher->mask);
    matcher->taken = calloc(grammar->trie->token_count / 64 + 1, sizeof *matcher->taken);
    bool ok = matcher->mask != NULL && matcher->taken != NULL;
    for (size_t i = 0; ok && i < MASKS_KEPT; i++) {
        matcher->kept[i].bits = calloc(matcher->words, sizeof *matcher->kept[i].bits);
        ok = matcher->kept[i].bits != NULL;
    }
    if (!ok) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the masks of a grammar");
    }
    if (!ok || !grammar_automaton_open(&matcher->automaton, grammar, err)) {
        grammar_matcher_close(matcher);
        return false;
    }
    matcher->state = grammar_automaton_start(matcher->automaton);
    *out = matcher;
    return true;
}

void grammar_matcher_close(struct grammar_matcher *matcher) {
    if (matcher == NULL) {
        return;
    }
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        free(matcher->kept[i].bits);
    }
    free(matcher->mask);
    free(matcher->taken);
    grammar_automaton_close(matcher->automaton);
    free(matcher);
}

/* ---- Steps ---- */

/* Forgets all states but those of the path up to `depth`. */
static void collect(struct grammar_matcher *matcher, size_t depth) {
    grammar_automaton_collect(matcher->automaton, matcher->path, depth + 1);
    matcher->state = matcher->path[0];
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        matcher->kept[i].state = AUTOMATON_DEAD;
    }
}

/* The state behind the one at `depth` of the path, whose first one is the matcher's. */
static uint32_t step(struct grammar_matcher *matcher, size_t depth, uint8_t byte) {
    uint32_t next = grammar_automaton_step(matcher->automaton, matcher->path[depth], byte);
    if (next == AUTOMATON_FULL) {
        collect(matcher, depth);
        next = grammar_automaton_step(matcher->automaton, matcher->path[depth], byte);
    }
    /* Without room for the path alone, the text would have to be nested tens of thousands deep. */
    return next != AUTOMATON_FULL ? next : AUTOMATON_DEAD;
}

bool grammar_matcher_advance(struct grammar_matcher *matcher, int32_t token) {
    const struct token_bytes *tokens = matcher->trie->tokens;
    if (token < 0 || (size_t)token >= tokens->size) {
        return false;
    }
    struct token_text text = token_bytes_of(tokens, (size_t)token);
    matcher->path[0] = matcher->state;
    if (text.length == 0 || text.length > TRIE_DEPTH_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        matcher->path[i + 1] = step(matcher, i, (uint8_t)text.bytes[i]);
        if (matcher->path[i + 1] == AUTOMATON_DEAD) {
            return false;
        }
    }
    matcher->state = matcher->path[text.length];
    return true;
}

bool grammar_matcher_accepts(const struct grammar_matcher *matcher) {
    return matcher->automaton->states[matcher->state].accepts;
}

bool grammar_matcher_is_finished(const struct grammar_matcher *matcher) {
    return grammar_matcher_accepts(matcher) &&
           !grammar_automaton_continues(matcher->automaton, matcher->state);
}

bool grammar_matcher_was_hurried(const struct grammar_matcher *matcher) {
    return matcher->hurried;
}

/* ---- The walk ---- */

struct walk {
    uint32_t cost_most; /* of a state that a token may lead to */
    uint32_t cost;      /* the greatest of those that tokens lead to */
    bool hurried;       /* a token was left out for its cost */
    size_t nodes;
    size_t taken;      /* nodes and subtrees whose tokens may follow */
    uint64_t work_end; /* the automaton's work at which it becomes too much */
    bool exhausted;
};

static void take_tokens(struct grammar_matcher *matcher, size_t first, size_t end) {
    uint64_t *taken = matcher->taken;
    for (; first < end && first % 64 != 0; first++) {
        taken[first / 64] |= UINT64_C(1) << first % 64;
    }
    for (; first + 64 <= end; first += 64) {
        taken[first / 64] = UINT64_MAX;
    }
    for (; first < end; first++) {
        taken[first / 64] |= UINT64_C(1) << first % 64;
    }
}

/* Do all characters below a node lead on from its state, and is no end too far behind them? */
static bool flows(struct grammar_matcher *matcher, struct walk *walk,
                  const struct token_trie_node *node, uint32_t state) {
    const struct token_trie_kinds *kinds = &matcher->trie->kinds[node->kinds];
    uint32_t cost = walk->cost;
    if (node->kinds <= KINDS_INSIDE) {
        return false;
    }
    for (size_t i = 0; i < kinds->characters; i++) {
        const struct automaton_flow *flow = grammar_automaton_flow(matcher->automaton, state);
        if (flow == NULL || (kinds->groups & ~flow->groups) != 0) {
            return false;
        }
        uint32_t behind = matcher->automaton->states[flow->next].cost + CHARACTER_REST;
        cost = behind > cost ? behind : cost;
        if (cost > walk->cost_most) {
            return false;
        }
        if (flow->next == state) {
            break;
        }
        state = flow->next;
    }
    walk->cost = cost;
    return true;
}

/* The tokens that end at a node. */
static void visit_tokens(struct grammar_matcher *matcher, struct walk *walk,
                         const struct token_trie_node *node, uint32_t state) {
    uint32_t cost = matcher->automaton->states[state].cost;
    if (!matcher->trie->finishes && node->kinds == KINDS_INSIDE) {
        return;
    }
    if (cost > walk->cost_most) {
        walk->hurried = true;
        return;
    }
    walk->cost = cost > walk->cost ? cost : walk->cost;
    walk->taken++;
    take_tokens(matcher, node->first, node->first + node->own);
}

/* Visits a node at a depth, the tokens below which end at order[end]. Are its children to be
 * visited? */
static bool visit(struct grammar_matcher *matcher, struct walk *walk,
                  const struct token_trie_node *node, size_t depth, size_t end) {
    walk->nodes++;
    walk->exhausted = walk->exhausted || matcher->automaton->work + walk->nodes > walk->work_end;
    uint32_t state = step(matcher, depth - 1, node->byte);
    if (state == AUTOMATON_DEAD) {
        return false;
    }
    matcher->path[depth] = state;
    if (node->own > 0) {
        visit_tokens(matcher, walk, node, state);
    }
    if (node->child_count == 0) {
        return false;
    }
    walk->exhausted = matcher->automaton->work + walk->nodes > walk->work_end;
    if (walk->exhausted) {
        return false;
    }
    if (flows(matcher, walk, node, state)) {
        walk->taken++;
        take_tokens(matcher, node->first + node->own, end);
        return false;
    }
    return true;
}

/* The children of the nodes on the way that are still to be visited. */
struct level {
    const struct token_trie_node *next;
    const struct token_trie_node *end;
    size_t order_end; /* where the tokens of the last of them end */
};

static void walk_trie(struct grammar_matcher *matcher, struct walk *walk) {
    const struct token_trie *trie = matcher->trie;
    struct level levels[TRIE_DEPTH_MAX + 1];
    size_t depth = 1;
    memset(matcher->taken, 0, (trie->token_count / 64 + 1) * sizeof *matcher->taken);
    matcher->path[0] = matcher->state;
    levels[1] = (struct level){trie->nodes + trie->nodes[0].children,
                               trie->nodes + trie->nodes[0].children + trie->nodes[0].child_count,
                               trie->token_count};
    while (depth > 0) {
        struct level *level = &levels[depth];
        if (level->next == level->end) {
            depth--;
            continue;
        }
        const struct token_trie_node *node = level->next++;
        size_t end = level->next < level->end ? level->next->first : level->order_end;
        if (visit(matcher, walk, node, depth, end)) {
            const struct token_trie_node *children = trie->nodes + node->children;
            levels[++depth] = (struct level){children, children + node->child_count, end};
        }
    }
}

/* From the order of the trie to that of ids: whichever is less, what was taken or what was not. */
static void write_mask(struct grammar_matcher *matcher, uint64_t *mask) {
    const struct token_trie *trie = matcher->trie;
    const size_t words = trie->token_count / 64 + 1;
    size_t taken = 0;
    for (size_t i = 0; i < words; i++) {
        taken += (size_t)__builtin_popcountll(matcher->taken[i]);
    }
    const bool most = taken > trie->token_count / 2;
    memset(mask, 0, matcher->words * sizeof *mask);
    if (most) {
        memcpy(mask, trie->all, (trie->tokens->size / 64 + 1) * sizeof *mask);
    }
    for (size_t i = 0; i < words; i++) {
        uint64_t word = most ? ~matcher->taken[i] : matcher->taken[i];
        for (; word != 0; word &= word - 1) {
            size_t place = i * 64 + (size_t)__builtin_ctzll(word);
            if (place < trie->token_count) {
                size_t id = (size_t)trie->order[place];
                mask[id / 64] ^= UINT64_C(1) << id % 64;
            }
        }
    }
}

/* ---- Masks ---- */

/* The kept mask of the matcher's state, or NULL. */
static struct kept_mask *find_kept(struct grammar_matcher *matcher) {
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        if (matcher->kept[i].state == matcher->state) {
            return &matcher->kept[i];
        }
    }
    return NULL;
}

static void keep_mask(struct grammar_matcher *matcher, uint32_t cost) {
    struct kept_mask *oldest = &matcher->kept[0];
    for (size_t i = 1; i < MASKS_KEPT; i++) {
        bool older = matcher->kept[i].used < oldest->used;
        oldest = older ? &matcher->kept[i] : oldest;
    }
    oldest->state = matcher->state;
    oldest->cost = cost;
    oldest->used = ++matcher->clock;
    memcpy(oldest->bits, matcher->mask, matcher->words * sizeof *matcher->mask);
}

/* The greatest cost of a state behind the next token, if `left` tokens may come. A token has at least
 * a byte of a text's end, so that many bytes can be brought to an end with as many tokens. */
static uint32_t cost_most(const struct grammar_matcher *matcher, size_t left) {
    uint32_t cost = matcher->automaton->states[matcher->state].cost;
    return left == 0 || cost > left || left > UINT32_MAX ? UINT32_MAX : (uint32_t)left - 1;
}

uint64_t *grammar_matcher_mask(struct grammar_matcher *matcher, size_t left) {
    struct walk walk = {
        .cost_most = cost_most(matcher, left),
        .work_end = matcher->automaton->work + WORK_MAX,
    };
    struct kept_mask *kept = find_kept(matcher);
    if (kept != NULL && kept->cost <= walk.cost_most) {
        kept->used = ++matcher->clock;
        memcpy(matcher->mask, kept->bits, matcher->words * sizeof *matcher->mask);
        return matcher->mask;
    }
    walk_trie(matcher, &walk);
    if (walk.exhausted && walk.taken == 0) {
        /* A vocabulary without tokens of one byte. */
        walk.work_end = UINT64_MAX;
        walk.exhausted = false;
        walk_trie(matcher, &walk);
    }
    write_mask(matcher, matcher->mask);
    matcher->hurried = matcher->hurried || walk.hurried;
    if (walk.nodes >= NODES_TO_KEEP && !walk.hurried) {
        keep_mask(matcher, walk.cost);
    }
    return matcher->mask;
}
