/* The run without rows: as fast as the guest's instructions allow.
 *
 * Cycles are counted where control moves, not at each step: a stretch without a taken jump is at
 * most as long as the program. Close to the limit `vm_run_plain` goes step by step instead.
 */
#include "vm/steps.h"
#include "vm/vm.h"

#define PAGE(address) pages[(address) / (4 * VM_PAGE_WORDS)]
#define WORD(page, address) ((uint32_t *)(page))[(address) / 4 % VM_PAGE_WORDS]
#define DISPATCH goto *labels[step->op]
#define NEXT          \
    do {              \
        step++;       \
        if (single) { \
            goto out; \
        }             \
        DISPATCH;     \
    } while (0)
#define JUMP(index)                               \
    do {                                          \
        run->cycles += (uint64_t)(step - start) + 1; \
        from = step;                              \
        step = start = run->steps + (index);      \
        if (single || run->cycles >= stop) {      \
            goto moved;                           \
        }                                         \
        DISPATCH;                                 \
    } while (0)
#define STOP(trap, about)             \
    do {                              \
        vm_stop(run, (trap), (about)); \
        goto out;                     \
    } while (0)
#define OPERANDS                                              \
    uint32_t a = words[step->rs1];                            \
    uint32_t b = words[step->other] + step->addend
#define ARITHMETIC(NAME, expression)            \
    NAME:                                       \
    {                                           \
        OPERANDS;                               \
        words[step->kept_rd] = (expression);    \
        NEXT;                                   \
    }
#define ADDRESS(width)                                          \
    uint32_t address = words[step->rs1] + step->imm;            \
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
    }
#define LOAD(NAME, width, expression)           \
    NAME:                                       \
    {                                           \
        ADDRESS(width)                          \
        uint32_t word = WORD(page, address);    \
        words[step->kept_rd] = (expression);    \
        NEXT;                                   \
    }
#define STORE(NAME, width, expression)          \
    NAME:                                       \
    {                                           \
        ADDRESS(width)                          \
        uint32_t b = words[step->other];        \
        uint32_t word = WORD(page, address);    \
        (void)word;                             \
        WORD(page, address) = (expression);     \
        NEXT;                                   \
    }
#define BRANCH(NAME, condition)     \
    NAME:                           \
    {                               \
        OPERANDS;                   \
        if (condition) {            \
            JUMP(step->target);     \
        }                           \
        NEXT;                       \
    }

/* A wide operation; returns 0, or -1 with the trap in `run`. */
static int wide_step(vm_run *run, const vm_step *step)
{
    uint32_t v1 = run->words[step->rs1], v2 = run->words[step->rs2];
    uint32_t *message, *accumulator;

    if (!vm_is_placed(run, step->op, v1, v2)) {
        return -1;
    }
    message = vm_touch(run, v1);
    accumulator = message == NULL ? NULL : vm_touch(run, v2);
    if (accumulator == NULL) {
        return -1;
    }
    message += v1 / 4 % VM_PAGE_WORDS;
    accumulator += v2 / 4 % VM_PAGE_WORDS;
    if (step->op == OP_B3) {
        vm_compress(accumulator, message, step->imm, accumulator);
    } else {
        vm_combine(step->op, message, accumulator, accumulator);
    }
    return 0;
}

/* Where the machine is at `step`: the end of the table stands for any address without one. */
static void settle(vm_run *run, const vm_step *step, const vm_step *start, const vm_step *from,
                   uint32_t target)
{
    const vm_step *last = step == start ? from : step - 1;

    run->cycles += (uint64_t)(step - start);
    if (last != NULL) {
        run->last_pc = run->base + 4 * (uint32_t)(last - run->steps);
    }
    run->pc = run->base + 4 * (uint32_t)(step - run->steps);
    if (step->op == OP_END && step == start && from != NULL) {
        run->pc = from->op == OP_JALR ? target : from->imm;
    }
    if (run->state == VM_FETCH) {
        run->address = run->last_pc;
    } else if (run->state == VM_DONE) {
        run->last_pc = run->pc;
        run->pc = VM_HALTED;
    }
}

/* Runs to a trap, HALT or, at a jump, `stop` cycles; one step only when `single`. */
static void interpret(vm_run *run, uint64_t stop, int single)
{
    static const void *const labels[] = VM_LABELS;
    const vm_step *step = run->steps + vm_index(run, run->pc);
    const vm_step *start = step, *from = NULL;
    uint32_t *words = run->words;
    void **const pages = run->pages;
    uint32_t target = 0;

    DISPATCH;
    VM_ARITHMETIC(ARITHMETIC)
    VM_LOADS(LOAD)
    VM_STORES(STORE)
    VM_BRANCHES(BRANCH)
JAL:
    words[step->kept_rd] = run->base + 4 * (uint32_t)(step - run->steps) + 4;
    JUMP(step->target);
JALR:
    target = (words[step->rs1] + step->imm) & ~1u;
    words[step->kept_rd] = run->base + 4 * (uint32_t)(step - run->steps) + 4;
    JUMP(vm_index(run, target));
IN:
SIG:
    if (vm_answer(run, step->op, &words[step->kept_rd]) != 0) {
        goto out;
    }
    NEXT;
OUT:
    vm_show(run, step->imm, words[step->rs1]);
    NEXT;
B3: MULP: SQRP: ADDP: SUBP: COPY:
    if (wide_step(run, step) != 0) {
        goto out;
    }
    NEXT;
HALT:
    run->state = VM_DONE;
    run->cycles++;
    goto out;
ILL:
    STOP(VM_ILLEGAL, 0);
END:
    STOP(VM_FETCH, 0);
moved:
    if (step->op == OP_END && run->cycles < run->cycles_max) {
        STOP(VM_FETCH, 0);
    }
out:
    settle(run, step, start, from, target);
}

void vm_run_plain(vm_run *run, uint64_t cycles)
{
    uint64_t margin = (uint64_t)run->count + 1;
    uint64_t fast = run->cycles_max > margin ? run->cycles_max - margin : 0;
    uint64_t stop = run->cycles + cycles;

    while (run->state == VM_RUNNING && run->cycles < stop) {
        if (run->cycles < fast) {
            interpret(run, stop < fast ? stop : fast, 0);
        } else if (run->cycles < run->cycles_max) {
            interpret(run, run->cycles + 1, 1);
        } else {
            vm_stop(run, VM_CYCLES, 0);
        }
    }
}
