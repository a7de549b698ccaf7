#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "field/kb31.h"
#include "ntt/ntt_internal.h"

static _Atomic(const struct ntt_plan *) plans[NTT_LOG_MAX + 1];

/* The longest part of a transform of 2^log rows. */
static uint32_t longest_pass(uint32_t log)
{
    return log <= NTT_PASS_LOG_MAX ? log : log - log / 2;
}

static void fill_roots(uint32_t *roots, uint32_t log, int is_inverse)
{
    uint32_t level, root;
    size_t m, j;

    for (level = 1; level <= log; level++) {
        root = kb31_root(level);
        root = is_inverse ? kb31_inverse(root) : root;
        m = (size_t)1 << (level - 1);
        roots[m] = KB31_ONE;
        for (j = 1; j < m; j++) {
            roots[m + j] = kb31_mul(roots[m + j - 1], root);
        }
    }
}

static struct ntt_plan *plan_new(uint32_t log)
{
    uint32_t longest = longest_pass(log);
    size_t count = ((size_t)1 << longest) + NTT_ROOTS_PADDING;
    struct ntt_plan *plan = malloc(sizeof *plan);
    uint32_t *roots = calloc(2 * count, sizeof *roots);

    if (plan == NULL || roots == NULL) {
        free(plan);
        free(roots);
        return NULL;
    }
    fill_roots(roots, longest, 0);
    fill_roots(roots + count, longest, 1);
    plan->log = log;
    plan->block_log = log <= NTT_PASS_LOG_MAX ? log : log / 2;
    plan->column_log = log - plan->block_log;
    plan->root = kb31_root(log);
    plan->inverse_root = kb31_inverse(plan->root);
    plan->inverse_height = kb31_inverse(kb31_from_plain((uint32_t)1 << log));
    plan->roots = roots;
    plan->inverse_roots = roots + count;
    return plan;
}

const struct ntt_plan *ntt_plan_get(uint32_t log)
{
    const struct ntt_plan *plan, *other = NULL;

    if (log > NTT_LOG_MAX) {
        return NULL;
    }
    plan = atomic_load_explicit(&plans[log], memory_order_acquire);
    if (plan != NULL) {
        return plan;
    }
    plan = plan_new(log);
    /* Two threads may both have made one: the first that comes stays. */
    if (plan != NULL && !atomic_compare_exchange_strong(&plans[log], &other, plan)) {
        free((void *)plan->roots);
        free((void *)plan);
        plan = other;
    }
    return plan;
}

#if defined(__x86_64__)

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

#endif

const struct ntt_kernel *ntt_by_name(const char *name)
{
    if (strcmp(name, "scalar") == 0) {
        return &ntt_scalar;
    }
#if defined(__x86_64__)
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2")) {
        return &ntt_avx2;
    }
    if (strcmp(name, "avx512") == 0 && has_avx512()) {
        return &ntt_avx512;
    }
    if (strcmp(name, "avx512ifma") == 0 && has_avx512() && __builtin_cpu_supports("avx512ifma")) {
        return &ntt_avx512ifma;
    }
#endif
    return NULL;
}

const struct ntt_kernel *ntt_best(void)
{
    static const char *const NAMES[] = {"avx512ifma", "avx512", "avx2"};
    const struct ntt_kernel *kernel;
    size_t index;

    for (index = 0; index < sizeof NAMES / sizeof NAMES[0]; index++) {
        kernel = ntt_by_name(NAMES[index]);
        if (kernel != NULL) {
            return kernel;
        }
    }
    return &ntt_scalar;
}

void ntt_inverse(const struct ntt_kernel *kernel, const struct ntt_plan *plan,
                 const uint32_t *values, uint32_t *coefficients)
{
    kernel->inverse(plan, values, coefficients);
}

void ntt_forward(const struct ntt_kernel *kernel, const struct ntt_plan *plan,
                 const uint32_t *coefficients, uint32_t shift, uint32_t *values)
{
    kernel->forward(plan, coefficients, shift, values);
}

void ntt_forward_blocks(const struct ntt_kernel *kernel, const struct ntt_plan *plan,
                        size_t blocks, const uint32_t *coefficients, uint32_t shift,
                        uint32_t *values)
{
    kernel->forward_blocks(plan, blocks, coefficients, shift, values);
}

void ntt_reverse_rows(const uint32_t *from, uint32_t log, uint32_t *to)
{
    size_t height = (size_t)1 << log, row, reverse = 0, bit;

    for (row = 0; row < height; row++) {
        memcpy(to + reverse * KB31_PANEL, from + row * KB31_PANEL, KB31_PANEL * sizeof *to);
        /* Counts up from the top bit. */
        for (bit = height >> 1; bit != 0 && (reverse & bit) != 0; bit >>= 1) {
            reverse ^= bit;
        }
        reverse |= bit;
    }
}
