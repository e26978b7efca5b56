#include "server/chat_prompt.h"

#include "engine/arena.h"

#include <string.h>
#include <time.h>

static bool set_all(struct arena *arena, struct template_dict *dict,
                    const struct template_dict *others) {
    for (size_t i = 0; i < others->count; i++) {
        if (!template_dict_set(arena, dict, others->entries[i].key, others->entries[i].value)) {
            return false;
        }
    }
    return true;
}

/* What is given hides what stands before it. NULL when memory is out. */
static struct template_dict *complete(struct arena *arena, const struct chat_template *chat,
                                      const struct template_dict *variables) {
    struct template_dict *all = template_dict_new(arena);
    bool fine =
        all != NULL && set_all(arena, all, chat->tokens) &&
        template_dict_set_text(arena, all, "tools", template_none()) &&
        template_dict_set_text(arena, all, "documents", template_none()) &&
        template_dict_set_text(arena, all, "add_generation_prompt", template_from_boolean(false)) &&
        set_all(arena, all, variables);
    return fine ? all : NULL;
}

bool chat_prompt_render(const struct chat_template *chat, const struct template_dict *variables,
                        struct text_buffer *prompt, struct error *err) {
    struct arena arena;
    arena_init(&arena);
    struct template_dict *all = complete(&arena, chat, variables);
    bool fine = all != NULL ||
                error_set(err, ERROR_OUT_OF_MEMORY, "no memory for the variables of the template");
    if (fine) {
        bool has_tools = template_dict_find_text(all, "tools")->type != TEMPLATE_NONE;
        struct template_inputs inputs = {
            .variables = all, .now = time(NULL), .limits = &template_default_limits};
        const struct template *chosen =
            has_tools && chat->with_tools != NULL ? chat->with_tools : chat->usual;
        fine = template_render(chosen, &inputs, prompt, err) || error_prefix(err, "chat template");
    }
    arena_deinit(&arena);
    return fine;
}
