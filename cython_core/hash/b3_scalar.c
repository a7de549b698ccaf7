#include <string.h>

#include "guest/blake3.h"
#include "hash/b3_many.h"

void b3_many_scalar(const uint32_t key[8], const uint8_t *const *messages, uint8_t *const *outputs,
                    size_t count)
{
    uint32_t block[BLAKE3_BLOCK_WORDS];
    uint32_t hash[BLAKE3_HASH_WORDS];
    size_t index;

    for (index = 0; index < count; index++) {
        memcpy(block, messages[index], sizeof block);
        blake3_keyed_block(key, block, BLAKE3_BLOCK_BYTES, hash);
        memcpy(outputs[index], hash, sizeof hash);
    }
}
