/*
 * Hashes of many rows at once, panel by panel: b3(K_row, row) of docs/proofs.md, "Commitment to
 * matrices", for rows that need not be in memory at the same time as a whole.
 *
 * All rows have the same number of blocks of 64 bytes. One block is one row of a panel: 16 elements
 * in Montgomery form, which are hashed as plain values. A row's chaining value (32 bytes) is kept
 * between its blocks; rows of more than 16 blocks have more than one chunk (BLAKE3 paper, section
 * 2.4), and of those also the values of the subtrees that wait for a right neighbour are kept.
 * These merge at the same block in all rows, so that nothing but the block's number tells how.
 *
 * Threads may absorb different rows of one hasher at once: there is nothing that two rows share.
 */
#ifndef P2PSEQ_COMMITMENT_ROW_HASH_H
#define P2PSEQ_COMMITMENT_ROW_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "hash/isa.h"

enum {
    /* Rows whose values lie together: word w of the 16 rows is 64 bytes. */
    ROW_GROUP = 16,
    ROW_GROUP_WORDS = 8 * ROW_GROUP,
    ROW_CHUNK_BLOCKS = 16,
    ROW_BLOCKS_MAX = 4096,
    /* log2 of ROW_BLOCKS_MAX / ROW_CHUNK_BLOCKS. */
    ROW_DEPTH_MAX = 8,
    /* The rows of the hasher stand in the order of the positions of the tree. */
    ROW_ORDER_POSITIONS = -1,
};

struct row_hasher {
    size_t rows;
    size_t groups;
    uint32_t blocks;
    /* Waiting subtrees that a row can have. */
    uint32_t depth;
    /*
     * ROW_ORDER_POSITIONS, or k: row c * n + r, n = rows / 2^k, belongs to the point
     * g^c * h^r where g generates the domain of `rows` points and h = g^(2^k).
     */
    int coset_log;
    enum isa_id isa;
    /* 1 + depth planes of groups * ROW_GROUP_WORDS words: chaining values, waiting subtrees. */
    uint32_t *state;
    size_t plane;
};

/* 0, or -1 when out of memory. 0 < rows <= 2^32, 0 < blocks <= ROW_BLOCKS_MAX. */
int row_hasher_init(struct row_hasher *hasher, size_t rows, uint32_t blocks, int coset_log,
                    enum isa_id isa);
void row_hasher_free(struct row_hasher *hasher);

/*
 * Blocks first_block, ... of the rows first_row, ...: block b of row r is the 16 elements at
 * panels + (b - first_block) * stride + 16 * (r - first_row). Every row takes its blocks in
 * order, each once; several panels in one call save traffic with memory.
 */
void row_hasher_absorb(const struct row_hasher *hasher, size_t first_row, size_t rows,
                       const uint32_t *panels, size_t stride, uint32_t first_block,
                       uint32_t blocks);

/* The digests in the order of the positions, 32 bytes each, when all rows have all their blocks. */
void row_hasher_finish(const struct row_hasher *hasher, uint8_t *digests);

/*
 * The kernels. `groups` whole groups from `group` on; `panels` is the first group's.
 */
typedef void (*row_absorb_kernel)(const struct row_hasher *hasher, size_t group, size_t groups,
                                  const uint32_t *panels, size_t stride, uint32_t first_block,
                                  uint32_t blocks);
typedef void (*row_digests_kernel)(const uint32_t *group_state, uint8_t *const *outputs);

void row_absorb_scalar(const struct row_hasher *hasher, size_t group, size_t groups,
                       const uint32_t *panels, size_t stride, uint32_t first_block,
                       uint32_t blocks);
void row_absorb_avx2(const struct row_hasher *hasher, size_t group, size_t groups,
                     const uint32_t *panels, size_t stride, uint32_t first_block, uint32_t blocks);
void row_absorb_avx512(const struct row_hasher *hasher, size_t group, size_t groups,
                       const uint32_t *panels, size_t stride, uint32_t first_block,
                       uint32_t blocks);
void row_digests_scalar(const uint32_t *group_state, uint8_t *const *outputs);
void row_digests_avx2(const uint32_t *group_state, uint8_t *const *outputs);
void row_digests_avx512(const uint32_t *group_state, uint8_t *const *outputs);

#endif
