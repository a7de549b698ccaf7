#include "hash/b3_many.h"

#if defined(__x86_64__)

#define KB_ISA_AVX512
#include "hash/b3_lanes.h"

TARGET static void hash_lanes(const uint32_t key[8], const uint8_t *const *messages,
                              uint8_t *const *outputs)
{
    VECTOR words[16], hash[8];

    lanes_load(messages, words);
    lanes_compress_single(key, words, BLAKE3_BLOCK_BYTES, hash);
    lanes_store(hash, outputs);
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
