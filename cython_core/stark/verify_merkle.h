/* Openings of commitments (docs/proofs.md, "Commitment to matrices"). */
#ifndef P2PSEQ_STARK_VERIFY_MERKLE_H
#define P2PSEQ_STARK_VERIFY_MERKLE_H

#include "stark/verify_bytes.h"

/* One of the matrices of a commitment: 2^log rows of `width` elements. */
struct stark_matrix {
    uint32_t log, width;
    /* Set by the opening: the opened rows, canonical and without padding, one after the other. */
    const uint8_t *rows;
};

struct stark_commitment {
    const uint8_t *root;
    uint32_t count;
    struct stark_matrix *matrices;
};

/* Shifts ascending positions and leaves each result once; returns how many are left. */
size_t stark_shift_positions(const uint32_t *positions, size_t count, uint32_t shift,
                             uint32_t *shifted);

/*
 * Reads and checks the opening of a commitment at unique, ascending positions (at least one, at
 * most STARK_QUERIES_MAX) of a domain of 2^domain_log points.
 */
enum stark_status stark_open(const struct stark_commitment *commitment, const uint32_t *positions,
                             size_t position_count, uint32_t domain_log,
                             struct stark_cursor *proof);

#endif
