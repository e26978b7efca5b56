#include "server/reply_form.h"

#include "server/grammar_cache.h"

void reply_form_deinit(struct reply_form *form) {
    if (form->close != NULL) {
        form->close(form->context);
    }
    text_buffer_deinit(&form->key);
    grammar_release(form->grammar);
    *form = (struct reply_form){0};
}

bool reply_form_find(struct reply_form *form, const struct service *service) {
    if (form->grammar == NULL) {
        form->grammar = grammar_cache_find(service->grammars, form->key.bytes, form->key.length);
    }
    return form->grammar != NULL;
}

static bool build(struct reply_form *form, const struct service *service, struct error *err) {
    const struct token_trie *trie = vocabulary_index_trie(service->index, err);
    struct grammar_builder *builder;
    if (trie == NULL || !grammar_builder_open(&builder, trie, err)) {
        return false;
    }
    grammar_expression root = form->build(builder, form->context);
    bool built = grammar_builder_finish(builder, root, &form->grammar, err);
    grammar_builder_close(builder);
    return built;
}

bool reply_form_make(struct reply_form *form, const struct service *service,
                     struct api_error *error) {
    struct error err = {0};
    if (reply_form_find(form, service)) {
        return true;
    }
    if (build(form, service, &err)) {
        grammar_cache_keep(service->grammars, form->key.bytes, form->key.length, form->grammar);
        return true;
    }
    return err.code == ERROR_OUT_OF_MEMORY
               ? api_error_set(error, API_INTERNAL, NULL, "Out of memory")
               : api_error_set(error, API_INVALID, form->parameter, "%s: %s%s", form->parameter,
                               form->complaint, err.text);
}
