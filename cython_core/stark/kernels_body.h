/*
 * The kernels of kernels.h over lanes; see field/kb31_lanes.h for how such a header is compiled.
 *
 * Sums of products are lazy where the instruction set allows: products of 62 bits are added up in
 * 64 and kept below p * 2^32 by one conditional subtraction for every two, so that only one
 * Montgomery reduction is paid for a whole sum.
 */
#include "field/kb31_lanes.h"
#include "hash/b3_vector.h"
#include "stark/kernels.h"

#include <string.h>

typedef struct {
    kbv c[KB31_EXTENSION];
} kbx;

#if defined(KB_ISA_AVX512)

typedef struct {
    __m512i even, odd;
} kbsum;

KB_TARGET static inline kbsum kbsum_zero(void)
{
    kbsum sum = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    return sum;
}

KB_TARGET static inline __m512i kbsum_reduced(__m512i sum)
{
    __m512i bound = _mm512_set1_epi64((int64_t)((uint64_t)KB31_P << 32));
    return _mm512_min_epu64(sum, _mm512_sub_epi64(sum, bound));
}

/* sum + a*b + c*d; odd halves are given shifted down, as kbsum_odd makes them. */
KB_TARGET static inline kbsum kbsum_add2(kbsum sum, kbv a, kbv a_odd, kbv b, kbv c, kbv c_odd,
                                         kbv d)
{
    __m512i even = _mm512_add_epi64(_mm512_mul_epu32(a, b), _mm512_mul_epu32(c, d));
    __m512i odd = _mm512_add_epi64(_mm512_mul_epu32(a_odd, b), _mm512_mul_epu32(c_odd, d));
    sum.even = kbsum_reduced(_mm512_add_epi64(sum.even, even));
    sum.odd = kbsum_reduced(_mm512_add_epi64(sum.odd, odd));
    return sum;
}

KB_TARGET static inline kbv kbsum_odd(kbv a)
{
    return _mm512_srli_epi64(a, 32);
}

KB_TARGET static inline kbv kbsum_value(kbsum sum)
{
    kbv modulus = kbv_set1(KB31_P), mu = kbv_set1(KB31_MU);
    kbv even = _mm512_mul_epu32(_mm512_mul_epu32(sum.even, mu), modulus);
    kbv odd = _mm512_mul_epu32(_mm512_mul_epu32(sum.odd, mu), modulus);
    __m512 even_high = _mm512_castsi512_ps(_mm512_sub_epi64(sum.even, even));
    __m512 odd_high = _mm512_castsi512_ps(_mm512_sub_epi64(sum.odd, odd));
    kbv difference = _mm512_castps_si512(_mm512_mask_movehdup_ps(odd_high, 0x5555, even_high));
    return _mm512_min_epu32(difference, _mm512_add_epi32(difference, modulus));
}

/* Sums of up to four products, each below p^2; reduced they are below p * 2^32, as two are. */
KB_TARGET static inline __m512i kbsum_plus(__m512i a, __m512i b)
{
    return kbsum_reduced(_mm512_add_epi64(a, b));
}

KB_TARGET static inline __m512i kbsum_minus(__m512i a, __m512i b)
{
    __m512i bound = _mm512_set1_epi64((int64_t)((uint64_t)KB31_P << 32));
    __m512i difference = _mm512_sub_epi64(a, b);
    return _mm512_min_epu64(difference, _mm512_add_epi64(difference, bound));
}

/* As kb31x_mul on the even lanes; the five results are not reduced to 32 bits yet. */
KB_TARGET static inline void kbsum_products(const __m512i a[KB31_EXTENSION],
                                            const __m512i b[KB31_EXTENSION],
                                            __m512i out[KB31_EXTENSION])
{
    __m512i t[9];

    for (int k = 0; k < 9; k++) {
        int first = k < 4 ? 0 : k - 4, last = k < 4 ? k : 4;
        t[k] = _mm512_mul_epu32(a[first], b[k - first]);
        for (int i = first + 1; i <= last; i++) {
            if (i == first + 4) {
                t[k] = kbsum_reduced(t[k]);
            }
            t[k] = _mm512_add_epi64(t[k], _mm512_mul_epu32(a[i], b[k - i]));
        }
        if (last - first >= 2) {
            t[k] = kbsum_reduced(t[k]);
        }
    }
    out[0] = kbsum_minus(kbsum_plus(t[0], t[5]), t[8]);
    out[1] = kbsum_plus(t[1], t[6]);
    out[2] = kbsum_plus(kbsum_minus(kbsum_plus(t[2], t[7]), t[5]), t[8]);
    out[3] = kbsum_plus(kbsum_minus(t[3], t[6]), t[8]);
    out[4] = kbsum_minus(t[4], t[7]);
}

/* As kb31x_mul: the products of a coefficient are added up before they are reduced. */
KB_TARGET static inline kbx kbx_mul(kbx a, kbx b)
{
    __m512i a_odd[KB31_EXTENSION], b_odd[KB31_EXTENSION];
    __m512i even[KB31_EXTENSION], odd[KB31_EXTENSION];
    kbx product;

    for (int k = 0; k < KB31_EXTENSION; k++) {
        a_odd[k] = kbsum_odd(a.c[k]);
        b_odd[k] = kbsum_odd(b.c[k]);
    }
    kbsum_products(a.c, b.c, even);
    kbsum_products(a_odd, b_odd, odd);
    for (int k = 0; k < KB31_EXTENSION; k++) {
        kbsum sum = {even[k], odd[k]};
        product.c[k] = kbsum_value(sum);
    }
    return product;
}

#else

typedef kbv kbsum;

KB_TARGET static inline kbsum kbsum_zero(void)
{
    return kbv_set1(0);
}

KB_TARGET static inline kbsum kbsum_add2(kbsum sum, kbv a, kbv a_odd, kbv b, kbv c, kbv c_odd,
                                         kbv d)
{
    (void)a_odd;
    (void)c_odd;
    return kbv_add(sum, kbv_add(kbv_mul(a, b), kbv_mul(c, d)));
}

KB_TARGET static inline kbv kbsum_odd(kbv a)
{
    return a;
}

KB_TARGET static inline kbv kbsum_value(kbsum sum)
{
    return sum;
}

/* As kb31x_mul. */
KB_TARGET static inline kbx kbx_mul(kbx a, kbx b)
{
    kbv zero = kbv_set1(0);
    kbv t[9] = {zero, zero, zero, zero, zero, zero, zero, zero, zero};
    kbx product;
    for (int i = 0; i < KB31_EXTENSION; i++) {
        for (int j = 0; j < KB31_EXTENSION; j++) {
            t[i + j] = kbv_add(t[i + j], kbv_mul(a.c[i], b.c[j]));
        }
    }
    product.c[0] = kbv_sub(kbv_add(t[0], t[5]), t[8]);
    product.c[1] = kbv_add(t[1], t[6]);
    product.c[2] = kbv_add(kbv_sub(kbv_add(t[2], t[7]), t[5]), t[8]);
    product.c[3] = kbv_add(kbv_sub(t[3], t[6]), t[8]);
    product.c[4] = kbv_sub(t[4], t[7]);
    return product;
}

#endif

/* Of an array of extended values whose coefficients lie `stride` words apart. */
KB_TARGET static inline kbx kbx_load(const uint32_t *from, size_t stride)
{
    kbx a;
    for (int k = 0; k < KB31_EXTENSION; k++) {
        a.c[k] = kbv_load(from + stride * (size_t)k);
    }
    return a;
}

KB_TARGET static inline void kbx_store(uint32_t *to, size_t stride, kbx a)
{
    for (int k = 0; k < KB31_EXTENSION; k++) {
        kbv_store(to + stride * (size_t)k, a.c[k]);
    }
}

/* While the array has fewer entries than a vector has lanes. */
static void powers_scalar(kb31x step, size_t count, size_t size, uint32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        kb31x power;
        for (int k = 0; k < KB31_EXTENSION; k++) {
            power.c[k] = out[size * (size_t)k + i];
        }
        power = kb31x_mul(power, step);
        for (int k = 0; k < KB31_EXTENSION; k++) {
            out[size * (size_t)k + count + i] = power.c[k];
        }
    }
}

KB_TARGET static void powers(const uint32_t z[KB31_EXTENSION], uint32_t log, uint32_t *out)
{
    size_t size = (size_t)1 << log;
    kb31x squares[KB31_TWO_ADICITY + 1];

    memcpy(squares[0].c, z, sizeof squares[0].c);
    for (uint32_t bit = 1; bit <= log; bit++) {
        squares[bit] = kb31x_mul(squares[bit - 1], squares[bit - 1]);
    }
    for (int k = 0; k < KB31_EXTENSION; k++) {
        out[size * (size_t)k] = k == 0 ? KB31_ONE : 0;
    }
    /* Bit `level` of the index is bit log - 1 - level of the exponent. */
    for (uint32_t level = 0; level < log; level++) {
        size_t count = (size_t)1 << level;
        kb31x step = squares[log - 1 - level];
        kbx factor;

        if (count < KB_LANES) {
            powers_scalar(step, count, size, out);
            continue;
        }
        for (int k = 0; k < KB31_EXTENSION; k++) {
            factor.c[k] = kbv_set1(step.c[k]);
        }
        for (size_t i = 0; i < count; i += KB_LANES) {
            kbx_store(out + count + i, size, kbx_mul(kbx_load(out + i, size), factor));
        }
    }
}

KB_TARGET static void evaluate(const uint32_t *panel, size_t rows, const uint32_t *weights,
                               uint32_t *out)
{
    static const uint32_t zeros[KB31_PANEL] = {0};

    for (size_t lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
        kbsum sums[KB31_EXTENSION];
        uint32_t values[KB31_EXTENSION][KB_LANES];

        for (int k = 0; k < KB31_EXTENSION; k++) {
            sums[k] = kbsum_zero();
        }
        for (size_t row = 0; row < rows; row += 2) {
            int is_pair = row + 1 < rows;
            size_t other = is_pair ? row + 1 : row;
            kbv a = kbv_load(panel + KB31_PANEL * row + lane);
            kbv b = kbv_load(is_pair ? panel + KB31_PANEL * other + lane : zeros);
            kbv a_odd = kbsum_odd(a), b_odd = kbsum_odd(b);

            for (int k = 0; k < KB31_EXTENSION; k++) {
                const uint32_t *weight = weights + rows * (size_t)k;
                sums[k] = kbsum_add2(sums[k], a, a_odd, kbv_set1(weight[row]), b, b_odd,
                                     kbv_set1(weight[other]));
            }
        }
        for (int k = 0; k < KB31_EXTENSION; k++) {
            kbv_store(values[k], kbsum_value(sums[k]));
            for (size_t i = 0; i < KB_LANES; i++) {
                out[(lane + i) * KB31_EXTENSION + (size_t)k] = values[k][i];
            }
        }
    }
}

KB_TARGET static void weigh(const uint32_t *rows, size_t stride, size_t count,
                            const uint32_t *weights, uint32_t *sum)
{
    for (size_t lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
        kbsum total = kbsum_zero();

        for (size_t i = 0; i < count; i += 2) {
            int is_pair = i + 1 < count;
            kbv a = kbv_load(rows + stride * i + lane);
            kbv b = is_pair ? kbv_load(rows + stride * (i + 1) + lane) : kbv_set1(0);

            total = kbsum_add2(total, a, kbsum_odd(a), kbv_set1(weights[i]), b, kbsum_odd(b),
                               kbv_set1(weights[is_pair ? i + 1 : i]));
        }
        kbv_store(sum + lane, kbv_add(kbv_load(sum + lane), kbsum_value(total)));
    }
}

KB_TARGET static void transpose(const uint32_t *panel, size_t rows, size_t first, size_t stride,
                                uint32_t *out)
{
    const uint8_t *pointers[LANES];
    VECTOR columns[KB31_PANEL];
    size_t mask = rows - 1;

    for (size_t group = 0; group < STARK_BLOCK; group += LANES) {
        for (size_t row = 0; row < LANES; row++) {
            const uint32_t *from = panel + KB31_PANEL * ((first + group + row) & mask);
            __builtin_prefetch(from + KB31_PANEL * STARK_BLOCK, 0, 2);
            pointers[row] = (const uint8_t *)from;
        }
        lanes_load(pointers, columns);
        for (size_t column = 0; column < KB31_PANEL; column++) {
            V_STORE(out + stride * column + group, columns[column]);
        }
    }
}

KB_TARGET static void turn_back(const uint32_t *columns, size_t count, uint32_t *rows)
{
    static const uint32_t zeros[STARK_BLOCK] = {0};
    const uint8_t *pointers[LANES];
    VECTOR turned[KB31_PANEL];

    for (size_t lane = 0; lane < KB31_PANEL; lane += LANES) {
        for (size_t group = 0; group < STARK_BLOCK; group += KB31_PANEL) {
            for (size_t i = 0; i < LANES; i++) {
                const uint32_t *column = columns + STARK_BLOCK * (lane + i);
                pointers[i] = (const uint8_t *)((lane + i < count ? column : zeros) + group);
            }
            lanes_load(pointers, turned);
            for (size_t row = 0; row < KB31_PANEL; row++) {
                V_STORE(rows + KB31_PANEL * (group + row) + lane, turned[row]);
            }
        }
    }
}

KB_TARGET static void fold(const uint32_t *base, size_t count, const uint32_t *coefficients,
                           uint32_t *sum)
{
    for (size_t lane = 0; lane < STARK_BLOCK; lane += KB_LANES) {
        kbsum sums[KB31_EXTENSION];

        for (int k = 0; k < KB31_EXTENSION; k++) {
            sums[k] = kbsum_zero();
        }
        for (size_t i = 0; i < count; i += 2) {
            int is_pair = i + 1 < count;
            size_t other = is_pair ? i + 1 : i;
            const uint32_t *x = coefficients + KB31_EXTENSION * i;
            const uint32_t *y = coefficients + KB31_EXTENSION * other;
            kbv a = kbv_load(base + STARK_BLOCK * i + lane);
            kbv b = is_pair ? kbv_load(base + STARK_BLOCK * other + lane) : kbv_set1(0);
            kbv a_odd = kbsum_odd(a), b_odd = kbsum_odd(b);

            for (int k = 0; k < KB31_EXTENSION; k++) {
                sums[k] = kbsum_add2(sums[k], a, a_odd, kbv_set1(x[k]), b, b_odd, kbv_set1(y[k]));
            }
        }
        for (int k = 0; k < KB31_EXTENSION; k++) {
            uint32_t *to = sum + STARK_BLOCK * (size_t)k + lane;
            kbv_store(to, kbv_add(kbv_load(to), kbsum_value(sums[k])));
        }
    }
}

KB_TARGET static void multiply(const uint32_t *a, const uint32_t *b, uint32_t *out)
{
    for (size_t lane = 0; lane < STARK_BLOCK; lane += KB_LANES) {
        kbx product =
            kbx_mul(kbx_load(a + lane, STARK_BLOCK), kbx_load(b + lane, STARK_BLOCK));
        kbx_store(out + lane, STARK_BLOCK, product);
    }
}

KB_TARGET static void add(const uint32_t *a, const uint32_t *b, uint32_t *out)
{
    for (size_t i = 0; i < STARK_EXTENDED_BLOCK; i += KB_LANES) {
        kbv_store(out + i, kbv_add(kbv_load(a + i), kbv_load(b + i)));
    }
}

KB_TARGET static void subtract(const uint32_t *a, const uint32_t *b, uint32_t *out)
{
    for (size_t i = 0; i < STARK_EXTENDED_BLOCK; i += KB_LANES) {
        kbv_store(out + i, kbv_sub(kbv_load(a + i), kbv_load(b + i)));
    }
}

KB_TARGET static void scale(const uint32_t *a, const uint32_t *base, uint32_t *out)
{
    for (size_t i = 0; i < STARK_EXTENDED_BLOCK; i += KB_LANES) {
        kbv factor = kbv_load(base + i % STARK_BLOCK);
        kbv_store(out + i, kbv_mul(kbv_load(a + i), factor));
    }
}

#define STARK_KERNELS(title)                                                                  \
    {                                                                                         \
        title, powers, evaluate, weigh, transpose, turn_back, fold, multiply, add, subtract,  \
            scale,                                                                            \
    }
