/*
 * What the parts of the compiled verifier share; verify.h is its door and lists them.
 *
 * Limits are those of air/key.py: a key beyond them is refused by every implementation.
 */
#ifndef P2PSEQ_STARK_VERIFY_INTERNAL_H
#define P2PSEQ_STARK_VERIFY_INTERNAL_H

#include "stark/verify_bytes.h"
#include "transcript/transcript.h"

enum {
    STARK_BLOWUP_LOG = 2,
    STARK_HEIGHT_LOG_MAX = 22,
    STARK_QUERIES_MAX = 256,
    STARK_GRINDING_MAX = 32,
    STARK_FOLD_LOG_MAX = 4,
    STARK_FINAL_LOG_MAX = 10,
    STARK_BUSES_MAX = STARK_BUS_COUNT_MAX,
    STARK_BUS_WIDTH_MAX = 64,
    STARK_PUBLICS_MAX = 1024,
    STARK_TABLES_MAX = 64,
    STARK_NAME_BYTES_MAX = 64,
    STARK_WIDTH_MAX = 4096,
    STARK_PERIODIC_MAX = 256,
    STARK_PERIOD_LOG_MAX = 10,
    STARK_NODES_MAX = 1 << 18,
    STARK_CONSTRAINTS_MAX = 1 << 16,
    STARK_INTERACTIONS_MAX = 1 << 12,
    STARK_KEY_BYTES_MAX = 1 << 24,
    STARK_CONTEXT_BYTES_MAX = 1024,
    STARK_QUOTIENT_WIDTH = 2 * KB31_EXTENSION,
    STARK_NODE_BYTES = 12,
};

enum stark_operation {
    STARK_NODE_CONSTANT = 0,
    STARK_NODE_MAIN,
    STARK_NODE_PREPROCESSED,
    STARK_NODE_PERIODIC,
    STARK_NODE_PUBLIC,
    STARK_NODE_FIRST,
    STARK_NODE_LAST,
    STARK_NODE_TRANSITION,
    STARK_NODE_ADD,
    STARK_NODE_SUB,
    STARK_NODE_MUL,
};

/* Columns of a kind, and which of them the nodes read in the next row. */
struct stark_columns {
    uint32_t width;
    uint32_t next_count;
    /* Per column: how many before it are read in the next row; STARK_NOT_READ if it is not. */
    uint32_t *next_place;
};

#define STARK_NOT_READ UINT32_MAX

/* A table as the key says it; what has a variable length stays where it lies in the key. */
struct stark_verify_table {
    const uint8_t *name;
    uint32_t name_length;
    struct stark_columns preprocessed, main;
    uint32_t smallest_log, greatest_log;
    /* Per periodic column: log of the period, then its values. */
    const uint8_t *periodic;
    uint32_t periodic_count, period_log_max;
    const uint8_t *nodes;
    uint32_t node_count;
    const uint8_t *constraints;
    uint32_t constraint_count;
    /* Per interaction: bus, multiplicity, elements. */
    const uint8_t *interactions;
    uint32_t interaction_count;
    /* Per group: count, interactions. */
    const uint8_t *groups;
    uint32_t group_count;
};

/* In columns, and in factors of is_transition. */
struct stark_degree {
    uint8_t columns, transitions;
};

/* Degrees of an interaction, as groups see it. */
struct stark_fraction {
    uint8_t numerator, denominator;
    uint8_t is_grouped;
};

struct stark_key {
    uint32_t queries, query_grinding, commit_grinding, fold_log, final_log, height_log_max;
    uint32_t bus_count, bus_widths[STARK_BUSES_MAX], bus_width_max;
    uint32_t public_count;
    uint32_t table_count, tables_with_buses, tables_with_preprocessed;
    struct stark_verify_table tables[STARK_TABLES_MAX];
    const uint8_t *preprocessed_root;
    /* Greatest of all tables, for memory that is used for one table after the other. */
    uint32_t node_count_max, periodic_count_max, period_log_max, interaction_count_max;
    /* Values of step 5 if the next row of all columns is read. */
    size_t value_count_max;
    /* While the rules are checked: degrees of a table's nodes, and of its interactions. */
    struct stark_degree *degrees;
    struct stark_fraction *fractions;
};

/* Values of step 5 of some columns: here at zeta, next at the next row; so for coefficients. */
struct stark_opened {
    const kb31x *here, *next;
};

/* Where a table's columns stand among the values of step 5. */
struct stark_places {
    size_t preprocessed, main, auxiliary;
};

/* Memory that is used for one table after the other. */
struct stark_scratch {
    kb31x *nodes, *periodic;
    /* Of the length of the longest period. */
    kb31x *weights, *denominators;
    /* Of each interaction. */
    kb31x *fractions;
    uint32_t *multiplicities;
};

/* Everything that is known while a proof is verified. */
struct stark_run {
    struct stark_key key;
    struct stark_scratch scratch;
    struct stark_cursor proof;
    struct transcript transcript;
    const uint8_t *heights;
    /* H: the greatest of the heights. */
    uint32_t height_log;
    const uint8_t *main_root, *auxiliary_root, *quotient_root;

    /* Count and values, as absorbed; then the values in Montgomery form. */
    uint8_t *encoded_publics;
    uint32_t *publics;
    kb31x gamma, alphas[STARK_BUS_WIDTH_MAX + 1];
    kb31x terminals[STARK_TABLES_MAX];
    /* The point of step 5, and zeta^N. */
    kb31x zeta, zeta_n;
    struct stark_places places[STARK_TABLES_MAX];
    size_t quotient_place, value_count;
    kb31x *values, *coefficients;

    const uint8_t *layer_roots[STARK_HEIGHT_LOG_MAX];
    kb31x layer_betas[STARK_HEIGHT_LOG_MAX];
    uint32_t layer_count;
    uint32_t final_log;
    kb31x *final;

    /* Positions of the domain that are queried, unique and ascending; F there. */
    uint32_t positions[STARK_QUERIES_MAX];
    kb31x codeword[STARK_QUERIES_MAX];
    size_t position_count;
};

/* The next challenge of a stream, in Montgomery form. */
static inline kb31x stark_challenge(struct transcript_stream *stream)
{
    kb31x challenge;

    transcript_extension(stream, challenge.c);
    for (int i = 0; i < KB31_EXTENSION; i++) {
        challenge.c[i] = kb31_from_plain(challenge.c[i]);
    }
    return challenge;
}

/* sum_i X^i y_i: the value of an extension-valued column out of those of its five base columns. */
static inline kb31x stark_compose(const kb31x y[KB31_EXTENSION])
{
    static const kb31x variable = {{0, KB31_ONE, 0, 0, 0}};
    kb31x value = y[KB31_EXTENSION - 1];

    for (int i = KB31_EXTENSION - 2; i >= 0; i--) {
        value = kb31x_add(kb31x_mul(value, variable), y[i]);
    }
    return value;
}

/* a^(2^times). */
static inline kb31x stark_square(kb31x a, uint32_t times)
{
    for (; times != 0; times--) {
        a = kb31x_mul(a, a);
    }
    return a;
}

static inline uint32_t stark_reverse_bits(uint32_t number, uint32_t bits)
{
    uint32_t reversed = 0;

    for (; bits != 0; bits--, number >>= 1) {
        reversed = reversed << 1 | (number & 1);
    }
    return reversed;
}

static inline int stark_has_buses(const struct stark_verify_table *table)
{
    return table->interaction_count != 0;
}

/* Base columns of the auxiliary matrix of a table that has one. */
static inline uint32_t stark_auxiliary_width(const struct stark_verify_table *table)
{
    return KB31_EXTENSION * (table->group_count + 1);
}

#endif
