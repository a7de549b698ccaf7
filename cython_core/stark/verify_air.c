#include "stark/verify_air.h"

/* zeta lies outside of the domain, so that no denominator is zero. */
static struct stark_point point_of(const struct stark_run *run, uint32_t log)
{
    struct stark_point point;
    kb31x one = kb31x_from_base(KB31_ONE);
    kb31x last = kb31x_from_base(kb31_inverse(kb31_root(log)));

    point.log = log;
    point.x = stark_square(run->zeta, run->height_log - log);
    point.vanishing = kb31x_sub(run->zeta_n, one);
    point.transition = kb31x_sub(point.x, last);
    point.first = kb31x_mul(point.vanishing, kb31x_inverse(kb31x_sub(point.x, one)));
    point.last = kb31x_mul(point.vanishing, kb31x_inverse(point.transition));
    return point;
}

/*
 * The Lagrange polynomials of the subgroup of order M = 2^log at y = x^(n/M):
 * (y^M - 1) / M * g^i / (y - g^i), where y^M = x^n. All inversions at once.
 */
static void weigh_period(const struct stark_scratch *scratch, const struct stark_point *point,
                         uint32_t log)
{
    kb31x y = stark_square(point->x, point->log - log), product = kb31x_from_base(KB31_ONE);
    uint32_t generator = kb31_root(log), power = KB31_ONE, size = 1u << log;
    kb31x factor;

    for (uint32_t i = 0; i < size; i++) {
        scratch->weights[i] = product;
        scratch->denominators[i] = kb31x_sub(y, kb31x_from_base(power));
        product = kb31x_mul(product, scratch->denominators[i]);
        power = kb31_mul(power, generator);
    }
    factor = kb31x_mul(kb31x_inverse(product), point->vanishing);
    factor = kb31x_scale(factor, kb31_inverse(kb31_from_plain(size)));
    generator = kb31_inverse(generator);
    for (uint32_t i = size; i-- > 0;) {
        power = kb31_mul(power, generator);
        scratch->weights[i] = kb31x_mul(kb31x_scale(scratch->weights[i], power), factor);
        factor = kb31x_mul(factor, scratch->denominators[i]);
    }
}

static void evaluate_periodic(const struct stark_scratch *scratch,
                              const struct stark_verify_table *table,
                              const struct stark_point *point)
{
    const uint8_t *at = table->periodic;
    uint32_t weighed = UINT32_MAX;

    for (uint32_t column = 0; column < table->periodic_count; column++) {
        uint32_t log = stark_word(at, 0);
        kb31x value = {{0}};

        if (log != weighed) {
            weigh_period(scratch, point, log);
            weighed = log;
        }
        at += 4;
        for (uint32_t i = 0; i < 1u << log; i++) {
            uint32_t entry = kb31_from_plain(stark_word(at, i));
            value = kb31x_add(value, kb31x_scale(scratch->weights[i], entry));
        }
        scratch->periodic[column] = value;
        at += (size_t)4 << log;
    }
}

/* The values of step 5 of columns that stand from `place` on. */
static kb31x column_value(const kb31x *values, const struct stark_columns *columns, uint32_t column,
                          uint32_t offset)
{
    return values[offset ? columns->width + columns->next_place[column] : column];
}

static kb31x evaluate_leaf(const struct stark_run *run, uint32_t index, const uint8_t *node,
                           const struct stark_point *point)
{
    const struct stark_verify_table *table = &run->key.tables[index];
    const struct stark_places *places = &run->places[index];
    uint32_t a = stark_word(node, 1), b = stark_word(node, 2);

    switch (stark_word(node, 0)) {
    case STARK_NODE_MAIN:
        return column_value(run->values + places->main, &table->main, a, b);
    case STARK_NODE_PREPROCESSED:
        return column_value(run->values + places->preprocessed, &table->preprocessed, a, b);
    case STARK_NODE_PERIODIC:
        return run->scratch.periodic[a];
    case STARK_NODE_PUBLIC:
        return kb31x_from_base(run->publics[a]);
    case STARK_NODE_FIRST:
        return point->first;
    case STARK_NODE_LAST:
        return point->last;
    case STARK_NODE_TRANSITION:
        return point->transition;
    default:
        return kb31x_from_base(kb31_from_plain(a));
    }
}

static void evaluate_nodes(struct stark_run *run, uint32_t index, const struct stark_point *point)
{
    const struct stark_verify_table *table = &run->key.tables[index];
    kb31x *nodes = run->scratch.nodes;

    evaluate_periodic(&run->scratch, table, point);
    for (uint32_t i = 0; i < table->node_count; i++) {
        const uint8_t *node = table->nodes + (size_t)STARK_NODE_BYTES * i;
        uint32_t a = stark_word(node, 1), b = stark_word(node, 2);

        switch (stark_word(node, 0)) {
        case STARK_NODE_ADD:
            nodes[i] = kb31x_add(nodes[a], nodes[b]);
            break;
        case STARK_NODE_SUB:
            nodes[i] = kb31x_sub(nodes[a], nodes[b]);
            break;
        case STARK_NODE_MUL:
            nodes[i] = kb31x_mul(nodes[a], nodes[b]);
            break;
        default:
            nodes[i] = evaluate_leaf(run, index, node, point);
        }
    }
}

static kb31x combine_constraints(struct stark_run *run, uint32_t index,
                                 struct transcript_stream *coefficients)
{
    const struct stark_verify_table *table = &run->key.tables[index];
    struct stark_point point = point_of(run, run->heights[index]);
    kb31x combination = {{0}};

    evaluate_nodes(run, index, &point);
    for (uint32_t i = 0; i < table->constraint_count; i++) {
        stark_add_constraint(&combination, coefficients,
                             run->scratch.nodes[stark_word(table->constraints, i)]);
    }
    if (stark_has_buses(table)) {
        stark_combine_buses(run, index, &point, coefficients, &combination);
    }
    return combination;
}

enum stark_status stark_check_point(struct stark_run *run)
{
    kb31x one = kb31x_from_base(KB31_ONE);

    run->zeta_n = stark_square(run->zeta, run->height_log);
    return kb31x_equal(stark_square(run->zeta_n, STARK_BLOWUP_LOG), one) ? STARK_BAD_POINT
                                                                         : STARK_VALID;
}

enum stark_status stark_check_identity(struct stark_run *run,
                                       struct transcript_stream *coefficients)
{
    const kb31x *columns = run->values + run->quotient_place;
    kb31x one = kb31x_from_base(KB31_ONE), sum = {{0}}, quotient;

    for (uint32_t i = 0; i < run->key.table_count; i++) {
        sum = kb31x_add(sum, combine_constraints(run, i, coefficients));
    }
    quotient = kb31x_mul(run->zeta_n, stark_compose(columns + KB31_EXTENSION));
    quotient = kb31x_add(quotient, stark_compose(columns));
    quotient = kb31x_mul(quotient, kb31x_sub(run->zeta_n, one));
    return kb31x_equal(sum, quotient) ? STARK_VALID : STARK_CONSTRAINTS;
}
