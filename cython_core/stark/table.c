#include "stark/table_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    PANEL_BLOCK = KB31_PANEL * STARK_BLOCK,
    /* A column of a block and the row after it: the next row's column begins one word later. */
    LONG_BLOCK = STARK_BLOCK + 16,
};

static size_t operand_words(const struct stark_matrix *matrix)
{
    return KB31_PANEL * LONG_BLOCK * matrix->panels;
}

/* Extended values are read in whole blocks, also those of the next row. */
static size_t auxiliary_words(const struct stark_matrix *matrix)
{
    return PANEL_BLOCK * matrix->panels * 2;
}

/* Fractions of one block: numerator and denominator of each group, a denominator, a product. */
static size_t fraction_words(const struct stark_table *table)
{
    return STARK_EXTENDED_BLOCK * (2 * (size_t)table->buses.group_count + 2);
}

/* Rounded up, so that everything in the scratch memory begins on a cache line. */
static size_t program_words(const struct stark_table *table)
{
    return (table->program->scratch_words + 15) / 16 * 16;
}

size_t stark_table_scratch(const struct stark_table *table)
{
    return operand_words(&table->main) + operand_words(&table->preprocessed) +
           auxiliary_words(&table->auxiliary) + STARK_BLOCK * (size_t)table->output_count +
           program_words(table) + fraction_words(table) +
           STARK_EXTENDED_BLOCK * 8;
}

/* Columns that the program reads. */
static uint32_t *turn_operands(const struct stark_table *table, const struct stark_matrix *matrix,
                               size_t row, uint32_t *scratch, struct stark_turned *turned)
{
    size_t after = (row + STARK_BLOCK) & (table->rows - 1);

    turned->now = scratch;
    turned->next = scratch + 1;
    turned->stride = LONG_BLOCK;
    for (size_t panel = 0; panel < matrix->panels; panel++) {
        const uint32_t *cells = matrix->cells + KB31_PANEL * table->rows * panel;
        uint32_t *columns = scratch + KB31_PANEL * LONG_BLOCK * panel;
        int reads = matrix->reads[panel];

        if (reads != 0) {
            table->kernels->transpose(cells, table->rows, row, LONG_BLOCK, columns);
        }
        for (size_t i = 0; i < KB31_PANEL && reads & STARK_READS_NEXT; i++) {
            columns[LONG_BLOCK * i + STARK_BLOCK] = cells[KB31_PANEL * after + i];
        }
    }
    return scratch + operand_words(matrix);
}

static uint32_t *turn_auxiliary(const struct stark_table *table, size_t row, uint32_t *scratch,
                                struct stark_turned *turned)
{
    const struct stark_matrix *matrix = &table->auxiliary;

    turned->now = scratch;
    turned->next = scratch + PANEL_BLOCK * matrix->panels;
    turned->stride = STARK_BLOCK;
    for (size_t panel = 0; panel < matrix->panels; panel++) {
        const uint32_t *cells = matrix->cells + KB31_PANEL * table->rows * panel;
        size_t offset = PANEL_BLOCK * panel;

        table->kernels->transpose(cells, table->rows, row, STARK_BLOCK, turned->now + offset);
        table->kernels->transpose(cells, table->rows, row + 1, STARK_BLOCK, turned->next + offset);
    }
    return scratch + auxiliary_words(matrix);
}

static const uint32_t *operand_values(const struct stark_table *table,
                                      const struct stark_operand *operand, size_t row,
                                      const struct stark_turned *main,
                                      const struct stark_turned *preprocessed)
{
    size_t column = operand->column;
    size_t place = table->rows < STARK_BLOCK ? 0 : row;

    switch (operand->kind) {
    case STARK_OPERAND_MAIN:
        return (operand->offset ? main->next : main->now) + main->stride * column;
    case STARK_OPERAND_PREPROCESSED:
        return (operand->offset ? preprocessed->next : preprocessed->now) +
               preprocessed->stride * column;
    case STARK_OPERAND_PERIODIC:
        return table->periodic[column] + (row & (table->periodic_lengths[column] - 1));
    case STARK_OPERAND_FIRST:
        return table->first + place;
    case STARK_OPERAND_LAST:
        return table->last + place;
    default:
        return table->transition + place;
    }
}

uint32_t *stark_table_block(const struct stark_table *table, size_t row, const uint32_t **columns,
                            uint32_t *scratch, struct stark_turned *auxiliary,
                            const uint32_t **outputs)
{
    struct stark_turned main, preprocessed;
    struct air_block block;

    scratch = turn_operands(table, &table->main, row, scratch, &main);
    scratch = turn_operands(table, &table->preprocessed, row, scratch, &preprocessed);
    scratch = turn_auxiliary(table, row, scratch, auxiliary);
    for (uint32_t i = 0; i < table->operand_count; i++) {
        columns[i] = operand_values(table, &table->operands[i], row, &main, &preprocessed);
    }
    block.rows = STARK_BLOCK;
    block.columns = columns;
    block.publics = table->publics;
    block.outputs = scratch;
    *outputs = scratch;
    scratch += STARK_BLOCK * (size_t)table->output_count;
    table->program->evaluate(table->program, &block, scratch);
    return scratch + program_words(table);
}

/* gamma + alpha_0 (bus + 1) + sum of alpha_{k+1} x_k for each row of the block. */
static void denominator(const struct stark_table *table, uint32_t interaction,
                        const uint32_t *outputs, uint32_t *block)
{
    const struct stark_buses *buses = &table->buses;
    const uint32_t *tuple = outputs + STARK_BLOCK * ((size_t)buses->outputs[interaction] + 1);

    stark_broadcast(buses->constants + KB31_EXTENSION * (size_t)interaction, block);
    table->kernels->fold(tuple, buses->widths[interaction], buses->alphas, block);
}

static const uint32_t *multiplicity(const struct stark_table *table, uint32_t interaction,
                                    const uint32_t *outputs)
{
    return outputs + STARK_BLOCK * (size_t)table->buses.outputs[interaction];
}

/*
 * numerators[g] / denominators[g] is the sum of m/d over the group's interactions, without any
 * division. `scratch` holds two extended blocks.
 */
void stark_fractions(const struct stark_table *table, const uint32_t *outputs,
                     uint32_t *numerators, uint32_t *denominators, uint32_t *scratch)
{
    const struct stark_buses *buses = &table->buses;
    const struct stark_kernels *kernels = table->kernels;
    uint32_t *d = scratch, *product = scratch + STARK_EXTENDED_BLOCK;

    for (uint32_t group = 0; group < buses->group_count; group++) {
        uint32_t *above = numerators + STARK_EXTENDED_BLOCK * (size_t)group;
        uint32_t *below = denominators + STARK_EXTENDED_BLOCK * (size_t)group;
        const uint32_t *members = buses->items + buses->group_starts[group];
        const uint32_t *first = multiplicity(table, members[0], outputs), *second;

        denominator(table, members[0], outputs, below);
        /* The degrees of tuples are at least 1 and sum to 2: a group has one or two members. */
        if (buses->group_starts[group + 1] - buses->group_starts[group] == 1) {
            memset(above, 0, STARK_EXTENDED_BLOCK * sizeof *above);
            memcpy(above, first, STARK_BLOCK * sizeof *above);
            continue;
        }
        second = multiplicity(table, members[1], outputs);
        denominator(table, members[1], outputs, d);
        kernels->scale(d, first, above);
        kernels->scale(below, second, product);
        kernels->add(above, product, above);
        kernels->multiply(below, d, below);
    }
}

static void add_scaled(const struct stark_kernels *kernels, const uint32_t *coefficient,
                       const uint32_t *block, uint32_t *scratch, uint32_t *sum)
{
    stark_broadcast(coefficient, scratch);
    kernels->multiply(scratch, block, scratch);
    kernels->add(sum, scratch, sum);
}

/* The constraints of the buses, added to `sum`. `scratch` as after the fractions. */
static void add_bus_constraints(const struct stark_table *table, const uint32_t *coefficients,
                                const uint32_t *terminal, size_t row,
                                const struct stark_turned *auxiliary, const uint32_t *outputs,
                                uint32_t *scratch, uint32_t *sum)
{
    const struct stark_kernels *kernels = table->kernels;
    uint32_t groups = table->buses.group_count;
    size_t place = table->rows < STARK_BLOCK ? 0 : row;
    uint32_t *numerators = scratch;
    uint32_t *denominators = numerators + STARK_EXTENDED_BLOCK * (size_t)groups;
    uint32_t *work = denominators + STARK_EXTENDED_BLOCK * (size_t)groups;
    uint32_t *total = work + STARK_EXTENDED_BLOCK * 2, *term = total + STARK_EXTENDED_BLOCK;
    const uint32_t *before = auxiliary->now + STARK_EXTENDED_BLOCK * (size_t)groups;
    const uint32_t *after = auxiliary->next + STARK_EXTENDED_BLOCK * (size_t)groups;
    const uint32_t *closing = coefficients + KB31_EXTENSION * (size_t)groups;

    stark_fractions(table, outputs, numerators, denominators, work);
    memset(total, 0, STARK_EXTENDED_BLOCK * sizeof *total);
    for (uint32_t group = 0; group < groups; group++) {
        const uint32_t *phi = auxiliary->now + STARK_EXTENDED_BLOCK * (size_t)group;
        size_t offset = STARK_EXTENDED_BLOCK * (size_t)group;

        kernels->multiply(phi, denominators + offset, term);
        kernels->subtract(term, numerators + offset, term);
        add_scaled(kernels, coefficients + KB31_EXTENSION * (size_t)group, term, work, sum);
        kernels->add(total, phi, total);
    }
    kernels->scale(before, table->first + place, term);
    add_scaled(kernels, closing, term, work, sum);
    kernels->add(before, total, total);
    kernels->subtract(after, total, term);
    kernels->scale(term, table->transition + place, term);
    add_scaled(kernels, closing + KB31_EXTENSION, term, work, sum);
    stark_broadcast(terminal, term);
    kernels->subtract(total, term, term);
    kernels->scale(term, table->last + place, term);
    add_scaled(kernels, closing + 2 * KB31_EXTENSION, term, work, sum);
}

int stark_table_quotient(const struct stark_table *table, const uint32_t *coefficients,
                         const uint32_t terminal[KB31_EXTENSION], size_t first_block,
                         size_t last_block, uint32_t *scratch, uint32_t *quotient, size_t stride,
                         size_t phase)
{
    const uint32_t **columns = malloc(sizeof *columns * (table->operand_count + 1));

    if (columns == NULL) {
        return -1;
    }
    for (size_t block = first_block; block < last_block; block++) {
        size_t row = STARK_BLOCK * block;
        struct stark_turned auxiliary;
        const uint32_t *outputs;
        uint32_t *sum, *rest;

        sum = stark_table_block(table, row, columns, scratch, &auxiliary, &outputs);
        rest = sum + STARK_EXTENDED_BLOCK;
        memset(sum, 0, STARK_EXTENDED_BLOCK * sizeof *sum);
        table->kernels->fold(outputs, table->constraint_count, coefficients, sum);
        if (table->buses.group_count != 0) {
            add_bus_constraints(table,
                                coefficients + KB31_EXTENSION * (size_t)table->constraint_count,
                                terminal, row, &auxiliary, outputs, rest, sum);
        }
        for (size_t i = 0; i < STARK_BLOCK && row + i < table->rows; i++) {
            uint32_t *to = quotient + KB31_PANEL * (stride * (row + i) + phase);
            for (size_t k = 0; k < KB31_EXTENSION; k++) {
                to[k] = sum[STARK_BLOCK * k + i];
            }
        }
    }
    free(columns);
    return 0;
}
