#include "engine/pack_file.h"

#include "engine/checked.h"
#include "engine/half.h"
#include "engine/mapped_files.h"
#include "engine/weights.h"
#include "engine/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 4096,
    TILES_ALIGNMENT = 2 << 20,
    PACK_CHUNK_BYTES = 4 << 20,
    DIGEST_LANES = 8,
    SAMPLES = 64,
};

static const char pack_magic[8] = {'Q', 'U', 'E', 'R', 'N', 'P', 'K', '\n'};

struct pack_header {
    char magic[sizeof pack_magic];
    uint64_t layout; /* WEIGHTS_LAYOUT: another byte order reads another number */
    struct pack_identity identity;
    uint64_t entry_count;
    uint64_t tiles_offset;
    uint64_t tile_bytes;
    uint64_t file_bytes;
    uint64_t digest; /* of everything before the tiles, with 0 here */
};
_Static_assert(sizeof(struct pack_header) <= HEADER_BYTES, "the header has its own page");

/* ---- Digests: against accidents, not against forgers, who are kept out by permissions ---- */

static uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * 0x9e3779b97f4a7c15u;
    return state ^ (state >> 29);
}

/* Fletcher's sums over lanes of 64 bits: as fast as memory, and each position counts differently. */
static uint64_t digest_bytes(const uint8_t *bytes, size_t size) {
    uint64_t sums[DIGEST_LANES] = {0};
    uint64_t sums_of_sums[DIGEST_LANES] = {0};
    const size_t step = sizeof sums;
    for (size_t i = 0; i < size; i += step) {
        uint64_t words[DIGEST_LANES] = {0};
        memcpy(words, bytes + i, size - i < step ? size - i : step);
        for (size_t lane = 0; lane < DIGEST_LANES; lane++) {
            sums[lane] += words[lane];
            sums_of_sums[lane] += sums[lane];
        }
    }
    uint64_t digest = size;
    for (size_t lane = 0; lane < DIGEST_LANES; lane++) {
        digest = mix(mix(digest, sums[lane]), sums_of_sums[lane]);
    }
    return digest;
}

/* ---- Geometry ---- */

struct geometry {
    size_t digests_offset;
    size_t chunk_count;
    size_t tiles_offset;
    size_t file_bytes;
};

static bool measure(size_t entry_count, size_t tile_bytes, struct geometry *geometry) {
    size_t entry_bytes;
    geometry->chunk_count = tile_bytes / PACK_CHUNK_BYTES + (tile_bytes % PACK_CHUNK_BYTES != 0);
    return checked_multiply(entry_count, sizeof(struct pack_entry), &entry_bytes) &&
           checked_add(entry_bytes, HEADER_BYTES, &geometry->digests_offset) &&
           checked_add(geometry->digests_offset, geometry->chunk_count * sizeof(uint64_t),
                       &geometry->tiles_offset) &&
           checked_round_up(geometry->tiles_offset, TILES_ALIGNMENT, &geometry->tiles_offset) &&
           checked_add(geometry->tiles_offset, tile_bytes, &geometry->file_bytes);
}

/* The digest of all that precedes the tiles. */
static uint64_t digest_front(const uint8_t *mapping, size_t tiles_offset) {
    struct pack_header header;
    memcpy(&header, mapping, sizeof header);
    header.digest = 0;
    return mix(digest_bytes((const uint8_t *)&header, sizeof header),
               digest_bytes(mapping + sizeof header, tiles_offset - sizeof header));
}

/* ---- Chunks ---- */

struct chunk_work {
    const uint8_t *tiles;
    size_t tile_bytes;
    uint64_t *digests; /* written, or compared with */
    bool compare;
    bool *bad; /* by chunk */
};

static void digest_chunk(void *context, size_t thread, size_t chunk) {
    (void)thread;
    const struct chunk_work *work = context;
    size_t offset = chunk * PACK_CHUNK_BYTES;
    size_t rest = work->tile_bytes - offset;
    uint64_t digest =
        digest_bytes(work->tiles + offset, rest < PACK_CHUNK_BYTES ? rest : PACK_CHUNK_BYTES);
    if (work->compare) {
        work->bad[chunk] = digest != work->digests[chunk];
    } else {
        work->digests[chunk] = digest;
    }
}

static bool check_chunks(const struct pack_file *file, uint64_t *digests, size_t count,
                         struct workers *workers, struct error *err) {
    bool *bad = calloc(count + 1, sizeof *bad);
    if (bad == NULL) {
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory to check a pack file");
    }
    struct chunk_work work = {file->tiles, file->tile_bytes, digests, true, bad};
    workers_run(workers, digest_chunk, &work, count);
    size_t first_bad = 0;
    while (first_bad < count && !bad[first_bad]) {
        first_bad++;
    }
    free(bad);
    return first_bad == count ||
           error_set(err, ERROR_BAD_FILE, "its digest of chunk %zu of %zu does not hold",
                     first_bad + 1, count);
}

/* ---- Identity ---- */

static uint64_t mix_samples(uint64_t state, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < SAMPLES && size >= sizeof(uint64_t); i++) {
        uint64_t sample;
        size_t last = size - sizeof sample;
        memcpy(&sample, bytes + last / SAMPLES * i, sizeof sample);
        state = mix(state, sample);
    }
    return mix(state, size);
}

static uint64_t mix_mapping(uint64_t state, const struct plan_mapping *mapping) {
    const struct plan_file_identity *id = &mapping->identity;
    state = mix(mix(state, id->device), id->inode);
    state = mix(mix(state, id->modified_ns), id->changed_ns);
    return mix_samples(state, mapping->bytes, mapping->size);
}

/* A part of a weight: where it lies in which file, or samples of it if the importer made it. */
static uint64_t mix_part(uint64_t state, const struct plan *plan, const uint8_t *bytes,
                         size_t size) {
    for (size_t i = 0; bytes != NULL && i < plan->mapping_count; i++) {
        size_t distance = (size_t)((uintptr_t)bytes - (uintptr_t)plan->mappings[i].bytes);
        if (distance < plan->mappings[i].size) {
            return mix(mix(mix(state, i), distance), size);
        }
    }
    return bytes != NULL ? mix_samples(state, bytes, size) : mix(state, 0);
}

static uint64_t mix_weight(uint64_t state, const struct plan *plan,
                           const struct plan_weight *weight) {
    const uint64_t words[] = {
        weight->rows,
        weight->columns,
        weight->bits,
        weight->type,
        weight->is_signed,
        weight->code_book != NULL ? float_to_bits(weight->code_book->values[1]) : 0,
        weight->block_size,
        weight->scale_type,
        weight->zero_points_are_numbers,
        (uint64_t)weight->zero_point};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        state = mix(state, words[i]);
    }
    for (int which = 0; which < PLAN_WEIGHT_PARTS; which++) {
        enum plan_weight_part part = (enum plan_weight_part)which;
        const struct plan_part *lies = plan_weight_part(weight, part);
        struct plan_bytes all = plan_weight_bytes(weight, part, 0, weight->rows);
        state = mix(mix(mix(state, lies->row), lies->step), lies->shared);
        state = mix_part(state, plan, all.bytes, all.size);
    }
    return mix_part(state, plan, weight->group_index, weight->columns * sizeof(int32_t));
}

bool pack_identity(const struct plan *plan, bool exact, struct pack_identity *identity) {
    bool known = plan->mapping_count > 0;
    for (size_t word = 0; word < 2; word++) {
        uint64_t state = mix(word + 1, exact);
        for (size_t i = 0; i < plan->mapping_count; i++) {
            known &= plan->mappings[i].identity.known;
            state = mix_mapping(state, &plan->mappings[i]);
        }
        for (size_t i = 0; i < plan->weight_count; i++) {
            state = mix_weight(state, plan, &plan->weights[i]);
        }
        identity->words[word] = state;
    }
    return known;
}

/* ---- Reading ---- */

/* Only what nobody else could have written is worth reading. */
static bool check_owner(const struct stat *status, struct error *err) {
    if (!S_ISREG(status->st_mode)) {
        return error_set(err, ERROR_BAD_FILE, "it is not a regular file");
    }
    if (status->st_uid != geteuid() && status->st_uid != 0) {
        return error_set(err, ERROR_BAD_FILE, "it belongs to user %u, expected %u or root",
                         (unsigned)status->st_uid, (unsigned)geteuid());
    }
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return error_set(err, ERROR_BAD_FILE, "others than its owner may write it (mode %03o)",
                         (unsigned)status->st_mode & 0777);
    }
    return true;
}

static bool check_front(const struct pack_file *file, const struct pack_identity *identity,
                        size_t entry_count, struct geometry *geometry, struct error *err) {
    struct pack_header header;
    memcpy(&header, file->mapping, sizeof header);
    if (memcmp(header.magic, pack_magic, sizeof pack_magic) != 0 ||
        header.layout != WEIGHTS_LAYOUT) {
        return error_set(err, ERROR_BAD_FILE, "it has another layout than this program's");
    }
    if (memcmp(&header.identity, identity, sizeof *identity) != 0) {
        return error_set(err, ERROR_BAD_FILE, "it was packed from another state of the model");
    }
    if (header.entry_count != entry_count || !measure(entry_count, header.tile_bytes, geometry) ||
        header.tiles_offset != geometry->tiles_offset ||
        header.file_bytes != geometry->file_bytes || geometry->file_bytes != file->mapping_bytes) {
        return error_set(err, ERROR_BAD_FILE, "it has %zu bytes, but its header wants %zu",
                         file->mapping_bytes, (size_t)header.file_bytes);
    }
    if (header.digest != digest_front(file->mapping, geometry->tiles_offset)) {
        return error_set(err, ERROR_BAD_FILE, "the digest of its header does not hold");
    }
    return true;
}

static bool map_file(struct pack_file *file, int descriptor, struct error *err) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return error_set(err, ERROR_IO, "%s", strerror(errno));
    }
    if (!check_owner(&status, err)) {
        return false;
    }
    if (status.st_size < HEADER_BYTES) {
        return error_set(err, ERROR_BAD_FILE, "it has %zu bytes, less than a header",
                         (size_t)status.st_size);
    }
    size_t size = (size_t)status.st_size;
    void *mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapping == MAP_FAILED) {
        return error_set(err, ERROR_IO, "%zu bytes cannot be mapped: %s", size, strerror(errno));
    }
    file->mapping = mapping;
    file->mapping_bytes = size;
    return true;
}

bool pack_file_open(struct pack_file *file, const char *path, const struct pack_identity *identity,
                    size_t entry_count, struct workers *workers, bool *missing, struct error *err) {
    *file = (struct pack_file){.descriptor = -1};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *missing = descriptor < 0 && errno == ENOENT;
    if (descriptor < 0) {
        return error_set(err, ERROR_IO, "%s", strerror(errno));
    }
    bool sound = map_file(file, descriptor, err);
    close(descriptor);
    if (sound) {
        mapped_files_add(file->mapping, file->mapping_bytes, path);
    }
    struct geometry geometry = {0};
    sound = sound && check_front(file, identity, entry_count, &geometry, err);
    if (sound) {
        file->entries = (const struct pack_entry *)(const void *)(file->mapping + HEADER_BYTES);
        file->entry_count = entry_count;
        file->tiles = file->mapping + geometry.tiles_offset;
        file->tile_bytes = geometry.file_bytes - geometry.tiles_offset;
        sound = check_chunks(file, (uint64_t *)(void *)(file->mapping + geometry.digests_offset),
                             geometry.chunk_count, workers, err);
    }
    if (!sound) {
        pack_file_close(file);
    }
    return sound;
}

/* ---- Writing ---- */

/* Opens the temporary file and locks it. Whoever had the lock may have renamed or removed the file
 * meanwhile: then the name means another file, or none. */
static bool open_temporary(struct pack_file *file, struct error *err) {
    file->descriptor =
        open(file->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (file->descriptor < 0) {
        return error_set(err, ERROR_IO, "%s: %s", file->temporary, strerror(errno));
    }
    struct stat opened;
    struct stat named;
    if (flock(file->descriptor, LOCK_EX | LOCK_NB) != 0 || fstat(file->descriptor, &opened) != 0 ||
        lstat(file->temporary, &named) != 0 || opened.st_ino != named.st_ino ||
        opened.st_dev != named.st_dev) {
        close(file->descriptor);
        file->descriptor = -1;
        return error_set(err, ERROR_IO, "%s: another process is writing it", file->temporary);
    }
    return check_owner(&opened, err) || error_prefix(err, "%s", file->temporary);
}

bool pack_file_create(struct pack_file *file, const char *path, size_t entry_count,
                      size_t tile_bytes, struct error *err) {
    *file = (struct pack_file){.descriptor = -1, .entry_count = entry_count};
    struct geometry geometry = {0};
    if (!measure(entry_count, tile_bytes, &geometry)) {
        return error_set(err, ERROR_TOO_LARGE, "%s: %zu bytes of weights are too many", path,
                         tile_bytes);
    }
    if (asprintf(&file->temporary, "%s.new", path) < 0) {
        file->temporary = NULL;
        return error_set(err, ERROR_OUT_OF_MEMORY, "no memory for a path");
    }
    if (!open_temporary(file, err)) {
        if (file->descriptor < 0) { /* not ours to remove */
            free(file->temporary);
            file->temporary = NULL;
        }
        pack_file_close(file);
        return false;
    }
    /* Emptied first, so that what a crash left there reads as zeros. */
    int failure = ftruncate(file->descriptor, 0) != 0
                      ? errno
                      : posix_fallocate(file->descriptor, 0, (off_t)geometry.file_bytes);
    void *mapping = MAP_FAILED;
    if (failure == 0) {
        mapping = mmap(NULL, geometry.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                       file->descriptor, 0);
        failure = mapping == MAP_FAILED ? errno : 0;
    }
    if (failure != 0) {
        error_set(err, ERROR_IO, "%s: %zu bytes: %s", file->temporary, geometry.file_bytes,
                  strerror(failure));
        pack_file_close(file);
        return false;
    }
    file->mapping = mapping;
    file->mapping_bytes = geometry.file_bytes;
    mapped_files_add(mapping, file->mapping_bytes, path);
    file->tiles = file->mapping + geometry.tiles_offset;
    file->tile_bytes = tile_bytes;
    return true;
}

bool pack_file_publish(struct pack_file *file, const char *path,
                       const struct pack_identity *identity, const struct pack_entry *entries,
                       struct workers *workers, struct error *err) {
    struct geometry geometry = {0};
    measure(file->entry_count, file->tile_bytes, &geometry);
    memcpy(file->mapping + HEADER_BYTES, entries, file->entry_count * sizeof *entries);
    struct chunk_work work = {
        .tiles = file->tiles,
        .tile_bytes = file->tile_bytes,
        .digests = (uint64_t *)(void *)(file->mapping + geometry.digests_offset),
    };
    workers_run(workers, digest_chunk, &work, geometry.chunk_count);
    struct pack_header header = {
        .layout = WEIGHTS_LAYOUT,
        .identity = *identity,
        .entry_count = file->entry_count,
        .tiles_offset = geometry.tiles_offset,
        .tile_bytes = file->tile_bytes,
        .file_bytes = geometry.file_bytes,
    };
    memcpy(header.magic, pack_magic, sizeof pack_magic);
    memcpy(file->mapping, &header, sizeof header);
    header.digest = digest_front(file->mapping, geometry.tiles_offset);
    memcpy(file->mapping, &header, sizeof header);
    mprotect(file->mapping, file->mapping_bytes, PROT_READ);
    if (rename(file->temporary, path) != 0) {
        return error_set(err, ERROR_IO, "%s: %s", path, strerror(errno));
    }
    free(file->temporary);
    file->temporary = NULL;
    close(file->descriptor);
    file->descriptor = -1;
    return true;
}

void pack_file_close(struct pack_file *file) {
    if (file->mapping != NULL) {
        mapped_files_remove(file->mapping);
        munmap(file->mapping, file->mapping_bytes);
    }
    if (file->temporary != NULL) {
        unlink(file->temporary);
    }
    if (file->temporary != NULL && file->descriptor >= 0) {
        close(file->descriptor);
    }
    free(file->temporary);
    *file = (struct pack_file){.descriptor = -1};
}
