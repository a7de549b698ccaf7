/* Random rows and touched words through the sorting of rows, for sanitizers: most are nonsense.
 * Prints how many rounds there were, and how often each problem was met. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/vm.h"
#include "zkvm/rows.h"

enum { ENTRIES = 8, ROWS = 40, WIDE = 4, TOUCHED = 24, BASE = 0x1000, PROBLEMS = 6 };

static uint64_t state = 1;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        exit(2);
    }
    return memory;
}

/* In a third of the rounds, what no run has. */
static void draw_row(uint32_t *row, int is_nonsense)
{
    for (int word = 0; word < VM_ROW_WORDS; word++) {
        row[word] = draw();
    }
    row[0] = draw() % 42 | draw() % 32 << 8 | draw() % 32 << 16 | draw() % 32 << 24;
    row[2] = BASE + 4 * (draw() % ENTRIES);
    if (is_nonsense && draw() % 8 == 0) {
        row[draw() % 2 * 2] = draw();
    }
}

static enum zk_problem sort_some(void)
{
    zk_sorter *sorter = zeroed(1, sizeof *sorter);
    uint32_t *rows = zeroed(ROWS * VM_ROW_WORDS, sizeof *rows);
    uint32_t *wide = zeroed(WIDE * VM_WIDE_WORDS, sizeof *wide);
    int is_nonsense = draw() % 3 == 0;
    enum zk_problem problem = ZK_FINE;

    for (int place = 0; place < 256; place++) {
        sorter->chip_of[place] = (uint8_t)(place % 128 >= 40);
        if (is_nonsense && draw() % 128 == 0) {
            sorter->chip_of[place] = (uint8_t)draw();
        }
    }
    sorter->lists[0].row_words = ZK_NARROW_WORDS;
    sorter->lists[1].row_words = ZK_WIDE_WORDS;
    sorter->rows_max = draw() % 4 == 0 ? 16 : 4 * ROWS;
    sorter->rom_base = BASE;
    sorter->rom_count = ENTRIES;
    sorter->times = zeroed(ENTRIES, sizeof *sorter->times);
    do {
        size_t count = draw() % (ROWS + 1), wide_count = 0;
        for (size_t row = 0; row < count; row++) {
            draw_row(rows + row * VM_ROW_WORDS, is_nonsense);
            wide_count += (rows[row * VM_ROW_WORDS] & 127) >= 40;
        }
        wide_count = is_nonsense ? draw() % (WIDE + 1) : wide_count;
        if (wide_count > WIDE) {
            continue;
        }
        problem = zk_sort(sorter, rows, count, wide, wide_count);
    } while (problem == ZK_FINE && draw() % 4 != 0);
    for (int chip = 0; chip < ZK_CHIPS_MAX; chip++) {
        free(sorter->lists[chip].words);
    }
    free(sorter->times);
    free(sorter);
    free(rows);
    free(wide);
    return problem;
}

static void fill_memory(uint32_t *range, uint32_t *aligned)
{
    size_t count = draw() % (TOUCHED + 1);
    uint32_t *touched = zeroed(ZK_TOUCHED_WORDS * count + 1, sizeof *touched);
    uint32_t *rows = zeroed(ZK_MEMORY_WORDS * (count + 1), sizeof *rows);
    uint32_t first = draw() >> 2, words = draw() % 8, *image;

    for (size_t word = 0; word < ZK_TOUCHED_WORDS * count; word++) {
        touched[word] = draw() % 2 ? draw() : 4 * (first + draw() % 8);
    }
    image = zeroed(ZK_FINAL_WORDS * words + 1, sizeof *image);
    zk_image_rows(touched, count, first, first + words, image);
    if (zk_memory_rows(touched, count, first, first + words, rows, range, aligned) > count + 1) {
        exit(3);
    }
    free(touched);
    free(rows);
    free(image);
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
    long met[PROBLEMS] = {0};
    uint32_t *range = zeroed(1 << 16, sizeof *range), *aligned = zeroed(1 << 16, sizeof *aligned);

    for (long round = 0; round < rounds; round++) {
        state = (uint64_t)round * 0x9E3779B97F4A7C15u + 1;
        met[sort_some()]++;
        fill_memory(range, aligned);
    }
    free(range);
    free(aligned);
    printf("%ld", rounds);
    for (int problem = 0; problem < PROBLEMS; problem++) {
        printf(" %ld", met[problem]);
    }
    printf("\n");
    return 0;
}
