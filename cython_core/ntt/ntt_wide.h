/*
 * Arithmetic in 64-bit lanes, on the 52-bit multiply-add of AVX-512 IFMA, and the levels of
 * transforms over it.
 *
 * All is computed modulo 2^52, which leaves 21 bits above an element: sums are not reduced, only
 * products are. A product with a twiddle factor w is Shoup's: with w' = floor(2^52 w / p) known,
 * x w - floor(x w' / 2^52) p needs three instructions and lies in [0, 2p) for x below 2^50. What is
 * above bit 51 of a lane is never looked at.
 *
 * What is subtracted from must not become negative, so multiples of p are added before ("lift").
 */
#ifndef P2PSEQ_NTT_WIDE_H
#define P2PSEQ_NTT_WIDE_H

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "field/kb31.h"
#include "ntt/ntt_internal.h"

#define NTT_TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512ifma")))
#define INLINE NTT_TARGET static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
/* Two vectors of eight 64-bit lanes. */
#define NTT_SCRATCH_ROW 128
#define PART 8

typedef __m512i vector;

enum { EVEN, ODD };
enum { ENTRIES = 1 << NTT_PASS_LOG_MAX };

/* Plain values, not in Montgomery form: they multiply values in Montgomery form. */
struct twiddles {
    uint64_t value[ENTRIES] __attribute__((aligned(64)));
    uint64_t quotient[ENTRIES] __attribute__((aligned(64)));
    uint64_t scale;
    uint64_t scale_quotient;
};

/* 2^52 - p: adding multiples of it subtracts multiples of p. */
static const uint64_t MINUS_P = ((uint64_t)1 << 52) - KB31_P;
/* Any product is below this. */
static const uint64_t PRODUCT_BOUND = 2 * (uint64_t)KB31_P;
/* PRODUCT_BOUND for each level of the longest pass. */
static const uint64_t DIT_LIFT = NTT_PASS_LOG_MAX * 2 * (uint64_t)KB31_P;
/* Of what the three steps of a pass read: a step of four levels makes it 48 times as much. */
static const uint64_t DIF_BOUND_1 = 2 * (uint64_t)KB31_P;
static const uint64_t DIF_BOUND_2 = 48 * 2 * (uint64_t)KB31_P;
static const uint64_t DIF_BOUND_3 = 48 * 48 * 2 * (uint64_t)KB31_P;
/*
 * A little below 2^52 / p, by more than rounding can add to a product with it. A quotient of w that
 * is too small by 2 adds less than 3 x p / 2^52 to a product by x: nothing much below x = 2^50.
 */
#define QUOTIENT_RATIO (0x1p52 / KB31_P * (1 - 0x1p-52))

INLINE vector set(uint64_t a)
{
    return _mm512_set1_epi64((long long)a);
}

/*
 * A zero of its own for each use: multiply-adds overwrite it, and copying one zero costs what a new
 * one does not.
 */
INLINE vector zero(void)
{
    vector z;
    __asm__ volatile("vpxord %x0,%x0,%x0" : "=v"(z));
    return z;
}

/* start + x * w modulo p, below start + PRODUCT_BOUND. */
INLINE vector times(vector start, vector x, vector w, vector w_quotient)
{
    vector quotient = _mm512_madd52hi_epu64(zero(), x, w_quotient);
    vector product = _mm512_madd52lo_epu64(start, x, w);
    return _mm512_madd52lo_epu64(product, quotient, set(MINUS_P));
}

/* floor(2^52 w / p) or up to 2 less. */
INLINE vector quotients(vector w)
{
    __m512d ratio = _mm512_set1_pd(QUOTIENT_RATIO);
    return _mm512_cvttpd_epu64(_mm512_mul_pd(_mm512_cvtepu64_pd(w), ratio));
}

/* Below p, of what is below 2p. */
INLINE vector canonical64(vector x)
{
    x = _mm512_and_si512(x, set(((uint64_t)1 << 52) - 1));
    return _mm512_min_epu64(x, _mm512_sub_epi64(x, set(KB31_P)));
}

/* `factor` is times 2^-32, because the roots are in Montgomery form. */
INLINE void fill_eight(struct twiddles *t, const uint32_t *roots, size_t at, vector factors)
{
    vector root = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(roots + at)));
    vector product = times(zero(), root, factors, quotients(factors));
    product = canonical64(product);
    _mm512_store_si512(t->value + at, product);
    _mm512_store_si512(t->quotient + at, quotients(product));
}

static uint64_t plain_factor(uint32_t a)
{
    return kb31_to_plain(kb31_to_plain(a));
}

NTT_TARGET static void twiddles_fill(struct twiddles *t, const uint32_t *roots, uint32_t log,
                                     uint32_t ratio, uint32_t scale)
{
    uint64_t first[PART] = {0};
    size_t m, j;

    for (m = (size_t)1 << log >> 1; m != 0; m >>= 1, ratio = kb31_mul(ratio, ratio)) {
        uint64_t factor = plain_factor(m == 1 ? kb31_mul(ratio, scale) : ratio);
        if (m < PART) {
            for (j = m; j < 2 * m; j++) {
                first[j] = factor;
            }
        }
        for (j = m; j < 2 * m && m >= PART; j += PART) {
            fill_eight(t, roots, j, set(factor));
        }
    }
    fill_eight(t, roots, 0, _mm512_loadu_si512(first));
    t->scale = kb31_to_plain(scale);
    t->scale_quotient = (uint64_t)((double)t->scale * QUOTIENT_RATIO);
}


/* The values at `part` of each lane pair of a row of 16 elements, one in 64 bits. */
INLINE vector widen(const uint32_t *row, int part)
{
    vector both = _mm512_loadu_si512(row);
    return part == EVEN ? _mm512_and_si512(both, set(0xffffffff)) : _mm512_srli_epi64(both, 32);
}

/* What lies below 2p, canonical, as a row of 16 elements. */
INLINE void narrow(uint32_t *row, vector even, vector odd)
{
    vector both = _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
    both = _mm512_min_epu32(both, _mm512_sub_epi32(both, _mm512_set1_epi32(KB31_P)));
    _mm512_storeu_si512(row, both);
}

/* Where the twiddle factors of 2^k rows lie: entry c at c * stride + j. */
struct place {
    const struct twiddles *twiddles;
    size_t stride;
    size_t j;
};

INLINE vector turned(vector start, vector x, struct place place, size_t c)
{
    const struct twiddles *t = place.twiddles;
    size_t at = c * place.stride + place.j;
    return times(start, x, set(t->value[at]), set(t->quotient[at]));
}

/*
 * k levels of decimation in time. Each adds at most PRODUCT_BOUND to a value or takes it away:
 * a + b w is accumulated on a, and a - b w is 2 a minus that.
 */
INLINE void dit_levels(vector *x, int k, struct place place)
{
    UNROLL
    for (int level = 0; level < k; level++) {
        UNROLL
        for (int low = 0; low < 1 << k; low++) {
            int half = 1 << level, high = low + half;
            if ((low & half) == 0) {
                vector twice = _mm512_add_epi64(x[low], x[low]);
                x[low] = turned(x[low], x[high], place, half + (low & (half - 1)));
                x[high] = _mm512_sub_epi64(twice, x[low]);
            }
        }
    }
}

/* Zeros below bit `bit` of `row`, down to the first one. */
INLINE int zeros_below(int row, int bit)
{
    int zeros = 0;
    while (bit - zeros > 0 && (row >> (bit - zeros - 1) & 1) == 0) {
        zeros++;
    }
    return zeros;
}

/*
 * k levels of decimation in frequency of values below `bound`, a multiple of p. A row that is
 * subtracted from in `zeros` levels running is lifted by (2^zeros - 1) times the bound of what
 * meets there: at each of these levels it then has as many bounds more as the row that is
 * subtracted has summands. Afterwards values are below 3 * 2^k * bound.
 */
INLINE void dif_levels(vector *x, int k, uint64_t bound, struct place place, int is_last)
{
    UNROLL
    for (int row = 0; row < 1 << (k - 1); row++) {
        x[row] = _mm512_add_epi64(x[row], set((((uint64_t)1 << zeros_below(row, k)) - 1) * bound));
    }
    UNROLL
    for (int level = k - 1; level >= 0; level--) {
        UNROLL
        for (int low = 0; low < 1 << k; low++) {
            int half = 1 << level, high = low + half;
            if ((low & half) == 0) {
                vector difference = _mm512_sub_epi64(x[low], x[high]);
                vector lift = set((((uint64_t)1 << zeros_below(low, level)) - 1) * PRODUCT_BOUND);
                x[low] = _mm512_add_epi64(x[low], x[high]);
                x[high] = turned(lift, difference, place, half + (low & (half - 1)));
                if (is_last && level == 0) {
                    x[low] = times(zero(), x[low], set(place.twiddles->scale),
                                   set(place.twiddles->scale_quotient));
                }
            }
        }
    }
}

#endif
