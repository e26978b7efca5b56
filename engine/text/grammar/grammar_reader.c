#include "engine/text/grammar/grammar_reader.h"

#include "engine/text/hexadecimal.h"
#include "engine/text/utf8.h"

#include <string.h>

bool grammar_skip(struct grammar_reader *reader, const char *text) {
    size_t length = strlen(text);
    if (reader->at > reader->length || reader->length - reader->at < length ||
        memcmp(reader->text + reader->at, text, length) != 0) {
        return false;
    }
    reader->at += length;
    return true;
}

uint32_t grammar_read_character(struct grammar_reader *reader) {
    size_t width = utf8_character(reader->text + reader->at, reader->length - reader->at);
    if (width == 0) {
        reader->fail(reader, reader->at, "the text is not UTF-8");
        return 0;
    }
    uint32_t code = utf8_decode(reader->text + reader->at, width);
    reader->at += width;
    return code;
}

uint32_t grammar_read_digits(struct grammar_reader *reader, size_t digits) {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = hexadecimal_digit(grammar_peek(reader));
        if (digit < 0) {
            reader->fail(reader, reader->at, "hexadecimal digits are missing");
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
        reader->at++;
    }
    return code;
}

bool grammar_read_number(struct grammar_reader *reader, uint32_t *number) {
    size_t begin = reader->at;
    *number = 0;
    while (grammar_peek(reader) >= '0' && grammar_peek(reader) <= '9') {
        *number = *number * 10 + (uint32_t)(grammar_peek(reader) - '0');
        reader->at++;
        if (*number > GRAMMAR_REPEATS_MAX) {
            reader->fail(reader, begin, "something is repeated more than 100000 times");
            return false;
        }
    }
    return reader->at > begin;
}
