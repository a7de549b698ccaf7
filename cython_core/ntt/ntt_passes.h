/*
 * A transform as one or two passes of short ones, written once for every kernel.
 *
 * The including file defines NTT_TARGET, `struct twiddles` and:
 *
 *     twiddles_fill(t, roots, log, ratio, scale)  entry m + j is roots[m + j] * ratio^(2^log / 2m)
 *     dit(from, to, log, t, scratch)              forward over 2^log rows that lie together
 *     dif(from, to, log, t, scratch)              backward, times `scale`
 *
 * and NTT_SCRATCH_ROW, the bytes of scratch memory that these need for each row.
 *
 * Forward, decimation in time. With n = 2^log and f(x) = sum of x^i f_i(x^c), i < c = 2^column_log:
 * block rev(i) of the input holds the coefficients of f_i, and x^c runs over a coset of the short
 * subgroup. The first pass evaluates every f_i there; the second evaluates, for each column r, the
 * polynomial with the coefficients f_i at the points shift * g^r * g_c^k. So a coset costs nothing:
 * its factor is in the twiddle factors of both passes, and the factor g^r between the passes too.
 * Backward is the same in opposite order.
 */
#include <stddef.h>
#include <string.h>

#include "field/kb31.h"
#include "ntt/ntt_internal.h"

enum {
    /* Columns are brought in a few at a time: as much of a row of columns as is worth a fetch. */
    GROUP_ROWS = 4096,
    GROUP_COLUMNS_MAX = 16,
    /* Rows of columns asked for ahead: more would push one another out of their cache sets. */
    FETCH_AHEAD = 8,
};

/* Columns [first, first + count) of rows 2^block_log apart, each column to its own part of `to`. */
NTT_TARGET static void gather(const uint32_t *panel, const struct ntt_plan *plan, size_t first,
                              size_t count, uint32_t *to)
{
    size_t rows = (size_t)1 << plan->column_log, stride = (size_t)KB31_PANEL << plan->block_log;
    size_t row, column;
    const uint32_t *from = panel + first * KB31_PANEL;

    for (row = 0; row < rows; row++, from += stride) {
        for (column = 0; column < count; column++) {
            __builtin_prefetch(from + FETCH_AHEAD * stride + column * KB31_PANEL);
            memcpy(to + (column * rows + row) * KB31_PANEL, from + column * KB31_PANEL, ROW_BYTES);
        }
    }
}

NTT_TARGET static void scatter(const uint32_t *from, const struct ntt_plan *plan, size_t first,
                               size_t count, uint32_t *panel)
{
    size_t rows = (size_t)1 << plan->column_log, stride = (size_t)KB31_PANEL << plan->block_log;
    size_t row, column;
    uint32_t *to = panel + first * KB31_PANEL;

    for (row = 0; row < rows; row++, to += stride) {
        for (column = 0; column < count; column++) {
            memcpy(to + column * KB31_PANEL, from + (column * rows + row) * KB31_PANEL, ROW_BYTES);
        }
    }
}

static size_t group_columns(const struct ntt_plan *plan)
{
    size_t columns = (size_t)1 << plan->block_log, fitting = GROUP_ROWS >> plan->column_log;
    size_t limit = fitting < GROUP_COLUMNS_MAX ? fitting : GROUP_COLUMNS_MAX;
    return columns < limit ? columns : limit;
}

/* All columns: `ratio` of column r is first_ratio * step^r. */
NTT_TARGET static void column_pass(const struct ntt_plan *plan, int is_forward, uint32_t ratio,
                                   uint32_t *panel, struct twiddles *twiddles, void *scratch)
{
    size_t columns = (size_t)1 << plan->block_log, count = group_columns(plan), first, column;
    uint32_t group[count << plan->column_log][KB31_PANEL] __attribute__((aligned(64)));
    uint32_t *rows;

    for (first = 0; first < columns; first += count) {
        gather(panel, plan, first, count, group[0]);
        for (column = 0; column < count; column++) {
            rows = group[column << plan->column_log];
            if (is_forward) {
                twiddles_fill(twiddles, plan->roots, plan->column_log, ratio, KB31_ONE);
                dit(rows, rows, plan->column_log, twiddles, scratch);
                ratio = kb31_mul(ratio, plan->root);
            } else {
                twiddles_fill(twiddles, plan->inverse_roots, plan->column_log, ratio, KB31_ONE);
                dif(rows, rows, plan->column_log, twiddles, scratch);
                ratio = kb31_mul(ratio, plan->inverse_root);
            }
        }
        scatter(group[0], plan, first, count, panel);
    }
}

NTT_TARGET static void forward(const struct ntt_plan *plan, const uint32_t *coefficients,
                               uint32_t shift, uint32_t *values)
{
    uint32_t longest = plan->block_log > plan->column_log ? plan->block_log : plan->column_log;
    uint8_t scratch[(size_t)NTT_SCRATCH_ROW << longest] __attribute__((aligned(64)));
    size_t block, blocks = (size_t)1 << plan->column_log, step = (size_t)KB31_PANEL << plan->block_log;
    struct twiddles twiddles;

    twiddles_fill(&twiddles, plan->roots, plan->block_log, kb31_power(shift, blocks), KB31_ONE);
    for (block = 0; block < blocks; block++) {
        dit(coefficients + block * step, values + block * step, plan->block_log, &twiddles, scratch);
    }
    if (blocks > 1) {
        column_pass(plan, 1, shift, values, &twiddles, scratch);
    }
}

NTT_TARGET static void inverse(const struct ntt_plan *plan, uint32_t *panel)
{
    uint32_t longest = plan->block_log > plan->column_log ? plan->block_log : plan->column_log;
    uint8_t scratch[(size_t)NTT_SCRATCH_ROW << longest] __attribute__((aligned(64)));
    size_t block, blocks = (size_t)1 << plan->column_log, step = (size_t)KB31_PANEL << plan->block_log;
    struct twiddles twiddles;

    if (blocks > 1) {
        column_pass(plan, 0, KB31_ONE, panel, &twiddles, scratch);
    }
    twiddles_fill(&twiddles, plan->inverse_roots, plan->block_log, KB31_ONE, plan->inverse_height);
    for (block = 0; block < blocks; block++) {
        dif(panel + block * step, panel + block * step, plan->block_log, &twiddles, scratch);
    }
}
