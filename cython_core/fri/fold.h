/*
 * Folding of FRI codewords: docs/proofs.md, step 7 of the protocol.
 *
 * A codeword that is to be folded by 2^a lies as a layer, a matrix in panels as everywhere: its row
 * i has the 2^a extension elements at positions i 2^a and on, five columns each. A codeword as such
 * is a layer with a = 0.
 */
#ifndef P2PSEQ_FRI_FOLD_H
#define P2PSEQ_FRI_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "field/kb31.h"
#include "hash/isa.h"

enum {
    FRI_FOLD_LOG_MAX = 4,
    FRI_COLUMNS_MAX = KB31_EXTENSION << FRI_FOLD_LOG_MAX,
};

struct fri_layer {
    uint32_t *cells;
    /* Rows. */
    size_t height;
    /* a */
    uint32_t fold_log;
};

/* What is the same in all rows. */
struct fri_fold_plan {
    /* Of the codeword that is folded. */
    uint32_t domain_log;
    uint32_t fold_log;
    /* 2^-fold_log: the halvings of all steps at once. */
    uint32_t scale;
    /* 1 / g^rev(u) for the pairs u of a row's first step, g of order 2^fold_log. */
    uint32_t roots[1 << (FRI_FOLD_LOG_MAX - 1)];
    /* The step's challenge as a matrix: coefficient i of challenge * X^j. */
    uint32_t challenges[FRI_FOLD_LOG_MAX][KB31_EXTENSION][KB31_EXTENSION];
};

void fri_fold_plan_init(struct fri_fold_plan *plan, uint32_t domain_log, uint32_t fold_log,
                        kb31x challenge);

/*
 * Folds rows first_row, ... of `from` to one value each, which go to the positions of the same
 * numbers in `to`. first_row and rows are multiples of 16, or all rows are meant.
 */
void fri_fold(enum isa_id isa, const struct fri_fold_plan *plan, const struct fri_layer *from,
              size_t first_row, size_t rows, const struct fri_layer *to);

/* Positions first, ... of a codeword (fold_log = 0) as they are. */
void fri_regroup(const struct fri_layer *from, size_t first, size_t count,
                 const struct fri_layer *to);

/* The values of a codeword of 2^log points become coefficients, ascending. In place. */
void fri_interpolate(const struct fri_layer *codeword, uint32_t log);

/* Bits of `index` in opposite order. */
static inline uint64_t fri_reverse(uint64_t index, uint32_t bits)
{
    uint64_t reverse = 0;

    for (; bits > 0; bits--) {
        reverse = reverse << 1 | (index & 1);
        index >>= 1;
    }
    return reverse;
}

static inline uint32_t *fri_cell(const struct fri_layer *layer, size_t row, size_t column)
{
    return layer->cells + (column / KB31_PANEL * layer->height + row) * KB31_PANEL +
           column % KB31_PANEL;
}

void fri_fold_scalar(const struct fri_fold_plan *plan, const struct fri_layer *from,
                     size_t first_row, size_t rows, const struct fri_layer *to);
void fri_fold_avx2(const struct fri_fold_plan *plan, const struct fri_layer *from,
                   size_t first_row, size_t rows, const struct fri_layer *to);
void fri_fold_avx512(const struct fri_fold_plan *plan, const struct fri_layer *from,
                     size_t first_row, size_t rows, const struct fri_layer *to);

#endif
