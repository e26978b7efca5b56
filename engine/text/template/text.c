#include "engine/text/template/text.h"

#include "engine/text/utf8.h"

#include <string.h>
#include <utf8proc.h>

uint32_t template_text_next(struct template_text text, size_t *offset) {
    static const uint8_t first_bits[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const uint8_t *bytes = (const uint8_t *)text.bytes + *offset;
    size_t length = utf8_character(text.bytes + *offset, text.length - *offset);
    if (length == 0) { /* no text has such bytes; should one have, they are code points */
        *offset += 1;
        return bytes[0];
    }
    uint32_t code = bytes[0] & first_bits[length];
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | (bytes[i] & 0x3F);
    }
    *offset += length;
    return code;
}

static bool continues(char byte) {
    return ((uint8_t)byte & 0xC0) == 0x80;
}

uint32_t template_text_previous(struct template_text text, size_t *offset) {
    size_t begin = *offset - 1;
    while (begin > 0 && continues(text.bytes[begin])) {
        begin--;
    }
    *offset = begin;
    return template_text_next(text, &begin);
}

size_t template_encode(uint32_t code, char utf8[4]) {
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)utf8);
}

size_t template_text_count(struct template_text text) {
    size_t count = 0;
    for (size_t i = 0; i < text.length; i++) {
        count += !continues(text.bytes[i]);
    }
    return count;
}

size_t template_text_offset(struct template_text text, size_t index) {
    size_t offset = 0;
    for (; index > 0 && offset < text.length; index--) {
        do {
            offset++;
        } while (offset < text.length && continues(text.bytes[offset]));
    }
    return offset;
}

int template_shown_up_to(struct template_text text, int limit) {
    return (int)(text.length <= (size_t)limit ? text.length
                                              : utf8_valid_prefix(text.bytes, (size_t)limit));
}

int template_shown(struct template_text text) {
    return template_shown_up_to(text, 80);
}

int template_text_compare(struct template_text a, struct template_text b) {
    /* The order of UTF-8 bytes is that of the code points. */
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common > 0 ? memcmp(a.bytes, b.bytes, common) : 0;
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

size_t template_text_find(struct template_text text, struct template_text wanted, size_t from) {
    if (from > text.length) {
        return SIZE_MAX;
    }
    if (wanted.length == 0) {
        return from;
    }
    const char *found = memmem(text.bytes + from, text.length - from, wanted.bytes, wanted.length);
    return found != NULL ? (size_t)(found - text.bytes) : SIZE_MAX;
}

size_t template_text_find_last(struct template_text text, struct template_text wanted, size_t end) {
    if (wanted.length > end) {
        return SIZE_MAX;
    }
    for (size_t at = end - wanted.length;; at--) {
        if (wanted.length == 0 || memcmp(text.bytes + at, wanted.bytes, wanted.length) == 0) {
            return at;
        }
        if (at == 0) {
            return SIZE_MAX;
        }
    }
}

bool template_text_starts_with(struct template_text text, struct template_text prefix) {
    return prefix.length <= text.length &&
           template_text_equal(template_text_part(text, 0, prefix.length), prefix);
}

bool template_text_ends_with(struct template_text text, struct template_text suffix) {
    return suffix.length <= text.length &&
           template_text_equal(template_text_part(text, text.length - suffix.length, text.length),
                               suffix);
}

/* ---- Ends and lines ---- */

static bool is_one_of(uint32_t code, const struct template_text *characters) {
    if (characters == NULL) {
        return template_is_space(code);
    }
    for (size_t offset = 0; offset < characters->length;) {
        if (template_text_next(*characters, &offset) == code) {
            return true;
        }
    }
    return false;
}

struct template_text template_text_strip(struct template_text text, enum template_ends ends,
                                         const struct template_text *characters) {
    size_t begin = 0;
    size_t end = text.length;
    for (size_t next = 0; (ends & STRIP_LEFT) != 0 && next < end; begin = next) {
        if (!is_one_of(template_text_next(text, &next), characters)) {
            break;
        }
    }
    for (size_t before = end; (ends & STRIP_RIGHT) != 0 && before > begin; end = before) {
        if (!is_one_of(template_text_previous(text, &before), characters)) {
            break;
        }
    }
    return template_text_part(text, begin, end);
}

/* What str.splitlines cuts at. */
static bool ends_line(uint32_t code) {
    return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

struct template_text template_text_line(struct template_text text, size_t *offset) {
    size_t begin = *offset;
    size_t end = begin;
    while (*offset < text.length) {
        uint32_t code = template_text_next(text, offset);
        if (ends_line(code)) {
            bool pair = code == '\r' && *offset < text.length && text.bytes[*offset] == '\n';
            *offset += pair;
            break;
        }
        end = *offset;
    }
    return template_text_part(text, begin, end);
}

/* ---- Code points ---- */

static utf8proc_category_t category(uint32_t code) {
    return utf8proc_category((utf8proc_int32_t)code);
}

bool template_is_space(uint32_t code) {
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           (code >= 0x80 &&
            (category(code) == UTF8PROC_CATEGORY_ZS || code == 0x2028 || code == 0x2029));
}

bool template_is_printable(uint32_t code) {
    switch (category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return code == ' ';
    default:
        return true;
    }
}

bool template_is_upper(uint32_t code) {
    return category(code) == UTF8PROC_CATEGORY_LU;
}

bool template_is_lower(uint32_t code) {
    return category(code) == UTF8PROC_CATEGORY_LL;
}

bool template_is_cased(uint32_t code) {
    return template_is_upper(code) || template_is_lower(code) ||
           category(code) == UTF8PROC_CATEGORY_LT;
}

bool template_is_alphabetic(uint32_t code) {
    return category(code) >= UTF8PROC_CATEGORY_LU && category(code) <= UTF8PROC_CATEGORY_LO;
}

bool template_is_digit(uint32_t code) {
    return category(code) == UTF8PROC_CATEGORY_ND;
}

bool template_all_cased(struct template_text text, bool (*is)(uint32_t code)) {
    bool found = false;
    for (size_t offset = 0; offset < text.length;) {
        uint32_t code = template_text_next(text, &offset);
        if (is(code)) {
            found = true;
        } else if (template_is_cased(code)) {
            return false;
        }
    }
    return found;
}

uint32_t template_to_upper(uint32_t code) {
    return code == 0xDF ? code : (uint32_t)utf8proc_toupper((utf8proc_int32_t)code);
}

uint32_t template_to_lower(uint32_t code) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

uint32_t template_to_title(uint32_t code) {
    return code == 0xDF ? code : (uint32_t)utf8proc_totitle((utf8proc_int32_t)code);
}
