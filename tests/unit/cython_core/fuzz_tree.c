/*
 * Seeded fuzzing of the state tree and the guest's witness check, built with sanitizers by
 * test_merkle_sanitizers.py. Usage: fuzz_tree SEED ROUNDS. Prints what it did; aborts on a fault.
 *
 * Each round: a tree with colliding paths, batches with memory that runs out at a random moment,
 * undo, witnesses that must give both roots, and damaged witnesses that must not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/tree.h"
#include "merkle/state_tree.h"

enum { BATCH = 48, MUTATIONS = 40, PATH_POOL = 96 };

static uint64_t random_state;
static long allocations_left = -1;
static unsigned long count_updates, count_refused, count_failed, count_accepted, count_mutations;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_realloc(void *bytes, size_t size);

static int is_allocation_refused(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_allocation_refused() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_realloc(void *bytes, size_t size)
{
    return is_allocation_refused() ? NULL : __real_realloc(bytes, size);
}

/* xorshift64*, Vigna 2016: good enough to choose inputs. */
static uint32_t next_random(uint32_t bound)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1dull) >> 33) % bound;
}

#define EXPECT(condition)                                                    \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "line %d: %s is false\n", __LINE__, #condition); \
            abort();                                                         \
        }                                                                    \
    } while (0)

static int compare_slots(const void *first, const void *second)
{
    return memcmp(((const struct tree_slot *)first)->path,
                  ((const struct tree_slot *)second)->path, TREE_PATH_BYTES);
}

/* Paths that share long prefixes with each other, down to the last bit. */
static void make_paths(uint8_t pool[PATH_POOL][TREE_PATH_BYTES])
{
    int index, byte;

    for (index = 0; index < PATH_POOL; index++) {
        if (index < 4 || next_random(4) == 0) {
            for (byte = 0; byte < TREE_PATH_BYTES; byte++) {
                pool[index][byte] = (uint8_t)next_random(256);
            }
        } else {
            uint32_t bit = next_random(3) ? next_random(20) : next_random(256);

            memcpy(pool[index], pool[next_random((uint32_t)index)], TREE_PATH_BYTES);
            pool[index][bit / 8] ^= (uint8_t)(0x80u >> (bit % 8));
        }
    }
}

/* A batch of distinct paths, ascending, with what the tree holds now as the old side. */
static uint32_t make_slots(const struct state_tree *tree,
                           uint8_t pool[PATH_POOL][TREE_PATH_BYTES],
                           struct tree_slot slots[BATCH])
{
    uint32_t wanted = 1 + next_random(BATCH), deletes = next_random(4), count = 0, index, kept = 0;

    for (index = 0; index < wanted; index++) {
        struct tree_slot *slot = &slots[count++];

        memset(slot, 0, sizeof *slot);
        memcpy(slot->path, pool[next_random(PATH_POOL)], TREE_PATH_BYTES);
        slot->old_present = (uint8_t)state_tree_get(tree, slot->path, slot->old_value);
        slot->new_present = next_random(4) >= deletes;
        memcpy(slot->new_value, slot->old_value, TREE_VALUE_BYTES);
        if (!slot->old_present || next_random(3) != 0) {
            slot->new_value[next_random(TREE_VALUE_BYTES)] ^= (uint8_t)(1 + next_random(255));
        }
    }
    qsort(slots, count, sizeof *slots, compare_slots);
    for (index = 0; index < count; index++) {
        if (kept == 0 || compare_slots(&slots[kept - 1], &slots[index]) != 0) {
            slots[kept++] = slots[index];
        }
    }
    return kept;
}

struct columns {
    uint8_t paths[BATCH * TREE_PATH_BYTES], values[BATCH * TREE_VALUE_BYTES], present[BATCH];
    uint8_t old_values[BATCH * TREE_VALUE_BYTES], old_present[BATCH];
};

static void fill_columns(const struct tree_slot *slots, uint32_t count, struct columns *columns)
{
    uint32_t index;

    for (index = 0; index < count; index++) {
        memcpy(columns->paths + TREE_PATH_BYTES * index, slots[index].path, TREE_PATH_BYTES);
        memcpy(columns->values + TREE_VALUE_BYTES * index, slots[index].new_value,
               TREE_VALUE_BYTES);
        columns->present[index] = slots[index].new_present;
    }
}

static void check_content(const struct state_tree *tree, const struct tree_slot *slots,
                          uint32_t count, int is_new)
{
    uint8_t value[TREE_VALUE_BYTES];
    uint32_t index;

    for (index = 0; index < count; index++) {
        const struct tree_slot *slot = &slots[index];
        int is_present = is_new ? slot->new_present : slot->old_present;

        EXPECT(state_tree_get(tree, slot->path, value) == is_present);
        EXPECT(!is_present || memcmp(value, is_new ? slot->new_value : slot->old_value,
                                     sizeof value) == 0);
    }
}

/* A batch under memory pressure: it happens as a whole, or the tree is as it was. */
static void apply(struct state_tree *tree, const struct tree_slot *slots, uint32_t count,
                  struct columns *columns)
{
    uint8_t root[TREE_HASH_BYTES];
    size_t length = state_tree_length(tree);
    int status;

    memcpy(root, state_tree_root(tree), sizeof root);
    allocations_left = next_random(2) ? (long)next_random(10) : -1;
    status = state_tree_update(tree, count, columns->paths, columns->values, columns->present,
                               columns->old_values, columns->old_present);
    allocations_left = -1;
    if (status == STATE_TREE_NO_MEMORY) {
        count_failed++;
        EXPECT(memcmp(root, state_tree_root(tree), sizeof root) == 0);
        EXPECT(state_tree_length(tree) == length);
        check_content(tree, slots, count, 0);
        status = state_tree_update(tree, count, columns->paths, columns->values, columns->present,
                                   columns->old_values, columns->old_present);
    }
    EXPECT(status == STATE_TREE_OK);
    count_updates++;
    check_content(tree, slots, count, 1);
}

/* Undo, compare with the root before, and do it again. */
static void undo_and_redo(struct state_tree *tree, uint32_t count, struct columns *columns,
                          const uint8_t before[TREE_HASH_BYTES],
                          const uint8_t after[TREE_HASH_BYTES])
{
    uint8_t values[BATCH * TREE_VALUE_BYTES], present[BATCH];

    EXPECT(state_tree_update(tree, count, columns->paths, columns->old_values,
                             columns->old_present, values, present) == STATE_TREE_OK);
    EXPECT(memcmp(state_tree_root(tree), before, TREE_HASH_BYTES) == 0);
    EXPECT(memcmp(present, columns->present, count) == 0);
    EXPECT(state_tree_update(tree, count, columns->paths, columns->values, columns->present,
                             columns->old_values, columns->old_present) == STATE_TREE_OK);
    EXPECT(memcmp(state_tree_root(tree), after, TREE_HASH_BYTES) == 0);
}

static uint8_t *exact_copy(const uint8_t *bytes, size_t kept, size_t length)
{
    uint8_t *copy = malloc(length);

    EXPECT(copy != NULL || length == 0);
    if (kept > 0) {
        memcpy(copy, bytes, kept);
    }
    return copy;
}

/* A damaged witness in memory of its exact length, so that reading past its end is noticed. */
static uint8_t *damage(const uint8_t *proof, size_t length, size_t *damaged_length)
{
    size_t cut = next_random((uint32_t)length), index;
    uint8_t *copy;

    switch (next_random(4)) {
    case 0:
        *damaged_length = cut;
        return exact_copy(proof, cut, cut);
    case 1:
        *damaged_length = length + 4 * (1 + next_random(9));
        copy = exact_copy(proof, length, *damaged_length);
        for (index = length; index < *damaged_length; index++) {
            copy[index] = index % 4 == 0 ? (uint8_t)next_random(6) : 0;
        }
        return copy;
    case 2:
        *damaged_length = length;
        copy = exact_copy(proof, length, length);
        copy[cut] ^= (uint8_t)(1u << next_random(8));
        return copy;
    default:
        *damaged_length = length;
        copy = exact_copy(proof, length, length);
        index = cut - cut % 4;
        copy[index] = (uint8_t)((copy[index] + 1 + next_random(5)) % 6);
        return copy;
    }
}

static void check_damaged(const struct tree_slot *slots, uint32_t count, const uint8_t *proof,
                          size_t length, const uint8_t root[TREE_HASH_BYTES])
{
    uint8_t before[TREE_HASH_BYTES], after[TREE_HASH_BYTES];
    int round;

    for (round = 0; round < MUTATIONS; round++) {
        size_t damaged_length;
        uint8_t *damaged = damage(proof, length, &damaged_length);
        int is_same = damaged_length == length && memcmp(damaged, proof, length) == 0;
        int status = tree_transition(slots, count, damaged, damaged_length, before, after);

        count_mutations++;
        if (status != TREE_OK) {
            count_refused++;
        } else {
            count_accepted++;
            EXPECT(is_same || memcmp(before, root, sizeof before) != 0);
        }
        free(damaged);
    }
}

static void one_batch(struct state_tree *tree, uint8_t pool[PATH_POOL][TREE_PATH_BYTES])
{
    static struct tree_slot slots[BATCH];
    static struct columns columns;
    uint8_t root[TREE_HASH_BYTES], before[TREE_HASH_BYTES], after[TREE_HASH_BYTES];
    uint8_t may_vanish[BATCH];
    uint8_t *proof;
    size_t length;
    uint32_t count = make_slots(tree, pool, slots), index;
    int is_promised = next_random(2) != 0;

    fill_columns(slots, count, &columns);
    for (index = 0; index < count; index++) {
        may_vanish[index] = !slots[index].new_present;
    }
    memcpy(root, state_tree_root(tree), sizeof root);
    EXPECT(state_tree_prove(tree, count, columns.paths, is_promised ? may_vanish : NULL, &proof,
                            &length) == STATE_TREE_OK);
    EXPECT(tree_transition(slots, count, proof, length, before, after) == TREE_OK);
    EXPECT(memcmp(before, root, sizeof root) == 0);
    apply(tree, slots, count, &columns);
    EXPECT(memcmp(after, state_tree_root(tree), sizeof after) == 0);
    undo_and_redo(tree, count, &columns, before, after);
    check_damaged(slots, count, proof, length, root);
    state_tree_free_proof(proof);
}

int main(int argument_count, char **arguments)
{
    uint8_t pool[PATH_POOL][TREE_PATH_BYTES];
    long round, rounds;

    EXPECT(argument_count == 3);
    random_state = strtoull(arguments[1], NULL, 10) * 2 + 1;
    rounds = strtol(arguments[2], NULL, 10);
    for (round = 0; round < rounds; round++) {
        struct state_tree *tree = state_tree_new();
        int batch;

        EXPECT(tree != NULL);
        make_paths(pool);
        for (batch = 0; batch < 12; batch++) {
            one_batch(tree, pool);
        }
        state_tree_free(tree);
    }
    printf("%lu updates, %lu without memory, %lu damaged witnesses, %lu refused, %lu other roots\n",
           count_updates, count_failed, count_mutations, count_refused, count_accepted);
    return 0;
}
