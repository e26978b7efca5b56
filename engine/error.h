/* Errors are values: a code for the program, a sentence for the person.
 *
 * A function that can fail returns bool (or a pointer) and fills a struct error that its caller
 * owns. The sentence names the thing, what was expected and what was found; a caller adds context
 * once, at a boundary (error_prefix: "model.onnx: ..."), never twice. Nothing here allocates, any
 * thread may use it. */
#ifndef QUERN_ENGINE_ERROR_H
#define QUERN_ENGINE_ERROR_H

#include <stdbool.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_OUT_OF_MEMORY,
    ERROR_IO,          /* a file or a socket could not be read, written, mapped or bound */
    ERROR_BAD_FILE,    /* a file's content contradicts its format */
    ERROR_UNSUPPORTED, /* well-formed, but Quern cannot run it */
    ERROR_INVALID,     /* an argument, a setting or a request parameter is wrong */
    ERROR_TOO_LARGE,   /* valid, but beyond a limit that can never be met here */
    ERROR_BUSY,        /* valid, but not now: a queue is full */
};

enum { ERROR_TEXT_BYTES = 512 };

struct error {
    enum error_code code;
    char text[ERROR_TEXT_BYTES];
};

/* Fills err (which may be NULL) with a printf-style sentence. Always false, so that a function can
 * end with `return error_set(err, ...)`. A sentence that is too long is cut; control characters, and
 * what is no UTF-8, become '?'. */
#define error_set(...) (error_write(__VA_ARGS__), error_false())

/* Puts "prefix: " before the sentence in err, if err holds an error. Always false. */
#define error_prefix(...) (error_write_prefix(__VA_ARGS__), error_false())

/* What the two are made of. They are macros, so that compilers and analyzers see in every file that
 * what fails never says that it went well. */
void error_write(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void error_write_prefix(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline bool error_false(void) {
    return false;
}

#endif
