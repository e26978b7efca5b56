#include "server/models.h"

#include "engine/memory_limit.h"
#include "engine/turns.h"
#include "server/loaded_model.h"
#include "server/log.h"
#include "server/model_names.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHOICES_MAX = 128,      /* of one request; fewer if the queue is shorter */
    TICK_MS = 1000,         /* between looks for models that nobody uses */
    RETRY_AFTER_MS = 30000, /* a model that has failed may be tried again */
    WANTED_MS = 30000,      /* since it was wanted last, it waits for memory or its client */
    MEGABYTE = 1000000,
};

enum state {
    STATE_UNLOADED,
    STATE_QUEUED,  /* to be opened */
    STATE_OPENING, /* on the other thread */
    STATE_OPENED,  /* waits for memory */
    STATE_STARTING,
    STATE_READY,
    STATE_CLOSING,
    STATE_FAILED,
};

static const char *const state_names[] = {
    [STATE_UNLOADED] = "unloaded", [STATE_QUEUED] = "loading",   [STATE_OPENING] = "loading",
    [STATE_OPENED] = "waiting",    [STATE_STARTING] = "loading", [STATE_READY] = "ready",
    [STATE_CLOSING] = "unloading", [STATE_FAILED] = "failed",
};

struct model_entry {
    struct service service;                /* what handlers get */
    struct service adapters[ADAPTERS_MAX]; /* or, of a loaded model, one of these */
    struct model_entry *next;
    struct model_options options;
    char *id;
    enum state state;
    struct loaded_model loaded;
    size_t bytes;       /* that it takes, or will take */
    size_t holders;     /* who keep the service */
    uint64_t wanted_ms; /* when somebody wanted or used it last */
    uint64_t failed_ms;
    enum state failed_state; /* in which it failed */
    struct error failure;
    bool awaited;      /* by a client that was told to come again, and has not */
    bool leaving;      /* to be closed as soon as nobody holds it */
    bool removed;      /* no longer in the configuration */
    uint64_t progress; /* of its engine, seen last */
};

/* What the other thread does: for one entry, whose loaded model it has to itself meanwhile. */
struct task {
    uv_thread_t thread;
    struct model_entry *entry; /* NULL: there is none */
    enum state state;          /* which of the three it is */
    struct model_options options;
    size_t bytes; /* found out by opening */
    struct error err;
};

struct models {
    uv_loop_t *loop;
    const struct service *common; /* what all services have in common */
    const struct serve_options *options;
    struct model_entry *entries; /* in the order of the configuration */
    struct turns *turns;
    void (*wake)(void *context);
    void *wake_context;
    struct task task;
    uv_async_t task_done;
    uv_timer_t tick;
    bool running;
    void (*settled)(void *context, const struct models_failure *failure); /* NULL: it was called */
    void *settled_context;
};

static uint64_t now_ms(const struct models *models) {
    return uv_now(models->loop);
}

/* ---- Entries ---- */

/* The name of a model until its files say it, and if they cannot be read. */
static const char *folder_name(const char *folder) {
    const char *slash = folder != NULL ? strrchr(folder, '/') : NULL;
    return folder == NULL ? "demo" : slash != NULL && slash[1] != '\0' ? slash + 1 : folder;
}

static bool set_id(struct model_entry *entry, const char *id) {
    char *copy = strdup(id);
    if (copy != NULL) {
        free(entry->id);
        entry->id = copy;
        entry->service.model_id = copy;
    }
    return copy != NULL;
}

/* Of a model that is not ready the other thread may be opening them. */
static size_t adapters_of(const struct model_entry *entry) {
    return entry->state == STATE_READY ? entry->loaded.adapter_count : 0;
}

/* Options that may change while the model is loaded, and used. */
static void apply_options(struct model_entry *entry, const struct model_options *options) {
    entry->options = *options;
    entry->service.draft_tokens = options->draft_tokens;
    for (size_t i = 0; i < adapters_of(entry); i++) {
        entry->adapters[i].draft_tokens = options->draft_tokens;
    }
}

/* The services of the adapters are that of the model, but for their names. */
static void set_adapters(struct model_entry *entry) {
    for (size_t i = 0; i < adapters_of(entry); i++) {
        struct service *service = &entry->adapters[i];
        *service = entry->service;
        service->model_id = entry->loaded.adapters[i].name;
        service->adapter = i + 1;
    }
}

static struct model_entry *create_entry(struct models *models,
                                        const struct model_options *options) {
    struct model_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL ||
        !set_id(entry, options->name != NULL ? options->name : folder_name(options->folder))) {
        free(entry);
        return NULL;
    }
    struct service *service = &entry->service;
    const char *id = service->model_id;
    *service = *models->common;
    service->model_id = id;
    service->models = models;
    service->entry = entry;
    service->model_options = &entry->options;
    apply_options(entry, options);
    return entry;
}

static void free_entry(struct model_entry *entry) {
    free(entry->id);
    free(entry);
}

/* ---- Names ---- */

static bool is_meant(const struct model_entry *entry, const char *name, size_t *adapter) {
    return model_names_mean(entry->id, &entry->options, name, adapter);
}

/* Names are checked to be different, but for that of a folder: it comes first where it is another's
 * adapter, too. */
static struct model_entry *find_entry(const struct models *models, const char *name,
                                      size_t *adapter) {
    struct model_entry *entry = models->entries;
    while (entry != NULL && (entry->removed || !is_meant(entry, name, adapter))) {
        entry = entry->next;
    }
    return entry;
}

/* ---- Memory ---- */

static size_t budget(const struct models *models) {
    size_t megabytes = models->options->memory_mb;
    return megabytes > 0 ? megabytes * MEGABYTE : memory_limit_for_data();
}

/* What others than this one take. Those that wait for memory take none, or they would wait for each other. */
static size_t bytes_of_others(const struct models *models, const struct model_entry *entry) {
    size_t bytes = 0;
    for (const struct model_entry *other = models->entries; other != NULL; other = other->next) {
        bytes += other != entry && other->state != STATE_OPENED ? other->bytes : 0;
    }
    return bytes;
}

/* What the entry would like to have; a model that would like more than there is makes do with that. */
static size_t wanted_bytes(const struct models *models, const struct model_entry *entry) {
    size_t all = budget(models);
    return entry->bytes < all ? entry->bytes : all;
}

static size_t free_bytes(const struct models *models, const struct model_entry *entry) {
    size_t taken = bytes_of_others(models, entry);
    return taken < budget(models) ? budget(models) - taken : 0;
}

static bool is_idle(const struct model_entry *entry) {
    return entry->state == STATE_READY && entry->holders == 0;
}

/* One that is awaited stays for its client: others that are awaited, too, would take its memory at once, and
 * it theirs, and none would ever answer. */
static bool may_go(const struct model_entry *entry) {
    return is_idle(entry) && !entry->awaited;
}

/* Of the models that nobody uses, and that stay otherwise, the one that has been unused for longest. */
static struct model_entry *longest_unused(const struct models *models) {
    struct model_entry *found = NULL;
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        if (may_go(entry) && !entry->leaving &&
            (found == NULL || entry->wanted_ms < found->wanted_ms)) {
            found = entry;
        }
    }
    return found;
}

/* Is there room for the entry? If not, but it can be made, models that nobody uses begin to leave. */
static bool make_room(const struct models *models, const struct model_entry *entry) {
    size_t wanted = wanted_bytes(models, entry);
    size_t will_be_free = free_bytes(models, entry);
    bool fits = will_be_free >= wanted;
    size_t can_be_free = will_be_free;
    for (struct model_entry *other = models->entries; other != NULL; other = other->next) {
        bool goes = other->state == STATE_CLOSING || (is_idle(other) && other->leaving);
        will_be_free += goes ? other->bytes : 0;
        can_be_free += goes || may_go(other) ? other->bytes : 0;
    }
    while (!fits && can_be_free >= wanted && will_be_free < wanted) {
        struct model_entry *victim = longest_unused(models);
        if (victim == NULL) {
            break;
        }
        victim->leaving = true;
        will_be_free += victim->bytes;
        log_say(PRIORITY_NOTICE, "unloading %s to make room for %s", victim->id, entry->id);
    }
    return fits;
}

/* ---- On the other thread ---- */

static bool do_task(struct task *task) {
    struct loaded_model *loaded = &task->entry->loaded;
    const struct model_options *options = &task->options;
    if (task->state == STATE_OPENING) {
        return loaded_model_open(loaded, options, &task->err) &&
               loaded_model_bytes(loaded, options, &task->bytes, &task->err);
    }
    return task->state == STATE_STARTING &&
           loaded_model_start(loaded, options, &task->entry->service.options->cache, &task->err);
}

static void run_task(void *context) {
    struct models *models = context;
    if (!do_task(&models->task)) {
        loaded_model_close(&models->task.entry->loaded);
    }
    uv_async_send(&models->task_done);
}

/* ---- From state to state ---- */

static void advance(struct models *models);
static void want(struct models *models, struct model_entry *entry);

/* The engine may take what is free; nothing else limits it where nothing else is loaded. */
static void set_task(struct models *models, struct model_entry *entry, enum state state) {
    models->task = (struct task){.entry = entry, .state = state, .options = entry->options};
    struct engine_options *engine = &models->task.options.engine;
    bool alone = models->options->memory_mb == 0 && bytes_of_others(models, entry) == 0;
    engine->memory_max = alone ? 0 : free_bytes(models, entry);
    engine->turns = models->turns;
    engine->wake = models->wake;
    engine->wake_context = models->wake_context;
}

static void set_ready(struct model_entry *entry, const struct engine_options *options) {
    struct loaded_model *loaded = &entry->loaded;
    struct service *service = &entry->service;
    entry->state = STATE_READY;
    entry->bytes = weights_bytes(engine_weights(loaded->engine)) +
                   engine_adapter_bytes(loaded->engine) + engine_kv_bytes(loaded->engine);
    service->model = loaded->model;
    service->engine = loaded->engine;
    service->chat_traits = loaded->chat_traits;
    service->chat_format = loaded->chat_format;
    service->index = loaded->index;
    service->grammars = loaded->grammars;
    service->choices_max = options->queue_max < CHOICES_MAX ? options->queue_max : CHOICES_MAX;
    set_adapters(entry);
}

static void clear_service(struct service *service) {
    service->model = NULL;
    service->engine = NULL;
    service->index = NULL;
    service->grammars = NULL;
}

static void set_failed(struct models *models, struct model_entry *entry, const struct error *err) {
    entry->failed_state = entry->state;
    entry->state = STATE_FAILED;
    entry->leaving = false;
    entry->bytes = 0;
    entry->failure = *err;
    entry->failed_ms = now_ms(models);
    const char *folder = entry->options.folder;
    log_say(PRIORITY_ERROR, "the model %s%s%.300s%s cannot be loaded: %s", entry->id,
            folder != NULL ? " (" : "", folder != NULL ? folder : "", folder != NULL ? ")" : "",
            err->text);
}

/* The model of [model] has the name that its files say, unless it was given another one. */
static void set_opened(struct models *models, struct model_entry *entry, size_t bytes) {
    entry->state = STATE_OPENED;
    entry->bytes = bytes;
    if (entry->options.name == NULL && !set_id(entry, entry->loaded.model->id)) {
        loaded_model_close(&entry->loaded);
        set_failed(models, entry,
                   &(struct error){.code = ERROR_OUT_OF_MEMORY, .text = "No memory for a name"});
    }
}

static void begin_task(struct models *models, struct model_entry *entry, enum state state) {
    entry->state = state;
    set_task(models, entry, state);
    if (uv_thread_create(&models->task.thread, run_task, models) != 0) {
        models->task.entry = NULL;
        loaded_model_close(&entry->loaded);
        set_failed(models, entry,
                   &(struct error){.code = ERROR_IO, .text = "No thread can be started"});
    }
}

static void end_task(struct models *models) {
    struct task *task = &models->task;
    struct model_entry *entry = task->entry;
    task->entry = NULL;
    if (task->err.code != ERROR_NONE) {
        set_failed(models, entry, &task->err);
    } else if (entry->state == STATE_OPENING) {
        set_opened(models, entry, task->bytes);
    } else if (entry->state == STATE_STARTING) {
        set_ready(entry, &task->options.engine);
        log_say(PRIORITY_NOTICE, "the model %s is ready", entry->id);
    } else {
        entry->state = STATE_UNLOADED;
        entry->leaving = false;
        entry->bytes = 0;
        log_say(PRIORITY_NOTICE, "the model %s is unloaded", entry->id);
    }
}

/* NULL where only sections have a folder. */
static struct model_entry *first_entry(const struct models *models) {
    return models->entries->options.of_section ? NULL : models->entries;
}

/* Says how the start went, as soon as that is known; the model of [model], if a reload has changed it
 * meanwhile, is loaded once more before. Others may make room for each other, so none of them is loaded again. */
static void settle(struct models *models) {
    struct model_entry *entry = first_entry(models);
    void (*settled)(void *context, const struct models_failure *failure) = models->settled;
    if (settled == NULL || (entry == NULL && models_are_starting(models))) {
        return;
    }
    if (entry == NULL || entry->state == STATE_READY) {
        models->settled = NULL;
        settled(models->settled_context, NULL);
    } else if (entry->state == STATE_FAILED) {
        models->settled = NULL;
        settled(models->settled_context,
                &(struct models_failure){.text = entry->failure.text,
                                         .opened = entry->failed_state == STATE_STARTING});
    } else {
        want(models, entry);
    }
}

static void on_task_done(uv_async_t *handle) {
    struct models *models = handle->data;
    if (models->task.entry != NULL) {
        uv_thread_join(&models->task.thread);
        end_task(models);
        advance(models);
        settle(models);
    }
}

static struct model_entry *first_leaving(const struct models *models) {
    struct model_entry *entry = models->entries;
    while (entry != NULL && !(entry->leaving && (is_idle(entry) || entry->state == STATE_OPENED))) {
        entry = entry->next;
    }
    return entry;
}

static struct model_entry *first_with_room(const struct models *models) {
    struct model_entry *entry = models->entries;
    while (entry != NULL &&
           !(entry->state == STATE_OPENED && !entry->leaving && make_room(models, entry))) {
        entry = entry->next;
    }
    return entry;
}

static struct model_entry *first_queued(const struct models *models) {
    struct model_entry *entry = models->entries;
    while (entry != NULL && entry->state != STATE_QUEUED) {
        entry = entry->next;
    }
    return entry;
}

static bool is_over(const struct model_entry *entry) {
    return entry->removed && (entry->state == STATE_UNLOADED || entry->state == STATE_FAILED ||
                              entry->state == STATE_QUEUED);
}

static void free_removed(struct models *models) {
    for (struct model_entry **link = &models->entries; *link != NULL;) {
        struct model_entry *entry = *link;
        if (is_over(entry)) {
            *link = entry->next;
            free_entry(entry);
        } else {
            link = &entry->next;
        }
    }
}

/* Gives the other thread the next thing to do, if there is one. */
static void advance(struct models *models) {
    if (!models->running || models->task.entry != NULL) {
        return;
    }
    free_removed(models);
    struct model_entry *to_start = first_with_room(models);
    struct model_entry *entry;
    if ((entry = first_leaving(models)) != NULL) {
        clear_service(&entry->service);
        begin_task(models, entry, STATE_CLOSING);
    } else if (to_start != NULL) {
        begin_task(models, to_start, STATE_STARTING);
    } else if ((entry = first_queued(models)) != NULL) {
        begin_task(models, entry, STATE_OPENING);
    }
}

/* A model that nobody has used for long leaves; so does one that waits for memory and that nobody has
 * wanted for long. */
static void on_tick(uv_timer_t *timer) {
    struct models *models = timer->data;
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        uint64_t unused_ms = now_ms(models) - entry->wanted_ms;
        size_t limit_s = entry->options.idle_unload_s;
        entry->awaited = entry->awaited && unused_ms < WANTED_MS;
        bool idle = may_go(entry) && limit_s > 0 && unused_ms >= limit_s * 1000;
        bool forgotten = entry->state == STATE_OPENED && unused_ms >= WANTED_MS;
        entry->leaving = entry->leaving || idle || forgotten;
    }
    advance(models);
}

/* ---- For requests ---- */

static void refuse_unknown(const struct models *models, const char *name, struct api_error *error) {
    struct name_list names = {0};
    for (const struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        if (!entry->removed) {
            model_names_add(&names, entry->id, &entry->options);
        }
    }
    api_error_set(error, API_MODEL_NOT_FOUND, "model",
                  "The model \"%.100s\" does not exist; this server has %s", name, names.text);
}

static void refuse(const struct models *models, const struct model_entry *entry,
                   struct api_error *error) {
    if (entry->state == STATE_FAILED) {
        api_error_set(error, API_MODEL_FAILED, "model", "The model \"%.100s\" cannot be loaded: %s",
                      entry->id, entry->failure.text);
    } else if (entry->state == STATE_OPENED && models->task.entry == NULL) {
        api_error_set(
            error, API_MODEL_MEMORY, "model",
            "The model \"%.100s\" needs %zu MB, but of the %zu MB for all models %zu MB are "
            "in use by others; try again later",
            entry->id, wanted_bytes(models, entry) / MEGABYTE, budget(models) / MEGABYTE,
            bytes_of_others(models, entry) / MEGABYTE);
    } else {
        api_error_set(error, API_MODEL_LOADING, "model",
                      "The model \"%.100s\" is being loaded; try again in a moment", entry->id);
    }
}

static void queue(struct model_entry *entry) {
    entry->state = STATE_QUEUED;
    log_say(PRIORITY_NOTICE, "loading the model %s", entry->id);
}

static void want(struct models *models, struct model_entry *entry) {
    bool again =
        entry->state == STATE_FAILED && now_ms(models) - entry->failed_ms >= RETRY_AFTER_MS;
    entry->wanted_ms = now_ms(models);
    if (entry->state == STATE_UNLOADED || again) {
        queue(entry);
    }
    advance(models);
}

const struct service *models_find(struct models *models, const char *name,
                                  struct api_error *error) {
    size_t adapter = 0;
    struct model_entry *entry =
        name != NULL ? find_entry(models, name, &adapter) : models_default(models)->entry;
    if (entry == NULL) {
        refuse_unknown(models, name, error);
        return NULL;
    }
    want(models, entry);
    entry->awaited = entry->state != STATE_READY || entry->leaving;
    if (entry->awaited) {
        refuse(models, entry, error);
        return NULL;
    }
    return adapter > 0 ? &entry->adapters[adapter - 1] : &entry->service;
}

bool models_check_name(const struct service *service, const char *name, struct api_error *error) {
    size_t adapter;
    if (name == NULL || (is_meant(service->entry, name, &adapter) && adapter == service->adapter)) {
        return true;
    }
    refuse_unknown(service->models, name, error);
    return false;
}

void models_hold(const struct service *service) {
    service->entry->holders++;
}

void models_release(const struct service *service) {
    struct models *models = service->models;
    service->entry->holders--;
    service->entry->wanted_ms = now_ms(models);
    advance(models);
}

/* ---- For those who tell of them ---- */

const struct service *models_next(const struct models *models, const struct service *before) {
    struct model_entry *entry = before != NULL ? before->entry->next : models->entries;
    while (entry != NULL && entry->removed) {
        entry = entry->next;
    }
    return entry != NULL ? &entry->service : NULL;
}

const struct service *models_look_up(const struct models *models, const char *name, size_t *adapter,
                                     struct api_error *error) {
    const struct model_entry *entry = find_entry(models, name, adapter);
    if (entry == NULL) {
        refuse_unknown(models, name, error);
        return NULL;
    }
    return &entry->service;
}

const struct service *models_default(const struct models *models) {
    return models_next(models, NULL);
}

const char *models_state(const struct service *service) {
    return state_names[service->entry->state];
}

static bool is_loading(const struct model_entry *entry) {
    return entry->state == STATE_QUEUED || entry->state == STATE_OPENING ||
           entry->state == STATE_OPENED || entry->state == STATE_STARTING;
}

bool models_are_starting(const struct models *models) {
    const struct service *service = NULL;
    while ((service = models_next(models, service)) != NULL) {
        if (model_options_load_at_start(service->model_options) && is_loading(service->entry)) {
            return true;
        }
    }
    return false;
}

struct models_load models_get_load(const struct models *models) {
    struct models_load load = {0};
    for (const struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        if (entry->service.engine != NULL) {
            struct engine_status status;
            engine_get_status(entry->service.engine, &status);
            load.running += status.running;
            load.waiting += status.waiting;
            load.pages_used += status.pages_used;
            load.pages_cached += status.pages_cached;
            load.pages_total += status.pages_total;
        }
    }
    return load;
}

bool models_have_progressed(struct models *models) {
    bool all = true;
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        struct engine *engine = entry->service.engine;
        bool progressed = engine == NULL || engine_has_progressed(engine, &entry->progress);
        all = all && progressed;
    }
    return all;
}

/* ---- Opening and closing ---- */

static bool is_configured_by(const struct model_entry *entry, const struct model_options *options) {
    return entry->options.of_section == options->of_section &&
           (!options->of_section || strcmp(entry->id, options->name) == 0);
}

/* Takes the entry of these options out of a list; NULL: it has none. */
static struct model_entry *take_configured(struct model_entry **list,
                                           const struct model_options *options) {
    while (*list != NULL && ((*list)->removed || !is_configured_by(*list, options))) {
        list = &(*list)->next;
    }
    struct model_entry *entry = *list;
    if (entry != NULL) {
        *list = entry->next;
    }
    return entry;
}

/* Brings entries into the order of the configuration, with new ones for models that are new, and those
 * that are no longer in it behind them. */
static bool arrange_entries(struct models *models, struct error *err) {
    struct model_entry *rest = models->entries;
    struct model_entry **link = &models->entries;
    bool complete = true;
    for (size_t i = 0; complete && i < models->options->model_count; i++) {
        const struct model_options *options = &models->options->models[i];
        struct model_entry *entry = take_configured(&rest, options);
        entry = entry != NULL ? entry : create_entry(models, options);
        complete = entry != NULL;
        if (complete) {
            *link = entry;
            link = &entry->next;
        }
    }
    *link = rest;
    return complete || error_set(err, ERROR_OUT_OF_MEMORY, "No memory for a list of models");
}

bool models_open(struct models **out, uv_loop_t *loop, const struct service *common,
                 void (*wake)(void *context), void *wake_context, struct error *err) {
    struct models *models = calloc(1, sizeof *models);
    if (models == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "No memory for a list of models");
    }
    models->loop = loop;
    models->common = common;
    models->options = common->options;
    models->wake = wake;
    models->wake_context = wake_context;
    models->task_done.data = models->tick.data = models;
    if (!turns_open(&models->turns, err) || !arrange_entries(models, err)) {
        models_close(models);
        return false;
    }
    int result = uv_async_init(loop, &models->task_done, on_task_done);
    if (result != 0) {
        models_close(models);
        return error_set(err, ERROR_IO, "The event loop cannot start: %s", uv_strerror(result));
    }
    uv_timer_init(loop, &models->tick);
    *out = models;
    return true;
}

static void load_at_start(struct models *models) {
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        if (entry->state == STATE_UNLOADED && !entry->removed &&
            model_options_load_at_start(&entry->options)) {
            entry->wanted_ms = now_ms(models);
            queue(entry);
        }
    }
    advance(models);
}

void models_begin(struct models *models,
                  void (*settled)(void *context, const struct models_failure *failure),
                  void *context) {
    models->running = true;
    models->settled = settled;
    models->settled_context = context;
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        entry->service.http = models->common->http;
        entry->wanted_ms = now_ms(models);
    }
    uv_timer_start(&models->tick, on_tick, TICK_MS, TICK_MS);
    load_at_start(models);
    settle(models);
}

bool models_are_settled(const struct models *models) {
    return models->settled == NULL;
}

bool models_abandon_task(struct models *models) {
    if (models->task.entry == NULL) {
        return false;
    }
    pthread_detach(models->task.thread); /* uv_thread_detach is younger than Debian 12 */
    return true;
}

static const struct model_options *configured(const struct models *models,
                                              const struct model_entry *entry) {
    for (size_t i = 0; i < models->options->model_count; i++) {
        if (is_configured_by(entry, &models->options->models[i])) {
            return &models->options->models[i];
        }
    }
    return NULL;
}

/* A model that has failed may be tried again. */
static void reconfigure(struct model_entry *entry, const struct model_options *options) {
    bool same = model_options_load_equal(&entry->options, options);
    bool is_there = entry->state != STATE_UNLOADED && entry->state != STATE_QUEUED &&
                    entry->state != STATE_FAILED;
    if (is_there && !same) {
        log_say(PRIORITY_NOTICE, "the model %s has changed, and is loaded anew", entry->id);
        entry->leaving = true;
    }
    if (entry->state == STATE_FAILED) {
        entry->state = STATE_UNLOADED;
    }
    apply_options(entry, options);
}

void models_configure(struct models *models) {
    struct error err = {0};
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        const struct model_options *options = entry->removed ? NULL : configured(models, entry);
        if (options != NULL) {
            reconfigure(entry, options);
        } else if (!entry->removed) {
            log_say(PRIORITY_NOTICE, "the model %s is removed", entry->id);
            entry->removed = entry->leaving = true;
        }
    }
    if (!arrange_entries(models, &err)) {
        log_say(PRIORITY_ERROR, "%s", err.text);
    }
    load_at_start(models);
}

static bool is_any_held(const struct models *models) {
    const struct model_entry *entry = models->entries;
    while (entry != NULL && entry->holders == 0) {
        entry = entry->next;
    }
    return entry != NULL;
}

void models_stop(struct models *models) {
    models->running = false;
    if (models->task.entry != NULL) {
        uv_thread_join(&models->task.thread);
        end_task(models);
    }
    while (is_any_held(models)) {
        uv_run(models->loop, UV_RUN_ONCE);
    }
    for (struct model_entry *entry = models->entries; entry != NULL; entry = entry->next) {
        engine_close(entry->loaded.engine);
        entry->loaded.engine = NULL;
    }
}

void models_close(struct models *models) {
    while (models->entries != NULL) {
        struct model_entry *entry = models->entries;
        models->entries = entry->next;
        loaded_model_close(&entry->loaded);
        free_entry(entry);
    }
    turns_close(models->turns);
    free(models);
}
