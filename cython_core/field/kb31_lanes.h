/*
 * The field over lanes, written once for every vector width.
 *
 * A kernel is one header of code that three small files include, each after defining exactly one of
 * KB_ISA_SCALAR, KB_ISA_AVX2 and KB_ISA_AVX512 (and a suffix for its public names). All functions
 * of such a header carry KB_TARGET. A vector `kbv` has KB_LANES elements in canonical Montgomery
 * form; memory is addressed in elements and need not be aligned.
 */
#ifndef P2PSEQ_FIELD_KB31_LANES_H
#define P2PSEQ_FIELD_KB31_LANES_H

#include "field/kb31.h"

#if defined(KB_ISA_AVX512)

#include <immintrin.h>

#define KB_TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#define KB_LANES 16
typedef __m512i kbv;

KB_TARGET static inline kbv kbv_load(const uint32_t *from)
{
    return _mm512_loadu_si512(from);
}

KB_TARGET static inline void kbv_store(uint32_t *to, kbv a)
{
    _mm512_storeu_si512(to, a);
}

KB_TARGET static inline kbv kbv_set1(uint32_t a)
{
    return _mm512_set1_epi32((int)a);
}

KB_TARGET static inline kbv kbv_add(kbv a, kbv b)
{
    kbv sum = _mm512_add_epi32(a, b);
    return _mm512_min_epu32(sum, _mm512_sub_epi32(sum, kbv_set1(KB31_P)));
}

KB_TARGET static inline kbv kbv_sub(kbv a, kbv b)
{
    kbv difference = _mm512_sub_epi32(a, b);
    return _mm512_min_epu32(difference, _mm512_add_epi32(difference, kbv_set1(KB31_P)));
}

/*
 * Even and odd lanes are multiplied apart. A product and its multiple of p agree in the low half,
 * so that their difference of 64 bits has that of the high halves in its own.
 */
KB_TARGET static inline kbv kbv_mul(kbv a, kbv b)
{
    kbv modulus = kbv_set1(KB31_P), mu = kbv_set1(KB31_MU);
    kbv even = _mm512_mul_epu32(a, b);
    kbv odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    kbv even_multiple = _mm512_mul_epu32(_mm512_mul_epu32(even, mu), modulus);
    kbv odd_multiple = _mm512_mul_epu32(_mm512_mul_epu32(odd, mu), modulus);
    __m512 even_high = _mm512_castsi512_ps(_mm512_sub_epi64(even, even_multiple));
    __m512 odd_high = _mm512_castsi512_ps(_mm512_sub_epi64(odd, odd_multiple));
    kbv difference = _mm512_castps_si512(_mm512_mask_movehdup_ps(odd_high, 0x5555, even_high));
    return _mm512_min_epu32(difference, _mm512_add_epi32(difference, modulus));
}

#elif defined(KB_ISA_AVX2)

#include <immintrin.h>

#define KB_TARGET __attribute__((target("avx2")))
#define KB_LANES 8
typedef __m256i kbv;

KB_TARGET static inline kbv kbv_load(const uint32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

KB_TARGET static inline void kbv_store(uint32_t *to, kbv a)
{
    _mm256_storeu_si256((__m256i *)to, a);
}

KB_TARGET static inline kbv kbv_set1(uint32_t a)
{
    return _mm256_set1_epi32((int)a);
}

KB_TARGET static inline kbv kbv_add(kbv a, kbv b)
{
    kbv sum = _mm256_add_epi32(a, b);
    return _mm256_min_epu32(sum, _mm256_sub_epi32(sum, kbv_set1(KB31_P)));
}

KB_TARGET static inline kbv kbv_sub(kbv a, kbv b)
{
    kbv difference = _mm256_sub_epi32(a, b);
    return _mm256_min_epu32(difference, _mm256_add_epi32(difference, kbv_set1(KB31_P)));
}

KB_TARGET static inline kbv kbv_mul(kbv a, kbv b)
{
    kbv modulus = kbv_set1(KB31_P), mu = kbv_set1(KB31_MU);
    kbv even = _mm256_mul_epu32(a, b);
    kbv odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    kbv even_multiple = _mm256_mul_epu32(_mm256_mul_epu32(even, mu), modulus);
    kbv odd_multiple = _mm256_mul_epu32(_mm256_mul_epu32(odd, mu), modulus);
    __m256 even_high = _mm256_castsi256_ps(_mm256_sub_epi64(even, even_multiple));
    kbv odd_high = _mm256_sub_epi64(odd, odd_multiple);
    kbv high = _mm256_castps_si256(_mm256_movehdup_ps(even_high));
    kbv difference = _mm256_blend_epi32(high, odd_high, 0xaa);
    return _mm256_min_epu32(difference, _mm256_add_epi32(difference, modulus));
}

#elif defined(KB_ISA_SCALAR)

#define KB_TARGET
#define KB_LANES 1
typedef uint32_t kbv;

static inline kbv kbv_load(const uint32_t *from)
{
    return *from;
}

static inline void kbv_store(uint32_t *to, kbv a)
{
    *to = a;
}

static inline kbv kbv_set1(uint32_t a)
{
    return a;
}

static inline kbv kbv_add(kbv a, kbv b)
{
    return kb31_add(a, b);
}

static inline kbv kbv_sub(kbv a, kbv b)
{
    return kb31_sub(a, b);
}

static inline kbv kbv_mul(kbv a, kbv b)
{
    return kb31_mul(a, b);
}

#else
#error "define KB_ISA_SCALAR, KB_ISA_AVX2 or KB_ISA_AVX512 before including field/kb31_lanes.h"
#endif

#endif
