/* Random program tables through both runs of the machine, for sanitizers: entries are drawn from
 * far more than what the decoder gives. Prints how many programs ran, and of how many both runs
 * ended alike: all must. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/steps.h"
#include "vm/vm.h"

enum { ENTRIES = 24, CYCLES = 300, PAGES = 3, INPUTS = 4, BASE = 0x1000, IMAGE = 0x20000 };

static uint64_t state;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static uint32_t draw_operand(void)
{
    static const uint32_t telling[] = {0, 1, 31, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                       BASE, IMAGE, IMAGE + 32, IMAGE + 64, BASE + 4, 0xFFFFFFFC};
    uint32_t kind = draw() % 4;

    if (kind == 0) {
        return BASE + 4 * (draw() % (ENTRIES + 1));
    }
    return kind < 3 ? telling[draw() % (sizeof telling / sizeof *telling)] : draw();
}

/* What the decoder gives a destination; the runs rely on its being x0 elsewhere. */
static int writes_register(uint32_t op)
{
    return (op >= OP_ADD && op <= OP_LHU) || (op >= OP_JAL && op <= OP_SIG);
}

static void draw_program(uint8_t rom[ENTRIES * VM_ENTRY_BYTES])
{
    for (int index = 0; index < ENTRIES; index++) {
        uint8_t *entry = rom + index * VM_ENTRY_BYTES;
        uint32_t imm = draw_operand();
        entry[0] = (uint8_t)(draw() % 8 == 0 ? draw() : 1 + draw() % OP_COPY);
        for (int field = 1; field < 4; field++) {
            entry[field] = (uint8_t)(draw() % 16 == 0 ? draw() : draw() % 6);
        }
        if (!writes_register(entry[0] & (VM_DUP - 1))) {
            entry[1] = 0;
        }
        memcpy(entry + 4, &imm, sizeof imm);
    }
}

static int start(vm_run *run, const uint8_t *rom, const uint32_t *words, int with_rows)
{
    static const uint8_t answers[INPUTS] = {0, 1, 1, 0};

    memset(run, 0, sizeof *run);
    run->with_rows = with_rows;
    run->pages_max = PAGES;
    run->cycles_max = CYCLES;
    run->input.words = words;
    run->input.count = INPUTS;
    run->answers = answers;
    run->answer_count = INPUTS;
    if (vm_init(run, rom, ENTRIES, BASE, BASE) != 0) {
        return -1;
    }
    return vm_load(run, IMAGE, words, INPUTS);
}

static int one_program(uint32_t *rows_room, uint32_t *wide_room)
{
    uint8_t rom[ENTRIES * VM_ENTRY_BYTES];
    uint32_t words[INPUTS] = {IMAGE, draw(), 64, draw_operand()};
    vm_run plain, traced;
    int alike;

    draw_program(rom);
    if (start(&plain, rom, words, 0) != 0 || start(&traced, rom, words, 1) != 0) {
        exit(2);
    }
    while (plain.state == VM_RUNNING) {
        vm_run_plain(&plain, 1 + draw() % 64);
    }
    while (traced.state == VM_RUNNING) {
        vm_rows rows = {rows_room, 0, 1 + draw() % 64, wide_room, 0, 1 + draw() % 4};
        vm_run_traced(&traced, &rows);
    }
    alike = plain.state == traced.state && plain.cycles == traced.cycles && plain.pc == traced.pc
            && plain.address == traced.address && plain.pages_used == traced.pages_used;
    for (int index = 0; index < 32; index++) {
        alike = alike && plain.words[index] == vm_value(traced.cells[index]);
    }
    vm_free(&plain);
    vm_free(&traced);
    return alike;
}

int main(int count, char **arguments)
{
    uint32_t *rows_room = malloc(64 * VM_ROW_WORDS * 4), *wide_room = malloc(4 * VM_WIDE_WORDS * 4);
    long programs = count > 1 ? atol(arguments[1]) : 1, alike = 0;

    state = 88172645463325252u;
    if (rows_room == NULL || wide_room == NULL) {
        return 2;
    }
    for (long index = 0; index < programs; index++) {
        alike += one_program(rows_room, wide_room);
    }
    printf("%ld %ld\n", programs, alike);
    free(rows_room);
    free(wide_room);
    return 0;
}
