/* The trace tree in C: group roots of the rows of one run, and paths of chosen rows.
 *
 * `tree.py` is the definition. Rows come in order and in pieces; what is kept is one chunk of
 * leaves, the open nodes above it, and the path of each watched slot, whatever the number of rows.
 */
#ifndef VM_TREE_H
#define VM_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "hash/isa.h"

enum {
    TREE_DIGEST_BYTES = 16,
    TREE_SLOT_BYTES = 52,
    TREE_BLOCK_BYTES = 64,
    TREE_WIDE_BYTES = 256,
    TREE_DEPTH_MAX = 12,
    /* 4,096 leaves are hashed together: their digests, 64 KiB, stay in the second-level cache. */
    TREE_CHUNK_DEPTH = 6,
    TREE_LANES = 16,
    TREE_NONCES = 1 << 20,
};

enum tree_status {
    TREE_OK = 0,
    TREE_NO_MEMORY = -1,
    /* More rows than slots. */
    TREE_FULL = -2,
    /* Slots and wide records that do not belong together, or a record with other spellings. */
    TREE_MALFORMED = -3,
    /* No nonce gives the digit sum. */
    TREE_UNREACHABLE = -4,
};

/* One call of a kernel: all messages are hashed alike. */
struct tree_hash {
    const uint32_t *key; /* 8 words, or NULL: each lane has its own in `keys` */
    const uint8_t *const *keys; /* blocks of 64 bytes, the key in the first 32 */
    uint32_t flags;
    uint32_t length;
    int is_narrow; /* the last 12 of the 64 bytes are taken as zeros; all have one key */
};

/* Reads 64 bytes from each message and writes 16 to each digest. Lanes are taken in order and all
 * messages of a vector are read before its digests are written, so that nodes may be written over
 * the children of earlier ones. */
typedef void (*tree_kernel)(const struct tree_hash *hash, const uint8_t *const *messages,
                            uint8_t *const *digests, size_t count);

void tree_hash_scalar(const struct tree_hash *hash, const uint8_t *const *messages,
                      uint8_t *const *digests, size_t count);
void tree_hash_avx2(const struct tree_hash *hash, const uint8_t *const *messages,
                    uint8_t *const *digests, size_t count);
void tree_hash_avx512(const struct tree_hash *hash, const uint8_t *const *messages,
                      uint8_t *const *digests, size_t count);

/* A slot whose record and path are kept: path[l] has the four nodes of level l, 0 that of the
 * leaves, among which the slot's own ancestor is. */
struct tree_watch {
    uint32_t index;
    int is_wide;
    uint8_t record[TREE_WIDE_BYTES];
    uint8_t path[TREE_DEPTH_MAX][4 * TREE_DIGEST_BYTES];
};

struct trace_tree {
    uint32_t groups, depth, chunk_depth;
    uint32_t digit_sum;
    int only_watched; /* groups without a watched slot are passed over */
    tree_kernel kernel;
    uint8_t salt[TREE_DIGEST_BYTES];
    uint32_t key[8];
    uint32_t index; /* of the next slot */
    uint32_t fill; /* leaves of the chunk */
    uint8_t pads[TREE_DEPTH_MAX + 1][TREE_DIGEST_BYTES]; /* subtrees of nothing but PAD */
    uint8_t *chunk;
    uint8_t upper[TREE_DEPTH_MAX][4 * TREE_DIGEST_BYTES];
    uint32_t upper_count[TREE_DEPTH_MAX];
    struct tree_watch last; /* the last slot of the group */
    struct tree_watch *watches; /* ascending */
    size_t watch_count;
    size_t watch_from, watch_to; /* those of the group */
    int is_group_pad, has_pad_root;
    uint32_t pad_group; /* the first group of nothing but PAD: others have its root */
    uint8_t *roots;
    uint32_t *nonces;
};

/* `tree` is zeroed by the caller, with groups, depth, digit_sum, only_watched, salt and the number
 * and indices of the watches filled in, all in bounds; `watches`, `roots` and `nonces` are room
 * for as many. TREE_OK or TREE_NO_MEMORY; trace_tree_free afterwards in both cases. */
enum tree_status trace_tree_init(struct trace_tree *tree, enum isa_id isa);
void trace_tree_free(struct trace_tree *tree);

/* The next rows: slots of 52 bytes and the records of the wide ones among them. After anything but
 * TREE_OK the tree is of no use. */
enum tree_status trace_tree_absorb(struct trace_tree *tree, const uint8_t *slots, size_t count,
                                   const uint8_t *wide, size_t wide_count);

/* PAD to the end; then roots, nonces and watches are complete. */
enum tree_status trace_tree_finish(struct trace_tree *tree);

#endif
