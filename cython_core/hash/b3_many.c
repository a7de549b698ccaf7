#include "hash/b3_many.h"

b3_many_kernel b3_kernel_by_id(enum b3_kernel_id id)
{
    switch (id) {
    case B3_KERNEL_SCALAR:
        return b3_many_scalar;
#if defined(__x86_64__)
    case B3_KERNEL_AVX2:
        return __builtin_cpu_supports("avx2") ? b3_many_avx2 : NULL;
    case B3_KERNEL_AVX512:
        /* The AVX-512 kernel hands short rests to the AVX2 kernel. */
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("avx2")
                   ? b3_many_avx512
                   : NULL;
#endif
    default:
        return NULL;
    }
}

enum b3_kernel_id b3_best_kernel(void)
{
    int id;

    for (id = B3_KERNEL_COUNT - 1; id > B3_KERNEL_SCALAR; id--) {
        if (b3_kernel_by_id((enum b3_kernel_id)id) != NULL) {
            return (enum b3_kernel_id)id;
        }
    }
    return B3_KERNEL_SCALAR;
}

void b3_many_contiguous(b3_many_kernel kernel, const uint32_t key[8], const uint8_t *messages,
                        uint8_t *outputs, size_t count)
{
    enum { CHUNK = 64 };
    const uint8_t *message_pointers[CHUNK];
    uint8_t *output_pointers[CHUNK];
    size_t start, index, size;

    for (start = 0; start < count; start += size) {
        size = count - start < CHUNK ? count - start : CHUNK;
        for (index = 0; index < size; index++) {
            message_pointers[index] = messages + 64 * (start + index);
            output_pointers[index] = outputs + 32 * (start + index);
        }
        kernel(key, message_pointers, output_pointers, size);
    }
}
