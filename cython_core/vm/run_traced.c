/* The run with rows: each step writes its record (trace.md 1.2, 1.3).
 *
 * A register is one 64-bit word of clock and value, in the order of the record, so that a port is
 * one load and one store. Register 0 is put back to (0, 0) after each step; then a destination x0
 * needs no case of its own, and the record takes wv from the register after the step.
 */
#include <string.h>

#include "vm/steps.h"
#include "vm/vm.h"

#define PAGE(address) pages[(address) / (4 * VM_PAGE_WORDS)]
#define CELL(page, address) (&((vm_cell *)(page))[(address) / 4 % VM_PAGE_WORDS])
/* Writes the row of `step`, touches its sources, sets rd and goes on. */
#define ROW(next_pc, port, value)                                        \
    do {                                                                 \
        uint32_t row_npc = (next_pc);                                    \
        write_row(row, step, pc, row_npc, cells, clock);                 \
        finish_row(row, cells, step->rd, clock, (value), (port));        \
        row += VM_ROW_WORDS;                                             \
        clock++;                                                         \
        pc = row_npc;                                                    \
    } while (0)
#define DISPATCH                     \
    do {                             \
        if (row == row_end) {        \
            goto out;                \
        }                            \
        goto *labels[step->op];      \
    } while (0)
#define NEXT      \
    do {          \
        step++;   \
        DISPATCH; \
    } while (0)
#define JUMP(index)                   \
    do {                              \
        step = steps + (index);       \
        DISPATCH;                     \
    } while (0)
#define STOP(trap, about)              \
    do {                               \
        vm_stop(run, (trap), (about)); \
        goto out;                      \
    } while (0)
#define OPERANDS                                      \
    uint32_t a = vm_value(cells[step->rs1]);              \
    uint32_t b = vm_value(cells[step->other]) + step->addend
#define ARITHMETIC(NAME, expression)                  \
    NAME:                                             \
    {                                                 \
        OPERANDS;                                     \
        ROW(pc + 4, NO_PORTS, (expression));          \
        NEXT;                                         \
    }
#define ADDRESS(width)                                          \
    uint32_t address = vm_value(cells[step->rs1]) + step->imm;      \
    uint32_t place = address % 4 * 8;                           \
    void *page;                                                 \
    (void)place;                                                \
    if (address % (width) != 0) {                               \
        STOP(VM_MISALIGNED, address);                           \
    }                                                           \
    page = PAGE(address);                                       \
    if (__builtin_expect(page == NULL, 0)) {                    \
        page = vm_touch(run, address & ~3u);                    \
        if (page == NULL) {                                     \
            goto out;                                           \
        }                                                       \
    }                                                           \
    vm_cell *cell = CELL(page, address);                        \
    uint32_t word = vm_value(*cell), before = (uint32_t)*cell
#define LOAD(NAME, width, expression)                           \
    NAME:                                                       \
    {                                                           \
        ADDRESS(width);                                         \
        *cell = vm_cell_of(clock, word);                                    \
        ports port = {PAIR(before, address & ~3u), PAIR(word, word)}; \
        ROW(pc + 4, port, (expression));                        \
        NEXT;                                                   \
    }
#define STORE(NAME, width, expression)                          \
    NAME:                                                       \
    {                                                           \
        ADDRESS(width);                                         \
        uint32_t b = vm_value(cells[step->other]);                  \
        uint32_t after = (expression);                          \
        *cell = vm_cell_of(clock, after);                       \
        ports port = {PAIR(before, address & ~3u), PAIR(word, after)}; \
        ROW(pc + 4, port, 0);                                   \
        NEXT;                                                   \
    }
#define BRANCH(NAME, condition)                 \
    NAME:                                       \
    {                                           \
        OPERANDS;                               \
        if (condition) {                        \
            ROW(step->imm, NO_PORTS, 0);        \
            JUMP(step->target);                 \
        }                                       \
        ROW(pc + 4, NO_PORTS, 0);               \
        NEXT;                                   \
    }

/* The memory port of a row, two words at a time. */
typedef struct {
    uint64_t access, words;
} ports;

#define PAIR(low, high) ((uint64_t)(high) << 32 | (low))
#define NO_PORTS ((ports){PAIR(0, VM_NO_ACCESS), 0})

/* Words 0 to 7, which narrow rows and heads of wide rows share; then the sources are touched. */
static inline void write_row(uint32_t *row, const vm_step *step, uint32_t pc, uint32_t npc,
                             vm_cell *cells, uint32_t clock)
{
    memcpy(row, &step->entry, 8);
    uint64_t control = PAIR(pc, npc);
    memcpy(row + 2, &control, 8);
    vm_cell first = cells[step->rs1], second = cells[step->rs2];
    memcpy(row + 4, &first, 8);
    memcpy(row + 6, &second, 8);
    cells[step->rs1] = vm_cell_of(clock, vm_value(first));
    cells[step->rs2] = vm_cell_of(clock, vm_value(second));
}

static inline void finish_row(uint32_t *row, vm_cell *cells, uint32_t rd, uint32_t clock,
                              uint32_t value, ports port)
{
    cells[rd] = vm_cell_of(clock, value);
    cells[0] = 0;
    memcpy(row + 8, &port.access, 8);
    memcpy(row + 10, &port.words, 8);
    row[12] = vm_value(cells[rd]);
}

/* One line of a wide record: base, words, clocks of 24 bits; the words are touched. */
static void write_line(uint32_t *part, uint32_t base, vm_cell *line, uint32_t clock)
{
    uint8_t *clocks = (uint8_t *)(part + 1 + VM_LINE_WORDS);

    part[0] = base;
    for (int index = 0; index < VM_LINE_WORDS; index++) {
        part[1 + index] = vm_value(line[index]);
        memcpy(clocks + 3 * index, &line[index], 3);
        line[index] = vm_cell_of(clock, part[1 + index]);
    }
    part[15] = 0;
}

/* B3 and MULP: lines and result into `record`; returns 0, or -1 with the trap in `run`. */
static int wide_step(vm_run *run, const vm_step *step, uint32_t *record, uint32_t clock)
{
    uint32_t v1 = vm_value(run->cells[step->rs1]), v2 = vm_value(run->cells[step->rs2]);
    uint32_t message[16];
    uint32_t *out = record + 8, *a = record + 16, *b = record + 32, *c = record + 48;
    void *sources, *target;

    if (!vm_is_placed(run, step->op, v1, v2)) {
        return -1;
    }
    sources = vm_touch(run, v1);
    target = sources == NULL ? NULL : vm_touch(run, v2);
    if (target == NULL) {
        return -1;
    }
    write_line(a, v1, CELL(sources, v1), clock);
    if (step->op == OP_B3) {
        write_line(b, v1 + 4 * VM_LINE_WORDS, CELL(sources, v1 + 4 * VM_LINE_WORDS), clock);
    } else {
        memset(b, 0, 64);
        b[0] = VM_NO_ACCESS;
    }
    write_line(c, v2, CELL(target, v2), clock);
    memcpy(message, a + 1, 32);
    memcpy(message + 8, b + 1, 32);
    if (step->op == OP_B3) {
        vm_compress(c + 1, message, step->imm, out);
    } else {
        vm_combine(step->op, message, c + 1, out);
    }
    for (int index = 0; index < VM_LINE_WORDS; index++) {
        CELL(target, v2)[index] = vm_cell_of(clock, out[index]);
    }
    return 0;
}

void vm_run_traced(vm_run *run, vm_rows *rows)
{
    static const void *const labels[] = VM_LABELS;
    vm_cell *cells = run->cells;
    void **const pages = run->pages;
    const vm_step *const steps = run->steps;
    uint64_t left = run->cycles_max - run->cycles;
    size_t room = rows->row_max - rows->row_count;
    uint32_t *row = rows->rows + rows->row_count * VM_ROW_WORDS;
    uint32_t *const row_end = row + (left < room ? left : room) * VM_ROW_WORDS;
    uint32_t clock = (uint32_t)run->cycles + 1, pc = run->pc, target, answer, last = run->last_pc;
    const vm_step *step = steps + vm_index(run, pc);

    DISPATCH;
    VM_ARITHMETIC(ARITHMETIC)
    VM_LOADS(LOAD)
    VM_STORES(STORE)
    VM_BRANCHES(BRANCH)
JAL:
    ROW(step->imm, NO_PORTS, pc + 4);
    JUMP(step->target);
JALR:
    target = (vm_value(cells[step->rs1]) + step->imm) & ~1u;
    ROW(target, NO_PORTS, pc + 4);
    JUMP(vm_index(run, target));
IN:
SIG:
    if (vm_answer(run, step->op, &answer) != 0) {
        goto out;
    }
    ROW(pc + 4, NO_PORTS, answer);
    NEXT;
OUT:
    vm_show(run, step->imm, vm_value(cells[step->rs1]));
    ROW(pc + 4, NO_PORTS, 0);
    NEXT;
B3: MULP: SQRP: ADDP: SUBP: COPY:
    if (rows->wide_count == rows->wide_max) {
        goto out;
    }
    uint32_t *record = rows->wide + rows->wide_count * VM_WIDE_WORDS;
    if (wide_step(run, step, record, clock) != 0) {
        goto out;
    }
    rows->wide_count++;
    ROW(pc + 4, ((ports){0, 0}), 0);
    memcpy(record, row - VM_ROW_WORDS, 32);
    NEXT;
HALT:
    ROW(VM_HALTED, NO_PORTS, 0);
    run->state = VM_DONE;
    goto out;
ILL:
    STOP(VM_ILLEGAL, 0);
END:
    STOP(VM_FETCH, 0);
out:
    if (row != rows->rows + rows->row_count * VM_ROW_WORDS) {
        last = (row - VM_ROW_WORDS)[2];
        rows->row_count = (size_t)(row - rows->rows) / VM_ROW_WORDS;
    }
    run->last_pc = last;
    run->pc = pc;
    run->cycles = clock - 1;
    if (run->state == VM_FETCH) {
        run->address = last;
    } else if (run->state == VM_RUNNING && run->cycles >= run->cycles_max) {
        vm_stop(run, VM_CYCLES, 0);
    }
}
