#include "server/line_editor.h"

#include "engine/text/tokenizer.h"
#include "server/terminal.h"
#include "server/user_dir.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum {
    HISTORY_ENTRIES = 1000,
    ENTRY_BYTES_MAX = 1 << 20,
    PASTE_ROOM = 256, /* characters, at first */
    PROMPT_BYTES = 64,
    ESCAPE_MARK = '\1', /* around what the terminal does not show, in prompts */
};

/* A terminal that knows it sends what is pasted between "\e[200~" and "\e[201~" (xterm's bracketed
 * paste mode). */
#define BRACKETED_PASTE_ON  "\033[?2004h"
#define BRACKETED_PASTE_OFF "\033[?2004l"
static const wchar_t paste_end[] = L"\033[201~";
enum { PASTE_END_LENGTH = sizeof paste_end / sizeof paste_end[0] - 1 };

struct line_editor {
    EditLine *edit;
    History *history;
    char *history_path; /* NULL: it is not kept */
    const char *const *words;
    struct text_buffer entry;
    char prompts[2][PROMPT_BYTES]; /* of the first line, of the others */
    bool continues;                /* a backslash was before Enter */
    bool thrown_away;              /* by Ctrl-C */
};

static struct line_editor *owner_of(EditLine *edit) {
    void *editor = NULL;
    el_get(edit, EL_CLIENTDATA, &editor);
    return editor;
}

static char *prompt_of(EditLine *edit) {
    struct line_editor *editor = owner_of(edit);
    return editor->prompts[editor->continues];
}

/* ---- Keys ---- */

static unsigned char on_new_line(EditLine *edit, int key) {
    (void)key;
    return el_winsertstr(edit, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_throw_away(EditLine *edit, int key) {
    (void)key;
    owner_of(edit)->thrown_away = true;
    return CC_NEWLINE;
}

struct pasted {
    wchar_t *text;
    size_t length;
    size_t room;
};

/* What is too long, or what memory is out for, is left out as a whole: `room` is 0 then. */
static void paste_character(struct pasted *pasted, wchar_t character) {
    if (pasted->length + 1 >= pasted->room && pasted->room > 0) {
        size_t room = pasted->room < ENTRY_BYTES_MAX ? pasted->room * 2 : 0;
        wchar_t *larger = room > 0 ? reallocarray(pasted->text, room, sizeof *larger) : NULL;
        pasted->text = larger != NULL ? larger : pasted->text;
        pasted->room = larger != NULL ? room : 0;
    }
    if (pasted->room > 0) {
        pasted->text[pasted->length++] = character;
    }
}

/* Line ends come as CR or CR LF, as if they were typed. */
static void mend_line_ends(struct pasted *pasted) {
    size_t kept = 0;
    wchar_t before = L'\0';
    for (size_t i = 0; i < pasted->length; i++) {
        wchar_t character = pasted->text[i];
        if (character != L'\n' || before != L'\r') {
            pasted->text[kept++] = character == L'\r' ? L'\n' : character;
        }
        before = character;
    }
    pasted->text[kept] = L'\0';
}

static unsigned char on_paste(EditLine *edit, int key) {
    (void)key;
    struct pasted pasted = {.text = calloc(PASTE_ROOM, sizeof *pasted.text)};
    pasted.room = pasted.text != NULL ? PASTE_ROOM : 0;
    size_t matched = 0; /* characters of paste_end */
    wchar_t character;
    while (matched < PASTE_END_LENGTH && el_wgetc(edit, &character) == 1) {
        matched = character == paste_end[matched] ? matched + 1 : character == paste_end[0];
        paste_character(&pasted, character);
    }
    bool whole = matched == PASTE_END_LENGTH && pasted.room > 0;
    if (whole) {
        pasted.length -= PASTE_END_LENGTH;
        mend_line_ends(&pasted);
        whole = el_winsertstr(edit, pasted.text) == 0;
    }
    free(pasted.text);
    return whole ? CC_REFRESH : CC_REFRESH_BEEP;
}

/* Completes the word if the entry is the beginning of one of them, as far as they agree. */
static unsigned char on_complete(EditLine *edit, int key) {
    (void)key;
    const LineInfo *line = el_line(edit);
    size_t typed = (size_t)(line->cursor - line->buffer);
    const char *found = NULL;
    size_t agreed = 0;
    for (const char *const *word = owner_of(edit)->words; *word != NULL; word++) {
        if (strncmp(*word, line->buffer, typed) != 0) {
            continue;
        }
        size_t same = 0;
        while (found != NULL && found[same] != '\0' && found[same] == (*word)[same]) {
            same++;
        }
        agreed = found == NULL ? strlen(*word) : same < agreed ? same : agreed;
        found = *word;
    }
    if (typed == 0 || found == NULL || agreed <= typed) {
        return CC_REFRESH_BEEP;
    }
    char rest[PROMPT_BYTES];
    snprintf(rest, sizeof rest, "%.*s", (int)(agreed - typed), found + typed);
    return el_insertstr(edit, rest) == 0 ? CC_REFRESH : CC_ERROR;
}

/* Wide, because libedit copies functions' names that are not, and never frees the copies. */
static const struct {
    const wchar_t *keys; /* as libedit's bind has them */
    const wchar_t *name;
    const wchar_t *help;
    unsigned char (*function)(EditLine *edit, int key); /* NULL: one of libedit's own */
} bindings[] = {
    {L"^C", L"quern-throw-away", L"Throw away what was typed", on_throw_away},
    {L"^I", L"quern-complete", L"Complete a command", on_complete},
    {L"\\e^M", L"quern-new-line", L"Begin another line of the entry", on_new_line},
    {L"\\e^J", L"quern-new-line", L"Begin another line of the entry", on_new_line},
    {L"\\e[200~", L"quern-paste", L"Take what is pasted as it is", on_paste},
    {L"^R", L"em-inc-search-prev", NULL, NULL},
};

/* ---- The history ---- */

static char *find_history(void) {
    char *folder = user_dir_path("XDG_STATE_HOME", ".local/state");
    char *path = NULL;
    if (folder != NULL && user_dir_make(folder) && asprintf(&path, "%s/history", folder) < 0) {
        path = NULL;
    }
    free(folder);
    return path;
}

/* Through a file beside it, for its owner alone, so that it is never half there. A history that cannot
 * be kept is no reason to disturb a conversation. */
static void save_history(struct line_editor *editor) {
    char *path = NULL;
    HistEvent event;
    if (editor->history_path == NULL || asprintf(&path, "%s.new", editor->history_path) < 0) {
        return;
    }
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    if (file != NULL) {
        bool saved = history(editor->history, &event, H_SAVE_FP, file) >= 0;
        if (fclose(file) != 0 || !saved || rename(path, editor->history_path) != 0) {
            unlink(path);
        }
    } else if (descriptor >= 0) {
        close(descriptor);
    }
    free(path);
}

static void remember(struct line_editor *editor) {
    HistEvent event;
    if (editor->entry.length > 0) {
        history(editor->history, &event, H_ENTER, editor->entry.bytes);
        save_history(editor);
    }
}

static void open_history(struct line_editor *editor) {
    HistEvent event;
    history(editor->history, &event, H_SETSIZE, HISTORY_ENTRIES);
    history(editor->history, &event, H_SETUNIQUE, 1);
    editor->history_path = find_history();
    if (editor->history_path != NULL) {
        history(editor->history, &event, H_LOAD, editor->history_path);
    }
}

/* ---- Opening ---- */

/* libedit shows characters by the locale. Where that knows only bytes, one that knows UTF-8 is taken. */
static void choose_locale(void) {
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        setlocale(LC_CTYPE, "C.UTF-8");
    }
}

static void write_prompts(struct line_editor *editor) {
    static const char *const texts[] = {">>> ", "... "};
    const struct terminal_styles *styles = terminal_styles_of(stdout);
    for (size_t i = 0; i < 2; i++) {
        snprintf(editor->prompts[i], PROMPT_BYTES, "%c%s%c%s%c%s%c", ESCAPE_MARK, styles->prompt,
                 ESCAPE_MARK, texts[i], ESCAPE_MARK, styles->plain, ESCAPE_MARK);
    }
}

bool line_editor_open(struct line_editor **out, const char *const *words, struct error *err) {
    choose_locale();
    struct line_editor *editor = calloc(1, sizeof *editor);
    if (editor != NULL) {
        editor->edit = el_init("quern", stdin, stdout, stderr);
        editor->history = history_init();
    }
    if (editor == NULL || editor->edit == NULL || editor->history == NULL) {
        line_editor_close(editor);
        return error_set(err, ERROR_IO, "the terminal cannot be used for editing");
    }
    editor->words = words;
    write_prompts(editor);
    open_history(editor);
    el_set(editor->edit, EL_CLIENTDATA, editor);
    el_set(editor->edit, EL_PROMPT_ESC, prompt_of, ESCAPE_MARK);
    el_set(editor->edit, EL_SIGNAL, 1);
    el_set(editor->edit, EL_HIST, history, editor->history);
    el_set(editor->edit, EL_EDITOR, "emacs");
    for (size_t i = 0; i < sizeof bindings / sizeof bindings[0]; i++) {
        if (bindings[i].function != NULL) {
            el_wset(editor->edit, EL_ADDFN, bindings[i].name, bindings[i].help,
                    bindings[i].function);
        }
        el_wset(editor->edit, EL_BIND, bindings[i].keys, bindings[i].name, NULL);
    }
    /* While one types, Ctrl-C is a key, and CR stays CR. */
    el_set(editor->edit, EL_SETTY, "-d", "-intr", "-icrnl", "-inlcr", NULL);
    el_source(editor->edit, NULL);
    *out = editor;
    return true;
}

void line_editor_close(struct line_editor *editor) {
    if (editor == NULL) {
        return;
    }
    if (editor->edit != NULL) {
        el_end(editor->edit);
    }
    if (editor->history != NULL) {
        history_end(editor->history);
    }
    text_buffer_deinit(&editor->entry);
    free(editor->history_path);
    free(editor);
}

/* ---- Reading ---- */

/* Appends a line. False at the end of input. */
static bool read_line(struct line_editor *editor) {
    int length = 0;
    bool brackets = terminal_knows_escapes(stdout);
    el_set(editor->edit, EL_PREP_TERM, 1); /* before the prompt asks for a key */
    fputs(brackets ? BRACKETED_PASTE_ON : "", stdout);
    const char *line = el_gets(editor->edit, &length);
    fputs(brackets ? BRACKETED_PASTE_OFF : "", stdout);
    fflush(stdout);
    return line != NULL && length > 0 && editor->entry.length + (size_t)length <= ENTRY_BYTES_MAX &&
           text_buffer_append(&editor->entry, line, (size_t)length);
}

const char *line_editor_read(struct line_editor *editor) {
    struct text_buffer *entry = &editor->entry;
    entry->length = 0;
    editor->continues = false;
    while (read_line(editor)) {
        if (editor->thrown_away) {
            editor->thrown_away = false;
            entry->length = 0;
            editor->continues = false;
            puts("^C");
            continue;
        }
        if (entry->bytes[entry->length - 1] == '\n') {
            entry->bytes[--entry->length] = '\0';
        }
        editor->continues = entry->length > 0 && entry->bytes[entry->length - 1] == '\\';
        if (!editor->continues) {
            remember(editor);
            return entry->bytes;
        }
        entry->bytes[entry->length - 1] = '\n';
    }
    return NULL;
}
