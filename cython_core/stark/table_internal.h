/* What table.c and fractions.c share. */
#ifndef P2PSEQ_STARK_TABLE_INTERNAL_H
#define P2PSEQ_STARK_TABLE_INTERNAL_H

#include "stark/blocks.h"
#include "stark/table.h"

/*
 * Columns of a block in their order, the values of each `stride` words after those of the column
 * before.
 */
struct stark_turned {
    uint32_t *now, *next;
    size_t stride;
};

/*
 * Evaluate the program on the rows from `row` on. `columns` has room for all operands. Outputs and
 * auxiliary columns lie in the scratch memory; returns what is left of it.
 */
uint32_t *stark_table_block(const struct stark_table *table, size_t row, const uint32_t **columns,
                            uint32_t *scratch, struct stark_turned *auxiliary,
                            const uint32_t **outputs);

/* See table.c. */
void stark_fractions(const struct stark_table *table, const uint32_t *outputs,
                     uint32_t *numerators, uint32_t *denominators, uint32_t *scratch);

#endif
