#include "server/terminal.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool terminal_knows_escapes(FILE *stream) {
    const char *kind = getenv("TERM");
    return isatty(fileno(stream)) && kind != NULL && strcmp(kind, "dumb") != 0;
}

const struct terminal_styles *terminal_styles_of(FILE *stream) {
    static const struct terminal_styles none = {"", "", "", ""};
    static const struct terminal_styles colored = {
        .prompt = "\033[1;32m", .faint = "\033[2m", .wrong = "\033[31m", .plain = "\033[0m"};
    const char *off = getenv("NO_COLOR");
    bool bare = off != NULL && off[0] != '\0';
    return bare || !terminal_knows_escapes(stream) ? &none : &colored;
}

/* Bytes of the control character (C0, DEL, C1) that begins here; 0 if none does. */
static size_t control_character(const char *bytes, size_t left) {
    unsigned char first = (unsigned char)bytes[0];
    if (first < 0x20 || first == 0x7F) {
        return first != '\n' && first != '\t';
    }
    bool is_c1 = first == 0xC2 && left > 1 && (unsigned char)bytes[1] < 0xA0;
    return is_c1 ? 2 : 0;
}

bool terminal_append_harmless(struct text_buffer *out, const char *bytes, size_t length) {
    size_t sound = 0; /* from here to `at` nothing needs to be replaced */
    size_t at = 0;
    while (at < length) {
        size_t harmful = control_character(bytes + at, length - at);
        if (harmful == 0) {
            at++;
            continue;
        }
        if (!text_buffer_append(out, bytes + sound, at - sound) ||
            !text_buffer_append(out, UTF8_REPLACEMENT, strlen(UTF8_REPLACEMENT))) {
            return false;
        }
        at += harmful;
        sound = at;
    }
    return text_buffer_append(out, bytes + sound, at - sound);
}

bool terminal_print_harmless(FILE *out, const char *bytes, size_t length) {
    struct text_buffer harmless = {0};
    bool done = terminal_append_harmless(&harmless, bytes, length);
    if (done && harmless.length > 0) {
        fwrite(harmless.bytes, 1, harmless.length, out);
    }
    text_buffer_deinit(&harmless);
    return done;
}
