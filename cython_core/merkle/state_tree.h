/*
 * The ledger's state in memory: a compact sparse Merkle tree over 256-bit paths.
 *
 * What the tree is, to the byte: guest/tree.h. How it is kept: a node stores its two children's
 * hashes side by side, which is exactly the message that is hashed for the node itself, so that an
 * update touches one cache line per node, and its two 32-bit child references apart from them, so
 * that a descent stays in the cache. Updates are batches: sorted, descended level by level (each
 * level's misses overlap), then hashed level by level with the many-lane kernel.
 *
 * No function locks: the caller lets one thread change a tree at a time. None calls Python.
 */
#ifndef P2PSEQ_MERKLE_STATE_TREE_H
#define P2PSEQ_MERKLE_STATE_TREE_H

#include <stddef.h>
#include <stdint.h>

struct state_tree;

enum state_tree_status {
    STATE_TREE_OK = 0,
    STATE_TREE_NO_MEMORY = -1,
    /* Two operations of one batch have the same path. */
    STATE_TREE_DUPLICATE = -2,
    /* A presence flag is neither 0 nor 1. */
    STATE_TREE_FLAG = -3,
    /* More than 2^31 - 1 leaves or nodes, or more than 2^28 operations in one batch. */
    STATE_TREE_FULL = -4,
};

/* An empty tree, or NULL. Hashes with the best kernel of this CPU. */
struct state_tree *state_tree_new(void);
void state_tree_free(struct state_tree *tree);

/* Hash with another kernel (enum b3_kernel_id). Returns 0, or -1 if this CPU lacks it. */
int state_tree_use_kernel(struct state_tree *tree, int kernel_id);

/* 32 bytes; valid until the next update. */
const uint8_t *state_tree_root(const struct state_tree *tree);
size_t state_tree_length(const struct state_tree *tree);
/* Grows with every update that changed the tree. */
uint64_t state_tree_generation(const struct state_tree *tree);
/* Bytes of memory that the tree holds, scratch space included. */
size_t state_tree_memory(const struct state_tree *tree);

/* Whether the path has a leaf (1 or 0); its 64-byte value goes to value_out (zeros if absent). */
int state_tree_get(const struct state_tree *tree, const uint8_t *path, uint8_t *value_out);

/*
 * Set (present[i] = 1) or delete (0) the leaf paths[32*i..] to values[64*i..], for all i at once,
 * in any order; deleting an absent leaf does nothing. old_values (64 bytes each, zeros if absent)
 * and old_present (1 byte each) receive what was there, in the order of the input: feeding them
 * back undoes the batch. On failure the tree is as it was.
 */
int state_tree_update(struct state_tree *tree, size_t count, const uint8_t *paths,
                      const uint8_t *values, const uint8_t *present, uint8_t *old_values,
                      uint8_t *old_present);

/*
 * The witness for tree_transition (guest/tree.h) with exactly these paths as slots, valid for any
 * update of them. may_vanish[i] = 0 promises that path i will be present afterwards, which saves
 * opening siblings; NULL promises nothing. The proof goes to *proof, to be given to
 * state_tree_free_proof.
 */
int state_tree_prove(const struct state_tree *tree, size_t count, const uint8_t *paths,
                     const uint8_t *may_vanish, uint8_t **proof, size_t *proof_length);
void state_tree_free_proof(uint8_t *proof);

/* A walk in ascending order of paths; any update invalidates the cursor. */
struct state_tree_cursor {
    uint32_t pending[257];
    uint32_t height;
};
void state_tree_cursor_start(const struct state_tree *tree, struct state_tree_cursor *cursor);
/* The next leaf in ascending path order (1), or the end (0). Pointers are into the tree. */
int state_tree_cursor_next(const struct state_tree *tree, struct state_tree_cursor *cursor,
                           const uint8_t **path, const uint8_t **value);

#endif
