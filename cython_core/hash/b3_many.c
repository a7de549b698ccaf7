#include "hash/b3_many.h"

b3_many_kernel b3_kernel_by_id(enum b3_kernel_id id)
{
    if (!isa_is_available((enum isa_id)id)) {
        return NULL;
    }
    switch (id) {
#if defined(__x86_64__)
    case B3_KERNEL_AVX2:
        return b3_many_avx2;
    case B3_KERNEL_AVX512:
        return b3_many_avx512;
#endif
    default:
        return b3_many_scalar;
    }
}

enum b3_kernel_id b3_best_kernel(void)
{
    return (enum b3_kernel_id)isa_best();
}

void b3_many_contiguous(b3_many_kernel kernel, const uint32_t key[8], const uint8_t *messages,
                        uint8_t *outputs, size_t count)
{
    enum { CHUNK = 16 };
    const uint8_t *message_pointers[CHUNK];
    uint8_t *output_pointers[CHUNK];
    size_t start, index, size;

    for (start = 0; start < count; start += size) {
        size = count - start < CHUNK ? count - start : CHUNK;
        for (index = 0; index < size; index++) {
            message_pointers[index] = messages + 64 * (start + index);
            __builtin_prefetch(message_pointers[index] + 64 * CHUNK);
            output_pointers[index] = outputs + 32 * (start + index);
        }
        kernel(key, message_pointers, output_pointers, size);
    }
}
