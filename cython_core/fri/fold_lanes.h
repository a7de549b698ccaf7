/*
 * The kernel of fold.h, LANES rows at a time. The including file defines FRI_FOLD besides its
 * instruction set.
 *
 * The points of row i are y_i = g^rev(i), g of order 2^domain_log, times powers of g_a that are the
 * same in all rows; the next step's are their squares. Over LANES neighbouring rows y_i is a scalar
 * times a fixed vector, and the scalar goes from one such group of rows to the next by a factor
 * that depends on how many low bits of the group's number change.
 */
#include "field/kb31_lanes.h"
#include "fri/fold.h"
#include "hash/b3_vector.h"

enum { LANES_LOG = LANES == 16 ? 4 : LANES == 8 ? 3 : 0 };

/* Halves the values of a row: pairs of (f(x), f(-x)) become twice the folded values. */
TARGET static inline void fold_step(VECTOR *values, uint32_t pairs, VECTOR inverse,
                                    const uint32_t *roots,
                                    const uint32_t challenge[KB31_EXTENSION][KB31_EXTENSION])
{
    for (uint32_t pair = 0; pair < pairs; pair++) {
        const VECTOR *here = values + 2 * KB31_EXTENSION * pair, *opposite = here + KB31_EXTENSION;
        VECTOR twist = kbv_mul(inverse, kbv_set1(roots[pair]));
        VECTOR sum[KB31_EXTENSION], difference[KB31_EXTENSION];

        for (int i = 0; i < KB31_EXTENSION; i++) {
            sum[i] = kbv_add(here[i], opposite[i]);
            difference[i] = kbv_mul(kbv_sub(here[i], opposite[i]), twist);
        }
        for (int i = 0; i < KB31_EXTENSION; i++) {
            for (int j = 0; j < KB31_EXTENSION; j++) {
                sum[i] = kbv_add(sum[i], kbv_mul(difference[j], kbv_set1(challenge[i][j])));
            }
            values[KB31_EXTENSION * pair + i] = sum[i];
        }
    }
}

TARGET static inline void store_values(const struct fri_layer *to, size_t first,
                                       const VECTOR values[KB31_EXTENSION])
{
    uint32_t lanes[KB31_EXTENSION][LANES];
    const size_t mask = ((size_t)1 << to->fold_log) - 1;

    for (int i = 0; i < KB31_EXTENSION; i++) {
        kbv_store(lanes[i], values[i]);
    }
    for (size_t lane = 0; lane < LANES; lane++) {
        const size_t row = (first + lane) >> to->fold_log;
        const size_t column = KB31_EXTENSION * ((first + lane) & mask);
        for (size_t i = 0; i < KB31_EXTENSION; i++) {
            *fri_cell(to, row, column + i) = lanes[i][lane];
        }
    }
}

/* One group of LANES rows from `row` on; `inverse` is 1 / y of each. */
TARGET static inline void fold_group(const struct fri_fold_plan *plan,
                                     const struct fri_layer *from, size_t row, VECTOR inverse,
                                     const struct fri_layer *to)
{
    VECTOR values[FRI_COLUMNS_MAX];
    const uint32_t panels =
        ((KB31_EXTENSION << plan->fold_log) + KB31_PANEL - 1) / KB31_PANEL;

    for (uint32_t panel = 0; panel < panels; panel++) {
        lanes_load_rows(fri_cell(from, row, (size_t)panel * KB31_PANEL),
                        values + panel * KB31_PANEL);
    }
    for (uint32_t step = 0; step < plan->fold_log; step++) {
        fold_step(values, 1u << (plan->fold_log - 1 - step), inverse, plan->roots,
                  plan->challenges[step]);
        inverse = kbv_mul(inverse, inverse);
    }
    for (int i = 0; i < KB31_EXTENSION; i++) {
        values[i] = kbv_mul(values[i], kbv_set1(plan->scale));
    }
    store_values(to, row, values);
}

TARGET void FRI_FOLD(const struct fri_fold_plan *plan, const struct fri_layer *from,
                     size_t first_row, size_t rows, const struct fri_layer *to)
{
    const uint32_t group_bits = plan->domain_log - plan->fold_log - LANES_LOG;
    const uint32_t generator = kb31_inverse(kb31_root(plan->domain_log));
    uint32_t factors[KB31_TWO_ADICITY + 1], within[LANES], scalar;
    VECTOR lanes;

    for (uint32_t lane = 0; lane < LANES; lane++) {
        within[lane] = kb31_power(generator, fri_reverse(lane, LANES_LOG) << group_bits);
    }
    lanes = kbv_load(within);
    /* From group ...0111 to ...1000: of the reversed number the top bits go, the next one comes. */
    for (uint32_t ones = 0; ones < group_bits; ones++) {
        uint64_t change = ((uint64_t)3 << (group_bits - 1 - ones)) - ((uint64_t)1 << group_bits);
        factors[ones] = kb31_power(generator, change & (((uint64_t)1 << plan->domain_log) - 1));
    }
    factors[group_bits] = KB31_ONE;
    scalar = kb31_power(generator, fri_reverse(first_row / LANES, group_bits));
    for (size_t row = first_row; row < first_row + rows; row += LANES) {
        fold_group(plan, from, row, kbv_mul(lanes, kbv_set1(scalar)), to);
        scalar = kb31_mul(scalar, factors[__builtin_ctzll(row / LANES + 1)]);
    }
}
