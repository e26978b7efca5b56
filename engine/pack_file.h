/* The pack file: packed weights on disk, so that a second start maps them and serves, and several
 * processes share their pages.
 *
 *     [header: 4096 bytes]           magic, layout, identity of the sources, sizes, digest
 *     [entries: matrix_count]        where each matrix begins, in the order of the plan's weights
 *     [chunk digests]                one for each PACK_CHUNK_BYTES of tiles
 *     [tiles]                        from a multiple of 2 MiB on, as weights.h draws them
 *
 * A file is an offer, never trusted: it is used only if it is a regular file that nobody but this
 * user (or root) can write, has the layout and the identity that are expected, exactly the size that
 * it claims, and every digest holds. All chunks are read for that, which also brings them into
 * memory: a few hundredths of a second for a gigabyte that the system still has cached. Because the
 * digests notice a file that a crash left half written, nothing waits for the disk.
 *
 * A new file is written beside the old one, under a lock, and renamed over it; a process that has
 * the old one mapped keeps it. The tiles do not depend on the instruction set. Numbers have the byte
 * order of the machine; the magic number tells them apart. One thread at a time. */
#ifndef QUERN_ENGINE_PACK_FILE_H
#define QUERN_ENGINE_PACK_FILE_H

#include "engine/error.h"
#include "engine/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workers;

/* Tells one state of the sources from another: see pack_identity. */
struct pack_identity {
    uint64_t words[2];
};

/* One matrix: what cannot be derived from the plan. */
struct pack_entry {
    uint64_t offset; /* from the beginning of the tiles */
    uint64_t bytes;
    uint64_t wide; /* 0 or 1: its pack_form */
    uint64_t decoded;
};

/* A mapped pack file, read-only unless it is being written. */
struct pack_file {
    uint8_t *mapping;
    size_t mapping_bytes;
    const struct pack_entry *entries; /* [entry_count] */
    size_t entry_count;
    uint8_t *tiles;
    size_t tile_bytes;
    int descriptor;  /* while it is being written, else -1 */
    char *temporary; /* its path until then */
};

/* Identity of everything that packing the weights of `plan` reads: device, inode, size and times of
 * each file, samples of its bytes (for changes within the resolution of the times), and how the
 * plan describes each weight. False if the plan does not come from files: there is no identity
 * then. */
bool pack_identity(const struct plan *plan, bool exact, struct pack_identity *identity);

/* Maps the file at `path`. Any reason not to use it is an error, ERROR_IO with errno ENOENT among
 * them (then *missing is true). */
bool pack_file_open(struct pack_file *file, const char *path, const struct pack_identity *identity,
                    size_t entry_count, struct workers *workers, bool *missing, struct error *err);

/* Begins a file with room for `tile_bytes` of tiles, zeros, at file->tiles. The room is reserved on
 * disk first: ERROR_IO if there is not enough, or another process is writing the same file. */
bool pack_file_create(struct pack_file *file, const char *path, size_t entry_count,
                      size_t tile_bytes, struct error *err);

/* Completes the file: digests, entries (entry_count of them), the name `path`. The mapping stays,
 * read-only. On error the mapping stays as well: the tiles are good, but the next start will not
 * find them. */
bool pack_file_publish(struct pack_file *file, const char *path,
                       const struct pack_identity *identity, const struct pack_entry *entries,
                       struct workers *workers, struct error *err);

/* Unmaps; removes what was not published. A zeroed file is fine. */
void pack_file_close(struct pack_file *file);

#endif
