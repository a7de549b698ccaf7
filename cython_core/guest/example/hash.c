/* An example: the statement is the BLAKE3 hash of 1 to 16 blocks of 64 bytes.
 *
 * Input: the number of blocks, then their words. A proof of this program says: "I know blocks with
 * this hash". The number is not trusted: a wrong one hashes nothing and shows zeros.
 */
#include "host.h"

enum { BLOCK_WORDS = 16, BLOCKS_MAX = 16 };

static _Alignas(64) uint32_t block[BLOCK_WORDS];
static _Alignas(64) uint32_t chaining[BLOCK_WORDS] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u,
                                                      0xa54ff53au, 0x510e527fu, 0x9b05688cu,
                                                      0x1f83d9abu, 0x5be0cd19u};

static void read_block(void)
{
    for (int index = 0; index < BLOCK_WORDS; index++) {
        block[index] = host_in();
    }
}

void guest(uint32_t statement[8])
{
    uint32_t count = host_in();

    for (int index = 0; index < 8; index++) {
        statement[index] = 0;
    }
    if (count == 0 || count > BLOCKS_MAX) {
        return;
    }
    for (uint32_t number = 0; number < count; number++) {
        read_block();
        if (count == 1) {
            host_b3(chaining, block, B3_CHUNK_START | B3_CHUNK_END | B3_ROOT);
        } else if (number == 0) {
            host_b3(chaining, block, B3_CHUNK_START);
        } else if (number + 1 < count) {
            host_b3(chaining, block, 0);
        } else {
            host_b3(chaining, block, B3_CHUNK_END | B3_ROOT);
        }
    }
    for (int index = 0; index < 8; index++) {
        statement[index] = chaining[index];
    }
}
