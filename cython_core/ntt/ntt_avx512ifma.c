#if defined(__x86_64__)

/*
 * Transforms in 64-bit lanes, on the 52-bit multiply-add of AVX-512 IFMA.
 *
 * Rows are widened when a pass reads them and narrowed when it writes them; in between, each row is
 * two vectors: the even columns and the odd ones. All is computed modulo 2^52, which leaves 21 bits
 * above an element: sums are not reduced, only products are. A product with a twiddle factor w is
 * Shoup's: with w' = floor(2^52 w / p) known, x w - floor(x w' / 2^52) p needs three instructions
 * and lies in [0, 2p) for every x below 2^52 (what is above bit 51 of a lane is never looked at).
 *
 * What is subtracted from must not become negative, so multiples of p are added where values are
 * read ("lift"); the bounds are at each place.
 */
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

/* start + x * w modulo p, below start + PRODUCT_BOUND. */
INLINE vector times(vector start, vector x, vector w, vector w_quotient)
{
    vector quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, w_quotient);
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
    vector product = times(_mm512_setzero_si512(), root, factors, quotients(factors));
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

/* k levels of decimation in time. Each adds at most PRODUCT_BOUND to a value or takes it away. */
INLINE void dit_levels(vector *x, int k, struct place place)
{
    UNROLL
    for (int level = 0; level < k; level++) {
        UNROLL
        for (int low = 0; low < 1 << k; low++) {
            int half = 1 << level, high = low + half;
            if ((low & half) == 0) {
                vector product = turned(_mm512_setzero_si512(), x[high], place,
                                        half + (low & (half - 1)));
                x[high] = _mm512_sub_epi64(x[low], product);
                x[low] = _mm512_add_epi64(x[low], product);
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
 * k levels of decimation in frequency of values below `bound`, a multiple of p. Where a row is
 * subtracted from in `zeros` levels running, its lift is (2^zeros - 1) times the bound of what meets
 * there: at each of these levels it then has as many bounds more as the row that is subtracted has
 * summands. Afterwards values are below 3 * 2^k * bound.
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
                    x[low] = times(_mm512_setzero_si512(), x[low], set(place.twiddles->scale),
                                   set(place.twiddles->scale_quotient));
                }
            }
        }
    }
}

INLINE vector reduced(vector x)
{
    return times(_mm512_setzero_si512(), x, set(1), set(((uint64_t)1 << 52) / KB31_P));
}

/* What a step reads from and writes to: rows of 32-bit elements, or wide rows. */
struct ends {
    const uint32_t *from;
    vector *wide;
    uint32_t *to;
};

enum { WIDE = 0, READS = 1, WRITES = 2 };

/*
 * k levels over 2^k rows that lie `place.stride` apart. DIT: what is subtracted from must begin with
 * a lift of PRODUCT_BOUND for each level of the whole pass; only rows of even number are, and those
 * that are even in a later step stem from them. DIF: `bound` is of what is read.
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
    UNROLL
    for (int row = 0; row < 1 << k && mode & WRITES; row++) {
        narrow(ends.to + (place.j + row * place.stride) * KB31_PANEL, x[EVEN][row], x[ODD][row]);
    }
}

/* The steps of `rows` rows in blocks of stride << k rows. */
INLINE void steps(struct ends ends, size_t rows, size_t stride, int k, int is_dit, uint64_t bound,
                  int mode, const struct twiddles *t)
{
    size_t block, j;

    for (block = 0; block < rows; block += stride << k) {
        struct ends here = {ends.from + block * KB31_PANEL, ends.wide + 2 * block,
                            ends.to + block * KB31_PANEL};
        for (j = 0; j < stride; j++) {
            struct place place = {t, stride, j};
            step(here, k, is_dit, bound, mode, place);
        }
    }
}

/* Levels of the three steps of a pass; a pass of at most 4 levels is one step. */
static const uint8_t SPLIT[NTT_PASS_LOG_MAX + 1][3] = {
    [5] = {3, 0, 2}, [6] = {3, 0, 3}, [7] = {4, 0, 3}, [8] = {4, 0, 4},
    [9] = {3, 3, 3}, [10] = {4, 3, 3}, [11] = {4, 4, 3}, [12] = {4, 4, 4},
};

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
                                 const struct twiddles *t)
{
    switch (k << 2 | mode) {
    case 3 << 2 | READS:
        steps(ends, rows, 1, 3, 1, 0, READS, t);
        break;
    case 4 << 2 | READS:
        steps(ends, rows, 1, 4, 1, 0, READS, t);
        break;
    case 3 << 2 | WIDE:
        steps(ends, rows, stride, 3, 1, 0, WIDE, t);
        break;
    case 4 << 2 | WIDE:
        steps(ends, rows, stride, 4, 1, 0, WIDE, t);
        break;
    case 2 << 2 | WRITES:
        steps(ends, rows, stride, 2, 1, 0, WRITES, t);
        break;
    case 3 << 2 | WRITES:
        steps(ends, rows, stride, 3, 1, 0, WRITES, t);
        break;
    default:
        steps(ends, rows, stride, 4, 1, 0, WRITES, t);
    }
}

/* Bounds: at most 16 * 3 * 2p after the first step, 48 times as much after the second. */
NTT_TARGET static void dif_steps(struct ends ends, size_t rows, size_t stride, int k, int mode,
                                 const struct twiddles *t)
{
    switch (k << 2 | mode) {
    case 2 << 2 | READS:
        steps(ends, rows, stride, 2, 0, DIF_BOUND_1, READS, t);
        break;
    case 3 << 2 | READS:
        steps(ends, rows, stride, 3, 0, DIF_BOUND_1, READS, t);
        break;
    case 4 << 2 | READS:
        steps(ends, rows, stride, 4, 0, DIF_BOUND_1, READS, t);
        break;
    case 3 << 2 | WIDE:
        steps(ends, rows, stride, 3, 0, DIF_BOUND_2, WIDE, t);
        break;
    case 4 << 2 | WIDE:
        steps(ends, rows, stride, 4, 0, DIF_BOUND_2, WIDE, t);
        break;
    case 3 << 2 | WRITES:
        steps(ends, rows, 1, 3, 0, DIF_BOUND_3, WRITES, t);
        break;
    default:
        steps(ends, rows, 1, 4, 0, DIF_BOUND_3, WRITES, t);
    }
}

NTT_TARGET static void dit(const uint32_t *from, uint32_t *to, uint32_t log,
                           const struct twiddles *t, void *scratch)
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
        struct ends here = {from + block * KB31_PANEL, ends.wide + 2 * block, NULL};
        dit_steps(here, inner, 1, split[0], READS, t);
        if (split[1] != 0) {
            dit_steps(here, inner, (size_t)1 << split[0], split[1], WIDE, t);
        }
    }
    dit_steps(ends, rows, inner, split[2], WRITES, t);
}

NTT_TARGET static void dif(const uint32_t *from, uint32_t *to, uint32_t log,
                           const struct twiddles *t, void *scratch)
{
    const uint8_t *split = SPLIT[log];
    size_t rows = (size_t)1 << log, inner = (size_t)1 << (split[0] + split[1]), block;
    struct ends ends = {from, scratch, to};

    if (log <= 4) {
        short_pass(ends, log, 0, t);
        return;
    }
    dif_steps(ends, rows, inner, split[2], READS, t);
    for (block = 0; block < rows; block += inner) {
        struct ends here = {NULL, ends.wide + 2 * block, to + block * KB31_PANEL};
        if (split[1] != 0) {
            dif_steps(here, inner, (size_t)1 << split[0], split[1], WIDE, t);
        }
        dif_steps(here, inner, 1, split[0], WRITES, t);
    }
}

#include "ntt/ntt_passes.h"

const struct ntt_kernel ntt_avx512ifma = {"avx512ifma", inverse, forward};

#endif
