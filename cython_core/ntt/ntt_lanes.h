/*
 * Transforms in 32-bit lanes, on the vectors of field/kb31_lanes.h: two levels at a time, and one
 * more where their number is odd.
 */
#include <stddef.h>
#include <string.h>

#include "field/kb31_lanes.h"
#include "ntt/ntt_internal.h"

#define NTT_TARGET KB_TARGET
/* All is done in the rows themselves. */
#define NTT_SCRATCH_ROW 1

#include "ntt/ntt_exchange.h"

struct twiddles {
    uint32_t value[1 << NTT_PASS_LOG_MAX];
    uint32_t scale;
};

KB_TARGET static void twiddles_fill(struct twiddles *t, const uint32_t *roots, uint32_t log,
                                    uint32_t ratio, uint32_t scale)
{
    size_t m, j;

    for (m = (size_t)1 << log >> 1; m != 0; m >>= 1, ratio = kb31_mul(ratio, ratio)) {
        uint32_t factor = m == 1 ? kb31_mul(ratio, scale) : ratio;
        if (m < KB_LANES) {
            for (j = m; j < 2 * m; j++) {
                t->value[j] = kb31_mul(roots[j], factor);
            }
            continue;
        }
        for (j = m; j < 2 * m; j += KB_LANES) {
            kbv_store(t->value + j, kbv_mul(kbv_load(roots + j), kbv_set1(factor)));
        }
    }
    t->scale = scale;
}

KB_TARGET static inline void dit_two(kbv *a, kbv *b, kbv twiddle)
{
    kbv product = kbv_mul(*b, twiddle);
    *b = kbv_sub(*a, product);
    *a = kbv_add(*a, product);
}

KB_TARGET static inline void dif_two(kbv *a, kbv *b, kbv twiddle)
{
    kbv difference = kbv_sub(*a, *b);
    *a = kbv_add(*a, *b);
    *b = kbv_mul(difference, twiddle);
}

/* Levels m and 2m over four rows m apart. */
KB_TARGET static inline void dit_four(const uint32_t *from, uint32_t *to, size_t m,
                                      const uint32_t *w)
{
    kbv w1 = kbv_set1(w[m]), w2 = kbv_set1(w[2 * m]), w3 = kbv_set1(w[3 * m]);
    size_t step = m * KB31_PANEL, lane;

    for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
        kbv a = kbv_load(from + lane), b = kbv_load(from + lane + step);
        kbv c = kbv_load(from + lane + 2 * step), d = kbv_load(from + lane + 3 * step);
        dit_two(&a, &b, w1);
        dit_two(&c, &d, w1);
        dit_two(&a, &c, w2);
        dit_two(&b, &d, w3);
        kbv_store(to + lane, a);
        kbv_store(to + lane + step, b);
        kbv_store(to + lane + 2 * step, c);
        kbv_store(to + lane + 3 * step, d);
    }
}

KB_TARGET static inline void dif_four(const uint32_t *from, uint32_t *to, size_t m,
                                      const uint32_t *w)
{
    kbv w1 = kbv_set1(w[m]), w2 = kbv_set1(w[2 * m]), w3 = kbv_set1(w[3 * m]);
    size_t step = m * KB31_PANEL, lane;

    for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
        kbv a = kbv_load(from + lane), b = kbv_load(from + lane + step);
        kbv c = kbv_load(from + lane + 2 * step), d = kbv_load(from + lane + 3 * step);
        dif_two(&a, &c, w2);
        dif_two(&b, &d, w3);
        dif_two(&a, &b, w1);
        dif_two(&c, &d, w1);
        kbv_store(to + lane, a);
        kbv_store(to + lane + step, b);
        kbv_store(to + lane + 2 * step, c);
        kbv_store(to + lane + 3 * step, d);
    }
}

/* One level over rows that lie together, m = 1. `scale` multiplies the sums where it is not one. */
KB_TARGET static void dit_pairs(const uint32_t *from, uint32_t *to, size_t rows, kbv twiddle)
{
    size_t row, lane;

    for (row = 0; row < rows; row += 2, from += 2 * KB31_PANEL, to += 2 * KB31_PANEL) {
        for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
            kbv a = kbv_load(from + lane), b = kbv_load(from + KB31_PANEL + lane);
            dit_two(&a, &b, twiddle);
            kbv_store(to + lane, a);
            kbv_store(to + KB31_PANEL + lane, b);
        }
    }
}

KB_TARGET static void dif_pairs(uint32_t *rows, size_t count, const struct twiddles *t)
{
    kbv twiddle = kbv_set1(t->value[1]);
    size_t row, lane;

    for (row = 0; row < count; row += 2, rows += 2 * KB31_PANEL) {
        for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
            kbv a = kbv_load(rows + lane), b = kbv_load(rows + KB31_PANEL + lane);
            dif_two(&a, &b, twiddle);
            kbv_store(rows + lane, a);
            kbv_store(rows + KB31_PANEL + lane, b);
        }
    }
}

KB_TARGET static void dit(const uint32_t *from, uint32_t *to, uint32_t log,
                          const struct twiddles *t, void *scratch, struct exchange *exchange)
{
    size_t rows = (size_t)1 << log, m = 1, block, j;

    (void)scratch;
    if (log % 2 != 0) {
        dit_pairs(from, to, rows, kbv_set1(t->value[1]));
        from = to;
        m = 2;
    }
    for (; m < rows; m *= 4, from = to) {
        for (block = 0; block < rows; block += 4 * m) {
            for (j = 0; j < m; j++) {
                size_t at = (block + j) * KB31_PANEL;
                dit_four(from + at, to + at, m, t->value + j);
                exchange_row(exchange);
            }
        }
    }
    if (from != to) {
        memcpy(to, from, ROW_BYTES);
    }
}

/* A step of four rows makes two levels. */
static size_t exchanges(uint32_t log)
{
    return ((size_t)1 << log) / 4 * (log / 2);
}

KB_TARGET static void scale_sums(uint32_t *rows, size_t count, uint32_t scale)
{
    size_t row, lane;

    for (row = 0; row < count; row += 2, rows += 2 * KB31_PANEL) {
        for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
            kbv_store(rows + lane, kbv_mul(kbv_load(rows + lane), kbv_set1(scale)));
        }
    }
}

KB_TARGET static void dif(const uint32_t *from, uint32_t *to, uint32_t log,
                          const struct twiddles *t, void *scratch, struct exchange *exchange)
{
    size_t rows = (size_t)1 << log, m, block, j;

    (void)scratch;
    for (m = rows / 4; m != 0; m /= 4, from = to) {
        for (block = 0; block < rows; block += 4 * m) {
            for (j = 0; j < m; j++) {
                size_t at = (block + j) * KB31_PANEL;
                dif_four(from + at, to + at, m, t->value + j);
                exchange_row(exchange);
            }
        }
    }
    if (from != to) {
        memcpy(to, from, rows * ROW_BYTES);
    }
    if (log % 2 != 0) {
        dif_pairs(to, rows, t);
    }
    if (t->scale != KB31_ONE) {
        scale_sums(to, rows, t->scale);
    }
}

#include "ntt/ntt_passes.h"
