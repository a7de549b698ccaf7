/* The trace tree under sanitizers: random rows in rooms of their exact size, in pieces of random
 * length. All kernels must give the same roots, and paths of watched slots must lead to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash/b3_stream.h"
#include "vm/tree.h"

enum { WATCHES = 5, ROWS_MAX = 20000, GROUPS_MAX = 4 };

static uint64_t state;

static uint32_t number(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static void fill(uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        bytes[at] = (uint8_t)number();
    }
}

struct rows {
    uint8_t *slots, *wide;
    size_t count, wide_count;
};

/* Operations 40 to 45 are wide; ends of lines are zeros. */
static struct rows random_rows(size_t count, uint32_t wide_in_16)
{
    struct rows rows = {malloc(count * TREE_SLOT_BYTES + 1), NULL, count, 0};

    rows.wide = malloc(count * TREE_WIDE_BYTES + 1);
    fill(rows.slots, count * TREE_SLOT_BYTES);
    for (size_t at = 0; at < count; at++) {
        uint8_t *slot = rows.slots + at * TREE_SLOT_BYTES;
        uint8_t *record = rows.wide + rows.wide_count * TREE_WIDE_BYTES;
        slot[0] = 1;
        if (number() % 16 >= wide_in_16) {
            continue;
        }
        slot[0] = (uint8_t)(40 + number() % 6);
        memset(slot + 32, 0, 20);
        fill(record, TREE_WIDE_BYTES);
        memcpy(record, slot, 32);
        for (int part = 1; part < 4; part++) {
            memset(record + 64 * part + 60, 0, 4);
        }
        rows.wide_count++;
    }
    return rows;
}

static void check(int holds, const char *what)
{
    if (!holds) {
        printf("%s\n", what);
        exit(1);
    }
}

/* Every piece in a room of exactly its size: a read beyond it is found. */
static enum tree_status absorb(struct trace_tree *tree, const struct rows *rows)
{
    enum tree_status status = TREE_OK;
    size_t wide_from = 0, size;

    for (size_t from = 0; from < rows->count && status == TREE_OK; from += size) {
        size_t wide = 0;
        size = 1 + number() % (number() % 2 ? 40 : 9000);
        size = size < rows->count - from ? size : rows->count - from;
        for (size_t at = from; at < from + size; at++) {
            uint8_t op = rows->slots[at * TREE_SLOT_BYTES];
            wide += op >= 40 && op <= 45;
        }
        uint8_t *slots = malloc(size * TREE_SLOT_BYTES), *records = malloc(wide * TREE_WIDE_BYTES);
        memcpy(slots, rows->slots + from * TREE_SLOT_BYTES, size * TREE_SLOT_BYTES);
        if (wide > 0) {
            memcpy(records, rows->wide + wide_from * TREE_WIDE_BYTES, wide * TREE_WIDE_BYTES);
        }
        status = trace_tree_absorb(tree, slots, size, records, wide);
        free(slots);
        free(records);
        wide_from += wide;
    }
    return status;
}

/* Each level of a path is the node that stands in the next one, and the root at the end. */
static void check_path(const struct trace_tree *tree, const struct tree_watch *watch)
{
    uint32_t slots = (uint32_t)1 << 2 * tree->depth;

    for (uint32_t level = 0; level < tree->depth; level++) {
        struct b3_stream stream;
        uint8_t digest[32];
        const uint8_t *expected = tree->roots + TREE_DIGEST_BYTES * (watch->index / slots);
        if (level + 1 < tree->depth) {
            uint32_t place = watch->index % slots >> 2 * (level + 1) & 3;
            expected = watch->path[level + 1] + TREE_DIGEST_BYTES * place;
        }
        b3_stream_start(&stream, NULL);
        b3_stream_write(&stream, watch->path[level], sizeof watch->path[level]);
        b3_stream_digest(&stream, digest);
        check(memcmp(digest, expected, TREE_DIGEST_BYTES) == 0, "a path leads elsewhere");
    }
}

static void build(const struct rows *rows, uint32_t groups, uint32_t depth, enum isa_id isa,
                  uint8_t *roots)
{
    uint32_t nonces[GROUPS_MAX] = {0}, capacity = groups << 2 * depth;
    struct tree_watch watches[WATCHES] = {{0}};
    struct trace_tree tree = {.groups = groups, .depth = depth, .digit_sum = 240,
                              .only_watched = 0, .watches = watches, .watch_count = 0,
                              .roots = roots, .nonces = nonces};

    for (uint32_t at = 0; at < WATCHES && at < capacity; at++) {
        watches[at].index = (uint32_t)((uint64_t)(capacity - 1) * at / (WATCHES - 1));
        tree.watch_count++;
    }
    if (capacity == 4) {
        tree.watch_count = 0;
    }
    check(trace_tree_init(&tree, isa) == TREE_OK, "no memory");
    check(absorb(&tree, rows) == TREE_OK, "rows are refused");
    check(trace_tree_finish(&tree) == TREE_OK, "no nonce");
    for (size_t at = 0; at < tree.watch_count; at++) {
        check_path(&tree, &watches[at]);
    }
    trace_tree_free(&tree);
}

/* Bytes that are no rows, in rooms of their exact size: any status, but no fault. */
static void nonsense(void)
{
    uint8_t roots[TREE_DIGEST_BYTES];
    uint32_t nonces[1];
    struct tree_watch none[1] = {{0}};
    struct trace_tree tree = {.groups = 1, .depth = 3, .digit_sum = 240, .watches = none,
                              .roots = roots, .nonces = nonces};
    struct rows rows = random_rows(number() % 70, 8);

    rows.slots[number() % (rows.count * TREE_SLOT_BYTES + 1)] ^= 40;
    check(trace_tree_init(&tree, isa_best()) == TREE_OK, "no memory");
    if (trace_tree_absorb(&tree, rows.slots, rows.count, rows.wide, rows.wide_count) == TREE_OK) {
        trace_tree_finish(&tree);
    }
    trace_tree_free(&tree);
    free(rows.slots);
    free(rows.wide);
}

int main(int count, char **arguments)
{
    long rounds = count > 1 ? atol(arguments[1]) : 1;

    for (long round = 0; round < rounds; round++) {
        uint8_t roots[ISA_COUNT][GROUPS_MAX * TREE_DIGEST_BYTES];
        state = (uint64_t)round;
        uint32_t depth = 1 + number() % 7, groups = 1 + number() % GROUPS_MAX;
        uint32_t capacity = groups << 2 * depth;
        uint32_t most = capacity < ROWS_MAX ? capacity : ROWS_MAX;
        struct rows rows = random_rows(number() % most, number() % 3 * 8);

        for (int isa = 0; isa < ISA_COUNT; isa++) {
            if (isa_is_available((enum isa_id)isa)) {
                build(&rows, groups, depth, (enum isa_id)isa, roots[isa]);
                check(memcmp(roots[isa], roots[0], groups * TREE_DIGEST_BYTES) == 0,
                      "two kernels give two roots");
            }
        }
        free(rows.slots);
        free(rows.wide);
        nonsense();
    }
    printf("%ld\n", rounds);
    return 0;
}
