/* The kernel of tree.h, LANES hashes at a time. The including file defines TREE_HASH besides its
 * instruction set. */
#include "hash/b3_lanes.h"
#include "vm/tree.h"

enum { NARROW_WORDS = TREE_SLOT_BYTES / 4 };

#if defined(KB_ISA_AVX512)
/* The first four words of sixteen hashes: unpacks gather those of hash 4 * q + j in quarter q of
 * quads[j]. */
TARGET static inline void store_digests(const VECTOR words[4], uint8_t *const *digests)
{
    __m512i low01 = _mm512_unpacklo_epi32(words[0], words[1]);
    __m512i high01 = _mm512_unpackhi_epi32(words[0], words[1]);
    __m512i low23 = _mm512_unpacklo_epi32(words[2], words[3]);
    __m512i high23 = _mm512_unpackhi_epi32(words[2], words[3]);
    __m512i quads[4] = {
        _mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
        _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23),
    };

    for (int j = 0; j < 4; j++) {
        _mm_storeu_si128((__m128i *)digests[j], _mm512_extracti32x4_epi32(quads[j], 0));
        _mm_storeu_si128((__m128i *)digests[4 + j], _mm512_extracti32x4_epi32(quads[j], 1));
        _mm_storeu_si128((__m128i *)digests[8 + j], _mm512_extracti32x4_epi32(quads[j], 2));
        _mm_storeu_si128((__m128i *)digests[12 + j], _mm512_extracti32x4_epi32(quads[j], 3));
    }
}
#else
TARGET static inline void store_digests(const VECTOR words[8], uint8_t *const *digests)
{
    uint8_t hashes[LANES][BLAKE3_HASH_BYTES];
    uint8_t *outputs[LANES];

    for (int lane = 0; lane < LANES; lane++) {
        outputs[lane] = hashes[lane];
    }
    lanes_store(words, outputs);
    for (int lane = 0; lane < LANES; lane++) {
        memcpy(digests[lane], hashes[lane], TREE_DIGEST_BYTES);
    }
}
#endif

TARGET static inline void hash_lanes(const struct tree_hash *hash, const uint8_t *const *messages,
                                     const uint8_t *const *keys, uint8_t *const *digests,
                                     int is_narrow)
{
    VECTOR cv[16], m[16], words[16];

    lanes_load(messages, m);
    if (is_narrow) {
        for (int word = NARROW_WORDS; word < 16; word++) {
            m[word] = V_SET1(0);
        }
    }
    if (keys == NULL) {
        lanes_set_key(hash->key, cv);
    } else {
        lanes_load(keys, cv);
    }
    lanes_compress_words(cv, m, 0, hash->length, hash->flags, words);
    store_digests(words, digests);
}

/* Not inlined: twice the code, but each with what it knows at compile time. */
TARGET __attribute__((noinline)) static void hash_narrow(const struct tree_hash *hash,
                                                         const uint8_t *const *messages,
                                                         uint8_t *const *digests)
{
    hash_lanes(hash, messages, NULL, digests, 1);
}

TARGET __attribute__((noinline)) static void hash_any(const struct tree_hash *hash,
                                                      const uint8_t *const *messages,
                                                      const uint8_t *const *keys,
                                                      uint8_t *const *digests)
{
    hash_lanes(hash, messages, keys, digests, 0);
}

TARGET static void hash_vector(const struct tree_hash *hash, const uint8_t *const *messages,
                               const uint8_t *const *keys, uint8_t *const *digests)
{
    if (hash->is_narrow) {
        hash_narrow(hash, messages, digests);
    } else {
        hash_any(hash, messages, keys, digests);
    }
}

TARGET void TREE_HASH(const struct tree_hash *hash, const uint8_t *const *messages,
                      uint8_t *const *digests, size_t count)
{
    const uint8_t *padded_messages[LANES], *padded_keys[LANES];
    uint8_t *padded_digests[LANES];
    uint8_t unused[TREE_DIGEST_BYTES];
    const uint8_t *const *keys = hash->keys;
    const int has_keys = hash->key == NULL;

    for (; count >= LANES; count -= LANES, messages += LANES, digests += LANES) {
        hash_vector(hash, messages, has_keys ? keys : NULL, digests);
        keys = has_keys ? keys + LANES : keys;
    }
    if (count == 0) {
        return;
    }
    for (size_t lane = 0; lane < LANES; lane++) {
        size_t from = lane < count ? lane : 0;
        padded_messages[lane] = messages[from];
        padded_keys[lane] = has_keys ? keys[from] : NULL;
        padded_digests[lane] = lane < count ? digests[lane] : unused;
    }
    hash_vector(hash, padded_messages, has_keys ? padded_keys : NULL, padded_digests);
}
