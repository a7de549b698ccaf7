#include "stark/kernels.h"

#include <string.h>

const struct stark_kernels *stark_kernels_by_name(const char *name)
{
    int is_any = strcmp(name, "auto") == 0;

#if defined(__x86_64__)
    if (is_any || strcmp(name, "avx512") == 0) {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
            return &STARK_KERNELS_AVX512;
        }
    }
    if (is_any || strcmp(name, "avx2") == 0) {
        if (__builtin_cpu_supports("avx2")) {
            return &STARK_KERNELS_AVX2;
        }
    }
#endif
    return is_any || strcmp(name, "scalar") == 0 ? &STARK_KERNELS_SCALAR : NULL;
}
