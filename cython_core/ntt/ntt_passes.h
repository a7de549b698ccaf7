/*
 * A transform as one or two passes of short ones, written once for every kernel.
 *
 * The including file defines NTT_TARGET, `struct twiddles` and:
 *
 *     twiddles_fill(t, roots, log, ratio, scale)  entry m + j is roots[m + j] * ratio^(2^log / 2m)
 *     dit(from, to, log, t, scratch, exchange)    forward over 2^log rows that lie together
 *     dif(from, to, log, t, scratch, exchange)    backward, times `scale`
 *
 *     exchanges(log)                              how often these call exchange_row
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
#include "ntt/ntt_exchange.h"
#include "ntt/ntt_internal.h"

static size_t group_columns(const struct ntt_plan *plan)
{
    size_t columns = (size_t)1 << plan->block_log, fitting = GROUP_ROWS >> plan->column_log;
    size_t limit = fitting < GROUP_COLUMNS_MAX ? fitting : GROUP_COLUMNS_MAX;
    return columns < limit ? columns : limit;
}

/*
 * `ratio` is the one of column 0; each further column has it times g, backward 1 / g. `to` may be
 * `from`.
 */
NTT_TARGET static void column_pass(const struct ntt_plan *plan, int is_forward, uint32_t ratio,
                                   const uint32_t *from, uint32_t *to, struct twiddles *twiddles,
                                   void *scratch)
{
    size_t columns = (size_t)1 << plan->block_log, count = group_columns(plan), first, column;
    size_t step = count * KB31_PANEL, group_cells = step << plan->column_log;
    uint32_t groups[2][group_cells] __attribute__((aligned(64)));
    uint32_t *group = groups[0], *other = groups[1], *rows;
    struct exchange exchange =
        exchange_of(plan, count, exchanges(plan->column_log));

    exchange_start(&exchange, group, NULL, from);
    exchange_finish(&exchange);
    for (first = 0; first < columns; first += count, from += step, to += step) {
        exchange_start(&exchange, other, first == 0 ? NULL : to - step,
                       first + count == columns ? NULL : from + step);
        for (column = 0; column < count; column++) {
            rows = group + (column * KB31_PANEL << plan->column_log);
            if (is_forward) {
                twiddles_fill(twiddles, plan->roots, plan->column_log, ratio, KB31_ONE);
                dit(rows, rows, plan->column_log, twiddles, scratch, &exchange);
                ratio = kb31_mul(ratio, plan->root);
            } else {
                twiddles_fill(twiddles, plan->inverse_roots, plan->column_log, ratio, KB31_ONE);
                dif(rows, rows, plan->column_log, twiddles, scratch, &exchange);
                ratio = kb31_mul(ratio, plan->inverse_root);
            }
        }
        exchange_finish(&exchange);
        rows = group, group = other, other = rows;
    }
    exchange_start(&exchange, other, to - step, NULL);
    exchange_finish(&exchange);
}

/* Blocks that lie together, each a polynomial of its own, on the coset of `ratio`. */
NTT_TARGET static void block_pass(const struct ntt_plan *plan, uint32_t ratio, size_t blocks,
                                  const uint32_t *coefficients, uint32_t *values,
                                  struct twiddles *twiddles, void *scratch)
{
    size_t rows = (size_t)1 << plan->block_log, step = KB31_PANEL * rows, block;
    size_t calls = exchanges(plan->block_log);

    twiddles_fill(twiddles, plan->roots, plan->block_log, ratio, KB31_ONE);
    for (block = 0; block < blocks; block++, coefficients += step, values += step) {
        struct exchange next = exchange_fetching(coefficients + step, values + step,
                                                 block + 1 < blocks ? rows : 0, calls);
        dit(coefficients, values, plan->block_log, twiddles, scratch, &next);
    }
}

NTT_TARGET static void forward_blocks(const struct ntt_plan *plan, size_t blocks,
                                      const uint32_t *coefficients, uint32_t shift,
                                      uint32_t *values)
{
    uint8_t scratch[(size_t)NTT_SCRATCH_ROW << plan->log] __attribute__((aligned(64)));
    struct twiddles twiddles;

    block_pass(plan, shift, blocks, coefficients, values, &twiddles, scratch);
}

NTT_TARGET static void forward(const struct ntt_plan *plan, const uint32_t *coefficients,
                               uint32_t shift, uint32_t *values)
{
    uint32_t longest = plan->block_log > plan->column_log ? plan->block_log : plan->column_log;
    uint8_t scratch[(size_t)NTT_SCRATCH_ROW << longest] __attribute__((aligned(64)));
    size_t blocks = (size_t)1 << plan->column_log;
    struct twiddles twiddles;

    block_pass(plan, kb31_power(shift, blocks), blocks, coefficients, values, &twiddles, scratch);
    if (blocks > 1) {
        column_pass(plan, 1, shift, values, values, &twiddles, scratch);
    }
}

NTT_TARGET static void inverse(const struct ntt_plan *plan, const uint32_t *values,
                               uint32_t *coefficients)
{
    uint32_t longest = plan->block_log > plan->column_log ? plan->block_log : plan->column_log;
    uint8_t scratch[(size_t)NTT_SCRATCH_ROW << longest] __attribute__((aligned(64)));
    size_t blocks = (size_t)1 << plan->column_log, block;
    size_t rows = (size_t)1 << plan->block_log, step = KB31_PANEL * rows;
    size_t calls = exchanges(plan->block_log);
    struct twiddles twiddles;

    if (blocks > 1) {
        column_pass(plan, 0, KB31_ONE, values, coefficients, &twiddles, scratch);
        values = coefficients;
    }
    twiddles_fill(&twiddles, plan->inverse_roots, plan->block_log, KB31_ONE, plan->inverse_height);
    for (block = 0; block < blocks; block++) {
        struct exchange next = exchange_fetching(values + (block + 1) * step,
                                                 coefficients + (block + 1) * step,
                                                 block + 1 < blocks ? rows : 0, calls);
        dif(values + block * step, coefficients + block * step, plan->block_log, &twiddles,
            scratch, &next);
    }
}
