#include "blake3.h"

const uint32_t BLAKE3_IV[BLAKE3_HASH_WORDS] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                               0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};

#ifdef P2PSEQ_MACHINE

#include "host.h"

/* By the machine's instruction, for operands at any place. What is hashed often is written where
 * the instruction reads it (host_keyed). */
void blake3_keyed_block(const uint32_t key[BLAKE3_HASH_WORDS],
                        const blake3_word block[BLAKE3_BLOCK_WORDS], uint32_t length,
                        uint32_t out[BLAKE3_HASH_WORDS])
{
    static _Alignas(64) blake3_word line[BLAKE3_BLOCK_WORDS];
    static _Alignas(64) blake3_word value[BLAKE3_HASH_WORDS];

    if (length != BLAKE3_BLOCK_BYTES) {
        __asm__ volatile(".word 0"); /* the instruction knows no other length */
    }
    hash_copy(line, block);
    hash_copy(line + BLAKE3_HASH_WORDS, block + BLAKE3_HASH_WORDS);
    hash_copy(value, key);
    host_b3(value, line);
    hash_copy(out, value);
}

#else

#define ROTATE_RIGHT(word, bits) (((word) >> (bits)) | ((word) << (32 - (bits))))

/* The quarter round G of the BLAKE3 paper, section 2.2. */
#define QUARTER(a, b, c, d, x, y)     \
    do {                              \
        a = a + b + (x);              \
        d = ROTATE_RIGHT(d ^ a, 16);  \
        c = c + d;                    \
        b = ROTATE_RIGHT(b ^ c, 12);  \
        a = a + b + (y);              \
        d = ROTATE_RIGHT(d ^ a, 8);   \
        c = c + d;                    \
        b = ROTATE_RIGHT(b ^ c, 7);   \
    } while (0)

/* One round: four columns, then four diagonals; the indices are the permuted message schedule. */
#define ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, ia, ib, ic, id, ie, if_) \
    do {                                                                       \
        QUARTER(v0, v4, v8, v12, block[i0], block[i1]);                        \
        QUARTER(v1, v5, v9, v13, block[i2], block[i3]);                        \
        QUARTER(v2, v6, v10, v14, block[i4], block[i5]);                       \
        QUARTER(v3, v7, v11, v15, block[i6], block[i7]);                       \
        QUARTER(v0, v5, v10, v15, block[i8], block[i9]);                       \
        QUARTER(v1, v6, v11, v12, block[ia], block[ib]);                       \
        QUARTER(v2, v7, v8, v13, block[ic], block[id]);                        \
        QUARTER(v3, v4, v9, v14, block[ie], block[if_]);                       \
    } while (0)

void blake3_keyed_block(const uint32_t key[BLAKE3_HASH_WORDS],
                        const blake3_word block[BLAKE3_BLOCK_WORDS], uint32_t length,
                        uint32_t out[BLAKE3_HASH_WORDS])
{
    uint32_t v0 = key[0], v1 = key[1], v2 = key[2], v3 = key[3];
    uint32_t v4 = key[4], v5 = key[5], v6 = key[6], v7 = key[7];
    uint32_t v8 = BLAKE3_IV[0], v9 = BLAKE3_IV[1], v10 = BLAKE3_IV[2], v11 = BLAKE3_IV[3];
    uint32_t v12 = 0, v13 = 0, v14 = length, v15 = BLAKE3_SINGLE_KEYED_FLAGS;

    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);

    out[0] = v0 ^ v8;
    out[1] = v1 ^ v9;
    out[2] = v2 ^ v10;
    out[3] = v3 ^ v11;
    out[4] = v4 ^ v12;
    out[5] = v5 ^ v13;
    out[6] = v6 ^ v14;
    out[7] = v7 ^ v15;
}

#endif

int blake3_keyed_bytes(const uint32_t key[BLAKE3_HASH_WORDS], const uint8_t *message, size_t length,
                       uint8_t out[BLAKE3_HASH_BYTES])
{
    uint32_t block[BLAKE3_BLOCK_WORDS];
    uint32_t hash[BLAKE3_HASH_WORDS];
    uint32_t index;

    if (length > BLAKE3_BLOCK_BYTES) {
        return -1;
    }
    for (index = 0; index < BLAKE3_BLOCK_WORDS; index++) {
        uint32_t word = 0, byte;
        for (byte = 0; byte < 4; byte++) {
            uint32_t offset = 4 * index + byte;
            if (offset < length) {
                word |= (uint32_t)message[offset] << (8 * byte);
            }
        }
        block[index] = word;
    }
    blake3_keyed_block(key, block, (uint32_t)length, hash);
    for (index = 0; index < BLAKE3_HASH_BYTES; index++) {
        out[index] = (uint8_t)(hash[index / 4] >> (8 * (index % 4)));
    }
    return 0;
}
