/*
 * The kernels of row_hash.h, LANES rows at a time. The including file defines ROW_ABSORB and
 * ROW_DIGESTS besides its instruction set.
 */
#include "commitment/row_hash.h"
#include "field/kb31_lanes.h"
#include "hash/b3_lanes.h"
#include "transcript/proof_keys.h"

/* Montgomery reduction of the element itself: a / 2^32 mod p. Multiplying by one would do more. */
#if defined(KB_ISA_AVX512)
TARGET static inline VECTOR to_plain(VECTOR a)
{
    VECTOR modulus = V_SET1(KB31_P), mu = V_SET1(KB31_MU);
    VECTOR even = _mm512_mul_epu32(_mm512_mul_epu32(a, mu), modulus);
    VECTOR odd = _mm512_mul_epu32(_mm512_mul_epu32(_mm512_srli_epi64(a, 32), mu), modulus);
    VECTOR multiple = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
    VECTOR negated = _mm512_sub_epi32(_mm512_setzero_si512(), multiple);
    return _mm512_min_epu32(negated, _mm512_sub_epi32(modulus, multiple));
}
#elif defined(KB_ISA_AVX2)
TARGET static inline VECTOR to_plain(VECTOR a)
{
    VECTOR modulus = V_SET1(KB31_P), mu = V_SET1(KB31_MU);
    VECTOR even = _mm256_mul_epu32(_mm256_mul_epu32(a, mu), modulus);
    VECTOR odd = _mm256_mul_epu32(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), mu), modulus);
    VECTOR multiple = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    VECTOR negated = _mm256_sub_epi32(_mm256_setzero_si256(), multiple);
    return _mm256_min_epu32(negated, _mm256_sub_epi32(modulus, multiple));
}
#else
static inline VECTOR to_plain(VECTOR a)
{
    return kb31_to_plain(a);
}
#endif

TARGET static inline void load_value(const uint32_t *state, VECTOR value[8])
{
    for (int word = 0; word < 8; word++) {
        value[word] = V_LOAD(state + ROW_GROUP * word);
    }
}

TARGET static inline void store_value(uint32_t *state, const VECTOR value[8])
{
    for (int word = 0; word < 8; word++) {
        V_STORE(state + ROW_GROUP * word, value[word]);
    }
}

/* value = parent(left, value), where the left subtree has waited in `state`. */
TARGET static void merge(const uint32_t *state, VECTOR value[8], uint32_t flags)
{
    VECTOR key[8], m[16], words[16];

    lanes_set_key(PROOF_KEY_ROW, key);
    load_value(state, m);
    for (int word = 0; word < 8; word++) {
        m[word + 8] = value[word];
    }
    lanes_compress_words(key, m, 0, BLAKE3_BLOCK_BYTES, B3_KEYED_HASH | B3_PARENT | flags, words);
    for (int word = 0; word < 8; word++) {
        value[word] = words[word];
    }
}

/*
 * A chunk is complete. The number of subtrees that wait is the number of ones in the chunk's
 * number. If more comes, the chunk closes as many of them as the number has low ones; the last
 * chunk closes them all, and the one who closes the lowest is the root.
 */
TARGET static void end_chunk(const struct row_hasher *hasher, uint32_t *state, uint32_t chunk,
                             int is_last, VECTOR value[8])
{
    uint32_t waiting = (uint32_t)__builtin_popcount(chunk);

    if (is_last) {
        for (; waiting > 0; waiting--) {
            merge(state + waiting * hasher->plane, value, waiting == 1 ? B3_ROOT : 0);
        }
        store_value(state, value);
        return;
    }
    for (; (chunk & 1) != 0; chunk >>= 1) {
        merge(state + waiting-- * hasher->plane, value, 0);
    }
    store_value(state + (waiting + 1) * hasher->plane, value);
}

/* LANES rows take the block that begins at `rows`; `state` is the lanes' first word. */
TARGET static inline void absorb_block(const struct row_hasher *hasher, uint32_t *state,
                                       const uint32_t *rows, uint32_t block)
{
    VECTOR m[16], value[8], words[16];
    const uint32_t chunk = block / ROW_CHUNK_BLOCKS, place = block % ROW_CHUNK_BLOCKS;
    const int is_last = block + 1 == hasher->blocks;
    const int ends_chunk = is_last || place == ROW_CHUNK_BLOCKS - 1;
    uint32_t flags = B3_KEYED_HASH;

    if (place == 0) {
        flags |= B3_CHUNK_START;
        lanes_set_key(PROOF_KEY_ROW, value);
    } else {
        load_value(state, value);
    }
    if (ends_chunk) {
        flags |= B3_CHUNK_END | (is_last && chunk == 0 ? B3_ROOT : 0);
    }
    lanes_load_rows(rows, m);
    for (int word = 0; word < 16; word++) {
        m[word] = to_plain(m[word]);
    }
    lanes_compress_words(value, m, chunk, BLAKE3_BLOCK_BYTES, flags, words);
    if (ends_chunk) {
        end_chunk(hasher, state, chunk, is_last, words);
    } else {
        store_value(state, words);
    }
}

/* What the next group needs: the hardware stops fetching ahead at the end of each page. */
static inline void fetch_next(const uint32_t *words, uint32_t count)
{
    for (uint32_t word = 0; word < count; word += 16) {
        __builtin_prefetch(words + count + word);
    }
}

TARGET void ROW_ABSORB(const struct row_hasher *hasher, size_t group, size_t groups,
                       const uint32_t *panels, size_t stride, uint32_t first_block, uint32_t blocks)
{
    for (size_t index = 0; index < groups; index++) {
        uint32_t *state = hasher->state + (group + index) * ROW_GROUP_WORDS;
        const uint32_t *rows = panels + index * ROW_GROUP * KB31_PANEL;
        fetch_next(state, ROW_GROUP_WORDS);
        for (uint32_t block = 0; block < blocks; block++) {
            fetch_next(rows + block * stride, ROW_GROUP * KB31_PANEL);
            for (uint32_t lane = 0; lane < ROW_GROUP; lane += LANES) {
                absorb_block(hasher, state + lane, rows + block * stride + lane * KB31_PANEL,
                             first_block + block);
            }
        }
    }
}

TARGET void ROW_DIGESTS(const uint32_t *group_state, uint8_t *const *outputs)
{
    for (uint32_t lane = 0; lane < ROW_GROUP; lane += LANES) {
        VECTOR value[8];
        load_value(group_state + lane, value);
        lanes_store(value, outputs + lane);
    }
}
