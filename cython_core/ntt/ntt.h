/*
 * Number-theoretic transforms of one panel: `2^log` rows of 16 columns, canonical Montgomery form.
 *
 *     values on the subgroup, natural order   --ntt_inverse-->  coefficients, bit-reversed order
 *     coefficients, bit-reversed order        --ntt_forward-->  values on a coset, natural order
 *
 * The order of the coefficients in between costs nothing that way: no pass permutes rows.
 * Everything may be called from several threads at once, on different panels, without the GIL.
 * The transforms allocate nothing; they use up to 0.7 MiB of stack at 2^20 rows, 1.2 MiB at 2^24.
 */
#ifndef P2PSEQ_NTT_NTT_H
#define P2PSEQ_NTT_NTT_H

#include <stddef.h>
#include <stdint.h>

enum { NTT_LOG_MAX = 24, NTT_BLOCK_LOG_MAX = 12 };

/* Twiddle factors of one size. */
struct ntt_plan;
/* The code for one instruction set. */
struct ntt_kernel;

/* Made at the first call for a `log`, kept for ever. NULL without memory or above NTT_LOG_MAX. */
const struct ntt_plan *ntt_plan_get(uint32_t log);

/* "scalar", "avx2", "avx512", "avx512ifma"; NULL for others and what this build or CPU lacks. */
const struct ntt_kernel *ntt_by_name(const char *name);
/* The widest kernel that this CPU runs. */
const struct ntt_kernel *ntt_best(void);

/*
 * Row r of `values` holds the values at g^r; row rev(i) of `coefficients` receives coefficient i.
 * `coefficients` may be `values`; else they do not overlap.
 */
void ntt_inverse(const struct ntt_kernel *kernel, const struct ntt_plan *plan,
                 const uint32_t *values, uint32_t *coefficients);

/*
 * Row rev(i) of `coefficients` holds coefficient i; row r of `values` receives the values at
 * shift * g^r. `shift` is in Montgomery form and not zero. `values` may be `coefficients`; else
 * they do not overlap.
 */
void ntt_forward(const struct ntt_kernel *kernel, const struct ntt_plan *plan,
                 const uint32_t *coefficients, uint32_t shift, uint32_t *values);

/*
 * The same for many polynomials, one after the other in blocks of 2^log rows, log at most
 * NTT_BLOCK_LOG_MAX.
 */
void ntt_forward_blocks(const struct ntt_kernel *kernel, const struct ntt_plan *plan,
                        size_t blocks, const uint32_t *coefficients, uint32_t shift,
                        uint32_t *values);

/* Row rev(r) of `to` becomes row r of `from`. They do not overlap. */
void ntt_reverse_rows(const uint32_t *from, uint32_t log, uint32_t *to);

#endif
