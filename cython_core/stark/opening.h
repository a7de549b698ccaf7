/*
 * Rows of a matrix at a few positions of its codeword, out of the coefficients: docs/proofs.md,
 * step 8.
 *
 * With c = 2^OPENING_BLOCK_LOG and f(X) = sum of X^i f_i(X^(n / c)), i < n / c, the coefficients of
 * an f_i are a block of c rows, and at all positions of a coset of the trace domain X^(n / c) has c
 * values only. The f_i are evaluated at these by short transforms; then a position costs one
 * product for every c rows.
 */
#ifndef P2PSEQ_STARK_OPENING_H
#define P2PSEQ_STARK_OPENING_H

#include "stark/kernels.h"

struct stark_opening {
    const struct stark_kernels *kernels;
    /* The matrix has 2^log rows, its codeword four times as many. */
    uint32_t log;
    size_t count;
    /* `count` positions, ascending. */
    const uint32_t *positions;
    /* Of stark_opening_prepare. */
    uint32_t *weights;
};

/* Words of `weights`, and of the memory that one thread needs. */
size_t stark_opening_weights(const struct stark_opening *opening);
size_t stark_opening_scratch(const struct stark_opening *opening);

void stark_opening_prepare(const struct stark_opening *opening);

/*
 * One panel of coefficients, in bit-reversed order: 16 words of `rows` for each position. Returns
 * -1 without memory for a plan.
 */
int stark_opening_panel(const struct stark_opening *opening, const uint32_t *coefficients,
                        uint32_t *scratch, uint32_t *rows);

#endif
