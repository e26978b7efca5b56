#include "engine/text/grammar/grammar_flow.h"

#include "engine/text/utf8.h"

#define TARGET_MIXED AUTOMATON_UNKNOWN /* not all of them to the same state */

static uint32_t agree(uint32_t a, uint32_t b) {
    return a == AUTOMATON_FULL || b == AUTOMATON_FULL ? AUTOMATON_FULL : a == b ? a : TARGET_MIXED;
}

/* Where the characters from `first` to `last` lead, of as many bytes. */
static uint32_t common_target(struct grammar_automaton *automaton, uint32_t state,
                              const char *first, const char *last, size_t bytes) {
    static const char least[] = "\x80\x80\x80";
    static const char most[] = "\xBF\xBF\xBF";
    const uint8_t begin = (uint8_t)*first;
    const uint8_t end = (uint8_t)*last;
    uint32_t common = AUTOMATON_DEAD;
    uint32_t before = AUTOMATON_FULL;
    for (unsigned byte = begin; byte <= end; byte++) {
        uint32_t next = grammar_automaton_step(automaton, state, (uint8_t)byte);
        const bool within = byte > begin && byte < end;
        if (within && next == before) {
            continue; /* as the byte before, which was within, too */
        }
        before = within ? next : AUTOMATON_FULL;
        if (bytes > 1 && next != AUTOMATON_FULL && next != AUTOMATON_DEAD) {
            next = common_target(automaton, next, byte == begin ? first + 1 : least,
                                 byte == end ? last + 1 : most, bytes - 1);
        }
        common = byte == begin ? next : agree(common, next);
        if (common == AUTOMATON_FULL || common == TARGET_MIXED) {
            return common;
        }
    }
    return common;
}

static uint32_t target_of_piece(struct grammar_automaton *automaton, uint32_t state,
                                const struct character_piece *piece) {
    char first[4];
    char last[4] = {0};
    size_t bytes = utf8_encode(piece->first, first);
    utf8_encode(piece->last, last);
    return common_target(automaton, state, first, last, bytes);
}

static void add_target(uint32_t targets[GROUP_WHOLE_COUNT], bool seen[GROUP_WHOLE_COUNT],
                       size_t group, uint32_t target) {
    targets[group] = seen[group] ? agree(targets[group], target) : target;
    seen[group] = true;
}

static bool find_targets(struct grammar_automaton *automaton, uint32_t state,
                         uint32_t targets[GROUP_WHOLE_COUNT]) {
    bool seen[GROUP_WHOLE_COUNT] = {false};
    for (uint8_t byte = 0; byte < 128; byte++) {
        uint32_t next = grammar_automaton_step(automaton, state, byte);
        add_target(targets, seen, character_group_of_ascii(byte), next);
    }
    for (size_t i = 0; i < CHARACTER_PIECES; i++) {
        const struct character_piece *piece = &character_pieces[i];
        bool mixed = seen[piece->group] && targets[piece->group] == TARGET_MIXED;
        uint32_t target = mixed ? TARGET_MIXED : target_of_piece(automaton, state, piece);
        add_target(targets, seen, piece->group, target);
    }
    for (size_t i = 0; i < GROUP_WHOLE_COUNT; i++) {
        if (targets[i] == AUTOMATON_FULL) {
            return false;
        }
    }
    return true;
}

/* The beginning of a character leads where all that are longer than a byte do. */
static character_set groups_that_lead_to(const uint32_t targets[GROUP_WHOLE_COUNT], uint32_t next) {
    character_set groups = 0;
    for (size_t i = 0; i < GROUP_WHOLE_COUNT; i++) {
        groups |= targets[i] == next ? GROUP_BIT(i) : 0;
    }
    bool all = (groups & GROUPS_WHOLE_BEYOND_ASCII) == GROUPS_WHOLE_BEYOND_ASCII;
    return all ? groups | GROUP_BIT(GROUP_BEGINNING) : groups;
}

/* Where most of the groups lead that lead somewhere, if more than half of them lead to the same place.
 * (Boyer and Moore's vote) */
static uint32_t find_most_common(const uint32_t targets[GROUP_WHOLE_COUNT]) {
    uint32_t common = AUTOMATON_DEAD;
    size_t votes = 0;
    for (size_t i = 0; i < GROUP_WHOLE_COUNT; i++) {
        if (targets[i] == TARGET_MIXED || targets[i] == AUTOMATON_DEAD) {
            continue;
        }
        common = votes == 0 ? targets[i] : common;
        votes += targets[i] == common ? 1 : (size_t)-1;
    }
    return common;
}

const struct automaton_flow *grammar_automaton_flow(struct grammar_automaton *automaton,
                                                    uint32_t state) {
    struct automaton_flow *flow = &automaton->states[state].flow;
    uint32_t targets[GROUP_WHOLE_COUNT];
    if (flow->known) {
        return flow;
    }
    if (!find_targets(automaton, state, targets)) {
        return NULL;
    }
    uint32_t next = find_most_common(targets);
    *flow = (struct automaton_flow){
        .groups = next != AUTOMATON_DEAD ? groups_that_lead_to(targets, next) : 0,
        .next = next,
        .known = true,
        .dead = groups_that_lead_to(targets, AUTOMATON_DEAD),
    };
    flow->dead |= character_families_within(flow->dead | GROUP_BIT(GROUP_MALFORMED));
    return flow;
}
