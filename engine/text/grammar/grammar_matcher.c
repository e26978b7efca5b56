#include "engine/text/grammar/grammar_matcher.h"

#include "engine/text/grammar/grammar_automaton.h"
#include "engine/text/grammar/grammar_flow.h"

#include <stdlib.h>
#include <string.h>

enum {
    MASKS_KEPT = 16,
    /* A mask is kept if as many nodes were visited for it: some 20 us. */
    NODES_TO_KEEP = 1 << 12,
    /* Nodes visited and instructions looked at for one mask, some 10 ms: more than all nodes of a large
     * vocabulary. Beyond that only tokens of one byte are tried. Texts still match; no grammar that was
     * written to be used comes near. */
    WORK_MAX = 1 << 20,
    FLOW_TOKENS_LEAST = 100,     /* to find a flow for is as much work as to walk through fewer */
    TOKENS_SCANNED_PER_NODE = 8, /* in the same time */
    /* Loops may end once for each character of a token, and for what a token before has begun. */
    BEGUN_TIMES = 2,
    SHORT_TIMES = TRIE_SHORT_CHARACTERS + BEGUN_TIMES,
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
    bool thinned; /* states have been made thin: what was found out before may hold no more */
    size_t words; /* of a mask */
    uint64_t *mask;
    struct kept_mask kept[MASKS_KEPT];
    uint64_t *kept_bits; /* [MASKS_KEPT, words] of these */
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
    matcher->kept_bits = reallocarray(NULL, MASKS_KEPT * matcher->words, sizeof(uint64_t));
    bool ok = matcher->mask != NULL && matcher->taken != NULL && matcher->kept_bits != NULL;
    for (size_t i = 0; ok && i < MASKS_KEPT; i++) {
        matcher->kept[i].bits = matcher->kept_bits + i * matcher->words;
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
    free(matcher->kept_bits);
    free(matcher->mask);
    free(matcher->taken);
    grammar_automaton_close(matcher->automaton);
    free(matcher);
}

/* ---- Steps ---- */

/* Forgets all states but those of the path up to `depth`. */
static void collect(struct grammar_matcher *matcher, size_t depth, bool thin) {
    grammar_automaton_collect(matcher->automaton, matcher->path, depth + 1, thin);
    matcher->thinned = matcher->thinned || thin;
    matcher->state = matcher->path[0];
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        matcher->kept[i].state = AUTOMATON_DEAD;
    }
}

/* The state behind the one at `depth` of the path, whose first one is the matcher's. */
static uint32_t step(struct grammar_matcher *matcher, size_t depth, uint8_t byte) {
    uint32_t next = grammar_automaton_step(matcher->automaton, matcher->path[depth], byte);
    if (next == AUTOMATON_FULL) {
        collect(matcher, depth, false);
        next = grammar_automaton_step(matcher->automaton, matcher->path[depth], byte);
    }
    if (next == AUTOMATON_FULL) {
        collect(matcher, depth, true);
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
    size_t slice;       /* that is walked */
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

enum verdict { WALK, TAKE, REJECT, SCAN };

/* What is known of the places along a way of characters that lead on. */
struct way {
    character_set groups; /* that lead on from all of them */
    character_set dead;   /* that lead nowhere from any */
    uint64_t cost;        /* the greatest one */
};

/* Do the characters that lead on from one place lead on from all that follow, so many characters far? */
static bool goes_on_alike(struct grammar_matcher *matcher, uint32_t state, uint32_t next,
                          size_t characters, struct way *way) {
    uint32_t shift;
    if (next == state) {
        return true;
    }
    if (next == AUTOMATON_DEAD ||
        !grammar_automaton_are_twins(matcher->automaton, state, next,
                                     (uint32_t)characters + BEGUN_TIMES, &shift)) {
        return false;
    }
    way->cost += (uint64_t)shift * characters;
    return true;
}

/* Where characters lead from a state; NULL if that is not known, and not worth while for so many tokens. */
static const struct automaton_flow *find_flow(struct grammar_matcher *matcher, uint32_t state,
                                              size_t tokens) {
    struct grammar_automaton *automaton = matcher->automaton;
    bool worth_while = automaton->states[state].flow.known || tokens >= FLOW_TOKENS_LEAST;
    return worth_while ? grammar_automaton_flow(automaton, state) : NULL;
}

/* Follows the characters of the tokens below a node from its state on. False if one of them may lead
 * elsewhere, or if there are too many. */
static bool follow_way(struct grammar_matcher *matcher, const struct token_trie_kinds *kinds,
                       uint32_t state, size_t tokens, struct way *way) {
    *way = (struct way){~(character_set)0, ~(character_set)0, 0};
    for (size_t i = 0; i < kinds->characters; i++) {
        const struct automaton_flow *flow =
            i < TRIE_SHORT_CHARACTERS ? find_flow(matcher, state, tokens) : NULL;
        if (flow == NULL || (kinds->groups & ~(flow->groups | flow->dead)) != 0) {
            return false;
        }
        way->groups &= flow->groups;
        way->dead &= flow->dead;
        uint64_t cost = (uint64_t)matcher->automaton->states[flow->next].cost + CHARACTER_REST;
        way->cost = cost > way->cost ? cost : way->cost;
        if ((kinds->groups & ~flow->dead) == 0 ||
            goes_on_alike(matcher, state, flow->next, kinds->characters, way)) {
            break;
        }
        state = flow->next;
    }
    return true;
}

/* What follows for the tokens below a node from what is known of their characters: if all of them lead on,
 * and to no end that is too far away, all tokens are taken; none is if each has a character that leads
 * nowhere; and if it is the same characters all the way, those are that do not have such a one. */
static enum verdict judge(struct grammar_matcher *matcher, struct walk *walk,
                          const struct token_trie_node *node, uint32_t state, size_t tokens,
                          character_set *dead) {
    const struct token_trie_kinds *kinds = &matcher->trie->kinds[node->kinds];
    struct way way;
    if (node->kinds <= KINDS_INSIDE || !follow_way(matcher, kinds, state, tokens, &way)) {
        return WALK;
    }
    *dead = way.dead;
    bool all_dead = (kinds->groups & ~way.dead) == 0;
    if (all_dead || (kinds->common & way.dead) != 0) {
        return REJECT;
    }
    if ((kinds->groups & ~(way.groups | way.dead)) != 0 || way.cost > walk->cost_most) {
        return WALK;
    }
    walk->cost = way.cost > walk->cost ? (uint32_t)way.cost : walk->cost;
    return (kinds->groups & ~way.groups) == 0 ? TAKE : SCAN;
}

/* The tokens none of whose characters is dead. */
static void scan_tokens(struct grammar_matcher *matcher, size_t first, size_t end,
                        character_set dead) {
    const character_set *groups = matcher->trie->groups;
    for (; first < end; first++) {
        uint64_t bit = (groups[first] & dead) == 0;
        matcher->taken[first / 64] |= bit << first % 64;
    }
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

/* A token's groups are those of all its characters: they tell of the ones below a node where there are no
 * others, but for a blank that leads nowhere. */
static bool can_be_scanned(const struct walk *walk, const struct token_trie_node *node,
                           size_t depth, character_set dead) {
    bool blank_counts =
        (dead & GROUP_BIT(GROUP_OF(' '))) != 0 && !token_slice_has_blank(walk->slice);
    return depth == 0 || (depth == 1 && node->byte == ' ' && !blank_counts);
}

/* Decides on the tokens below a node, which end at order[end]; true if it takes a look at them. */
static bool must_be_walked(struct grammar_matcher *matcher, struct walk *walk,
                           const struct token_trie_node *node, size_t depth, size_t end) {
    const size_t first = node->first + node->own;
    character_set dead;
    switch (judge(matcher, walk, node, matcher->path[depth], end - first, &dead)) {
    case TAKE:
        walk->taken++;
        take_tokens(matcher, first, end);
        return false;
    case REJECT:
        return false;
    case SCAN:
        if (can_be_scanned(walk, node, depth, dead)) {
            walk->taken++;
            scan_tokens(matcher, first, end, dead);
            walk->nodes += (end - first) / TOKENS_SCANNED_PER_NODE;
            return false;
        }
        return true;
    case WALK:
        break;
    }
    return true;
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
    return must_be_walked(matcher, walk, node, depth, end);
}

/* The children of the nodes on the way that are still to be visited. */
struct level {
    const struct token_trie_node *next;
    const struct token_trie_node *end;
    size_t order_end; /* where the tokens of the last of them end */
};

static size_t slice_end(const struct token_trie *trie, size_t slice) {
    return slice + 1 < SLICE_COUNT ? trie->nodes[slice + 1].first : trie->token_count;
}

static void walk_slice(struct grammar_matcher *matcher, struct walk *walk, size_t slice) {
    const struct token_trie *trie = matcher->trie;
    const struct token_trie_node *root = &trie->nodes[slice];
    const size_t slice_ends = slice_end(trie, slice);
    struct level levels[TRIE_DEPTH_MAX + 1];
    size_t depth = 0;
    walk->slice = slice;
    if (must_be_walked(matcher, walk, root, 0, slice_ends)) {
        const struct token_trie_node *children = trie->nodes + root->children;
        levels[++depth] = (struct level){children, children + root->child_count, slice_ends};
    }
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

static void begin_walk(struct grammar_matcher *matcher) {
    memset(matcher->taken, 0, (matcher->trie->token_count / 64 + 1) * sizeof *matcher->taken);
    matcher->path[0] = matcher->state;
}

static void walk_trie(struct grammar_matcher *matcher, struct walk *walk) {
    begin_walk(matcher);
    for (size_t slice = 0; slice < SLICE_COUNT; slice++) {
        walk_slice(matcher, walk, slice);
    }
}

/* The state from which the walk starts may become thin on the way, once: then the walk starts again. */
static void walk_surely(struct grammar_matcher *matcher, struct walk *walk) {
    matcher->thinned = false;
    walk_trie(matcher, walk);
    if (matcher->thinned) {
        walk->taken = 0;
        walk_trie(matcher, walk);
    }
}

/* Of the 64 bits of a word, those of [begin, end). */
static uint64_t bits_within(size_t word, size_t begin, size_t end) {
    uint64_t bits = word * 64 < begin ? UINT64_MAX << (begin - word * 64) : UINT64_MAX;
    return end - word * 64 < 64 ? bits & ~(UINT64_MAX << (end - word * 64)) : bits;
}

/* Adds the tokens of a slice, from the order of the trie to that of ids: whichever is less, what was taken
 * or what was not. */
static void add_slice(const struct grammar_matcher *matcher, size_t slice, uint64_t *mask) {
    const struct token_trie *trie = matcher->trie;
    const size_t begin = trie->nodes[slice].first;
    const size_t end = slice_end(trie, slice);
    size_t taken = 0;
    for (size_t i = begin / 64; i * 64 < end; i++) {
        taken += (size_t)__builtin_popcountll(matcher->taken[i] & bits_within(i, begin, end));
    }
    const bool most = taken > (end - begin) / 2;
    const uint64_t *all = trie->slices + slice * trie->words;
    for (size_t i = 0; most && i < trie->words; i++) {
        mask[i] |= all[i];
    }
    for (size_t i = begin / 64; i * 64 < end && taken != (most ? end - begin : 0); i++) {
        uint64_t word = most ? ~matcher->taken[i] : matcher->taken[i];
        word &= bits_within(i, begin, end);
        for (; word != 0; word &= word - 1) {
            size_t id = (size_t)trie->order[i * 64 + (size_t)__builtin_ctzll(word)];
            mask[id / 64] ^= UINT64_C(1) << id % 64;
        }
    }
}

static void write_mask(const struct grammar_matcher *matcher, uint64_t *mask) {
    memset(mask, 0, matcher->words * sizeof *mask);
    for (size_t slice = 0; slice < SLICE_COUNT; slice++) {
        add_slice(matcher, slice, mask);
    }
}

/* ---- Masks ---- */

/* The kept mask of a state that is the matcher's, or else a twin of it, for tokens that are not long; or
 * NULL. The costs of its tokens may be as much higher as *shift says. */
static struct kept_mask *find_kept(struct grammar_matcher *matcher, uint32_t *shift) {
    struct kept_mask *kept = matcher->kept;
    *shift = 0;
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        if (kept[i].state == matcher->state) {
            return &kept[i];
        }
    }
    for (size_t i = 0; i < MASKS_KEPT; i++) {
        if (kept[i].state != AUTOMATON_DEAD &&
            grammar_automaton_are_twins(matcher->automaton, kept[i].state, matcher->state,
                                        SHORT_TIMES, shift)) {
            return &kept[i];
        }
    }
    return NULL;
}

/* Only the memory of masks that are kept is touched: a request may open many matchers. */
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

/* The mask of a twin, but for long tokens, which are looked at anew. False if states have become thin on
 * the way: then nothing that was found out before may be used. */
static bool use_kept(struct grammar_matcher *matcher, struct walk *walk, struct kept_mask *kept) {
    const struct token_trie *trie = matcher->trie;
    const uint64_t *tokens = trie->slices + SLICE_LONG * trie->words;
    const bool is_twin = kept->state != matcher->state;
    matcher->thinned = false;
    kept->used = ++matcher->clock;
    memcpy(matcher->mask, kept->bits, matcher->words * sizeof *matcher->mask);
    if (is_twin) {
        begin_walk(matcher);
        walk_slice(matcher, walk, SLICE_LONG);
        for (size_t i = 0; i < trie->words; i++) {
            matcher->mask[i] &= ~tokens[i];
        }
        add_slice(matcher, SLICE_LONG, matcher->mask);
    }
    return !matcher->thinned;
}

uint64_t *grammar_matcher_mask(struct grammar_matcher *matcher, size_t left) {
    struct walk walk = {
        .cost_most = cost_most(matcher, left),
        .work_end = matcher->automaton->work + WORK_MAX,
    };
    uint32_t shift;
    struct kept_mask *kept = find_kept(matcher, &shift);
    if (kept != NULL && (uint64_t)kept->cost + shift <= walk.cost_most &&
        use_kept(matcher, &walk, kept)) {
        matcher->hurried = matcher->hurried || walk.hurried;
        return matcher->mask;
    }
    walk_surely(matcher, &walk);
    if (walk.exhausted && walk.taken == 0) {
        /* A vocabulary without tokens of one byte. */
        walk.work_end = UINT64_MAX;
        walk.exhausted = false;
        walk_surely(matcher, &walk);
    }
    write_mask(matcher, matcher->mask);
    matcher->hurried = matcher->hurried || walk.hurried;
    if (walk.nodes >= NODES_TO_KEEP && !walk.hurried) {
        keep_mask(matcher, walk.cost);
    }
    return matcher->mask;
}
