#include "importer/model_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct model_dir {
    char *root; /* canonical path of the folder; NULL: the embedded demo */
    const char *name;
    struct model_file **files;
    size_t count;
};

/* ---- The demo model (demo_files.S) ---- */

extern const uint8_t demo_genai_config_begin[], demo_genai_config_end[];
extern const uint8_t demo_model_begin[], demo_model_end[];
extern const uint8_t demo_model_data_begin[], demo_model_data_end[];
extern const uint8_t demo_tokenizer_begin[], demo_tokenizer_end[];
extern const uint8_t demo_tokenizer_config_begin[], demo_tokenizer_config_end[];
extern const uint8_t demo_special_tokens_map_begin[], demo_special_tokens_map_end[];
extern const uint8_t demo_chat_template_begin[], demo_chat_template_end[];

static const struct {
    const char *name;
    const uint8_t *begin;
    const uint8_t *end;
} demo_files[] = {
    {"genai_config.json", demo_genai_config_begin, demo_genai_config_end},
    {"model.onnx", demo_model_begin, demo_model_end},
    {"model.onnx.data", demo_model_data_begin, demo_model_data_end},
    {"tokenizer.json", demo_tokenizer_begin, demo_tokenizer_end},
    {"tokenizer_config.json", demo_tokenizer_config_begin, demo_tokenizer_config_end},
    {"special_tokens_map.json", demo_special_tokens_map_begin, demo_special_tokens_map_end},
    {"chat_template.jinja", demo_chat_template_begin, demo_chat_template_end},
};

enum { DEMO_FILE_COUNT = sizeof demo_files / sizeof demo_files[0] };

static size_t demo_find(const char *name) {
    size_t i = 0;
    while (i < DEMO_FILE_COUNT && strcmp(demo_files[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* ---- Folders ---- */

bool model_dir_open(struct model_dir **out, const char *path, struct error *err) {
    struct model_dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to open a model folder");
    }
    dir->name = "demo";
    if (path != NULL) {
        dir->root = realpath(path, NULL);
        struct stat status;
        int problem = dir->root == NULL || stat(dir->root, &status) != 0 ? errno
                      : !S_ISDIR(status.st_mode)                         ? ENOTDIR
                                                                         : 0;
        if (problem != 0) {
            model_dir_close(dir);
            return error_set(err, ERROR_IO, "model folder %s: %s", path, strerror(problem));
        }
        const char *slash = strrchr(dir->root, '/');
        dir->name = slash[1] != '\0' ? slash + 1 : dir->root;
    }
    *out = dir;
    return true;
}

void model_dir_close(struct model_dir *dir) {
    if (dir == NULL) {
        return;
    }
    for (size_t i = 0; i < dir->count; i++) {
        struct model_file *file = dir->files[i];
        if (dir->root != NULL) {
            if (file->size > 0) {
                munmap((void *)(uintptr_t)file->bytes, file->size);
            }
            free((void *)(uintptr_t)file->name);
        }
        free(file);
    }
    free(dir->files);
    free(dir->root);
    free(dir);
}

const char *model_dir_name(const struct model_dir *dir) {
    return dir->name;
}

/* The canonical path of `name` within the folder, which the caller frees. Links are followed first
 * and the result is compared with the folder, so that neither the name nor a link gets out. */
static char *resolve(const struct model_dir *dir, const char *name, struct error *err) {
    size_t root_length = strlen(dir->root);
    size_t name_length = strlen(name);
    if (name_length == 0 || name[0] == '/' || root_length + name_length + 2 > PATH_MAX) {
        error_set(err, ERROR_BAD_FILE,
                  "file name \"%.200s\" is not a relative name within the model folder", name);
        return NULL;
    }
    char path[PATH_MAX];
    memcpy(path, dir->root, root_length);
    path[root_length] = '/';
    memcpy(path + root_length + 1, name, name_length + 1);
    char *canonical = realpath(path, NULL);
    if (canonical == NULL) {
        error_set(err, ERROR_IO, "%s: %s", name, strerror(errno));
        return NULL;
    }
    bool root_is_slash = root_length == 1;
    bool within = root_is_slash || (strncmp(canonical, dir->root, root_length) == 0 &&
                                    canonical[root_length] == '/');
    if (!within) {
        error_set(err, ERROR_BAD_FILE,
                  "file name \"%.200s\" leads out of the model folder; copy the file into it",
                  name);
        free(canonical);
        return NULL;
    }
    return canonical;
}

bool model_dir_has(const struct model_dir *dir, const char *name) {
    if (dir->root == NULL) {
        return demo_find(name) < DEMO_FILE_COUNT;
    }
    char *path = resolve(dir, name, NULL);
    bool found = path != NULL && access(path, F_OK) == 0;
    free(path);
    return found;
}

static bool map_path(struct model_file *file, const char *path, struct error *err) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        error_set(err, ERROR_IO, "%s: %s", file->name, strerror(errno));
        goto fail;
    }
    if (!S_ISREG(status.st_mode)) {
        error_set(err, ERROR_IO, "%s: not a regular file", file->name);
        goto fail;
    }
    file->size = (size_t)status.st_size;
    file->bytes = (const uint8_t *)"";
    if (file->size > 0) {
        void *bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes == MAP_FAILED) {
            error_set(err, ERROR_IO, "%s: cannot map %zu bytes: %s", file->name, file->size,
                      strerror(errno));
            goto fail;
        }
        file->bytes = bytes;
    }
    close(descriptor);
    return true;
fail:
    if (descriptor >= 0) {
        close(descriptor);
    }
    return false;
}

static bool map_folder_file(struct model_dir *dir, struct model_file *file, const char *name,
                            struct error *err) {
    char *path = resolve(dir, name, err);
    if (path == NULL) {
        return false;
    }
    char *copy = strdup(name);
    file->name = copy;
    bool mapped = copy != NULL ? map_path(file, path, err)
                               : error_set(err, ERROR_OUT_OF_MEMORY, "no memory to map %s", name);
    if (!mapped) {
        free(copy);
    }
    free(path);
    return mapped;
}

static bool map_demo_file(struct model_file *file, const char *name, struct error *err) {
    size_t i = demo_find(name);
    if (i == DEMO_FILE_COUNT) {
        return error_set(err, ERROR_IO, "%s: not part of the demo model", name);
    }
    *file = (struct model_file){
        .name = demo_files[i].name,
        .bytes = demo_files[i].begin,
        .size = (size_t)(demo_files[i].end - demo_files[i].begin),
    };
    return true;
}

const struct model_file *model_dir_map(struct model_dir *dir, const char *name, struct error *err) {
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->files[i]->name, name) == 0) {
            return dir->files[i];
        }
    }
    struct model_file **files = realloc(dir->files, (dir->count + 1) * sizeof(struct model_file *));
    if (files == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory to map %s", name);
        return NULL;
    }
    dir->files = files;
    struct model_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory to map %s", name);
        return NULL;
    }
    bool mapped =
        dir->root != NULL ? map_folder_file(dir, file, name, err) : map_demo_file(file, name, err);
    if (!mapped) {
        free(file);
        return NULL;
    }
    dir->files[dir->count++] = file;
    return file;
}

const struct model_file *const *model_dir_files(const struct model_dir *dir, size_t *count) {
    *count = dir->count;
    return (const struct model_file *const *)dir->files;
}
