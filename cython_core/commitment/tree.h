/*
 * The tree over the digests of rows: docs/proofs.md, "Commitment to matrices".
 *
 * Nodes lie as in a heap: node j of level l (2^l nodes) is number 2^l + j, 32 bytes each, the root
 * is number 1, and two children are one 64-byte message.
 */
#ifndef P2PSEQ_COMMITMENT_TREE_H
#define P2PSEQ_COMMITMENT_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "hash/b3_many.h"

/* Level `log` from the level below it. */
void tree_hash_level(b3_many_kernel kernel, uint8_t *nodes, uint32_t log);

/* Level `log` takes in the digests of the matrices that have 2^log rows. */
void tree_inject_level(b3_many_kernel kernel, uint8_t *nodes, uint32_t log,
                       const uint8_t *digests);

#endif
