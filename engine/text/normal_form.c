#include "engine/text/normal_form.h"

#include "engine/checked.h"
#include "engine/text/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    DECOMPOSITION_MAX = 18, /* code points of U+FDFA in forms KC and KD, the longest */
    INSERTION_RUN_MAX = 32, /* marks that are sorted by insertion; more are counted */
    CLASS_COUNT = 256,      /* canonical combining classes */
};

/* Every character below it stays as it is unless a mark follows it. */
static const uint32_t plain_limits[] = {[NORMAL_FORM_C] = 0x300,
                                        [NORMAL_FORM_D] = 0xC0,
                                        [NORMAL_FORM_KC] = 0xA0,
                                        [NORMAL_FORM_KD] = 0xA0};

/* What utf8proc would compose, decompose or reorder, but is younger than Unicode 9. (Unicode Character
 * Database 15.0, against 9.0) */
static const uint32_t younger[][2] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11938, 0x11938},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
};

static bool is_younger(uint32_t code) {
    size_t low = 0;
    size_t high = sizeof younger / sizeof *younger;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (younger[middle][1] < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < sizeof younger / sizeof *younger && younger[low][0] <= code;
}

/* A stretch of the text on its way through the form. */
struct stretch {
    utf8proc_int32_t *codes;
    size_t count;
    size_t capacity;
};

static bool reserve(struct stretch *stretch, size_t more) {
    size_t needed;
    size_t bytes;
    if (!checked_add(stretch->count, more, &needed)) {
        return false;
    }
    if (stretch->codes != NULL && needed <= stretch->capacity) {
        return true;
    }
    size_t capacity = needed > 2 * stretch->capacity ? needed : 2 * stretch->capacity;
    utf8proc_int32_t *codes =
        checked_multiply(capacity, sizeof *codes, &bytes) ? realloc(stretch->codes, bytes) : NULL;
    if (codes == NULL) {
        return false;
    }
    stretch->codes = codes;
    stretch->capacity = capacity;
    return true;
}

static bool decompose(struct stretch *stretch, enum normal_form form, uint32_t code) {
    int boundary_class = 0; /* of grapheme clusters, which are not asked for */
    bool compatible = form == NORMAL_FORM_KC || form == NORMAL_FORM_KD;
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    if (!reserve(stretch, DECOMPOSITION_MAX)) {
        return false;
    }
    utf8proc_ssize_t count =
        utf8proc_decompose_char((utf8proc_int32_t)code, stretch->codes + stretch->count,
                                DECOMPOSITION_MAX, (utf8proc_option_t)options, &boundary_class);
    assert(count > 0 && count <= DECOMPOSITION_MAX);
    stretch->count += (size_t)count;
    return true;
}

static uint8_t combining_class(utf8proc_int32_t code) {
    return (uint8_t)utf8proc_get_property(code)->combining_class;
}

static void sort_by_insertion(utf8proc_int32_t *codes, size_t count) {
    for (size_t i = 1; i < count; i++) {
        utf8proc_int32_t code = codes[i];
        size_t at = i;
        for (; at > 0 && combining_class(codes[at - 1]) > combining_class(code); at--) {
            codes[at] = codes[at - 1];
        }
        codes[at] = code;
    }
}

static bool sort_by_counting(utf8proc_int32_t *codes, size_t count) {
    size_t begins[CLASS_COUNT + 1] = {0};
    utf8proc_int32_t *sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        begins[combining_class(codes[i]) + 1]++;
    }
    for (size_t i = 1; i <= CLASS_COUNT; i++) {
        begins[i] += begins[i - 1];
    }
    for (size_t i = 0; i < count; i++) {
        sorted[begins[combining_class(codes[i])]++] = codes[i];
    }
    memcpy(codes, sorted, count * sizeof *sorted);
    free(sorted);
    return true;
}

/* The canonical order: each run of marks by their classes, equal ones as they were. utf8proc's own
 * sort takes time in proportion to the square of the run. */
static bool reorder(struct stretch *stretch) {
    for (size_t i = 0; i < stretch->count;) {
        size_t begin = i;
        while (i < stretch->count && combining_class(stretch->codes[i]) != 0) {
            i++;
        }
        if (i - begin <= INSERTION_RUN_MAX) {
            sort_by_insertion(stretch->codes + begin, i - begin);
        } else if (!sort_by_counting(stretch->codes + begin, i - begin)) {
            return false;
        }
        i += i == begin;
    }
    return true;
}

/* Appends the stretch in its form, and empties it. */
static bool flush(struct stretch *stretch, enum normal_form form, struct text_buffer *output) {
    bool composes = form == NORMAL_FORM_C || form == NORMAL_FORM_KC;
    if (!reorder(stretch)) {
        return false;
    }
    utf8proc_ssize_t count = (utf8proc_ssize_t)stretch->count;
    if (composes && count > 0) {
        count = utf8proc_normalize_utf32(stretch->codes, count,
                                         (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    }
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        char character[4];
        size_t bytes = utf8_encode((uint32_t)stretch->codes[i], character);
        if (!text_buffer_append(output, character, bytes)) {
            return false;
        }
    }
    stretch->count = 0;
    return true;
}

/* Bytes of text[0, length) that stay as they are whatever follows: plain characters, without the last
 * one before a character that is not. */
static size_t plain_prefix(enum normal_form form, const char *text, size_t length) {
    size_t last = 0;
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_character(text + at, length - at);
        if (utf8_decode(text + at, bytes) >= plain_limits[form]) {
            return last;
        }
        last = at;
        at += bytes;
    }
    return length;
}

bool normal_form_append(enum normal_form form, const char *text, size_t length,
                        struct text_buffer *output) {
    struct stretch stretch = {0};
    bool ok = true;
    for (size_t at = 0; ok && at < length;) {
        size_t plain = plain_prefix(form, text + at, length - at);
        ok = text_buffer_append(output, text + at, plain);
        at += plain;
        /* A stretch ends before the next plain character, and around each younger one. */
        for (bool first = true; ok && at < length; first = false) {
            size_t bytes = utf8_character(text + at, length - at);
            uint32_t code = utf8_decode(text + at, bytes);
            if (code < plain_limits[form] && !first) {
                break;
            }
            ok = is_younger(code)
                     ? flush(&stretch, form, output) && text_buffer_append(output, text + at, bytes)
                     : decompose(&stretch, form, code);
            at += bytes;
        }
        ok = ok && flush(&stretch, form, output);
    }
    free(stretch.codes);
    return ok;
}
