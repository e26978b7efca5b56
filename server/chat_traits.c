#include "server/chat_traits.h"

#include "engine/arena.h"
#include "importer/json_values.h"
#include "server/chat_prompt.h"

#include <stdio.h>
#include <string.h>

/* ---- Asking ---- */

/* The prompt of a conversation that is written as JSON; false where the template refuses it. */
static bool render(const struct chat_template *chat, const char *conversation,
                   struct text_buffer *prompt) {
    struct json_reader json;
    struct arena arena;
    struct template_value variables = {.type = TEMPLATE_ABSENT};
    struct error err = {0};
    arena_init(&arena);
    json_reader_init(&json, conversation, strlen(conversation));
    bool fine = text_buffer_append(prompt, "", 0) && json_values_read(&json, &arena, &variables) &&
                chat_prompt_render(chat, variables.dict, prompt, &err);
    json_reader_deinit(&json);
    arena_deinit(&arena);
    return fine;
}

/* Is the conversation's prompt made, with the one word and (where there is another) without that?
 */
static bool says(const struct chat_template *chat, const char *conversation, const char *with,
                 const char *without) {
    struct text_buffer prompt = {0};
    bool said = render(chat, conversation, &prompt) && strstr(prompt.bytes, with) != NULL &&
                (without == NULL || strstr(prompt.bytes, without) == NULL);
    text_buffer_deinit(&prompt);
    return said;
}

/* ---- The questions ---- */

static const char as_text[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"wordofprobe\"}]}";

/* Where a list is printed as data, so is the member that nobody asks for. */
static const char as_parts[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
    "\"text\": \"wordofprobe\", \"unasked\": \"listisprinted\"}]}]}";

static const char with_tools[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"tools\": [{\"type\": "
    "\"function\", \"function\": {\"name\": \"wordofprobe\", \"description\": \"Probes\", "
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"text\": {\"type\": \"string\"}}, "
    "\"required\": [\"text\"]}}}]}";

/* To be completed with a content, an argument and the role of the question. */
static const char with_call[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
    "\"content\": %s, \"tool_calls\": [{\"id\": \"call00001\", \"type\": \"function\", "
    "\"function\": {\"name\": \"probe\", \"arguments\": %s}}]}, {\"role\": \"tool\", \"name\": "
    "\"probe\", \"tool_call_id\": \"call00001\", \"content\": \"Done\"}]}";

static const char with_role[] =
    "{\"messages\": [{\"role\": \"%s\", \"content\": \"Be brief\"}, {\"role\": \"user\", "
    "\"content\": \"Hi\"}]}";

static void find_form_of_calls(struct chat_traits *traits, const struct chat_template *chat) {
    static const struct {
        const char *content;
        const char *arguments;
        bool takes_no_content;
        bool arguments_as_text;
    } forms[] = {
        {"null", "{\"text\": \"wordofprobe\"}", true, false},
        {"\"\"", "{\"text\": \"wordofprobe\"}", false, false},
        {"null", "\"{\\\"text\\\": \\\"wordofprobe\\\"}\"", true, true},
        {"\"\"", "\"{\\\"text\\\": \\\"wordofprobe\\\"}\"", false, true},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char conversation[512];
        snprintf(conversation, sizeof conversation, with_call, forms[i].content,
                 forms[i].arguments);
        if (says(chat, conversation, "wordofprobe", "None")) {
            traits->takes_no_content = forms[i].takes_no_content;
            traits->arguments_as_text = forms[i].arguments_as_text;
            return;
        }
    }
}

/* Many templates print any role that they are given, as if the model knew it. Such a prompt is that
 * of a made-up role of the same length, but for the name's first letter. */
static bool knows_developer(const struct chat_template *chat) {
    static const char role[] = "developer";
    static const char made_up[] = "xeveloper";
    char conversation[256];
    struct text_buffer known = {0};
    struct text_buffer unknown = {0};
    snprintf(conversation, sizeof conversation, with_role, role);
    bool fine = render(chat, conversation, &known);
    snprintf(conversation, sizeof conversation, with_role, made_up);
    bool same = fine && render(chat, conversation, &unknown) && known.length == unknown.length;
    for (size_t i = 0; same && i < known.length; i++) {
        same = known.bytes[i] == unknown.bytes[i] ||
               (known.bytes[i] == role[0] && unknown.bytes[i] == made_up[0]);
    }
    text_buffer_deinit(&known);
    text_buffer_deinit(&unknown);
    return fine && !same;
}

struct chat_traits chat_traits_find(const struct chat_template *chat) {
    struct chat_traits traits = {
        .takes_parts = says(chat, as_parts, "wordofprobe", "listisprinted"),
        .knows_developer = knows_developer(chat),
        .knows_tools = says(chat, with_tools, "wordofprobe", NULL),
    };
    traits.needs_parts = traits.takes_parts && !says(chat, as_text, "wordofprobe", NULL);
    find_form_of_calls(&traits, chat);
    return traits;
}
