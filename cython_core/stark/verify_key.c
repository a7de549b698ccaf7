#include <string.h>

#include "stark/verify_key.h"

/* The next number, if it lies between the bounds. */
static enum stark_status read_number(struct stark_cursor *cursor, uint32_t least, uint32_t greatest,
                                     uint32_t *number)
{
    const uint8_t *bytes = stark_take(cursor, 4);

    if (bytes == NULL) {
        return STARK_BAD_KEY;
    }
    *number = stark_load_u32(bytes);
    return *number < least || *number > greatest ? STARK_BAD_KEY : STARK_VALID;
}

/* `count` entries of `size` bytes each. */
static enum stark_status read_entries(struct stark_cursor *cursor, uint32_t count, uint32_t size,
                                      const uint8_t **entries)
{
    *entries = stark_take(cursor, (size_t)count * size);
    return *entries == NULL ? STARK_BAD_KEY : STARK_VALID;
}

/* A count within its limit, then as many entries. */
static enum stark_status read_list(struct stark_cursor *cursor, uint32_t greatest, uint32_t size,
                                   uint32_t *count, const uint8_t **entries)
{
    STARK_TRY(read_number(cursor, 0, greatest, count));
    return read_entries(cursor, *count, size, entries);
}

static enum stark_status read_head(struct stark_key *key, struct stark_cursor *cursor)
{
    const uint8_t *magic = stark_take(cursor, 4);
    uint32_t fixed;

    if (magic == NULL || memcmp(magic, "P2VK", 4) != 0) {
        return STARK_BAD_KEY;
    }
    STARK_TRY(read_number(cursor, 1, 1, &fixed));
    STARK_TRY(read_number(cursor, STARK_BLOWUP_LOG, STARK_BLOWUP_LOG, &fixed));
    STARK_TRY(read_number(cursor, 1, STARK_QUERIES_MAX, &key->queries));
    STARK_TRY(read_number(cursor, 0, STARK_GRINDING_MAX, &key->query_grinding));
    STARK_TRY(read_number(cursor, 0, STARK_GRINDING_MAX, &key->commit_grinding));
    STARK_TRY(read_number(cursor, 1, STARK_FOLD_LOG_MAX, &key->fold_log));
    STARK_TRY(read_number(cursor, 0, STARK_FINAL_LOG_MAX, &key->final_log));
    STARK_TRY(read_number(cursor, 0, STARK_HEIGHT_LOG_MAX, &key->height_log_max));
    STARK_TRY(read_number(cursor, 0, STARK_BUSES_MAX, &key->bus_count));
    for (uint32_t bus = 0; bus < key->bus_count; bus++) {
        uint32_t *width = &key->bus_widths[bus];

        STARK_TRY(read_number(cursor, 1, STARK_BUS_WIDTH_MAX, width));
        key->bus_width_max = *width > key->bus_width_max ? *width : key->bus_width_max;
    }
    STARK_TRY(read_number(cursor, 0, STARK_PUBLICS_MAX, &key->public_count));
    return read_number(cursor, 1, STARK_TABLES_MAX, &key->table_count);
}

/* A name is printable ASCII, and no two tables have the same. */
static enum stark_status read_name(struct stark_key *key, struct stark_verify_table *table,
                                   struct stark_cursor *cursor)
{
    STARK_TRY(read_number(cursor, 1, STARK_NAME_BYTES_MAX, &table->name_length));
    STARK_TRY(read_entries(cursor, table->name_length, 1, &table->name));
    for (uint32_t i = 0; i < table->name_length; i++) {
        if (table->name[i] < ' ' || table->name[i] > '~') {
            return STARK_BAD_KEY;
        }
    }
    for (const struct stark_verify_table *other = key->tables; other < table; other++) {
        if (other->name_length == table->name_length &&
            memcmp(other->name, table->name, table->name_length) == 0) {
            return STARK_BAD_KEY;
        }
    }
    return STARK_VALID;
}

static enum stark_status read_shape(struct stark_key *key, struct stark_verify_table *table,
                                    struct stark_cursor *cursor)
{
    uint32_t width, log;
    const uint8_t *values;

    STARK_TRY(read_number(cursor, 1, STARK_WIDTH_MAX, &table->main.width));
    STARK_TRY(read_number(cursor, 0, STARK_WIDTH_MAX, &width));
    table->preprocessed.width = width;
    STARK_TRY(read_number(cursor, 0, key->height_log_max, &table->smallest_log));
    STARK_TRY(read_number(cursor, table->smallest_log, key->height_log_max, &table->greatest_log));
    if (width != 0 && table->smallest_log != table->greatest_log) {
        return STARK_BAD_KEY;
    }
    STARK_TRY(read_number(cursor, 0, STARK_PERIODIC_MAX, &table->periodic_count));
    table->periodic = cursor->at;
    for (uint32_t column = 0; column < table->periodic_count; column++) {
        STARK_TRY(read_number(cursor, 0, STARK_PERIOD_LOG_MAX, &log));
        STARK_TRY(read_entries(cursor, 1u << log, STARK_ELEMENT_BYTES, &values));
        if (log > table->smallest_log || !stark_are_canonical(values, (size_t)1 << log)) {
            return STARK_BAD_KEY;
        }
        table->period_log_max = log > table->period_log_max ? log : table->period_log_max;
    }
    return STARK_VALID;
}

static enum stark_status read_uses(struct stark_key *key, struct stark_verify_table *table,
                                   struct stark_cursor *cursor)
{
    uint32_t number;
    const uint8_t *entries;

    STARK_TRY(read_list(cursor, STARK_NODES_MAX, STARK_NODE_BYTES, &table->node_count,
                        &table->nodes));
    STARK_TRY(read_list(cursor, STARK_CONSTRAINTS_MAX, 4, &table->constraint_count,
                        &table->constraints));
    STARK_TRY(read_number(cursor, 0, STARK_INTERACTIONS_MAX, &table->interaction_count));
    table->interactions = cursor->at;
    for (uint32_t i = 0; i < table->interaction_count; i++) {
        STARK_TRY(read_number(cursor, 0, UINT32_MAX, &number));
        if (number >= key->bus_count) {
            return STARK_BAD_KEY;
        }
        STARK_TRY(read_entries(cursor, 1 + key->bus_widths[number], 4, &entries));
    }
    STARK_TRY(read_number(cursor, 0, STARK_INTERACTIONS_MAX, &table->group_count));
    table->groups = cursor->at;
    for (uint32_t i = 0; i < table->group_count; i++) {
        STARK_TRY(read_list(cursor, STARK_INTERACTIONS_MAX, 4, &number, &entries));
    }
    return STARK_VALID;
}

static void keep_greatest(uint32_t *greatest, uint32_t number)
{
    *greatest = number > *greatest ? number : *greatest;
}

/* What memory a table needs. */
static void count_table(struct stark_key *key, const struct stark_verify_table *table)
{
    size_t columns = (size_t)table->main.width + table->preprocessed.width;

    keep_greatest(&key->node_count_max, table->node_count);
    keep_greatest(&key->periodic_count_max, table->periodic_count);
    keep_greatest(&key->period_log_max, table->period_log_max);
    keep_greatest(&key->interaction_count_max, table->interaction_count);
    key->value_count_max += 2 * columns;
    if (stark_has_buses(table)) {
        key->tables_with_buses++;
        key->value_count_max += stark_auxiliary_width(table) + KB31_EXTENSION;
    }
    key->tables_with_preprocessed += table->preprocessed.width != 0;
}

enum stark_status stark_key_read(struct stark_key *key, const uint8_t *bytes, size_t length)
{
    static const uint8_t no_root[STARK_DIGEST_BYTES];
    struct stark_cursor cursor = {bytes, length};

    memset(key, 0, sizeof *key);
    if (length > STARK_KEY_BYTES_MAX) {
        return STARK_BAD_KEY;
    }
    STARK_TRY(read_head(key, &cursor));
    for (uint32_t i = 0; i < key->table_count; i++) {
        STARK_TRY(read_name(key, &key->tables[i], &cursor));
        STARK_TRY(read_shape(key, &key->tables[i], &cursor));
        STARK_TRY(read_uses(key, &key->tables[i], &cursor));
        count_table(key, &key->tables[i]);
    }
    key->value_count_max += STARK_QUOTIENT_WIDTH;
    STARK_TRY(read_entries(&cursor, 1, STARK_DIGEST_BYTES, &key->preprocessed_root));
    if (cursor.left != 0) {
        return STARK_BAD_KEY;
    }
    /* A root goes with preprocessed columns, and with nothing else. */
    return (memcmp(key->preprocessed_root, no_root, sizeof no_root) == 0) ==
                   (key->tables_with_preprocessed == 0)
               ? STARK_VALID
               : STARK_BAD_KEY;
}
