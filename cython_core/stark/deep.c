#include "stark/deep.h"

#include <stdlib.h>
#include <string.h>

#include "stark/blocks.h"

enum { BATCH_BLOCKS = 64, PANEL_BLOCK = KB31_PANEL * STARK_BLOCK };

void stark_combine(const struct stark_kernels *kernels, const uint32_t *cells, size_t rows,
                   size_t panels, const uint32_t *here, const uint32_t *next,
                   const uint8_t *panel_has_next, size_t first_block, size_t last_block,
                   uint32_t *combined)
{
    uint32_t turned[PANEL_BLOCK], sums[2][STARK_EXTENDED_BLOCK];

    for (size_t block = first_block; block < last_block; block++) {
        size_t row = STARK_BLOCK * block;

        memset(sums, 0, sizeof sums);
        for (size_t panel = 0; panel < panels; panel++) {
            size_t offset = KB31_EXTENSION * KB31_PANEL * panel;

            kernels->transpose(cells + KB31_PANEL * rows * panel, rows, row, STARK_BLOCK, turned);
            kernels->fold(turned, KB31_PANEL, here + offset, sums[0]);
            if (panel_has_next[panel]) {
                kernels->fold(turned, KB31_PANEL, next + offset, sums[1]);
            }
        }
        for (size_t i = 0; i < STARK_BLOCK && row + i < rows; i++) {
            uint32_t *to = combined + KB31_PANEL * (row + i);
            for (size_t k = 0; k < KB31_EXTENSION; k++) {
                to[k] = kb31_add(to[k], sums[0][STARK_BLOCK * k + i]);
                to[KB31_EXTENSION + k] =
                    kb31_add(to[KB31_EXTENSION + k], sums[1][STARK_BLOCK * k + i]);
            }
        }
    }
}

static size_t reversed(size_t index, uint32_t bits)
{
    size_t out = 0;

    for (uint32_t bit = 0; bit < bits; bit++) {
        out |= ((index >> bit) & 1) << (bits - 1 - bit);
    }
    return out;
}

/* x - zeta and x - g zeta for the 64 points from `x` on. */
static void differences(const struct stark_deep *deep, uint32_t x, uint32_t root, uint32_t *blocks)
{
    for (size_t point = 0; point < 2; point++) {
        uint32_t *block = blocks + STARK_EXTENDED_BLOCK * point;
        uint32_t at = x, negated[KB31_EXTENSION];

        for (size_t k = 0; k < KB31_EXTENSION; k++) {
            negated[k] = kb31_neg(deep->points[point][k]);
        }
        stark_broadcast(negated, block);
        for (size_t i = 0; i < STARK_BLOCK; i++) {
            block[i] = kb31_add(block[i], at);
            at = kb31_mul(at, root);
        }
    }
}

/* F on one block, from the inverted differences. */
static void combine_points(const struct stark_deep *deep, const uint32_t *combined, size_t row,
                           const uint32_t *inverses, uint32_t *sum)
{
    const struct stark_kernels *kernels = deep->kernels;
    uint32_t turned[PANEL_BLOCK], value[STARK_EXTENDED_BLOCK], term[STARK_EXTENDED_BLOCK];

    kernels->transpose(combined, deep->rows, row, STARK_BLOCK, turned);
    for (size_t point = 0; point < 2; point++) {
        stark_broadcast(deep->values[point], value);
        kernels->subtract(turned + STARK_EXTENDED_BLOCK * point, value, term);
        kernels->multiply(term, inverses + STARK_EXTENDED_BLOCK * point, point == 0 ? sum : term);
    }
    kernels->add(sum, term, sum);
}

static int run_batch(const struct stark_deep *deep, const uint32_t *combined, uint32_t shift,
                     size_t first, size_t count, uint32_t *memory, uint32_t *out)
{
    uint32_t root = kb31_root(deep->log), sum[STARK_EXTENDED_BLOCK];
    uint32_t *products = memory + STARK_EXTENDED_BLOCK * 2 * BATCH_BLOCKS;

    for (size_t i = 0; i < count; i++) {
        uint32_t x = kb31_mul(shift, kb31_power(root, STARK_BLOCK * (first + i)));
        differences(deep, x, root, memory + STARK_EXTENDED_BLOCK * 2 * i);
    }
    if (stark_invert_blocks(deep->kernels, memory, 2 * count, products) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        size_t row = STARK_BLOCK * (first + i);

        combine_points(deep, combined, row, memory + STARK_EXTENDED_BLOCK * 2 * i, sum);
        for (size_t j = 0; j < STARK_BLOCK && row + j < deep->rows; j++) {
            uint32_t *to = out + KB31_PANEL * reversed(row + j, deep->log);
            for (size_t k = 0; k < KB31_EXTENSION; k++) {
                to[k] = sum[STARK_BLOCK * k + j];
            }
        }
    }
    return 0;
}

int stark_deep(const struct stark_deep *deep, const uint32_t *combined, uint32_t shift,
               size_t first_block, size_t last_block, uint32_t *out)
{
    uint32_t *memory = malloc(sizeof *memory * STARK_EXTENDED_BLOCK * 4 * BATCH_BLOCKS);
    int status = memory == NULL ? -1 : 0;

    for (size_t block = first_block; block < last_block && status == 0; block += BATCH_BLOCKS) {
        size_t count = last_block - block < BATCH_BLOCKS ? last_block - block : BATCH_BLOCKS;
        status = run_batch(deep, combined, shift, block, count, memory, out);
    }
    free(memory);
    return status;
}
