/* Helpers on extended blocks (kernels.h) that are the same for every vector width. */
#ifndef P2PSEQ_STARK_BLOCKS_H
#define P2PSEQ_STARK_BLOCKS_H

#include "stark/kernels.h"

/* The same element in every row. */
void stark_broadcast(const uint32_t element[KB31_EXTENSION], uint32_t *block);

/*
 * Inverts `count` extended blocks in place, row by row, at the price of one true inversion a row
 * (Montgomery's trick along the blocks). `products` has room for as many. Returns -1, with garbage
 * in the blocks, if a value is zero.
 */
int stark_invert_blocks(const struct stark_kernels *kernels, uint32_t *blocks, size_t count,
                        uint32_t *products);

#endif
