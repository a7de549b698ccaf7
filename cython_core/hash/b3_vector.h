/*
 * Vectors of words for hashing, one hash in each lane: the operations that b3_lanes.h is written
 * with, and the way of blocks into lanes and of hashes out of them.
 *
 * The including file defines exactly one of KB_ISA_SCALAR, KB_ISA_AVX2 and KB_ISA_AVX512 first, as
 * for field/kb31_lanes.h; both may be included together, and a vector of one is one of the other.
 */
#ifndef P2PSEQ_HASH_B3_VECTOR_H
#define P2PSEQ_HASH_B3_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(KB_ISA_AVX512)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#define VECTOR __m512i
#define V_ADD(a, b) _mm512_add_epi32(a, b)
#define V_XOR(a, b) _mm512_xor_si512(a, b)
#define V_SET1(word) _mm512_set1_epi32((int)(word))
#define V_ROTATE_16(x) _mm512_ror_epi32(x, 16)
#define V_ROTATE_12(x) _mm512_ror_epi32(x, 12)
#define V_ROTATE_8(x) _mm512_ror_epi32(x, 8)
#define V_ROTATE_7(x) _mm512_ror_epi32(x, 7)
#define V_LOAD(words) _mm512_loadu_si512(words)
#define V_STORE(words, x) _mm512_storeu_si512(words, x)

enum { LANES = 16 };

/*
 * Transpose sixteen rows of sixteen words in place. The unpacks work inside 128-bit quarters, so
 * that quads[4*i+j] has word 4*q+j of rows 4*i..4*i+3 in quarter q; two rounds of quarter shuffles
 * then gather quarter q of the four row groups.
 */
TARGET static inline void lanes_transpose(VECTOR rows[16])
{
    __m512i pairs[16], quads[16];
    int group, column;

    for (group = 0; group < 8; group++) {
        pairs[2 * group] = _mm512_unpacklo_epi32(rows[2 * group], rows[2 * group + 1]);
        pairs[2 * group + 1] = _mm512_unpackhi_epi32(rows[2 * group], rows[2 * group + 1]);
    }
    for (group = 0; group < 4; group++) {
        __m512i *from = pairs + 4 * group, *to = quads + 4 * group;
        to[0] = _mm512_unpacklo_epi64(from[0], from[2]);
        to[1] = _mm512_unpackhi_epi64(from[0], from[2]);
        to[2] = _mm512_unpacklo_epi64(from[1], from[3]);
        to[3] = _mm512_unpackhi_epi64(from[1], from[3]);
    }
    for (column = 0; column < 4; column++) {
        __m512i low_even = _mm512_shuffle_i32x4(quads[column], quads[column + 4], 0x88);
        __m512i low_odd = _mm512_shuffle_i32x4(quads[column], quads[column + 4], 0xdd);
        __m512i high_even = _mm512_shuffle_i32x4(quads[column + 8], quads[column + 12], 0x88);
        __m512i high_odd = _mm512_shuffle_i32x4(quads[column + 8], quads[column + 12], 0xdd);
        rows[column] = _mm512_shuffle_i32x4(low_even, high_even, 0x88);
        rows[column + 4] = _mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
        rows[column + 8] = _mm512_shuffle_i32x4(low_even, high_even, 0xdd);
        rows[column + 12] = _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd);
    }
}

/* Sixteen rows of one 64-byte block each, one after the other: word w of all rows in m[w]. */
TARGET static inline void lanes_load_rows(const uint32_t *rows, VECTOR m[16])
{
    for (int lane = 0; lane < LANES; lane++) {
        m[lane] = V_LOAD(rows + 16 * lane);
    }
    lanes_transpose(m);
}

TARGET static inline void lanes_load(const uint8_t *const *messages, VECTOR m[16])
{
    for (int lane = 0; lane < LANES; lane++) {
        m[lane] = V_LOAD(messages[lane]);
    }
    lanes_transpose(m);
}

/* Transposed, the 8 rows of hash words (rows 8..15 unused) have lane l's hash in row l's half. */
TARGET static inline void lanes_store(const VECTOR h[8], uint8_t *const *outputs)
{
    VECTOR hash[16];

    for (int word = 0; word < 16; word++) {
        hash[word] = word < 8 ? h[word] : _mm512_setzero_si512();
    }
    lanes_transpose(hash);
    for (int lane = 0; lane < LANES; lane++) {
        _mm256_storeu_si256((__m256i *)outputs[lane], _mm512_castsi512_si256(hash[lane]));
    }
}

#elif defined(KB_ISA_AVX2)

#include <immintrin.h>

/* Function-level target: the rest of the extension keeps the baseline instruction set. */
#define TARGET __attribute__((target("avx2")))
#define VECTOR __m256i
#define V_ADD(a, b) _mm256_add_epi32(a, b)
#define V_XOR(a, b) _mm256_xor_si256(a, b)
#define V_SET1(word) _mm256_set1_epi32((int)(word))
#define V_SHIFT_ROTATE(x, bits) \
    _mm256_or_si256(_mm256_srli_epi32(x, bits), _mm256_slli_epi32(x, 32 - (bits)))
/* Rotations by whole bytes are one shuffle instead of two shifts and an or. */
#define V_ROTATE_16(x)                                                                         \
    _mm256_shuffle_epi8(x, _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, \
                                           13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2))
#define V_ROTATE_8(x)                                                                          \
    _mm256_shuffle_epi8(x, _mm256_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, \
                                           12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1))
#define V_ROTATE_12(x) V_SHIFT_ROTATE(x, 12)
#define V_ROTATE_7(x) V_SHIFT_ROTATE(x, 7)
#define V_LOAD(words) _mm256_loadu_si256((const __m256i *)(words))
#define V_STORE(words, x) _mm256_storeu_si256((__m256i *)(words), x)

enum { LANES = 8 };

/* Transpose eight rows of eight words in place: pairs, then quads, then the 128-bit halves. */
TARGET static inline void lanes_transpose(VECTOR rows[8])
{
    __m256i pairs[8], quads[8];
    int index;

    for (index = 0; index < 4; index++) {
        pairs[2 * index] = _mm256_unpacklo_epi32(rows[2 * index], rows[2 * index + 1]);
        pairs[2 * index + 1] = _mm256_unpackhi_epi32(rows[2 * index], rows[2 * index + 1]);
    }
    for (index = 0; index < 2; index++) {
        quads[4 * index] = _mm256_unpacklo_epi64(pairs[4 * index], pairs[4 * index + 2]);
        quads[4 * index + 1] = _mm256_unpackhi_epi64(pairs[4 * index], pairs[4 * index + 2]);
        quads[4 * index + 2] = _mm256_unpacklo_epi64(pairs[4 * index + 1], pairs[4 * index + 3]);
        quads[4 * index + 3] = _mm256_unpackhi_epi64(pairs[4 * index + 1], pairs[4 * index + 3]);
    }
    for (index = 0; index < 4; index++) {
        rows[index] = _mm256_permute2x128_si256(quads[index], quads[index + 4], 0x20);
        rows[index + 4] = _mm256_permute2x128_si256(quads[index], quads[index + 4], 0x31);
    }
}

/* Eight rows of one 64-byte block each, one after the other: word w of all rows in m[w]. */
TARGET static inline void lanes_load_rows(const uint32_t *rows, VECTOR m[16])
{
    for (int lane = 0; lane < LANES; lane++) {
        m[lane] = V_LOAD(rows + 16 * lane);
        m[lane + 8] = V_LOAD(rows + 16 * lane + 8);
    }
    lanes_transpose(m);
    lanes_transpose(m + 8);
}

TARGET static inline void lanes_load(const uint8_t *const *messages, VECTOR m[16])
{
    for (int lane = 0; lane < LANES; lane++) {
        m[lane] = V_LOAD(messages[lane]);
        m[lane + 8] = V_LOAD(messages[lane] + 32);
    }
    lanes_transpose(m);
    lanes_transpose(m + 8);
}

TARGET static inline void lanes_store(const VECTOR h[8], uint8_t *const *outputs)
{
    VECTOR hash[8];

    for (int word = 0; word < 8; word++) {
        hash[word] = h[word];
    }
    lanes_transpose(hash);
    for (int lane = 0; lane < LANES; lane++) {
        V_STORE(outputs[lane], hash[lane]);
    }
}

#elif defined(KB_ISA_SCALAR)

#define TARGET
#define VECTOR uint32_t
#define V_ADD(a, b) ((a) + (b))
#define V_XOR(a, b) ((a) ^ (b))
#define V_SET1(word) ((uint32_t)(word))
#define V_WORD_ROTATE(x, bits) (((x) >> (bits)) | ((x) << (32 - (bits))))
#define V_ROTATE_16(x) V_WORD_ROTATE(x, 16)
#define V_ROTATE_12(x) V_WORD_ROTATE(x, 12)
#define V_ROTATE_8(x) V_WORD_ROTATE(x, 8)
#define V_ROTATE_7(x) V_WORD_ROTATE(x, 7)
#define V_LOAD(words) (*(words))
#define V_STORE(words, x) (*(words) = (x))

enum { LANES = 1 };

static inline void lanes_load_rows(const uint32_t *rows, VECTOR m[16])
{
    memcpy(m, rows, 64);
}

static inline void lanes_load(const uint8_t *const *messages, VECTOR m[16])
{
    memcpy(m, messages[0], 64);
}

static inline void lanes_store(const VECTOR h[8], uint8_t *const *outputs)
{
    memcpy(outputs[0], h, 32);
}

#else
#error "define KB_ISA_SCALAR, KB_ISA_AVX2 or KB_ISA_AVX512 before including hash/b3_vector.h"
#endif

#endif
