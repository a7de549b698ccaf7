/* A guest that verifies signatures. It reads how many, then of each the key, the message and the
 * signature as words of big-endian bytes, and the hints. Its statement is a hash of all keys and
 * messages, 7 words of it, and how many signatures are valid.
 */
#include "example/host.h"
#include "secp/secp.h"

enum { SIGNATURES_MAX = 1 << 10 };

static _Alignas(64) uint32_t block[16];
static _Alignas(64) uint32_t chaining[16] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                             0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};

void guest(uint32_t statement[8])
{
    uint32_t signature[16], count = host_in(), valid = 0;

    for (uint32_t number = 0; number < count && number < SIGNATURES_MAX; number++) {
#pragma GCC unroll 16
        for (int place = 0; place < 16; place++) {
            block[place] = host_in();
        }
#pragma GCC unroll 16
        for (int place = 0; place < 16; place++) {
            signature[place] = host_in();
        }
        host_b3(chaining, block, 0);
        valid += (uint32_t)secp_verify(block, block + 8, signature);
    }
    for (int place = 0; place < 7; place++) {
        statement[place] = chaining[place];
    }
    statement[7] = valid;
}
