/*
 * Which vector kernels this build has and this CPU runs. Every room that has kernels per
 * instruction set chooses among them by these names, the widest first.
 */
#ifndef P2PSEQ_HASH_ISA_H
#define P2PSEQ_HASH_ISA_H

enum isa_id {
    ISA_SCALAR = 0,
    ISA_AVX2 = 1,
    ISA_AVX512 = 2,
    ISA_COUNT = 3,
};

static inline int isa_is_available(enum isa_id id)
{
    switch (id) {
    case ISA_SCALAR:
        return 1;
#if defined(__x86_64__)
    case ISA_AVX2:
        return __builtin_cpu_supports("avx2") != 0;
    case ISA_AVX512:
        /* What field/kb31_lanes.h compiles for, and AVX2 for the rests that it hands down. */
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx2");
#endif
    default:
        return 0;
    }
}

static inline enum isa_id isa_best(void)
{
    if (isa_is_available(ISA_AVX512)) {
        return ISA_AVX512;
    }
    return isa_is_available(ISA_AVX2) ? ISA_AVX2 : ISA_SCALAR;
}

#endif
