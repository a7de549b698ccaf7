/* The statement's hash: unkeyed BLAKE3 of two blocks (BLAKE3 paper, section 2). Done once per
 * run, so it is written for size; the tree's single-block keyed form is in blake3.c. */
#include "blake3.h"
#include "bytes.h"
#include "transition.h"

enum { CHUNK_START = 1, CHUNK_END = 2, ROOT = 8, ROUNDS = 7 };

#ifdef P2PSEQ_MACHINE

void statement_hash(const uint8_t message[128], uint8_t digest[32])
{
    static _Alignas(64) uint8_t blocks[128];
    static _Alignas(64) blake3_word chain[BLAKE3_HASH_WORDS];
    bytes_copy(blocks, message, 128);
    hash_copy(chain, BLAKE3_IV);
    HOST_B3(chain, blocks, CHUNK_START);
    HOST_B3(chain, blocks + 64, CHUNK_END | ROOT);
    hash_copy((blake3_word *)(void *)digest, chain);
}

#else

static const uint8_t PERMUTATION[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
/* The four state words of each of the eight quarter rounds: columns, then diagonals. */
static const uint8_t LANES[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
                                    {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};

static uint32_t rotate(uint32_t word, int count)
{
    return word >> count | word << (32 - count);
}

static void quarter_round(uint32_t v[16], const uint8_t lane[4], uint32_t x, uint32_t y)
{
    uint32_t *a = &v[lane[0]], *b = &v[lane[1]], *c = &v[lane[2]], *d = &v[lane[3]];
    *a += *b + x;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b + y;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

static void compress(uint32_t chain[8], const uint8_t block[64], uint32_t flags)
{
    uint32_t words[16];
    uint32_t v[16];
    for (int i = 0; i < 16; i++) {
        words[i] = 0;
        for (int byte = 3; byte >= 0; byte--) {
            words[i] = words[i] << 8 | block[4 * i + byte];
        }
    }
    for (int i = 0; i < 8; i++) {
        v[i] = chain[i];
        v[8 + i] = BLAKE3_IV[i];
    }
    v[12] = 0;
    v[13] = 0;
    v[14] = 64;
    v[15] = flags;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t permuted[16];
        for (int i = 0; i < 8; i++) {
            quarter_round(v, LANES[i], words[2 * i], words[2 * i + 1]);
        }
        for (int i = 0; i < 16; i++) {
            permuted[i] = words[PERMUTATION[i]];
        }
        for (int i = 0; i < 16; i++) {
            words[i] = permuted[i];
        }
    }
    for (int i = 0; i < 8; i++) {
        chain[i] = v[i] ^ v[8 + i];
    }
}

void statement_hash(const uint8_t message[128], uint8_t digest[32])
{
    uint32_t chain[8];
    for (int i = 0; i < 8; i++) {
        chain[i] = BLAKE3_IV[i];
    }
    compress(chain, message, CHUNK_START);
    compress(chain, message + 64, CHUNK_END | ROOT);
    for (int i = 0; i < 32; i++) {
        digest[i] = (uint8_t)(chain[i / 4] >> (8 * (i % 4)));
    }
}

#endif
