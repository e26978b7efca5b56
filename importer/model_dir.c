#include "importer/model_dir.h"

#include "engine/mapped_files.h"

#include <dirent.h>
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
    char *onnx_file; /* relative to the root; NULL: neither named nor chosen */
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

/* root/name into path[PATH_MAX]; false if it does not fit. */
static bool join(const struct model_dir *dir, const char *name, char *path) {
    int length = snprintf(path, PATH_MAX, "%s/%s", dir->root, name);
    return length > 0 && length < PATH_MAX;
}

bool model_dir_has(const struct model_dir *dir, const char *name) {
    char path[PATH_MAX];
    struct stat status;
    return dir->root == NULL ? demo_find(name) < DEMO_FILE_COUNT
                             : join(dir, name, path) && lstat(path, &status) == 0;
}

static bool has_configuration(const struct model_dir *dir) {
    return model_dir_has(dir, "genai_config.json") || model_dir_has(dir, "config.json") ||
           model_dir_has(dir, "tokenizer.json");
}

/* Goes up one folder if the configuration lies there. False when memory is out. */
static bool go_up(struct model_dir *dir) {
    char *folder = strrchr(dir->root, '/');
    if (has_configuration(dir) || folder == dir->root) {
        return true;
    }
    *folder = '\0';
    if (!has_configuration(dir)) {
        *folder = '/';
        return true;
    }
    char *file = dir->onnx_file;
    bool done = asprintf(&dir->onnx_file, "%s/%s", folder + 1, file) >= 0;
    dir->onnx_file = done ? dir->onnx_file : NULL;
    free(file);
    return done;
}

/* The folder of an ONNX file. The file's own link, if it is one, is followed when it is mapped. */
static bool open_folder_of(struct model_dir *dir, const char *file) {
    const char *slash = strrchr(file, '/');
    char *folder = slash == NULL   ? strdup(".")
                   : slash == file ? strdup("/")
                                   : strndup(file, (size_t)(slash - file));
    dir->onnx_file = strdup(slash != NULL ? slash + 1 : file);
    dir->root = folder != NULL ? realpath(folder, NULL) : NULL;
    free(folder);
    return dir->root != NULL && dir->onnx_file != NULL && go_up(dir);
}

static const char *reason(int number) {
    return number == EACCES
               ? "permission denied; the user that Quern runs as must be able to read it"
               : strerror(number);
}

/* False with errno. */
static bool open_path(struct model_dir *dir, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) {
        return false;
    }
    if (S_ISDIR(status.st_mode)) {
        dir->root = access(path, R_OK | X_OK) == 0 ? realpath(path, NULL) : NULL;
    } else if (!S_ISREG(status.st_mode)) {
        errno = ENOTDIR;
        return false;
    } else if (!open_folder_of(dir, path)) {
        return false;
    }
    return dir->root != NULL;
}

bool model_dir_open(struct model_dir **out, const char *path, struct error *err) {
    struct model_dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to open a model folder");
    }
    dir->name = "demo";
    if (path != NULL) {
        if (!open_path(dir, path)) {
            error_set(err, ERROR_IO, "model folder %.300s: %s", path, reason(errno));
            model_dir_close(dir);
            return false;
        }
        const char *slash = strrchr(dir->root, '/');
        dir->name = slash[1] != '\0' ? slash + 1 : dir->root;
    }
    *out = dir;
    return true;
}

static void release(struct mapped_file *mapped) {
    if (mapped->mapping != NULL) {
        mapped_files_remove(mapped->mapping);
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
    free(dir->onnx_file);
    free(dir->root);
    free(dir);
}

const char *model_dir_name(const struct model_dir *dir) {
    return dir->name;
}

/* ---- The ONNX file ---- */

/* Where the configuration names none: what exporters call theirs, the smallest numbers first. */
static const char *const onnx_folders[] = {"", "onnx/"};
static const char *const onnx_models[] = {"model", "decoder_model_merged"};
static const char *const onnx_forms[] = {"_q4",   "_q4f16", "_quantized", "_int8", "_uint8",
                                         "_fp16", ""};

#define LENGTH_OF(array) (sizeof(array) / sizeof(array)[0])

/* The first of them that is there, into name[NAME_MAX]; an empty name: none is. */
static void find_known(const struct model_dir *dir, char *name) {
    for (size_t i = 0; i < LENGTH_OF(onnx_folders); i++) {
        for (size_t j = 0; j < LENGTH_OF(onnx_models); j++) {
            for (size_t k = 0; k < LENGTH_OF(onnx_forms); k++) {
                snprintf(name, NAME_MAX, "%s%s%s.onnx", onnx_folders[i], onnx_models[j],
                         onnx_forms[k]);
                if (model_dir_has(dir, name)) {
                    return;
                }
            }
        }
    }
    name[0] = '\0';
}

/* A file of the folder whose name ends in .onnx; returns how many there are. */
static size_t find_any(const struct model_dir *dir, char *name) {
    DIR *folder = opendir(dir->root);
    const struct dirent *entry;
    size_t count = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        const char *end = strrchr(entry->d_name, '.');
        if (end != NULL && strcmp(end, ".onnx") == 0) {
            snprintf(name, NAME_MAX, "%s", entry->d_name);
            count++;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

/* Into name[NAME_MAX]. The demo model has one of the known names. */
static bool choose(const struct model_dir *dir, char *name, struct error *err) {
    find_known(dir, name);
    size_t count = name[0] != '\0' ? 1 : find_any(dir, name);
    if (count > 1) {
        return error_set(
            err, ERROR_IO,
            "model folder %.200s has %zu ONNX files, none of them called model.onnx or "
            "alike; name one of them instead of the folder",
            dir->name, count);
    }
    return count == 1 ||
           error_set(err, ERROR_IO, "model folder %.200s has no ONNX file", dir->name);
}

const char *model_dir_onnx_file(struct model_dir *dir, const char *configured, struct error *err) {
    char name[NAME_MAX];
    if (dir->onnx_file != NULL) {
        return dir->onnx_file;
    }
    if (configured == NULL && !choose(dir, name, err)) {
        return NULL;
    }
    dir->onnx_file = strdup(configured != NULL ? configured : name);
    if (dir->onnx_file == NULL) {
        error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a file's name");
    }
    return dir->onnx_file;
}

/* ---- Mapping ---- */

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
        bool leads_nowhere = errno == ENOENT && model_dir_has(dir, name);
        error_set(err, ERROR_IO, "%s: %s", name,
                  leads_nowhere ? "a link to a file that does not exist" : reason(errno));
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
        error_set(err, ERROR_IO, "%s: %s", file->name, reason(errno));
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
        mapped_files_add(mapping, file->size, path);
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

const struct model_file *model_dir_map_text(struct model_dir *dir, const char *name,
                                            size_t bytes_max, struct error *err) {
    const struct model_file *file = model_dir_map(dir, name, err);
    if (file != NULL && file->size > bytes_max) {
        error_set(err, ERROR_TOO_LARGE, "%s has %zu bytes; at most %zu are read", name, file->size,
                  bytes_max);
        return NULL;
    }
    return file;
}

const struct model_file *model_dir_map_beside(struct model_dir *dir, const char *name,
                                              struct error *err) {
    const char *slash = dir->onnx_file != NULL ? strrchr(dir->onnx_file, '/') : NULL;
    char path[PATH_MAX];
    if (slash == NULL || name[0] == '/' || name[0] == '\0') {
        return model_dir_map(dir, name, err);
    }
    int length =
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - dir->onnx_file), dir->onnx_file, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        error_set(err, ERROR_BAD_FILE, "file name \"%.200s\" is too long", name);
        return NULL;
    }
    return model_dir_map(dir, path, err);
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
