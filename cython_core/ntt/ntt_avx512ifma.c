#if defined(__x86_64__)

/*
 * Transforms in 64-bit lanes (ntt_wide.h). Rows are widened when a pass reads them and narrowed
 * when it writes them; in between, in scratch memory, a row is two vectors: its even columns and
 * its odd ones.
 */
#include "ntt/ntt_wide.h"

#include "ntt/ntt_exchange.h"

INLINE vector reduced(vector x)
{
    return times(zero(), x, set(1), set(((uint64_t)1 << 52) / KB31_P));
}

/* What a step reads from and writes to: rows of 32-bit elements, or wide rows. */
struct ends {
    const uint32_t *from;
    vector *wide;
    uint32_t *to;
};

enum { WIDE = 0, READS = 1, WRITES = 2 };

/*
 * k levels over 2^k rows that lie `place.stride` apart. DIT: what is subtracted from begins with a
 * lift of PRODUCT_BOUND for each level of the whole pass; in the first step that is rows of even
 * number, and all rows of later steps stem from them. DIF: `bound` is of what is read.
 */
INLINE void step(struct ends ends, int k, int is_dit, uint64_t bound, int mode, struct place place)
{
    vector x[2][16];

    UNROLL
    for (int part = EVEN; part <= ODD; part++) {
        UNROLL
        for (int row = 0; row < 1 << k; row++) {
            size_t at = place.j + row * place.stride;
            x[part][row] = mode & READS ? widen(ends.from + at * KB31_PANEL, part)
                                        : ends.wide[2 * at + part];
            if (is_dit && mode & READS && row % 2 == 0) {
                x[part][row] = _mm512_add_epi64(x[part][row], set(DIT_LIFT));
            }
        }
        if (is_dit) {
            dit_levels(x[part], k, place);
        } else {
            dif_levels(x[part], k, bound, place, mode & WRITES);
        }
        UNROLL
        for (int row = 0; row < 1 << k; row++) {
            if (mode & WRITES) {
                x[part][row] = is_dit ? reduced(x[part][row]) : x[part][row];
            } else {
                ends.wide[2 * (place.j + row * place.stride) + part] = x[part][row];
            }
        }
    }
    if (mode & WRITES) {
        UNROLL
        for (int row = 0; row < 1 << k; row++) {
            size_t at = (place.j + row * place.stride) * KB31_PANEL;
            narrow(ends.to + at, x[EVEN][row], x[ODD][row]);
        }
    }
}

/* The steps of `rows` rows in blocks of stride << k rows. */
INLINE void steps(struct ends ends, size_t rows, size_t stride, int k, int is_dit, uint64_t bound,
                  int mode, const struct twiddles *t, struct exchange *exchange)
{
    size_t block, j;

    for (block = 0; block < rows; block += stride << k) {
        struct ends here = {ends.from + block * KB31_PANEL, ends.wide + 2 * block,
                            ends.to + block * KB31_PANEL};
        for (j = 0; j < stride; j++) {
            struct place place = {t, stride, j};
            step(here, k, is_dit, bound, mode, place);
            exchange_row(exchange);
        }
    }
}

/* Levels of the three steps of a pass; a pass of at most 4 levels is one step. */
static const uint8_t SPLIT[NTT_PASS_LOG_MAX + 1][3] = {
    [5] = {3, 0, 2}, [6] = {3, 0, 3}, [7] = {4, 0, 3}, [8] = {4, 0, 4},
    [9] = {3, 3, 3}, [10] = {4, 3, 3}, [11] = {4, 4, 3}, [12] = {4, 4, 4},
};

static size_t exchanges(uint32_t log)
{
    const uint8_t *split = SPLIT[log];
    size_t calls = 0;

    for (int k = 0; k < 3; k++) {
        calls += split[k] == 0 ? 0 : (size_t)1 << (log - split[k]);
    }
    return calls;
}

NTT_TARGET static void short_pass(struct ends ends, uint32_t log, int is_dit,
                                  const struct twiddles *t)
{
    enum { BOTH = READS | WRITES };
    struct place place = {t, 1, 0};

    switch (log << 1 | (uint32_t)is_dit) {
    case 1 << 1:
        step(ends, 1, 0, PRODUCT_BOUND, BOTH, place);
        break;
    case 2 << 1:
        step(ends, 2, 0, PRODUCT_BOUND, BOTH, place);
        break;
    case 3 << 1:
        step(ends, 3, 0, PRODUCT_BOUND, BOTH, place);
        break;
    case 4 << 1:
        step(ends, 4, 0, PRODUCT_BOUND, BOTH, place);
        break;
    case 1 << 1 | 1:
        step(ends, 1, 1, 0, BOTH, place);
        break;
    case 2 << 1 | 1:
        step(ends, 2, 1, 0, BOTH, place);
        break;
    case 3 << 1 | 1:
        step(ends, 3, 1, 0, BOTH, place);
        break;
    case 4 << 1 | 1:
        step(ends, 4, 1, 0, BOTH, place);
        break;
    default:
        memcpy(ends.to, ends.from, ROW_BYTES);
    }
}

NTT_TARGET static void dit_steps(struct ends ends, size_t rows, size_t stride, int k, int mode,
                                 const struct twiddles *t, struct exchange *exchange)
{
    switch (k << 2 | mode) {
    case 3 << 2 | READS:
        steps(ends, rows, 1, 3, 1, 0, READS, t, exchange);
        break;
    case 4 << 2 | READS:
        steps(ends, rows, 1, 4, 1, 0, READS, t, exchange);
        break;
    case 3 << 2 | WIDE:
        steps(ends, rows, stride, 3, 1, 0, WIDE, t, exchange);
        break;
    case 4 << 2 | WIDE:
        steps(ends, rows, stride, 4, 1, 0, WIDE, t, exchange);
        break;
    case 2 << 2 | WRITES:
        steps(ends, rows, stride, 2, 1, 0, WRITES, t, exchange);
        break;
    case 3 << 2 | WRITES:
        steps(ends, rows, stride, 3, 1, 0, WRITES, t, exchange);
        break;
    default:
        steps(ends, rows, stride, 4, 1, 0, WRITES, t, exchange);
    }
}

/* Bounds: at most 16 * 3 * 2p after the first step, 48 times as much after the second. */
NTT_TARGET static void dif_steps(struct ends ends, size_t rows, size_t stride, int k, int mode,
                                 const struct twiddles *t, struct exchange *exchange)
{
    switch (k << 2 | mode) {
    case 2 << 2 | READS:
        steps(ends, rows, stride, 2, 0, DIF_BOUND_1, READS, t, exchange);
        break;
    case 3 << 2 | READS:
        steps(ends, rows, stride, 3, 0, DIF_BOUND_1, READS, t, exchange);
        break;
    case 4 << 2 | READS:
        steps(ends, rows, stride, 4, 0, DIF_BOUND_1, READS, t, exchange);
        break;
    case 3 << 2 | WIDE:
        steps(ends, rows, stride, 3, 0, DIF_BOUND_2, WIDE, t, exchange);
        break;
    case 4 << 2 | WIDE:
        steps(ends, rows, stride, 4, 0, DIF_BOUND_2, WIDE, t, exchange);
        break;
    case 3 << 2 | WRITES:
        steps(ends, rows, 1, 3, 0, DIF_BOUND_3, WRITES, t, exchange);
        break;
    default:
        steps(ends, rows, 1, 4, 0, DIF_BOUND_3, WRITES, t, exchange);
    }
}

NTT_TARGET static void dit(const uint32_t *from, uint32_t *to, uint32_t log,
                           const struct twiddles *t, void *scratch, struct exchange *exchange)
{
    const uint8_t *split = SPLIT[log];
    size_t rows = (size_t)1 << log, inner = (size_t)1 << (split[0] + split[1]), block;
    struct ends ends = {from, scratch, to};

    if (log <= 4) {
        short_pass(ends, log, 1, t);
        return;
    }
    /* The first two steps of a block run while it is in the nearest cache. */
    for (block = 0; block < rows; block += inner) {
        struct ends here = {from + block * KB31_PANEL, ends.wide + 2 * block, to};
        dit_steps(here, inner, 1, split[0], READS, t, exchange);
        if (split[1] != 0) {
            dit_steps(here, inner, (size_t)1 << split[0], split[1], WIDE, t, exchange);
        }
    }
    dit_steps(ends, rows, inner, split[2], WRITES, t, exchange);
}

NTT_TARGET static void dif(const uint32_t *from, uint32_t *to, uint32_t log,
                           const struct twiddles *t, void *scratch, struct exchange *exchange)
{
    const uint8_t *split = SPLIT[log];
    size_t rows = (size_t)1 << log, inner = (size_t)1 << (split[0] + split[1]), block;
    struct ends ends = {from, scratch, to};

    if (log <= 4) {
        short_pass(ends, log, 0, t);
        return;
    }
    dif_steps(ends, rows, inner, split[2], READS, t, exchange);
    for (block = 0; block < rows; block += inner) {
        struct ends here = {from, ends.wide + 2 * block, to + block * KB31_PANEL};
        if (split[1] != 0) {
            dif_steps(here, inner, (size_t)1 << split[0], split[1], WIDE, t, exchange);
        }
        dif_steps(here, inner, 1, split[0], WRITES, t, exchange);
    }
}

#include "ntt/ntt_passes.h"

const struct ntt_kernel ntt_avx512ifma = {"avx512ifma", inverse, forward, forward_blocks};

#endif
