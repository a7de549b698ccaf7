#include "commitment/tree.h"

#include <string.h>

#include "transcript/proof_keys.h"

void tree_hash_level(b3_many_kernel kernel, uint8_t *nodes, uint32_t log)
{
    const size_t count = (size_t)1 << log;

    b3_many_contiguous(kernel, PROOF_KEY_NODE, nodes + 64 * count, nodes + 32 * count, count);
}

void tree_inject_level(b3_many_kernel kernel, uint8_t *nodes, uint32_t log, const uint8_t *digests)
{
    enum { CHUNK = 64 };
    uint8_t messages[64 * CHUNK];
    const size_t count = (size_t)1 << log;
    uint8_t *level = nodes + 32 * count;

    for (size_t start = 0; start < count; start += CHUNK) {
        size_t size = count - start < CHUNK ? count - start : CHUNK;
        for (size_t index = 0; index < size; index++) {
            memcpy(messages + 64 * index, level + 32 * (start + index), 32);
            memcpy(messages + 64 * index + 32, digests + 32 * (start + index), 32);
        }
        b3_many_contiguous(kernel, PROOF_KEY_INJECT, messages, level + 32 * start, size);
    }
}
