#include "importer/model_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file, and what has to be given back for it: nothing for those of the demo. */
struct mapped_file {
    struct model_file file;
    char *name;
    void *mapping;
};

struct model_dir {
    char *root; /* canonical path of the folder; NULL: the embedded demo */
    const char *name;
    struct mapped_file **files;
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
        if (problem != 0 || dir->root == NULL) {
            model_dir_close(dir);
            return error_set(err, ERROR_IO, "model folder %s: %s", path, strerror(problem));
        }
        const char *slash = strrchr(dir->root, '/');
        dir->name = slash[1] != '\0' ? slash + 1 : dir->root;
    }
    *out = dir;
    return true;
}

static void release(struct mapped_file *mapped) {
    if (mapped->mapping != NULL) {
        munmap(mapped->mapping, mapped->file.size);
    }
    free(mapped->name);
    free(mapped);
}

void model_dir_close(struct model_dir *dir) {
    if (dir == NULL) {
        return;
    }
    for (size_t i = 0; i < dir->count; i++) {
        release(dir->files[i]);
    }
    free(dir->files);
    free(dir->root);
    free(dir);
}

const char *model_dir_name(const struct model_dir *dir) {
    return dir->name;
}

/* root/name into path[PATH_MAX]; false if it does not fit. */
static bool join(const struct model_dir *dir, const char *name, char *path) {
    int length = snprintf(path, PATH_MAX, "%s/%s", dir->root, name);
    return length > 0 && length < PATH_MAX;
}

bool model_dir_has(const struct model_dir *dir, const char *name) {
    char path[PATH_MAX];
    return dir->root == NULL ? demo_find(name) < DEMO_FILE_COUNT
                             : join(dir, name, path) && access(path, F_OK) == 0;
}

/* The canonical path of `name` within the folder, which the caller frees. Links are followed first
 * and the result is compared with the folder, so that neither the name nor a link gets out. */
static char *resolve(const struct model_dir *dir, const char *name, struct error *err) {
    char path[PATH_MAX];
    if (name[0] == '\0' || name[0] == '/' || !join(dir, name, path)) {
        error_set(err, ERROR_BAD_FILE,
                  "file name \"%.200s\" is not a relative name within the model folder", name);
        return NULL;
    }
    char *canonical = realpath(path, NULL);
    if (canonical == NULL) {
        error_set(err, ERROR_IO, "%s: %s", name, strerror(errno));
        return NULL;
    }
    size_t length = strcmp(dir->root, "/") == 0 ? 0 : strlen(dir->root);
    if (strncmp(canonical, dir->root, length) != 0 || canonical[length] != '/') {
        error_set(err, ERROR_BAD_FILE,
                  "file name \"%.200s\" leads out of the model folder; copy the file into it",
                  name);
        free(canonical);
        return NULL;
    }
    return canonical;
}

static uint64_t nanoseconds(const struct timespec *time) {
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

static bool map_path(struct mapped_file *mapped, const char *path, struct error *err) {
    struct model_file *file = &mapped->file;
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
    file->identity = (struct plan_file_identity){
        .known = true,
        .device = status.st_dev,
        .inode = status.st_ino,
        .modified_ns = nanoseconds(&status.st_mtim),
        .changed_ns = nanoseconds(&status.st_ctim),
    };
    file->bytes = (const uint8_t *)"";
    if (file->size > 0) {
        void *mapping = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (mapping == MAP_FAILED) {
            error_set(err, ERROR_IO, "%s: cannot map %zu bytes: %s", file->name, file->size,
                      strerror(errno));
            goto fail;
        }
        mapped->mapping = mapping;
        file->bytes = mapping;
    }
    close(descriptor);
    return true;
fail:
    if (descriptor >= 0) {
        close(descriptor);
    }
    return false;
}

static bool map_folder_file(const struct model_dir *dir, struct mapped_file *mapped,
                            const char *name, struct error *err) {
    mapped->name = strdup(name);
    mapped->file.name = mapped->name;
    if (mapped->name == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to map %s", name);
    }
    char *path = resolve(dir, name, err);
    bool sound = path != NULL && map_path(mapped, path, err);
    free(path);
    return sound;
}

static bool map_demo_file(struct mapped_file *mapped, const char *name, struct error *err) {
    size_t i = demo_find(name);
    if (i == DEMO_FILE_COUNT) {
        return error_set(err, ERROR_IO, "%s: not part of the demo model", name);
    }
    mapped->file = (struct model_file){
        .name = demo_files[i].name,
        .bytes = demo_files[i].begin,
        .size = (size_t)(demo_files[i].end - demo_files[i].begin),
    };
    return true;
}

static bool keep(struct model_dir *dir, struct mapped_file *mapped, struct error *err) {
    struct mapped_file **files =
        realloc(dir->files, (dir->count + 1) * sizeof(struct mapped_file *));
    if (files == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to map %s", mapped->file.name);
    }
    dir->files = files;
    dir->files[dir->count++] = mapped;
    return true;
}

const struct model_file *model_dir_map(struct model_dir *dir, const char *name, struct error *err) {
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->files[i]->file.name, name) == 0) {
            return &dir->files[i]->file;
        }
    }
    struct mapped_file *mapped = calloc(1, sizeof *mapped);
    if (mapped == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory to map %s", name);
        return NULL;
    }
    bool sound = dir->root != NULL ? map_folder_file(dir, mapped, name, err)
                                   : map_demo_file(mapped, name, err);
    if (!sound || !keep(dir, mapped, err)) {
        release(mapped);
        return NULL;
    }
    return &mapped->file;
}

const struct model_file *model_dir_file(const struct model_dir *dir, size_t i) {
    return i < dir->count ? &dir->files[i]->file : NULL;
}

void model_dir_release_pages(const struct model_file *file) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)file->bytes + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)file->bytes + file->size) / page * page;
    if (begin < end) {
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
}
