/*
 * The search for a nonce, LANES nonces at a time. The message is one block of 40 bytes: the state
 * and the nonce; only the two lowest words of the hash are looked at.
 */
#include <string.h>

#include "hash/b3_lanes.h"
#include "transcript/grind.h"
#include "transcript/proof_keys.h"

/* Of the lanes before `end`, the first whose hash has its low bits zero; or `end`. */
static size_t first_lane(const uint32_t low[LANES], const uint32_t high[LANES], uint64_t mask,
                         size_t end)
{
    size_t lane = 0;

    while (lane < end && (((uint64_t)high[lane] << 32 | low[lane]) & mask) != 0) {
        lane++;
    }
    return lane;
}

TARGET int GRIND_SEARCH(const uint8_t state[32], uint32_t bits, uint64_t start, uint64_t count,
                        uint64_t *nonce)
{
    VECTOR m[16], h[8];
    uint32_t words[8], nonce_low[LANES], nonce_high[LANES], low[LANES], high[LANES];
    const uint64_t mask = ((uint64_t)1 << bits) - 1;

    memcpy(words, state, sizeof words);
    for (int word = 0; word < 16; word++) {
        m[word] = V_SET1(word < 8 ? words[word] : 0);
    }
    for (uint64_t done = 0; done < count; done += LANES) {
        size_t end = count - done < LANES ? (size_t)(count - done) : (size_t)LANES, lane;
        for (lane = 0; lane < LANES; lane++) {
            uint64_t tried = start + done + lane;
            nonce_low[lane] = (uint32_t)tried;
            nonce_high[lane] = (uint32_t)(tried >> 32);
        }
        m[8] = V_LOAD(nonce_low);
        m[9] = V_LOAD(nonce_high);
        lanes_compress_single(PROOF_KEY_GRIND, m, GRIND_MESSAGE_BYTES, h);
        V_STORE(low, h[0]);
        V_STORE(high, h[1]);
        lane = first_lane(low, high, mask, end);
        if (lane < end) {
            *nonce = start + done + lane;
            return 1;
        }
    }
    return 0;
}
