/*
 * One table of a proof in the prover: from the values of its rows on a coset (or on the trace
 * domain) to what its constraints and buses say there. docs/proofs.md, sections "Buses" and "The
 * protocol".
 */
#ifndef P2PSEQ_STARK_TABLE_H
#define P2PSEQ_STARK_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "air/tape.h"
#include "stark/kernels.h"

/* Where an operand of the program comes from. */
enum stark_operand_kind {
    STARK_OPERAND_MAIN = 1,
    STARK_OPERAND_PREPROCESSED = 2,
    STARK_OPERAND_PERIODIC = 3,
    STARK_OPERAND_FIRST = 5,
    STARK_OPERAND_LAST = 6,
    STARK_OPERAND_TRANSITION = 7,
};

struct stark_operand {
    uint32_t kind, column, offset;
};

enum { STARK_READS_NOW = 1, STARK_READS_NEXT = 2 };

/* A matrix whose rows are values on the domain at hand; cells is NULL for none. */
struct stark_matrix {
    const uint32_t *cells;
    size_t panels;
    /* Of each panel: whether this row's columns, or the next row's, are operands. */
    const uint8_t *reads;
};

/* How the interactions of a table become fractions. Extension elements have 5 words. */
struct stark_buses {
    uint32_t group_count;
    /* Interactions of group g: items[group_starts[g]] .. items[group_starts[g + 1] - 1]. */
    const uint32_t *group_starts, *items;
    /*
     * Of each interaction: the output with its multiplicity (its tuple follows), its tuple's width.
     */
    const uint32_t *outputs, *widths;
    /* Of each interaction: gamma + alpha_0 * (bus + 1). */
    const uint32_t *constants;
    /* alpha_1, alpha_2, ... */
    const uint32_t *alphas;
};

struct stark_table {
    const struct stark_kernels *kernels;
    const struct air_program *program;
    uint32_t operand_count, output_count, constraint_count;
    const struct stark_operand *operands;
    const uint32_t *publics;
    size_t rows;
    struct stark_matrix main, preprocessed, auxiliary;
    /*
     * Periodic columns: values of column c at periodic[c] for 64 rows or more from any multiple of
     * 64 below its length, which is a power of two of at least 64. Selectors: `rows` words, at
     * least 64.
     */
    const uint32_t *const *periodic;
    const size_t *periodic_lengths;
    const uint32_t *first, *last, *transition;
    struct stark_buses buses;
};

/* Words of scratch memory, aligned to 64 bytes, that one thread needs. */
size_t stark_table_scratch(const struct stark_table *table);

/*
 * The auxiliary columns of rows 64 * first_block .. 64 * last_block - 1 (panels as in Matrix): each
 * group's phi, and in place of the running sum the sum of the row's phi. Returns -1 if a
 * denominator is zero or memory is short.
 */
int stark_table_fractions(const struct stark_table *table, size_t first_block, size_t last_block,
                          uint32_t *scratch, uint32_t *auxiliary);

/* Turns row sums into the running sum before each row; the total comes back in `terminal`. */
void stark_table_accumulate(uint32_t *auxiliary, size_t rows, uint32_t group_count,
                            uint32_t terminal[KB31_EXTENSION]);

/*
 * The combination of all constraints on rows 64 * first_block .. of a coset, times nothing else:
 * divide the coefficients (constraints, groups, first, transition, last) by the vanishing
 * polynomial before. Value of row r is written to columns 0..4 of row stride * r + phase of
 * `quotient` (one panel).
 */
int stark_table_quotient(const struct stark_table *table, const uint32_t *coefficients,
                         const uint32_t terminal[KB31_EXTENSION], size_t first_block,
                         size_t last_block, uint32_t *scratch, uint32_t *quotient, size_t stride,
                         size_t phase);

#endif
