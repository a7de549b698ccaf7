/* The touched leaves of a run: an array of slots and a hash table over their names. */
#include "overlay.h"

#include <stdlib.h>
#include <string.h>

/* Per block: totals, three epoch pages, leader, vault, and the pages of two frontiers. */
enum { FIXED_LEAVES = 8 + FRONTIER_LEVELS };
/* A payout record is the shortest, and no record touches more than one leaf of its own. */
enum { SHORTEST_RECORD = 9 };
/* Sender and recipient or payout. */
enum { LEAVES_PER_TRANSACTION = 2 };
/* A withdrawal reads sender, payout and up to half the levels of a frontier in pages of two. */
enum { ACCESSES_PER_TRANSACTION = 2 + FRONTIER_LEVELS / 2 };
/* Opening and closing of a block, a history append, and the outputs of an epoch. */
enum { FIXED_ACCESSES = 16 + 3 * FRONTIER_LEVELS };

size_t overlay_leaves_of(size_t records_length, uint32_t transactions)
{
    return FIXED_LEAVES + records_length / SHORTEST_RECORD
        + (size_t)LEAVES_PER_TRANSACTION * transactions;
}

size_t overlay_accesses_of(size_t records_length, uint32_t transactions)
{
    return FIXED_ACCESSES + records_length / SHORTEST_RECORD
        + (size_t)ACCESSES_PER_TRANSACTION * transactions;
}

void overlay_init(struct overlay *overlay, overlay_read read, void *tree, const uint64_t seed[2])
{
    memset(overlay, 0, sizeof *overlay);
    overlay->read = read;
    overlay->tree = tree;
    overlay->seed[0] = seed[0];
    overlay->seed[1] = seed[1];
}

void overlay_free(struct overlay *overlay)
{
    free(overlay->slots);
    free(overlay->names);
    free(overlay->table);
    free(overlay->hints);
    overlay->slots = NULL;
    overlay->names = NULL;
    overlay->table = NULL;
    overlay->hints = NULL;
    overlay->count = overlay->capacity = overlay->table_size = 0;
    overlay->hint_count = overlay->hint_capacity = 0;
}

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word;
}

static uint64_t fold(uint64_t left, uint64_t right)
{
    __uint128_t product = (__uint128_t)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold with a secret seed: strangers cannot aim at one chain of the table. */
static size_t hash_name(const struct overlay *overlay, uint8_t kind, const uint8_t key[32])
{
    uint64_t first = fold(word_at(key) ^ overlay->seed[0], word_at(key + 8) ^ overlay->seed[1]);
    uint64_t second = fold(word_at(key + 16) ^ overlay->seed[1], word_at(key + 24) ^ first);
    return (size_t)fold(second ^ overlay->seed[0], first ^ kind ^ overlay->seed[1]);
}

static void insert_into_table(struct overlay *overlay, size_t index)
{
    const uint8_t *name = overlay->names + LEAF_NAME * index;
    size_t mask = overlay->table_size - 1;
    size_t place = hash_name(overlay, name[0], name + 1) & mask;
    while (overlay->table[place] != 0) {
        place = (place + 1) & mask;
    }
    overlay->table[place] = (uint32_t)index + 1;
}

void overlay_clear(struct overlay *overlay)
{
    if (overlay->table != NULL) {
        memset(overlay->table, 0, overlay->table_size * sizeof *overlay->table);
    }
    overlay->count = 0;
    overlay->hint_count = 0;
}

static int reserve_hints(struct overlay *overlay, size_t accesses)
{
    size_t wanted = overlay->hint_count + accesses;
    if (!overlay->is_recording || wanted <= overlay->hint_capacity) {
        return 0;
    }
    uint32_t *hints = realloc(overlay->hints, wanted * sizeof *hints);
    if (hints == NULL) {
        return -1;
    }
    overlay->hints = hints;
    overlay->hint_capacity = wanted;
    return 0;
}

static int reserve_slots(struct overlay *overlay, size_t wanted)
{
    struct tree_slot *slots = realloc(overlay->slots, wanted * sizeof *slots);
    if (slots == NULL) {
        return -1;
    }
    overlay->slots = slots;
    uint8_t *names = realloc(overlay->names, wanted * LEAF_NAME);
    if (names == NULL) {
        return -1;
    }
    overlay->names = names;
    return 0;
}

int overlay_reserve(struct overlay *overlay, size_t leaves, size_t accesses)
{
    size_t wanted = overlay->count + leaves;
    size_t table_size = 1024;
    if (reserve_hints(overlay, accesses) != 0) {
        return -1;
    }
    if (wanted <= overlay->capacity) {
        return 0;
    }
    while (table_size < 2 * wanted) {
        table_size *= 2;
    }
    if (wanted > UINT32_MAX / 2 || reserve_slots(overlay, wanted) != 0) {
        return -1;
    }
    uint32_t *table = calloc(table_size, sizeof *table);
    if (table == NULL) {
        return -1;
    }
    free(overlay->table);
    overlay->table = table;
    overlay->table_size = table_size;
    overlay->capacity = wanted;
    for (size_t i = 0; i < overlay->count; i++) {
        insert_into_table(overlay, i);
    }
    return 0;
}

static void record_hint(struct overlay *overlay, size_t index)
{
    if (overlay->is_recording && overlay->hint_count < overlay->hint_capacity) {
        overlay->hints[overlay->hint_count++] = (uint32_t)index;
    }
}

static size_t add_slot(struct overlay *overlay, uint8_t kind, const uint8_t key[32])
{
    size_t index = overlay->count++;
    uint8_t *name = overlay->names + LEAF_NAME * index;
    struct tree_slot *slot = overlay->slots + index;
    name[0] = kind;
    memcpy(name + 1, key, 32);
    leaf_path(kind, key, slot->path);
    slot->old_present = (uint8_t)overlay->read(overlay->tree, slot->path, slot->old_value);
    if (!slot->old_present) {
        memset(slot->old_value, 0, LEAF_VALUE);
    }
    slot->new_present = slot->old_present;
    memcpy(slot->new_value, slot->old_value, LEAF_VALUE);
    return index;
}

/* The slot's index, or the number of slots when there is no room for another one. */
static size_t find_index(struct overlay *overlay, uint8_t kind, const uint8_t key[32])
{
    size_t mask = overlay->table_size - 1;
    if (overlay->table_size == 0) {
        return overlay->count;
    }
    size_t place = hash_name(overlay, kind, key) & mask;
    while (overlay->table[place] != 0) {
        size_t index = overlay->table[place] - 1;
        const uint8_t *name = overlay->names + LEAF_NAME * index;
        if (name[0] == kind && memcmp(name + 1, key, 32) == 0) {
            return index;
        }
        place = (place + 1) & mask;
    }
    if (overlay->count == overlay->capacity) {
        return overlay->count;
    }
    overlay->table[place] = (uint32_t)overlay->count + 1;
    return add_slot(overlay, kind, key);
}

struct tree_slot *overlay_find(void *owner, uint8_t kind, const uint8_t key[32])
{
    struct overlay *overlay = owner;
    size_t index = find_index(overlay, kind, key);
    if (index == overlay->count) {
        return NULL;
    }
    record_hint(overlay, index);
    return overlay->slots + index;
}

struct tree_slot *overlay_find_party(void *owner, uint8_t kind, const uint8_t key[32])
{
    struct overlay *overlay = owner;
    size_t index = find_index(overlay, kind, key);
    return index == overlay->count ? NULL : overlay->slots + index;
}

int overlay_is_changed(const struct tree_slot *slot)
{
    return slot->old_present != slot->new_present
        || memcmp(slot->old_value, slot->new_value, LEAF_VALUE) != 0;
}
