#include "stark/blocks.h"

#include <string.h>

void stark_broadcast(const uint32_t element[KB31_EXTENSION], uint32_t *block)
{
    for (size_t k = 0; k < KB31_EXTENSION; k++) {
        for (size_t i = 0; i < STARK_BLOCK; i++) {
            block[STARK_BLOCK * k + i] = element[k];
        }
    }
}

static int invert_rows(const uint32_t *block, uint32_t *out)
{
    for (size_t row = 0; row < STARK_BLOCK; row++) {
        kb31x element;
        for (size_t k = 0; k < KB31_EXTENSION; k++) {
            element.c[k] = block[STARK_BLOCK * k + row];
        }
        if (kb31x_is_zero(element)) {
            return -1;
        }
        element = kb31x_inverse(element);
        for (size_t k = 0; k < KB31_EXTENSION; k++) {
            out[STARK_BLOCK * k + row] = element.c[k];
        }
    }
    return 0;
}

int stark_invert_blocks(const struct stark_kernels *kernels, uint32_t *blocks, size_t count,
                        uint32_t *products)
{
    uint32_t inverse[STARK_EXTENDED_BLOCK], own[STARK_EXTENDED_BLOCK];

    if (count == 0) {
        return 0;
    }
    memcpy(products, blocks, sizeof own);
    for (size_t i = 1; i < count; i++) {
        kernels->multiply(products + STARK_EXTENDED_BLOCK * (i - 1),
                          blocks + STARK_EXTENDED_BLOCK * i, products + STARK_EXTENDED_BLOCK * i);
    }
    if (invert_rows(products + STARK_EXTENDED_BLOCK * (count - 1), inverse) != 0) {
        return -1;
    }
    for (size_t i = count - 1; i > 0; i--) {
        uint32_t *block = blocks + STARK_EXTENDED_BLOCK * i;

        kernels->multiply(products + STARK_EXTENDED_BLOCK * (i - 1), inverse, own);
        kernels->multiply(inverse, block, inverse);
        memcpy(block, own, sizeof own);
    }
    memcpy(blocks, inverse, sizeof inverse);
    return 0;
}
