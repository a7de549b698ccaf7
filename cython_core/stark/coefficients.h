/* Polynomials as bit-reversed coefficients in the first five columns of a panel. */
#ifndef P2PSEQ_STARK_COEFFICIENTS_H
#define P2PSEQ_STARK_COEFFICIENTS_H

#include <stddef.h>
#include <stdint.h>

#include "field/kb31.h"

/* powers[i] = base^rev(i), i < 2^log. */
void stark_reversed_powers(uint32_t base, uint32_t log, uint32_t *powers);

/* From the coefficients of f(shift * X) to those of f. Returns -1 when memory is short. */
int stark_unshift(uint32_t *panel, uint32_t log, uint32_t shift);

/*
 * Adds f(X^k) for f of `rows` coefficients, given a longer panel: lifting only spreads the
 * coefficients, and in bit-reversed order they are then the first ones.
 */
void stark_add_lifted(const uint32_t *panel, size_t rows, uint32_t *sum);

/* Q_0 and Q_1 with Q = Q_0 + X^rows Q_1: columns 0..4 and 5..9 of `rows` rows. */
void stark_split(const uint32_t *panel, size_t rows, uint32_t *halves);

#endif
