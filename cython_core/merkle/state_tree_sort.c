/*
 * Sorting a batch by path. Three radix passes order the first 32 bits, which tell apart almost all
 * of a batch of random paths. What they leave equal is merge-sorted by the whole path, so that
 * paths chosen with long common prefixes cost n log n and not n^2.
 */
#include "merkle/state_tree_internal.h"

enum { RADIX_BITS = 11, RADIX_SIZE = 1 << RADIX_BITS, RADIX_PASSES = 3 };

static uint64_t path_prefix(const uint8_t *path)
{
    uint64_t word;

    memcpy(&word, path, sizeof word);
    return __builtin_bswap64(word);
}

/* 11, 11 and 10 bits of the upper half of the prefix, lowest first; the last pass ends in `to`. */
static void radix_sort(struct sort_entry *from, struct sort_entry *to, size_t count)
{
    uint32_t starts[RADIX_PASSES][RADIX_SIZE];
    struct sort_entry *swap;
    uint32_t pass, digit;
    size_t index;

    memset(starts, 0, sizeof starts);
    for (index = 0; index < count; index++) {
        uint32_t key = (uint32_t)(from[index].prefix >> 32);

        for (pass = 0; pass < RADIX_PASSES; pass++) {
            starts[pass][(key >> (RADIX_BITS * pass)) & (RADIX_SIZE - 1)]++;
        }
    }
    for (pass = 0; pass < RADIX_PASSES; pass++) {
        uint32_t total = 0;

        for (digit = 0; digit < RADIX_SIZE; digit++) {
            uint32_t size = starts[pass][digit];
            starts[pass][digit] = total;
            total += size;
        }
        for (index = 0; index < count; index++) {
            uint32_t key = (uint32_t)(from[index].prefix >> 32);
            to[starts[pass][(key >> (RADIX_BITS * pass)) & (RADIX_SIZE - 1)]++] = from[index];
        }
        swap = from;
        from = to;
        to = swap;
    }
}

static int compare_entries(const uint8_t *paths, const struct sort_entry *first,
                           const struct sort_entry *second)
{
    if (first->prefix != second->prefix) {
        return first->prefix < second->prefix ? -1 : 1;
    }
    return memcmp(paths + (size_t)PATH_BYTES * first->operation,
                  paths + (size_t)PATH_BYTES * second->operation, PATH_BYTES);
}

/* Bottom-up merge sort of a run; `spare` has room for as many entries. */
static void merge_sort(const uint8_t *paths, struct sort_entry *run, struct sort_entry *spare,
                       size_t count)
{
    size_t width, start;

    for (width = 1; width < count; width *= 2) {
        for (start = 0; start < count; start += 2 * width) {
            size_t middle = start + width < count ? start + width : count;
            size_t end = start + 2 * width < count ? start + 2 * width : count;
            size_t left = start, right = middle, out = start;

            while (left < middle && right < end) {
                int is_left_first = compare_entries(paths, &run[left], &run[right]) <= 0;
                spare[out++] = is_left_first ? run[left++] : run[right++];
            }
            while (left < middle) {
                spare[out++] = run[left++];
            }
            while (right < end) {
                spare[out++] = run[right++];
            }
        }
        memcpy(run, spare, count * sizeof *run);
    }
}

int sort_paths(struct update_scratch *scratch, const uint8_t *paths, size_t count)
{
    struct sort_entry *entries, *spare;
    uint32_t *order;
    size_t index, end;

    if (count > BATCH_MAX) {
        return STATE_TREE_FULL;
    }
    if (buffer_reserve(&scratch->sort_keys, 2 * count * sizeof *entries) != STATE_TREE_OK ||
        buffer_reserve(&scratch->order, count * sizeof *order) != STATE_TREE_OK) {
        return STATE_TREE_NO_MEMORY;
    }
    spare = scratch->sort_keys.bytes;
    entries = spare + count;
    for (index = 0; index < count; index++) {
        spare[index].prefix = path_prefix(paths + PATH_BYTES * index);
        spare[index].operation = (uint32_t)index;
        spare[index].unused = 0;
    }
    radix_sort(spare, entries, count);
    for (index = 0; index < count; index = end) {
        for (end = index + 1; end < count; end++) {
            if (entries[end].prefix >> 32 != entries[index].prefix >> 32) {
                break;
            }
        }
        if (end - index > 1) {
            merge_sort(paths, entries + index, spare, end - index);
        }
    }
    order = scratch->order.bytes;
    for (index = 0; index < count; index++) {
        order[index] = entries[index].operation;
        if (index > 0 && compare_entries(paths, &entries[index - 1], &entries[index]) == 0) {
            return STATE_TREE_DUPLICATE;
        }
    }
    /* The descent reads the prefixes from the front of the buffer. */
    memmove(spare, entries, count * sizeof *entries);
    return STATE_TREE_OK;
}
