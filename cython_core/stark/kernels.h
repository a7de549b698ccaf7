/*
 * What the prover does with whole columns, in blocks of 64 rows, for every vector width.
 *
 * A block holds values of 64 consecutive rows side by side: a base value is 64 words, a value of
 * the extension 5 * 64 words, coefficient by coefficient. All words are in Montgomery form. The
 * layout of panels is that of cython_core/field/_matrix.pxd: rows of 16 columns.
 */
#ifndef P2PSEQ_STARK_KERNELS_H
#define P2PSEQ_STARK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "field/kb31.h"

enum {
    STARK_BLOCK = 64,
    STARK_EXTENDED_BLOCK = KB31_EXTENSION * STARK_BLOCK,
};

struct stark_kernels {
    const char *name;

    /*
     * Powers of z in the order of bit-reversed coefficients: out[i] = z^rev(i), i < 2^log; 5 arrays
     * of 2^log words one after the other.
     */
    void (*powers)(const uint32_t z[KB31_EXTENSION], uint32_t log, uint32_t *out);

    /*
     * out[lane * 5 + k]: coefficient k of sum over rows of panel[row][lane] * weights[row], with
     * the weights as `powers` writes them.
     */
    void (*evaluate)(const uint32_t *panel, size_t rows, const uint32_t *weights, uint32_t *out);

    /* sum[lane] += sum over i < count of weights[i] * rows[i * stride + lane], for 16 lanes. */
    void (*weigh)(const uint32_t *rows, size_t stride, size_t count, const uint32_t *weights,
                  uint32_t *sum);

    /*
     * Rows first .. first + 63 of a panel (modulo `rows`) as 16 base blocks, `stride` words apart.
     * The 64 rows after them are fetched into the second cache.
     */
    void (*transpose)(const uint32_t *panel, size_t rows, size_t first, size_t stride,
                      uint32_t *out);

    /* `count` <= 16 base blocks, one after the other, as 64 rows of a panel; other lanes: zero. */
    void (*turn_back)(const uint32_t *columns, size_t count, uint32_t *rows);

    /* sum += sum over i < count of coefficients[i] (extension) * base[i] (a base block). */
    void (*fold)(const uint32_t *base, size_t count, const uint32_t *coefficients, uint32_t *sum);

    /* Extended blocks. `out` may be an operand. */
    void (*multiply)(const uint32_t *a, const uint32_t *b, uint32_t *out);
    void (*add)(const uint32_t *a, const uint32_t *b, uint32_t *out);
    void (*subtract)(const uint32_t *a, const uint32_t *b, uint32_t *out);
    /* An extended block times a base block. */
    void (*scale)(const uint32_t *a, const uint32_t *base, uint32_t *out);
};

extern const struct stark_kernels STARK_KERNELS_SCALAR, STARK_KERNELS_AVX2, STARK_KERNELS_AVX512;

/* The kernels of that name, or NULL if this build or this CPU lacks them; "auto" is the widest. */
const struct stark_kernels *stark_kernels_by_name(const char *name);

#endif
