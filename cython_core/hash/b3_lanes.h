/*
 * The BLAKE3 compression over lanes, written once for every vector width.
 *
 * The including file defines VECTOR, TARGET, V_ADD, V_XOR, V_SET1 and V_ROTATE_{16,12,8,7} first.
 * `m` holds the 16 message words (word w of all lanes in m[w]) and `h` receives the 8 hash words.
 */
#include "guest/blake3.h"

#define LANES_QUARTER(a, b, c, d, x, y)   \
    do {                                  \
        a = V_ADD(V_ADD(a, x), b);        \
        d = V_ROTATE_16(V_XOR(d, a));     \
        c = V_ADD(c, d);                  \
        b = V_ROTATE_12(V_XOR(b, c));     \
        a = V_ADD(V_ADD(a, y), b);        \
        d = V_ROTATE_8(V_XOR(d, a));      \
        c = V_ADD(c, d);                  \
        b = V_ROTATE_7(V_XOR(b, c));      \
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

TARGET static inline void lanes_compress(const uint32_t key[8], const VECTOR m[16], VECTOR h[8])
{
    VECTOR v0 = V_SET1(key[0]), v1 = V_SET1(key[1]), v2 = V_SET1(key[2]), v3 = V_SET1(key[3]);
    VECTOR v4 = V_SET1(key[4]), v5 = V_SET1(key[5]), v6 = V_SET1(key[6]), v7 = V_SET1(key[7]);
    VECTOR v8 = V_SET1(BLAKE3_IV[0]), v9 = V_SET1(BLAKE3_IV[1]);
    VECTOR v10 = V_SET1(BLAKE3_IV[2]), v11 = V_SET1(BLAKE3_IV[3]);
    VECTOR v12 = V_SET1(0), v13 = V_SET1(0);
    VECTOR v14 = V_SET1(BLAKE3_BLOCK_BYTES), v15 = V_SET1(BLAKE3_SINGLE_KEYED_FLAGS);

    LANES_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    LANES_ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    LANES_ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    LANES_ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    LANES_ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    LANES_ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    LANES_ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);

    h[0] = V_XOR(v0, v8);
    h[1] = V_XOR(v1, v9);
    h[2] = V_XOR(v2, v10);
    h[3] = V_XOR(v3, v11);
    h[4] = V_XOR(v4, v12);
    h[5] = V_XOR(v5, v13);
    h[6] = V_XOR(v6, v14);
    h[7] = V_XOR(v7, v15);
}
