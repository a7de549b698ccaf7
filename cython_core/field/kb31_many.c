#include <string.h>

#include "field/kb31_many.h"

extern const struct kb31_kernel kb31_scalar, kb31_avx2, kb31_avx512;

const struct kb31_kernel *kb31_kernel_by_name(const char *name)
{
    if (strcmp(name, "scalar") == 0) {
        return &kb31_scalar;
    }
#if defined(__x86_64__)
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2")) {
        return &kb31_avx2;
    }
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw")) {
        return &kb31_avx512;
    }
#endif
    return NULL;
}
