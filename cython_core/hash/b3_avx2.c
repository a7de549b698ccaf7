#include "hash/b3_many.h"

#if defined(__x86_64__)

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

#include "hash/b3_lanes.h"

enum { LANES = 8 };

/* Transpose eight rows of eight words in place: pairs, then quads, then the 128-bit halves. */
TARGET static inline void transpose_8x8(__m256i rows[8])
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

TARGET static void hash_lanes(const uint32_t key[8], const uint8_t *const *messages,
                              uint8_t *const *outputs)
{
    __m256i words[16], hash[8];
    int lane;

    for (lane = 0; lane < LANES; lane++) {
        words[lane] = _mm256_loadu_si256((const __m256i *)messages[lane]);
        words[lane + 8] = _mm256_loadu_si256((const __m256i *)(messages[lane] + 32));
    }
    transpose_8x8(words);
    transpose_8x8(words + 8);
    lanes_compress(key, words, hash);
    transpose_8x8(hash);
    for (lane = 0; lane < LANES; lane++) {
        _mm256_storeu_si256((__m256i *)outputs[lane], hash[lane]);
    }
}

TARGET void b3_many_avx2(const uint32_t key[8], const uint8_t *const *messages,
                         uint8_t *const *outputs, size_t count)
{
    const uint8_t *padded_messages[LANES];
    uint8_t *padded_outputs[LANES];
    uint8_t unused[32];
    size_t lane;

    for (; count >= LANES; count -= LANES, messages += LANES, outputs += LANES) {
        hash_lanes(key, messages, outputs);
    }
    /* One lane alone is cheaper in scalar registers; from two on, idle lanes repeat the first. */
    if (count == 1) {
        b3_many_scalar(key, messages, outputs, count);
    } else if (count > 1) {
        for (lane = 0; lane < LANES; lane++) {
            padded_messages[lane] = messages[lane < count ? lane : 0];
            padded_outputs[lane] = lane < count ? outputs[lane] : unused;
        }
        hash_lanes(key, padded_messages, padded_outputs);
    }
}

#endif
