/*
 * Interactions (docs/proofs.md, "Buses"): those of the statement, summed beside the terminals, and
 * those of the tables, as constraints of their auxiliary columns at the out-of-domain point.
 */
#include "stark/verify_air.h"

enum stark_status stark_check_interactions(const struct stark_key *key, const uint8_t *encoded,
                                           size_t length)
{
    struct stark_cursor cursor = {encoded, length};
    const uint8_t *entry = stark_take(&cursor, 4);
    uint32_t count, bus;

    if (entry == NULL) {
        return STARK_BAD_INTERACTIONS;
    }
    count = stark_load_u32(entry);
    for (; count != 0; count--) {
        entry = stark_take(&cursor, 4);
        if (entry == NULL) {
            return STARK_BAD_INTERACTIONS;
        }
        bus = stark_load_u32(entry);
        if (bus >= key->bus_count) {
            return STARK_BAD_INTERACTIONS;
        }
        entry = stark_take(&cursor, 4 * (1 + (size_t)key->bus_widths[bus]));
        if (entry == NULL || !stark_are_canonical(entry, 1 + (size_t)key->bus_widths[bus])) {
            return STARK_BAD_INTERACTIONS;
        }
    }
    return cursor.left == 0 ? STARK_VALID : STARK_BAD_INTERACTIONS;
}

/* From one interaction, a table's or a public one, to the next. */
static const uint8_t *next_interaction(const struct stark_key *key, const uint8_t *interaction)
{
    return interaction + 4 * (2 + (size_t)key->bus_widths[stark_word(interaction, 0)]);
}

enum stark_status stark_count_interactions(const struct stark_run *run,
                                           const uint8_t *public_interactions)
{
    const struct stark_key *key = &run->key;
    uint64_t totals[STARK_BUSES_MAX] = {0};
    const uint8_t *at = public_interactions + 4;
    uint32_t count = stark_load_u32(public_interactions);

    for (; count != 0; count--, at = next_interaction(key, at)) {
        totals[stark_word(at, 0)]++;
    }
    for (uint32_t i = 0; i < key->table_count; i++) {
        at = key->tables[i].interactions;
        count = key->tables[i].interaction_count;
        for (; count != 0; count--, at = next_interaction(key, at)) {
            totals[stark_word(at, 0)] += (uint64_t)1 << run->heights[i];
        }
    }
    for (uint32_t bus = 0; bus < key->bus_count; bus++) {
        if (totals[bus] >= KB31_P) {
            return STARK_TOO_MANY_INTERACTIONS;
        }
    }
    return STARK_VALID;
}

/* gamma + alpha_0 * (bus + 1): what all tuples of a bus begin with. */
static kb31x begin_fingerprint(const struct stark_run *run, uint32_t bus)
{
    return kb31x_add(run->gamma, kb31x_scale(run->alphas[0], kb31_from_plain(bus + 1)));
}

/* One fraction is summed after the other as numerator / denominator: no inversion is needed. */
enum stark_status stark_check_balance(const struct stark_run *run,
                                      const uint8_t *public_interactions)
{
    const uint8_t *at = public_interactions + 4;
    uint32_t count = stark_load_u32(public_interactions);
    kb31x numerator = {{0}}, denominator = kb31x_from_base(KB31_ONE), terminals = {{0}};

    for (; count != 0; count--, at = next_interaction(&run->key, at)) {
        uint32_t bus = stark_word(at, 0), multiplicity = kb31_from_plain(stark_word(at, 1));
        kb31x fingerprint = begin_fingerprint(run, bus);

        for (uint32_t i = 0; i < run->key.bus_widths[bus]; i++) {
            uint32_t element = kb31_from_plain(stark_word(at, 2 + i));
            fingerprint = kb31x_add(fingerprint, kb31x_scale(run->alphas[1 + i], element));
        }
        numerator = kb31x_add(kb31x_mul(numerator, fingerprint),
                              kb31x_scale(denominator, multiplicity));
        denominator = kb31x_mul(denominator, fingerprint);
    }
    if (kb31x_is_zero(denominator)) {
        return STARK_ZERO_DENOMINATOR;
    }
    for (uint32_t i = 0; i < run->key.table_count; i++) {
        if (stark_has_buses(&run->key.tables[i])) {
            terminals = kb31x_add(terminals, run->terminals[i]);
        }
    }
    numerator = kb31x_add(numerator, kb31x_mul(terminals, denominator));
    return kb31x_is_zero(numerator) ? STARK_VALID : STARK_UNBALANCED_BUSES;
}

/* Multiplicity and denominator of each interaction, from the nodes. */
static void evaluate_fractions(struct stark_run *run, const struct stark_verify_table *table)
{
    const struct stark_scratch *scratch = &run->scratch;
    const uint8_t *at = table->interactions;

    for (uint32_t i = 0; i < table->interaction_count; i++) {
        uint32_t bus = stark_word(at, 0);
        kb31x fingerprint = begin_fingerprint(run, bus);

        for (uint32_t element = 0; element < run->key.bus_widths[bus]; element++) {
            kb31x value = scratch->nodes[stark_word(at, 2 + element)];
            fingerprint = kb31x_add(fingerprint, kb31x_mul(run->alphas[1 + element], value));
        }
        scratch->multiplicities[i] = stark_word(at, 1);
        scratch->fractions[i] = fingerprint;
        at = next_interaction(&run->key, at);
    }
}

/* phi * prod d_i - sum_i m_i * prod_{j != i} d_j. A group has at most two members by its degree. */
static kb31x evaluate_group(const struct stark_scratch *scratch, const uint8_t *members,
                            uint32_t count, kb31x phi)
{
    kb31x value = phi;

    for (uint32_t i = 0; i < count; i++) {
        value = kb31x_mul(value, scratch->fractions[stark_word(members, i)]);
    }
    for (uint32_t i = 0; i < count; i++) {
        kb31x term = scratch->nodes[scratch->multiplicities[stark_word(members, i)]];

        for (uint32_t j = 0; j < count; j++) {
            if (j != i) {
                term = kb31x_mul(term, scratch->fractions[stark_word(members, j)]);
            }
        }
        value = kb31x_sub(value, term);
    }
    return value;
}

void stark_combine_buses(struct stark_run *run, uint32_t index, const struct stark_point *point,
                         struct transcript_stream *coefficients, kb31x *combination)
{
    const struct stark_verify_table *table = &run->key.tables[index];
    const kb31x *auxiliary = run->values + run->places[index].auxiliary;
    const uint8_t *group = table->groups;
    kb31x phis = {{0}}, sum, next;

    evaluate_fractions(run, table);
    for (uint32_t i = 0; i < table->group_count; i++, auxiliary += KB31_EXTENSION) {
        uint32_t count = stark_word(group, 0);
        kb31x phi = stark_compose(auxiliary);

        phis = kb31x_add(phis, phi);
        stark_add_constraint(combination, coefficients,
                             evaluate_group(&run->scratch, group + 4, count, phi));
        group += 4 * (1 + (size_t)count);
    }
    sum = stark_compose(auxiliary);
    next = stark_compose(auxiliary + KB31_EXTENSION);
    stark_add_constraint(combination, coefficients, kb31x_mul(point->first, sum));
    sum = kb31x_add(sum, phis);
    stark_add_constraint(combination, coefficients,
                         kb31x_mul(point->transition, kb31x_sub(next, sum)));
    sum = kb31x_sub(sum, run->terminals[index]);
    stark_add_constraint(combination, coefficients, kb31x_mul(point->last, sum));
}
