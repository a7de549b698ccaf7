/* What the files of ntt/ share. */
#ifndef P2PSEQ_NTT_INTERNAL_H
#define P2PSEQ_NTT_INTERNAL_H

#include "ntt/ntt.h"

struct ntt_plan {
    uint32_t log;
    /* 1 / 2^log. */
    uint32_t inverse_height;
    /* Entry m + j is g_{2m}^j for j < m, m = 1, 2, 4, ..., and the same of 1 / g. */
    const uint32_t *roots;
    const uint32_t *inverse_roots;
};

struct ntt_kernel {
    const char *name;
    void (*inverse)(const struct ntt_plan *plan, uint32_t *panel);
    void (*forward)(const struct ntt_plan *plan, uint32_t shift, uint32_t *panel);
};

extern const struct ntt_kernel ntt_scalar, ntt_avx2, ntt_avx512;

#endif
