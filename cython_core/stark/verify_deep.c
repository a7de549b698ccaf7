/*
 * The polynomial F (docs/proofs.md, step 6) at the query positions:
 *
 *     F(x) = (A(x) - a) / (x - zeta) + (B(x) - b) / (x - g_H zeta)
 *
 * where A and B combine the opened rows, and a and b in the same way the values of step 5. What
 * belongs to a row of a smaller table is computed once for all positions that lead to it.
 */
#include "stark/verify_merkle.h"
#include "stark/verify_queries.h"

/* A at zeta, B at the next row. */
struct sums {
    kb31x here, next;
};

/* Columns of a matrix: their coefficients, and which of them have a value at the next row too. */
struct deep_columns {
    const kb31x *here, *next;
    uint32_t width;
    /* NULL: the last five columns. */
    const uint32_t *next_place;
};

/* A sum of products of Montgomery form and plain elements, reduced once, at the end. */
struct lazy_sum {
    uint64_t low[KB31_EXTENSION], high[KB31_EXTENSION];
};

static inline void add_product(struct lazy_sum *sum, const kb31x *a, uint32_t b)
{
    for (int i = 0; i < KB31_EXTENSION; i++) {
        uint64_t product = (uint64_t)a->c[i] * b;
        sum->low[i] += (uint32_t)product;
        sum->high[i] += product >> 32;
    }
}

/* Below 2^16 terms: neither half overflows. */
static kb31x reduce(const struct lazy_sum *sum)
{
    kb31x reduced;

    for (int i = 0; i < KB31_EXTENSION; i++) {
        uint32_t high = kb31_from_plain((uint32_t)(sum->high[i] % KB31_P));
        reduced.c[i] = kb31_add(high, (uint32_t)(sum->low[i] % KB31_P));
    }
    return reduced;
}

static struct sums combine_row(const struct deep_columns *columns, const uint8_t *row)
{
    struct lazy_sum here = {{0}, {0}}, next = {{0}, {0}};
    struct sums sums;

    for (uint32_t i = 0; i < columns->width; i++) {
        add_product(&here, &columns->here[i], stark_word(row, i));
    }
    if (columns->next_place == NULL) {
        for (uint32_t i = 0; i < KB31_EXTENSION; i++) {
            add_product(&next, &columns->next[i],
                        stark_word(row, columns->width - KB31_EXTENSION + i));
        }
    } else {
        for (uint32_t i = 0; i < columns->width; i++) {
            if (columns->next_place[i] != STARK_NOT_READ) {
                add_product(&next, &columns->next[columns->next_place[i]], stark_word(row, i));
            }
        }
    }
    sums.here = reduce(&here);
    sums.next = reduce(&next);
    return sums;
}

/* Adds a matrix's part to the sums of all positions. */
static void combine_matrix(const struct stark_run *run, const struct stark_matrix *matrix,
                           const struct deep_columns *columns, struct sums *sums)
{
    uint32_t shift = run->height_log + STARK_BLOWUP_LOG - matrix->log;
    const uint8_t *row = matrix->rows;
    struct sums part = combine_row(columns, row);

    for (size_t i = 0; i < run->position_count; i++) {
        if (i != 0 && run->positions[i] >> shift != run->positions[i - 1] >> shift) {
            row += (size_t)STARK_ELEMENT_BYTES * matrix->width;
            part = combine_row(columns, row);
        }
        sums[i].here = kb31x_add(sums[i].here, part.here);
        sums[i].next = kb31x_add(sums[i].next, part.next);
    }
}

/* Subtracts the values of step 5 from the sums of all positions. */
static void subtract_values(const struct stark_run *run, size_t place, size_t here, size_t next,
                            struct sums *values)
{
    const kb31x *value = run->values + place, *coefficient = run->coefficients + place;

    for (size_t i = 0; i < here + next; i++) {
        kb31x *sum = i < here ? &values->here : &values->next;
        *sum = kb31x_sub(*sum, kb31x_mul(coefficient[i], value[i]));
    }
}

/* The three commitments to tables, one of which a matrix belongs to. */
enum kind { PREPROCESSED, MAIN, AUXILIARY, KIND_COUNT };

/* Width of a table's matrix of a kind, 0 if it has none, and its columns' coefficients. */
static uint32_t describe_columns(const struct stark_run *run, uint32_t index, enum kind kind,
                                 size_t *place, size_t *next_count, struct deep_columns *columns)
{
    const struct stark_verify_table *table = &run->key.tables[index];
    const struct stark_places *places = &run->places[index];

    if (kind == AUXILIARY) {
        columns->width = stark_has_buses(table) ? stark_auxiliary_width(table) : 0;
        columns->next_place = NULL;
        *place = places->auxiliary;
        *next_count = KB31_EXTENSION;
    } else {
        const struct stark_columns *read = kind == MAIN ? &table->main : &table->preprocessed;

        columns->width = read->width;
        columns->next_place = read->next_place;
        *place = kind == MAIN ? places->main : places->preprocessed;
        *next_count = read->next_count;
    }
    columns->here = run->coefficients + *place;
    columns->next = columns->here + columns->width;
    return columns->width;
}

static enum stark_status open_tables(struct stark_run *run, enum kind kind, const uint8_t *root,
                                     struct sums *sums, struct sums *values)
{
    struct stark_matrix matrices[STARK_TABLES_MAX];
    struct deep_columns columns[STARK_TABLES_MAX];
    struct stark_commitment commitment = {root, 0, matrices};

    for (uint32_t i = 0; i < run->key.table_count; i++) {
        struct stark_matrix *matrix = &matrices[commitment.count];
        struct deep_columns *described = &columns[commitment.count];
        size_t place, next_count;

        matrix->width = describe_columns(run, i, kind, &place, &next_count, described);
        matrix->log = run->heights[i] + STARK_BLOWUP_LOG;
        if (matrix->width != 0) {
            subtract_values(run, place, matrix->width, next_count, values);
            commitment.count++;
        }
    }
    if (commitment.count == 0) {
        return STARK_VALID;
    }
    STARK_TRY(stark_open(&commitment, run->positions, run->position_count,
                         run->height_log + STARK_BLOWUP_LOG, &run->proof));
    for (uint32_t i = 0; i < commitment.count; i++) {
        combine_matrix(run, &matrices[i], &columns[i], sums);
    }
    return STARK_VALID;
}

static enum stark_status open_quotient(struct stark_run *run, struct sums *sums,
                                       struct sums *values)
{
    uint32_t domain_log = run->height_log + STARK_BLOWUP_LOG;
    static const uint32_t next_place[STARK_QUOTIENT_WIDTH] = {
        STARK_NOT_READ, STARK_NOT_READ, STARK_NOT_READ, STARK_NOT_READ, STARK_NOT_READ,
        STARK_NOT_READ, STARK_NOT_READ, STARK_NOT_READ, STARK_NOT_READ, STARK_NOT_READ,
    };
    struct stark_matrix matrix = {domain_log, STARK_QUOTIENT_WIDTH, NULL};
    struct stark_commitment commitment = {run->quotient_root, 1, &matrix};
    const kb31x *coefficients = run->coefficients + run->quotient_place;
    struct deep_columns columns = {coefficients, NULL, STARK_QUOTIENT_WIDTH, next_place};

    STARK_TRY(stark_open(&commitment, run->positions, run->position_count, domain_log,
                         &run->proof));
    subtract_values(run, run->quotient_place, STARK_QUOTIENT_WIDTH, 0, values);
    combine_matrix(run, &matrix, &columns, sums);
    return STARK_VALID;
}

/* F at one position; both denominators are inverted at once. */
static kb31x divide(const struct stark_run *run, uint32_t position, const struct sums *sums,
                    const struct sums *values)
{
    uint32_t log = run->height_log + STARK_BLOWUP_LOG;
    uint32_t root = kb31_root(log);
    kb31x x = kb31x_from_base(kb31_power(root, stark_reverse_bits(position, log)));
    kb31x here = kb31x_sub(x, run->zeta);
    kb31x next = kb31x_sub(x, kb31x_scale(run->zeta, kb31_root(run->height_log)));
    kb31x inverse = kb31x_inverse(kb31x_mul(here, next));
    kb31x first = kb31x_mul(kb31x_add(sums->here, values->here), next);
    kb31x second = kb31x_mul(kb31x_add(sums->next, values->next), here);

    return kb31x_mul(kb31x_add(first, second), inverse);
}

enum stark_status stark_open_codeword(struct stark_run *run)
{
    struct sums sums[STARK_QUERIES_MAX] = {{{{0}}, {{0}}}}, values = {{{0}}, {{0}}};

    STARK_TRY(open_tables(run, PREPROCESSED, run->key.preprocessed_root, sums, &values));
    STARK_TRY(open_tables(run, MAIN, run->main_root, sums, &values));
    STARK_TRY(open_tables(run, AUXILIARY, run->auxiliary_root, sums, &values));
    STARK_TRY(open_quotient(run, sums, &values));
    for (size_t i = 0; i < run->position_count; i++) {
        run->codeword[i] = divide(run, run->positions[i], &sums[i], &values);
    }
    return STARK_VALID;
}
