/*
 * Rules of a table that need its nodes: each refers to what exists, degrees are such that the
 * quotient fits, and the groups take each interaction once.
 *
 * A degree counts columns and factors of is_transition apart. Both saturate, so that a long chain
 * of products cannot wrap to a small degree.
 */
#include "stark/verify_key.h"

enum { DEGREE_SATURATED = 100, CONSTRAINT_DEGREE_MAX = 3, GROUP_DENOMINATOR_MAX = 2 };

static const struct stark_degree CONSTRAINT_MAX = {CONSTRAINT_DEGREE_MAX, 2};
/* Of tuple elements and multiplicities. A group multiplies two of them: one transition each. */
static const struct stark_degree INTERACTION_MAX = {2, 1};

static uint8_t greater(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

static uint8_t saturated_sum(uint8_t a, uint8_t b)
{
    return a + b > DEGREE_SATURATED ? DEGREE_SATURATED : (uint8_t)(a + b);
}

static int is_within(struct stark_degree degree, struct stark_degree limit)
{
    return degree.columns <= limit.columns && degree.transitions <= limit.transitions;
}

/* A column that is read; the first reading of its next row marks it. */
static enum stark_status read_column(struct stark_columns *columns, uint32_t column,
                                     uint32_t offset)
{
    if (column >= columns->width || offset > 1) {
        return STARK_BAD_KEY;
    }
    if (offset == 1) {
        columns->next_place[column] = 0;
    }
    return STARK_VALID;
}

static enum stark_status check_leaf(const struct stark_key *key, struct stark_verify_table *table,
                                    uint32_t operation, uint32_t a, uint32_t b)
{
    uint32_t end = 1;

    switch (operation) {
    case STARK_NODE_MAIN:
        return read_column(&table->main, a, b);
    case STARK_NODE_PREPROCESSED:
        return read_column(&table->preprocessed, a, b);
    case STARK_NODE_CONSTANT:
        end = KB31_P;
        break;
    case STARK_NODE_PERIODIC:
        end = table->periodic_count;
        break;
    case STARK_NODE_PUBLIC:
        end = key->public_count;
        break;
    case STARK_NODE_FIRST:
    case STARK_NODE_LAST:
    case STARK_NODE_TRANSITION:
        break;
    default:
        return STARK_BAD_KEY;
    }
    return a < end && b == 0 ? STARK_VALID : STARK_BAD_KEY;
}

static enum stark_status check_nodes(const struct stark_key *key, struct stark_verify_table *table,
                                     struct stark_degree *degrees)
{
    for (uint32_t i = 0; i < table->node_count; i++) {
        const uint8_t *node = table->nodes + (size_t)STARK_NODE_BYTES * i;
        uint32_t operation = stark_word(node, 0), a = stark_word(node, 1), b = stark_word(node, 2);

        if (operation < STARK_NODE_ADD || operation > STARK_NODE_MUL) {
            STARK_TRY(check_leaf(key, table, operation, a, b));
            degrees[i].columns = operation != STARK_NODE_CONSTANT &&
                                 operation != STARK_NODE_PUBLIC &&
                                 operation != STARK_NODE_TRANSITION;
            degrees[i].transitions = operation == STARK_NODE_TRANSITION;
        } else if (a >= i || b >= i) {
            return STARK_BAD_KEY;
        } else if (operation == STARK_NODE_MUL) {
            degrees[i].columns = saturated_sum(degrees[a].columns, degrees[b].columns);
            degrees[i].transitions = saturated_sum(degrees[a].transitions, degrees[b].transitions);
        } else {
            degrees[i].columns = greater(degrees[a].columns, degrees[b].columns);
            degrees[i].transitions = greater(degrees[a].transitions, degrees[b].transitions);
        }
    }
    return STARK_VALID;
}

static enum stark_status check_use(const struct stark_verify_table *table,
                                   const struct stark_degree *degrees, uint32_t node,
                                   struct stark_degree limit)
{
    return node < table->node_count && is_within(degrees[node], limit) ? STARK_VALID
                                                                        : STARK_BAD_KEY;
}

static enum stark_status check_interactions(const struct stark_key *key,
                                            const struct stark_verify_table *table,
                                            const struct stark_degree *degrees,
                                            struct stark_fraction *fractions)
{
    const uint8_t *at = table->interactions;

    for (uint32_t i = 0; i < table->interaction_count; i++) {
        uint32_t width = key->bus_widths[stark_word(at, 0)], multiplicity = stark_word(at, 1);

        STARK_TRY(check_use(table, degrees, multiplicity, INTERACTION_MAX));
        fractions[i].numerator = degrees[multiplicity].columns;
        fractions[i].denominator = 1;
        fractions[i].is_grouped = 0;
        for (uint32_t element = 0; element < width; element++) {
            uint32_t node = stark_word(at, 2 + element);

            STARK_TRY(check_use(table, degrees, node, INTERACTION_MAX));
            fractions[i].denominator = greater(fractions[i].denominator, degrees[node].columns);
        }
        at += 4 * (2 + (size_t)width);
    }
    return STARK_VALID;
}

/* Members ascend, nobody is in two groups, and the group's constraint has degree at most 3. */
static enum stark_status check_group(const struct stark_verify_table *table, const uint8_t *members,
                                     uint32_t count, struct stark_fraction *fractions)
{
    uint32_t denominators = 0, next = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t member = stark_word(members, i);

        if (member < next || member >= table->interaction_count || fractions[member].is_grouped) {
            return STARK_BAD_KEY;
        }
        fractions[member].is_grouped = 1;
        denominators += fractions[member].denominator;
        next = member + 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct stark_fraction *member = &fractions[stark_word(members, i)];

        if (member->numerator + denominators - member->denominator > CONSTRAINT_DEGREE_MAX) {
            return STARK_BAD_KEY;
        }
    }
    return count != 0 && denominators <= GROUP_DENOMINATOR_MAX ? STARK_VALID : STARK_BAD_KEY;
}

static enum stark_status check_groups(const struct stark_verify_table *table,
                                      struct stark_fraction *fractions)
{
    const uint8_t *at = table->groups;
    uint32_t members = 0;

    for (uint32_t i = 0; i < table->group_count; i++) {
        uint32_t count = stark_word(at, 0);

        STARK_TRY(check_group(table, at + 4, count, fractions));
        members += count;
        at += 4 * (1 + (size_t)count);
    }
    return members == table->interaction_count ? STARK_VALID : STARK_BAD_KEY;
}

static void start_columns(struct stark_columns *columns)
{
    for (uint32_t i = 0; i < columns->width; i++) {
        columns->next_place[i] = STARK_NOT_READ;
    }
}

static void number_columns(struct stark_columns *columns)
{
    columns->next_count = 0;
    for (uint32_t i = 0; i < columns->width; i++) {
        if (columns->next_place[i] != STARK_NOT_READ) {
            columns->next_place[i] = columns->next_count++;
        }
    }
}

void stark_key_give(struct stark_key *key, struct stark_arena *arena)
{
    key->degrees = stark_give(arena, key->node_count_max, sizeof *key->degrees);
    key->fractions = stark_give(arena, key->interaction_count_max, sizeof *key->fractions);
    for (uint32_t i = 0; i < key->table_count; i++) {
        struct stark_columns *main = &key->tables[i].main;
        struct stark_columns *preprocessed = &key->tables[i].preprocessed;

        main->next_place = stark_give(arena, main->width, sizeof *main->next_place);
        preprocessed->next_place = stark_give(arena, preprocessed->width,
                                              sizeof *preprocessed->next_place);
    }
}

enum stark_status stark_key_check(struct stark_key *key)
{
    for (uint32_t i = 0; i < key->table_count; i++) {
        struct stark_verify_table *table = &key->tables[i];

        start_columns(&table->main);
        start_columns(&table->preprocessed);
        STARK_TRY(check_nodes(key, table, key->degrees));
        for (uint32_t c = 0; c < table->constraint_count; c++) {
            uint32_t node = stark_word(table->constraints, c);
            STARK_TRY(check_use(table, key->degrees, node, CONSTRAINT_MAX));
        }
        STARK_TRY(check_interactions(key, table, key->degrees, key->fractions));
        STARK_TRY(check_groups(table, key->fractions));
        number_columns(&table->main);
        number_columns(&table->preprocessed);
    }
    return STARK_VALID;
}
