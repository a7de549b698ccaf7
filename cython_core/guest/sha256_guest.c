/* In the guest the portable compression is the only one; native builds link a dispatcher
 * instead. */
#include "sha256_compress.h"

void sha256_compress(struct sha256_midstate *state, const uint8_t *blocks, size_t count)
{
    sha256_compress_portable(state, blocks, count);
}
