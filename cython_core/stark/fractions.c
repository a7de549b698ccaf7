/* The auxiliary columns: the fractions of many blocks share one inversion. */
#include "stark/table_internal.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BLOCKS = 32 };

/* Numerators and denominators of a batch of blocks of all groups, and the products of the trick. */
struct batch {
    const struct stark_table *table;
    size_t count;
    uint32_t *numerators, *denominators, *products;
};

static size_t group_words(const struct stark_table *table)
{
    return STARK_EXTENDED_BLOCK * (size_t)table->buses.group_count;
}

/* Every numerator times the inverse of its denominator, in place of the numerator. */
static int divide(const struct batch *batch)
{
    const struct stark_kernels *kernels = batch->table->kernels;
    size_t blocks = batch->count * batch->table->buses.group_count;

    if (stark_invert_blocks(kernels, batch->denominators, blocks, batch->products) != 0) {
        return -1;
    }
    for (size_t i = 0; i < blocks; i++) {
        uint32_t *numerator = batch->numerators + STARK_EXTENDED_BLOCK * i;
        kernels->multiply(numerator, batch->denominators + STARK_EXTENDED_BLOCK * i, numerator);
    }
    return 0;
}

static uint32_t *cell(uint32_t *cells, size_t rows, size_t row, size_t column)
{
    return cells + KB31_PANEL * (rows * (column / KB31_PANEL) + row) + column % KB31_PANEL;
}

/* Columns first .. first + 15 of the auxiliary ones: the fractions, then their sum. */
static const uint32_t *columns_at(const uint32_t *fractions, const uint32_t *sum, size_t groups,
                                  size_t first, uint32_t *room)
{
    size_t count = KB31_EXTENSION * groups;

    if (first + KB31_PANEL <= count) {
        return fractions + STARK_BLOCK * first;
    }
    for (size_t i = 0; i < KB31_PANEL && first + i < count + KB31_EXTENSION; i++) {
        const uint32_t *column = first + i < count ? fractions + STARK_BLOCK * (first + i)
                                                   : sum + STARK_BLOCK * (first + i - count);
        memcpy(room + STARK_BLOCK * i, column, STARK_BLOCK * sizeof *room);
    }
    return room;
}

/* Write phi of each group and their sum for the rows of one block. */
static void write_rows(const struct stark_table *table, const uint32_t *fractions, size_t row,
                       uint32_t *auxiliary)
{
    const struct stark_kernels *kernels = table->kernels;
    size_t groups = table->buses.group_count, width = KB31_EXTENSION * (groups + 1);
    size_t rows = table->rows - row < STARK_BLOCK ? table->rows - row : STARK_BLOCK;
    uint32_t sum[STARK_EXTENDED_BLOCK] = {0};
    uint32_t room[KB31_PANEL * STARK_BLOCK], turned[KB31_PANEL * STARK_BLOCK];

    for (size_t group = 0; group < groups; group++) {
        kernels->add(sum, fractions + STARK_EXTENDED_BLOCK * group, sum);
    }
    for (size_t first = 0; first < width; first += KB31_PANEL) {
        size_t count = width - first < KB31_PANEL ? width - first : KB31_PANEL;

        kernels->turn_back(columns_at(fractions, sum, groups, first, room), count, turned);
        memcpy(cell(auxiliary, table->rows, row, first), turned,
               KB31_PANEL * rows * sizeof *turned);
    }
}

static int run_batches(struct batch *batch, size_t first_block, size_t last_block,
                       const uint32_t **columns, uint32_t *scratch, uint32_t *auxiliary)
{
    const struct stark_table *table = batch->table;
    size_t words = group_words(table);

    for (size_t block = first_block; block < last_block; block += batch->count) {
        batch->count = last_block - block < BATCH_BLOCKS ? last_block - block : BATCH_BLOCKS;
        for (size_t i = 0; i < batch->count; i++) {
            struct stark_turned turned;
            const uint32_t *outputs;
            uint32_t *rest;

            rest = stark_table_block(table, STARK_BLOCK * (block + i), columns, scratch, &turned,
                                     &outputs);
            stark_fractions(table, outputs, batch->numerators + words * i,
                            batch->denominators + words * i, rest);
        }
        if (divide(batch) != 0) {
            return -1;
        }
        for (size_t i = 0; i < batch->count; i++) {
            write_rows(table, batch->numerators + words * i, STARK_BLOCK * (block + i), auxiliary);
        }
    }
    return 0;
}

int stark_table_fractions(const struct stark_table *table, size_t first_block, size_t last_block,
                          uint32_t *scratch, uint32_t *auxiliary)
{
    size_t words = group_words(table) * BATCH_BLOCKS;
    const uint32_t **columns = malloc(sizeof *columns * (table->operand_count + 1));
    uint32_t *memory = malloc(sizeof *memory * words * 3);
    struct batch batch = {table, 0, memory, memory + words, memory + 2 * words};
    int status = -1;

    if (columns != NULL && memory != NULL) {
        status = run_batches(&batch, first_block, last_block, columns, scratch, auxiliary);
    }
    free(columns);
    free(memory);
    return status;
}

void stark_table_accumulate(uint32_t *auxiliary, size_t rows, uint32_t group_count,
                            uint32_t terminal[KB31_EXTENSION])
{
    for (size_t k = 0; k < KB31_EXTENSION; k++) {
        uint32_t sum = 0;
        for (size_t row = 0; row < rows; row++) {
            uint32_t *place = cell(auxiliary, rows, row, KB31_EXTENSION * (size_t)group_count + k);
            uint32_t next = kb31_add(sum, *place);
            *place = sum;
            sum = next;
        }
        terminal[k] = sum;
    }
}
