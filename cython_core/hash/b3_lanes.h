/*
 * The BLAKE3 compression over lanes, written once for every vector width of hash/b3_vector.h.
 *
 * `m` holds the 16 message words (word w of all lanes in m[w]) and `h` receives the hash words.
 */
#ifndef P2PSEQ_HASH_B3_LANES_H
#define P2PSEQ_HASH_B3_LANES_H

#include "guest/blake3.h"
#include "hash/b3_vector.h"

/* Flags of the BLAKE3 paper, table 3. */
enum {
    B3_CHUNK_START = 1,
    B3_CHUNK_END = 2,
    B3_PARENT = 4,
    B3_ROOT = 8,
    B3_KEYED_HASH = 16,
};

#define LANES_QUARTER(a, b, c, d, x, y)   \
    do {                                  \
        a = V_ADD(V_ADD(a, x), b);        \
        d = V_XOR(d, a);                  \
        d = V_ROTATE_16(d);               \
        c = V_ADD(c, d);                  \
        b = V_XOR(b, c);                  \
        b = V_ROTATE_12(b);               \
        a = V_ADD(V_ADD(a, y), b);        \
        d = V_XOR(d, a);                  \
        d = V_ROTATE_8(d);                \
        c = V_ADD(c, d);                  \
        b = V_XOR(b, c);                  \
        b = V_ROTATE_7(b);                \
    } while (0)

#define LANES_ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if_) \
    do {                                                                             \
        LANES_QUARTER(v0, v4, v8, v12, m[i0], m[i1]);                                \
        LANES_QUARTER(v1, v5, v9, v13, m[i2], m[i3]);                                \
        LANES_QUARTER(v2, v6, v10, v14, m[i4], m[i5]);                               \
        LANES_QUARTER(v3, v7, v11, v15, m[i6], m[i7]);                               \
        LANES_QUARTER(v0, v5, v10, v15, m[i8], m[i9]);                               \
        LANES_QUARTER(v1, v6, v11, v12, m[ia], m[ib]);                               \
        LANES_QUARTER(v2, v7, v8, v13, m[ic], m[id]);                                \
        LANES_QUARTER(v3, v4, v9, v14, m[ie], m[if_]);                               \
    } while (0)

/*
 * The whole compression function (BLAKE3 paper, section 2.2): the chaining value `cv`, the counter
 * (a chunk's number, or a block's of extended output), and all 16 words that come out. Who needs
 * the first 8 only passes on these; the compiler drops the others.
 */
TARGET static inline void lanes_compress_words(const VECTOR cv[8], const VECTOR m[16],
                                               uint64_t counter, uint32_t length, uint32_t flags,
                                               VECTOR words[16])
{
    VECTOR v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3];
    VECTOR v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
    VECTOR v8 = V_SET1(BLAKE3_IV[0]), v9 = V_SET1(BLAKE3_IV[1]);
    VECTOR v10 = V_SET1(BLAKE3_IV[2]), v11 = V_SET1(BLAKE3_IV[3]);
    VECTOR v12 = V_SET1((uint32_t)counter), v13 = V_SET1((uint32_t)(counter >> 32));
    VECTOR v14 = V_SET1(length), v15 = V_SET1(flags);

    LANES_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    LANES_ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    LANES_ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    LANES_ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    LANES_ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    LANES_ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    LANES_ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);

    words[8] = V_XOR(v8, cv[0]);
    words[9] = V_XOR(v9, cv[1]);
    words[10] = V_XOR(v10, cv[2]);
    words[11] = V_XOR(v11, cv[3]);
    words[12] = V_XOR(v12, cv[4]);
    words[13] = V_XOR(v13, cv[5]);
    words[14] = V_XOR(v14, cv[6]);
    words[15] = V_XOR(v15, cv[7]);
    words[0] = V_XOR(v0, v8);
    words[1] = V_XOR(v1, v9);
    words[2] = V_XOR(v2, v10);
    words[3] = V_XOR(v3, v11);
    words[4] = V_XOR(v4, v12);
    words[5] = V_XOR(v5, v13);
    words[6] = V_XOR(v6, v14);
    words[7] = V_XOR(v7, v15);
}

TARGET static inline void lanes_set_key(const uint32_t key[8], VECTOR cv[8])
{
    for (int word = 0; word < 8; word++) {
        cv[word] = V_SET1(key[word]);
    }
}

/* One keyed block of `length` bytes that is chunk and root at once. */
TARGET static inline void lanes_compress_single(const uint32_t key[8], const VECTOR m[16],
                                                uint32_t length, VECTOR h[8])
{
    VECTOR cv[8], words[16];

    lanes_set_key(key, cv);
    lanes_compress_words(cv, m, 0, length, BLAKE3_SINGLE_KEYED_FLAGS, words);
    for (int word = 0; word < 8; word++) {
        h[word] = words[word];
    }
}

#endif
