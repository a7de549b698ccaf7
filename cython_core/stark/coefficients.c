#include "stark/coefficients.h"

#include <stdlib.h>

/* Bit `level` of the index is bit log - 1 - level of the exponent. */
void stark_reversed_powers(uint32_t base, uint32_t log, uint32_t *powers)
{
    uint32_t squares[KB31_TWO_ADICITY + 1];

    squares[0] = base;
    for (uint32_t bit = 1; bit < log; bit++) {
        squares[bit] = kb31_mul(squares[bit - 1], squares[bit - 1]);
    }
    powers[0] = KB31_ONE;
    for (uint32_t level = 0; level < log; level++) {
        size_t count = (size_t)1 << level;
        uint32_t step = squares[log - 1 - level];
        for (size_t i = 0; i < count; i++) {
            powers[count + i] = kb31_mul(powers[i], step);
        }
    }
}

int stark_unshift(uint32_t *panel, uint32_t log, uint32_t shift)
{
    size_t rows = (size_t)1 << log;
    uint32_t *powers = malloc(sizeof *powers * rows);

    if (powers == NULL) {
        return -1;
    }
    stark_reversed_powers(kb31_inverse(shift), log, powers);
    for (size_t row = 0; row < rows; row++) {
        for (size_t k = 0; k < KB31_EXTENSION; k++) {
            uint32_t *cell = panel + KB31_PANEL * row + k;
            *cell = kb31_mul(*cell, powers[row]);
        }
    }
    free(powers);
    return 0;
}

void stark_add_lifted(const uint32_t *panel, size_t rows, uint32_t *sum)
{
    for (size_t row = 0; row < rows; row++) {
        for (size_t k = 0; k < KB31_EXTENSION; k++) {
            uint32_t *cell = sum + KB31_PANEL * row + k;
            *cell = kb31_add(*cell, panel[KB31_PANEL * row + k]);
        }
    }
}

void stark_split(const uint32_t *panel, size_t rows, uint32_t *halves)
{
    for (size_t row = 0; row < rows; row++) {
        for (size_t k = 0; k < KB31_EXTENSION; k++) {
            uint32_t *to = halves + KB31_PANEL * row + k;
            to[0] = panel[KB31_PANEL * 2 * row + k];
            to[KB31_EXTENSION] = panel[KB31_PANEL * (2 * row + 1) + k];
        }
    }
}
