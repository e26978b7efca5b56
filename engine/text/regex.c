#define PCRE2_CODE_UNIT_WIDTH 8

#include "engine/text/regex.h"

#include "engine/text/utf8.h"

#include <pcre2.h>
#include <stdlib.h>

/* What one search for the next match may take. Patterns of families take a few steps for a character
 * at most; ten million are some tenths of a second. */
enum {
    MATCH_STEPS_MAX = 10 * 1000 * 1000,
    HEAP_KIB_MAX = 64 * 1024,           /* for backtracking without compiled code */
    STACK_BYTES_FIRST = 64 * 1024,      /* for backtracking in compiled code, */
    STACK_BYTES_MAX = 16 * 1024 * 1024, /* once the machine stack's 32 KB do not suffice */
    PATTERN_BYTES_MAX = 1 << 16,
};

struct regex {
    struct text_buffer pattern; /* as it was given, for messages */
    pcre2_code *code;
    pcre2_match_context *limits;
};

static bool no_memory(struct error *err) {
    return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a regular expression");
}

static bool compile(struct regex *regex, const struct text_buffer *translated,
                    pcre2_compile_context *context, struct error *err) {
    int code;
    size_t offset;
    PCRE2_UCHAR reason[120] = "";
    if (context == NULL) {
        return no_memory(err);
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context, PATTERN_BYTES_MAX);
    regex->code = pcre2_compile((PCRE2_SPTR)translated->bytes, translated->length,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                &code, &offset, context);
    if (regex->code == NULL) {
        pcre2_get_error_message(code, reason, sizeof reason);
        return error_set(err, ERROR_BAD_FILE, "the pattern \"%.*s\": %s",
                         token_text_shown(regex->pattern.length), regex->pattern.bytes,
                         (const char *)reason);
    }
    /* Where no machine code can be made, PCRE2 interprets the pattern instead, and says nothing. */
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return true;
}

bool regex_open(struct regex **out, struct token_text pattern, struct error *err) {
    struct text_buffer translated = {0};
    struct regex *regex = calloc(1, sizeof *regex);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    bool ok = regex != NULL && text_buffer_append(&regex->pattern, pattern.bytes, pattern.length) &&
              (regex->limits = pcre2_match_context_create(NULL)) != NULL;
    if (!ok) {
        no_memory(err);
    }
    ok = ok && regex_translate(pattern, &translated, err) &&
         compile(regex, &translated, context, err);
    pcre2_compile_context_free(context);
    text_buffer_deinit(&translated);
    if (!ok) {
        regex_close(regex);
        return false;
    }
    pcre2_set_match_limit(regex->limits, MATCH_STEPS_MAX);
    pcre2_set_heap_limit(regex->limits, HEAP_KIB_MAX);
    *out = regex;
    return true;
}

void regex_close(struct regex *regex) {
    if (regex == NULL) {
        return;
    }
    text_buffer_deinit(&regex->pattern);
    pcre2_code_free(regex->code);
    pcre2_match_context_free(regex->limits);
    free(regex);
}

/* ---- Searching ---- */

struct regex_search {
    const struct regex *regex;
    pcre2_match_data *data;
    pcre2_match_context *own_limits; /* those of the regex with our own stack; mostly NULL */
    pcre2_jit_stack *stack;
    struct token_text text;
    size_t at;        /* where the next match may begin */
    size_t match_end; /* of the last match, or SIZE_MAX */
};

bool regex_search_open(struct regex_search **out, const struct regex *regex, struct error *err) {
    struct regex_search *search = calloc(1, sizeof *search);
    if (search == NULL || (search->data = pcre2_match_data_create(1, NULL)) == NULL) {
        free(search);
        return no_memory(err);
    }
    search->regex = regex;
    *out = search;
    return true;
}

void regex_search_close(struct regex_search *search) {
    if (search == NULL) {
        return;
    }
    pcre2_match_data_free(search->data);
    pcre2_match_context_free(search->own_limits);
    pcre2_jit_stack_free(search->stack);
    free(search);
}

void regex_search_begin(struct regex_search *search, struct token_text text) {
    search->text = text;
    search->at = 0;
    search->match_end = SIZE_MAX;
}

static bool grow_stack(struct regex_search *search) {
    search->stack = pcre2_jit_stack_create(STACK_BYTES_FIRST, STACK_BYTES_MAX, NULL);
    search->own_limits = pcre2_match_context_copy(search->regex->limits);
    if (search->stack == NULL || search->own_limits == NULL) {
        return false;
    }
    pcre2_jit_stack_assign(search->own_limits, NULL, search->stack);
    return true;
}

/* PCRE2's result: the number of groups, or an error. */
static int match(struct regex_search *search) {
    const struct regex *regex = search->regex;
    return pcre2_match(regex->code, (PCRE2_SPTR)search->text.bytes, search->text.length, search->at,
                       PCRE2_NO_UTF_CHECK, search->data,
                       search->own_limits != NULL ? search->own_limits : regex->limits);
}

bool regex_search_next(struct regex_search *search, bool *found, size_t *begin, size_t *end,
                       struct error *err) {
    *found = false;
    while (search->at <= search->text.length) {
        int result = match(search);
        if (result == PCRE2_ERROR_JIT_STACKLIMIT && search->stack == NULL) {
            if (!grow_stack(search)) {
                return no_memory(err);
            }
            result = match(search);
        }
        if (result == PCRE2_ERROR_NOMATCH) {
            search->at = search->text.length + 1;
            return true;
        }
        if (result == PCRE2_ERROR_NOMEMORY) {
            return no_memory(err);
        }
        if (result < 0) {
            return error_set(
                err, ERROR_UNSUPPORTED, "the text takes too many steps of the pattern \"%.*s\"",
                token_text_shown(search->regex->pattern.length), search->regex->pattern.bytes);
        }
        const size_t *offsets = pcre2_get_ovector_pointer(search->data);
        *begin = offsets[0];
        *end = offsets[1];
        bool repeats = *begin == *end && *end == search->match_end;
        if (!repeats) {
            search->at = *end;
            search->match_end = *end;
            *found = true;
            return true;
        }
        size_t character =
            utf8_character(search->text.bytes + search->at, search->text.length - search->at);
        search->at += character > 0 ? character : 1;
    }
    return true;
}
