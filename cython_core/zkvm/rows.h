/* Rows of a run, sorted by the chip that has a table for them, and what the other tables need to
 * know of the run (zkvm/_rows.pyx).
 *
 * A sorted row is what the filling of a chip reads (row_chip.At): words 0 to 12 as the executor
 * writes them, then clock, and the port of rd before the row (clock and value; zero for x0). For a
 * chip of wide rows the 64 words of the wide record follow.
 */
#ifndef ZKVM_ROWS_H
#define ZKVM_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum {
    ZK_NARROW_WORDS = 16,
    ZK_WIDE_WORDS = 80,
    ZK_CHIPS_MAX = 64,
    ZK_NO_CHIP = 0xff,
    ZK_REGISTERS = 32,
    ZK_FINAL_WORDS = 3,
    ZK_MEMORY_WORDS = 9,
    ZK_TOUCHED_WORDS = 3,
};

enum zk_problem {
    ZK_FINE = 0,
    ZK_NO_MEMORY,
    ZK_FULL,       /* a chip has more rows than a table */
    ZK_UNACCEPTED, /* no chip takes the operation */
    ZK_OUTSIDE,    /* pc is not in the program table */
    ZK_CUT,        /* wide records and rows do not fit together */
};

typedef struct {
    uint32_t *words;
    size_t count, room, row_words;
} zk_list;

typedef struct {
    /* By operation, and 128 more when the program gives a second register. */
    uint8_t chip_of[256];
    zk_list lists[ZK_CHIPS_MAX];
    size_t rows_max;
    uint32_t rom_base, rom_count;
    uint32_t *times; /* of each instruction: how often it was executed */
    uint32_t clock;  /* rows so far */
    uint32_t ports[ZK_REGISTERS][2];
    uint32_t about; /* the chip or row that a problem is about */
} zk_sorter;

/* Takes the next rows of the run. After a problem the sorter is of no use. */
enum zk_problem zk_sort(zk_sorter *sorter, const uint32_t *rows, size_t count,
                        const uint32_t *wide, size_t wide_count);

/* `touched`: byte address, clock and value of words, addresses ascending. Addresses of words: the
 * image's first and the one behind its last. */

/* Clock and limbs of each word of the image at the end; `rows` holds the first state. */
void zk_image_rows(const uint32_t *touched, size_t count, uint32_t first, uint32_t end,
                   uint32_t *rows);

/* The rows in use of the table "memory", and the facts that they ask for. Returns how many. `rows`
 * has room for count + 1. */
size_t zk_memory_rows(const uint32_t *touched, size_t count, uint32_t first, uint32_t end,
                      uint32_t *rows, uint32_t *range, uint32_t *aligned);

#endif
