/* The challenge of BIP340: SHA-256 (FIPS 180-4) of two blocks after the tag's own one.
 *
 * Everything is unrolled, so that words and state stay in registers, and the compiler computes what
 * follows from the second block's constant half.
 */
#include "secp/secp.h"

#ifdef __riscv
/* State and words fill the registers: with these, 1,800 rows fewer go to and from the stack. */
#pragma GCC optimize("no-schedule-insns", "ira-algorithm=priority", "rename-registers")
#endif

/* After SHA256("BIP0340/challenge") twice. */
static const uint32_t TAGGED[8] = {0x9cecba11u, 0x23925381u, 0x11679112u, 0xd1627e0fu,
                                   0x97c87550u, 0x003cc765u, 0x90f61164u, 0x33e9b66au};

static const uint32_t ROUNDS[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
    0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
    0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
    0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
    0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
    0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
    0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
    0xc67178f2u};

SECP_INLINE uint32_t rotated(uint32_t word, int count)
{
    return word >> count | word << (32 - count);
}

/* The three rotations of each sum one after the other: the last two are shared. */
SECP_INLINE uint32_t big_sum(uint32_t word, int first, int second, int third)
{
    return rotated(word ^ rotated(word ^ rotated(word, third - second), second - first), first);
}

SECP_INLINE uint32_t small_sum(uint32_t word, int first, int second, int shift)
{
    return rotated(word, first) ^ rotated(word, second) ^ word >> shift;
}

SECP_INLINE void compress(uint32_t state[8], uint32_t words[16], const uint32_t *rounds)
{
    uint32_t s[8], both = state[1] ^ state[2];

#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        s[place] = state[place];
    }
#pragma GCC unroll 64
    for (int round = 0; round < 64; round++) {
        /* s[(k - round) mod 8] is the k-th of a to h. */
        uint32_t *at[8], added, pair;
#pragma GCC unroll 8
        for (int place = 0; place < 8; place++) {
            at[place] = &s[(place - round) & 7];
        }
        if (round >= 16) {
            words[round & 15] += small_sum(words[(round - 15) & 15], 7, 18, 3)
                                 + words[(round - 7) & 15]
                                 + small_sum(words[(round - 2) & 15], 17, 19, 10);
        }
        added = *at[7] + big_sum(*at[4], 6, 11, 25) + (*at[6] ^ (*at[4] & (*at[5] ^ *at[6])))
                + rounds[round] + words[round & 15];
        *at[3] += added;
        pair = *at[0] ^ *at[1];
        *at[7] = added + big_sum(*at[0], 2, 13, 22) + (*at[1] ^ (pair & both));
        both = pair;
    }
#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        state[place] += s[place];
    }
}

void secp_challenge(secp_line *challenge, const uint32_t r[8], const uint32_t key[8],
                    const uint32_t message[8])
{
    uint32_t state[8], words[16];
    const uint32_t *rounds = ROUNDS;

    SECP_KEEP(rounds);
#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        state[place] = TAGGED[place];
        words[place] = r[place];
        words[8 + place] = key[place];
    }
    compress(state, words, rounds);
#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        words[place] = message[place];
        words[8 + place] = 0;
    }
    words[8] = 0x80000000u;
    words[15] = 8 * (64 + 96); /* bits, the tag's block included */
    compress(state, words, rounds);
#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        challenge->words[place] = state[7 - place];
    }
}
