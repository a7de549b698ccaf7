/* The DEEP polynomial on one coset of the evaluation domain: docs/proofs.md, step 6. */
#ifndef P2PSEQ_STARK_DEEP_H
#define P2PSEQ_STARK_DEEP_H

#include "stark/kernels.h"

/*
 * The combination of the columns of a matrix (`panels` panels of `rows` rows, whatever the rows
 * stand for) with extension coefficients, 16 * panels of them each for `here` and `next`; a panel
 * that has no column in `next` is marked by panel_has_next 0. Added to columns 0..4 and 5..9 of the
 * first `rows` rows of the panel `combined`.
 */
void stark_combine(const struct stark_kernels *kernels, const uint32_t *cells, size_t rows,
                   size_t panels, const uint32_t *here, const uint32_t *next,
                   const uint8_t *panel_has_next, size_t first_block, size_t last_block,
                   uint32_t *combined);

struct stark_deep {
    const struct stark_kernels *kernels;
    size_t rows;
    uint32_t log;
    /* zeta and g zeta; the combined values there. */
    uint32_t points[2][KB31_EXTENSION], values[2][KB31_EXTENSION];
};

/*
 * F at shift * g^r for r = 64 * first_block ..., from the combined columns' values there (one
 * panel). Written to columns 0..4 of row rev(r) of `out` (one panel). Returns -1 when memory is
 * short or a point lies on the domain.
 */
int stark_deep(const struct stark_deep *deep, const uint32_t *combined, uint32_t shift,
               size_t first_block, size_t last_block, uint32_t *out);

#endif
