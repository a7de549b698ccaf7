/* SHA-256 compression of native builds: the SHA extensions where the CPU has them, else portable
 * C. */
#include "guest/sha256_compress.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* Four rounds of the message schedule and of the state; registers as Intel's SHA extensions define
 * them: `abef` and `cdgh` hold the working variables, `m` the last sixteen schedule words. */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_sha_extensions(
    struct sha256_midstate *state, const uint8_t *blocks, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    __m128i low = _mm_loadu_si128((const __m128i *)&state->words[0]);
    __m128i high = _mm_loadu_si128((const __m128i *)&state->words[4]);
    low = _mm_shuffle_epi32(low, 0xb1);
    high = _mm_shuffle_epi32(high, 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8);
    __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; count != 0; count--, blocks += 64) {
        __m128i m[4];
        __m128i abef_before = abef;
        __m128i cdgh_before = cdgh;
        for (int i = 0; i < 4; i++) {
            m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(blocks + 16 * i)), swap);
        }
        for (int quad = 0; quad < 16; quad++) {
            __m128i words = m[quad & 3];
            __m128i k = _mm_loadu_si128((const __m128i *)&SHA256_K[4 * quad]);
            __m128i sum = _mm_add_epi32(words, k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            if (quad < 12) {
                __m128i next = _mm_sha256msg1_epu32(words, m[(quad + 1) & 3]);
                __m128i middle = _mm_alignr_epi8(m[(quad + 3) & 3], m[(quad + 2) & 3], 4);
                next = _mm_add_epi32(next, middle);
                m[quad & 3] = _mm_sha256msg2_epu32(next, m[(quad + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)&state->words[0], _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)&state->words[4], _mm_alignr_epi8(high, low, 8));
}

static int has_sha_extensions(void)
{
    unsigned int a, b, c, d;
    if (!__builtin_cpu_supports("sse4.1") || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return 0;
    }
    return (b >> 29 & 1) != 0;
}
#endif

typedef void (*compress_function)(struct sha256_midstate *, const uint8_t *, size_t);

static compress_function chosen = sha256_compress_portable;

/* Runs before any thread exists, so that the choice is never a race. */
__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
    if (has_sha_extensions()) {
        chosen = compress_sha_extensions;
    }
#endif
}

void sha256_compress(struct sha256_midstate *state, const uint8_t *blocks, size_t count)
{
    chosen(state, blocks, count);
}
