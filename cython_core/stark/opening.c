#include "stark/opening.h"

#include <string.h>

#include "ntt/ntt.h"
#include "stark/coefficients.h"

enum {
    OPENING_BLOCK_LOG = 4,
    /* Blocks that are evaluated at once: of all four cosets they fit into the second cache. */
    BLOCKS_TOGETHER = 64,
};

static uint32_t block_log(const struct stark_opening *opening)
{
    return opening->log < OPENING_BLOCK_LOG ? opening->log : OPENING_BLOCK_LOG;
}

static size_t blocks(const struct stark_opening *opening)
{
    return (size_t)1 << (opening->log - block_log(opening));
}

size_t stark_opening_weights(const struct stark_opening *opening)
{
    return blocks(opening) * opening->count;
}

size_t stark_opening_scratch(const struct stark_opening *opening)
{
    return (size_t)KB31_PANEL * BLOCKS_TOGETHER << block_log(opening);
}

static uint32_t reversed(uint32_t index, uint32_t bits)
{
    uint32_t out = 0;

    for (; bits > 0; bits--, index >>= 1) {
        out = out << 1 | (index & 1);
    }
    return out;
}

void stark_opening_prepare(const struct stark_opening *opening)
{
    uint32_t log = opening->log, root = kb31_root(log + 2);

    for (size_t i = 0; i < opening->count; i++) {
        uint32_t point = kb31_power(root, reversed(opening->positions[i], log + 2));
        stark_reversed_powers(point, log - block_log(opening),
                              opening->weights + blocks(opening) * i);
    }
}

/* Some blocks from `first` on at those positions, from `start` to `end`, that share a coset. */
static void open_blocks(const struct stark_opening *opening, const struct ntt_plan *plan,
                        const uint32_t *coefficients, size_t first, size_t count, size_t start,
                        size_t end, uint32_t *scratch, uint32_t *rows)
{
    uint32_t log = opening->log, own = block_log(opening);
    uint32_t coset = reversed(opening->positions[start] >> log, 2);
    uint32_t shift = kb31_power(kb31_root(log + 2), (uint64_t)coset << (log - own));
    const uint32_t mask = ((uint32_t)1 << log) - 1;

    ntt_forward_blocks(ntt_best(), plan, count, coefficients + (KB31_PANEL * first << own), shift,
                       scratch);
    for (size_t i = start; i < end; i++) {
        /* The point is shift * g^row; its power n / c depends on row modulo c. */
        uint32_t row = reversed(opening->positions[i] & mask, log) & (((uint32_t)1 << own) - 1);
        opening->kernels->weigh(scratch + KB31_PANEL * row, KB31_PANEL << own, count,
                                opening->weights + blocks(opening) * i + first,
                                rows + KB31_PANEL * i);
    }
}

int stark_opening_panel(const struct stark_opening *opening, const uint32_t *coefficients,
                        uint32_t *scratch, uint32_t *rows)
{
    const struct ntt_plan *plan = ntt_plan_get(block_log(opening));
    size_t total = blocks(opening), together, start, end;

    if (plan == NULL) {
        return -1;
    }
    together = total < BLOCKS_TOGETHER ? total : BLOCKS_TOGETHER;
    memset(rows, 0, sizeof *rows * KB31_PANEL * opening->count);
    for (size_t first = 0; first < total; first += together) {
        for (start = 0; start < opening->count; start = end) {
            uint32_t quarter = opening->positions[start] >> opening->log;
            for (end = start + 1; end < opening->count; end++) {
                if (opening->positions[end] >> opening->log != quarter) {
                    break;
                }
            }
            open_blocks(opening, plan, coefficients, first, together, start, end, scratch, rows);
        }
    }
    return 0;
}
