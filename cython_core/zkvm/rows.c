#include "zkvm/rows.h"

#include <stdlib.h>
#include <string.h>

#include "vm/steps.h"
#include "vm/vm.h"

enum { FIRST_ROOM = 256, LIMB = 0xffff };

/* Room for one row more; NULL without memory. */
static uint32_t *next_row(zk_list *list)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : FIRST_ROOM;
        uint32_t *words = realloc(list->words, room * list->row_words * sizeof *words);
        if (words == NULL) {
            return NULL;
        }
        list->words = words;
        list->room = room;
    }
    return list->words + list->count++ * list->row_words;
}

static void touch(zk_sorter *sorter, uint32_t number, uint32_t value)
{
    if (number != 0) {
        sorter->ports[number][0] = sorter->clock;
        sorter->ports[number][1] = value;
    }
}

static enum zk_problem sort_row(zk_sorter *sorter, const uint32_t *row, const uint32_t *wide)
{
    uint32_t op = row[0] & (VM_DUP - 1), rd = row[0] >> 8 & 0xff;
    uint32_t rs1 = row[0] >> 16 & 0xff, rs2 = row[0] >> 24;
    uint32_t chip = sorter->chip_of[op | ((row[0] & VM_DUP) || rs2 != 0 ? 128 : 0)];
    uint32_t offset = row[2] - sorter->rom_base;
    zk_list *list = &sorter->lists[chip % ZK_CHIPS_MAX];
    size_t row_words = wide == NULL ? ZK_NARROW_WORDS : ZK_WIDE_WORDS;
    uint32_t *sorted;

    sorter->clock++;
    sorter->about = sorter->clock;
    if (chip >= ZK_CHIPS_MAX || list->row_words != row_words) {
        return ZK_UNACCEPTED;
    }
    if (offset % 4 != 0 || offset / 4 >= sorter->rom_count ||
        (rd | rs1 | rs2) >= ZK_REGISTERS) {
        return ZK_OUTSIDE;
    }
    sorter->times[offset / 4]++;
    if (list->count == sorter->rows_max) {
        sorter->about = chip;
        return ZK_FULL;
    }
    sorted = next_row(list);
    if (sorted == NULL) {
        return ZK_NO_MEMORY;
    }
    memcpy(sorted, row, VM_ROW_WORDS * sizeof *row);
    sorted[13] = sorter->clock;
    memcpy(sorted + 14, sorter->ports[rd], sizeof sorter->ports[rd]);
    if (wide != NULL) {
        memcpy(sorted + ZK_NARROW_WORDS, wide, VM_WIDE_WORDS * sizeof *wide);
    }
    touch(sorter, rs1, row[5]);
    touch(sorter, rs2, row[7]);
    touch(sorter, rd, row[12]);
    return ZK_FINE;
}

enum zk_problem zk_sort(zk_sorter *sorter, const uint32_t *rows, size_t count,
                        const uint32_t *wide, size_t wide_count)
{
    size_t used = 0;

    for (size_t at = 0; at < count; at++) {
        const uint32_t *row = rows + at * VM_ROW_WORDS, *record = NULL;
        uint32_t op = row[0] & (VM_DUP - 1);
        enum zk_problem problem;
        if (op >= OP_B3 && op < OP_END) {
            if (used == wide_count) {
                return ZK_CUT;
            }
            record = wide + used++ * VM_WIDE_WORDS;
        }
        problem = sort_row(sorter, row, record);
        if (problem != ZK_FINE) {
            return problem;
        }
    }
    return used == wide_count ? ZK_FINE : ZK_CUT;
}

void zk_image_rows(const uint32_t *touched, size_t count, uint32_t first, uint32_t end,
                   uint32_t *rows)
{
    for (size_t at = 0; at < count; at++, touched += ZK_TOUCHED_WORDS) {
        uint32_t address = touched[0] / 4;
        if (address >= first && address < end) {
            uint32_t *row = rows + (size_t)(address - first) * ZK_FINAL_WORDS;
            row[0] = touched[1];
            row[1] = touched[2] & LIMB;
            row[2] = touched[2] >> 16;
        }
    }
}

/* A row in use, and the facts about its address. Returns its place. */
static uint32_t *put_memory_row(uint32_t *row, uint32_t address, uint32_t *range,
                                uint32_t *aligned)
{
    row[0] = 1;
    row[4] = address & LIMB;
    row[5] = address >> 16;
    range[row[4]]++;
    aligned[4 * row[5] & LIMB]++;
    return row;
}

/* The comparison of two rows' addresses: the borrow, and the facts about the difference. */
static void compare(uint32_t *row, const uint32_t *next, uint32_t end, uint32_t *range)
{
    uint32_t low = row[1] ? end & LIMB : row[4] + 1;
    uint32_t high = row[1] ? end >> 16 : row[5];

    row[3] = next[4] < low;
    range[(next[4] - low) & LIMB]++;
    range[(next[5] - high - row[3]) & LIMB]++;
}

size_t zk_memory_rows(const uint32_t *touched, size_t count, uint32_t first, uint32_t end,
                      uint32_t *rows, uint32_t *range, uint32_t *aligned)
{
    uint32_t *row = rows;
    uint32_t is_above = 0;

    for (size_t at = 0; at <= count; at++, touched += ZK_TOUCHED_WORDS) {
        uint32_t address = at < count ? touched[0] / 4 : 0;
        if (!is_above && (at == count || address >= first)) {
            put_memory_row(row, first, range, aligned)[1] = 1;
            row += ZK_MEMORY_WORDS;
            is_above = 1;
        }
        if (at < count && (address < first || address >= end)) {
            put_memory_row(row, address, range, aligned)[2] = is_above;
            row[6] = touched[1];
            row[7] = touched[2] & LIMB;
            row[8] = touched[2] >> 16;
            row += ZK_MEMORY_WORDS;
        }
    }
    for (uint32_t *here = rows; here + ZK_MEMORY_WORDS < row; here += ZK_MEMORY_WORDS) {
        compare(here, here + ZK_MEMORY_WORDS, end, range);
    }
    return (size_t)(row - rows) / ZK_MEMORY_WORDS;
}
