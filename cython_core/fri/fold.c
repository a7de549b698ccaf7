#include "fri/fold.h"

#include <string.h>

void fri_fold_plan_init(struct fri_fold_plan *plan, uint32_t domain_log, uint32_t fold_log,
                        kb31x challenge)
{
    const uint32_t generator = kb31_inverse(kb31_root(fold_log));

    plan->domain_log = domain_log;
    plan->fold_log = fold_log;
    plan->scale = kb31_inverse(kb31_from_plain(1u << fold_log));
    for (uint32_t pair = 0; pair < 1u << (fold_log - 1); pair++) {
        plan->roots[pair] = kb31_power(generator, fri_reverse(pair, fold_log - 1));
    }
    for (uint32_t step = 0; step < fold_log; step++) {
        for (int j = 0; j < KB31_EXTENSION; j++) {
            kb31x unit = {{0}}, column;
            unit.c[j] = KB31_ONE;
            column = kb31x_mul(challenge, unit);
            for (int i = 0; i < KB31_EXTENSION; i++) {
                plan->challenges[step][i][j] = column.c[i];
            }
        }
        challenge = kb31x_mul(challenge, challenge);
    }
}

void fri_fold(enum isa_id isa, const struct fri_fold_plan *plan, const struct fri_layer *from,
              size_t first_row, size_t rows, const struct fri_layer *to)
{
    /* Few rows do not fill the lanes; they cost nothing either. */
    if (from->height < 16) {
        isa = ISA_SCALAR;
    }
    switch (isa) {
#if defined(__x86_64__)
    case ISA_AVX512:
        fri_fold_avx512(plan, from, first_row, rows, to);
        break;
    case ISA_AVX2:
        fri_fold_avx2(plan, from, first_row, rows, to);
        break;
#endif
    default:
        fri_fold_scalar(plan, from, first_row, rows, to);
        break;
    }
}

void fri_regroup(const struct fri_layer *from, size_t first, size_t count,
                 const struct fri_layer *to)
{
    enum { ELEMENT_BYTES = KB31_EXTENSION * sizeof(uint32_t) };
    uint32_t values[FRI_COLUMNS_MAX] = {0};
    const size_t together = (size_t)1 << to->fold_log;
    const size_t panels = (KB31_EXTENSION * together + KB31_PANEL - 1) / KB31_PANEL;

    for (size_t position = first; position < first + count; position += together) {
        for (size_t index = 0; index < together; index++) {
            memcpy(values + KB31_EXTENSION * index, fri_cell(from, position + index, 0),
                   ELEMENT_BYTES);
        }
        for (size_t panel = 0; panel < panels; panel++) {
            memcpy(fri_cell(to, position >> to->fold_log, panel * KB31_PANEL),
                   values + panel * KB31_PANEL, KB31_PANEL * sizeof *values);
        }
    }
}

/* Decimation in time: values in bit-reversed order, coefficients in natural order. */
void fri_interpolate(const struct fri_layer *codeword, uint32_t log)
{
    const size_t count = (size_t)1 << log;
    const uint32_t scale = kb31_inverse(kb31_from_plain((uint32_t)count));

    for (uint32_t step = 1; step <= log; step++) {
        const size_t half = (size_t)1 << (step - 1);
        const uint32_t generator = kb31_inverse(kb31_root(step));
        uint32_t power = KB31_ONE;
        for (size_t offset = 0; offset < half; offset++) {
            for (size_t index = offset; index < count; index += 2 * half) {
                uint32_t *low = fri_cell(codeword, index, 0);
                uint32_t *high = fri_cell(codeword, index + half, 0);
                for (int i = 0; i < KB31_EXTENSION; i++) {
                    uint32_t here = low[i], there = kb31_mul(high[i], power);
                    low[i] = kb31_add(here, there);
                    high[i] = kb31_sub(here, there);
                }
            }
            power = kb31_mul(power, generator);
        }
    }
    for (size_t index = 0; index < count; index++) {
        for (int i = 0; i < KB31_EXTENSION; i++) {
            uint32_t *cell = fri_cell(codeword, index, 0) + i;
            *cell = kb31_mul(*cell, scale);
        }
    }
}
