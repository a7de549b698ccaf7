#include "hash/b3_many.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512vl")))
#define VECTOR __m512i
#define V_ADD(a, b) _mm512_add_epi32(a, b)
#define V_XOR(a, b) _mm512_xor_si512(a, b)
#define V_SET1(word) _mm512_set1_epi32((int)(word))
#define V_ROTATE_16(x) _mm512_ror_epi32(x, 16)
#define V_ROTATE_12(x) _mm512_ror_epi32(x, 12)
#define V_ROTATE_8(x) _mm512_ror_epi32(x, 8)
#define V_ROTATE_7(x) _mm512_ror_epi32(x, 7)

#include "hash/b3_lanes.h"

enum { LANES = 16 };

/*
 * Transpose sixteen rows of sixteen words in place. The unpacks work inside 128-bit quarters, so
 * that quads[4*i+j] has word 4*q+j of rows 4*i..4*i+3 in quarter q; two rounds of quarter shuffles
 * then gather quarter q of the four row groups.
 */
TARGET static inline void transpose_16x16(__m512i rows[16])
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

/*
 * After the transposition of 8 hash rows (rows 8..15 unused) lane l has its hash in row l's half.
 */
TARGET static void hash_lanes(const uint32_t key[8], const uint8_t *const *messages,
                              uint8_t *const *outputs)
{
    __m512i words[16], hash[16];
    int lane;

    for (lane = 0; lane < LANES; lane++) {
        words[lane] = _mm512_loadu_si512(messages[lane]);
    }
    transpose_16x16(words);
    lanes_compress(key, words, hash);
    for (lane = 8; lane < LANES; lane++) {
        hash[lane] = _mm512_setzero_si512();
    }
    transpose_16x16(hash);
    for (lane = 0; lane < LANES; lane++) {
        _mm256_storeu_si256((__m256i *)outputs[lane], _mm512_castsi512_si256(hash[lane]));
    }
}

TARGET void b3_many_avx512(const uint32_t key[8], const uint8_t *const *messages,
                           uint8_t *const *outputs, size_t count)
{
    const uint8_t *padded_messages[LANES];
    uint8_t *padded_outputs[LANES];
    uint8_t unused[32];
    size_t lane;

    for (; count >= LANES; count -= LANES, messages += LANES, outputs += LANES) {
        hash_lanes(key, messages, outputs);
    }
    /* Up to eight lanes the narrower kernel does the same work in half the width. */
    if (count > 0 && count <= 8) {
        b3_many_avx2(key, messages, outputs, count);
    } else if (count > 8) {
        for (lane = 0; lane < LANES; lane++) {
            padded_messages[lane] = messages[lane < count ? lane : 0];
            padded_outputs[lane] = lane < count ? outputs[lane] : unused;
        }
        hash_lanes(key, padded_messages, padded_outputs);
    }
}

#endif
