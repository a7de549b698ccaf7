/* What the files of ntt/ share. */
#ifndef P2PSEQ_NTT_INTERNAL_H
#define P2PSEQ_NTT_INTERNAL_H

#include <stddef.h>

#include "field/kb31.h"
#include "ntt/ntt.h"

enum {
    ROW_BYTES = KB31_PANEL * 4,
    /* The longest transform that is done in one pass, and the longest part of two passes. */
    NTT_PASS_LOG_MAX = NTT_BLOCK_LOG_MAX,
    /* Kernels read roots in vectors, also of the first levels. */
    NTT_ROOTS_PADDING = 16,
};

/*
 * A transform of 2^log rows is one pass, or two (Bailey 1990): over 2^column_log blocks of
 * 2^block_log rows that lie together, and over 2^block_log columns of rows 2^block_log apart.
 */
struct ntt_plan {
    uint32_t log;
    uint32_t block_log;
    uint32_t column_log;
    /* g_log, 1 / g_log and 1 / 2^log. */
    uint32_t root;
    uint32_t inverse_root;
    uint32_t inverse_height;
    /* Entry m + j is g_{2m}^j for j < m, m = 1, 2, 4, ..., and the same of 1 / g. */
    const uint32_t *roots;
    const uint32_t *inverse_roots;
};

struct ntt_kernel {
    const char *name;
    void (*inverse)(const struct ntt_plan *plan, const uint32_t *values, uint32_t *coefficients);
    void (*forward)(const struct ntt_plan *plan, const uint32_t *coefficients, uint32_t shift,
                    uint32_t *values);
    void (*forward_blocks)(const struct ntt_plan *plan, size_t blocks,
                           const uint32_t *coefficients, uint32_t shift, uint32_t *values);
};

extern const struct ntt_kernel ntt_scalar, ntt_avx2, ntt_avx512, ntt_avx512ifma;

#endif
