/* The RV32IM machine in C: one run of a decoded program, with or without rows.
 *
 * The program table is predecoded once; everything that comes from a guest (addresses, targets,
 * operands of host operations) is checked where it is used. `machine.py` is the twin.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words of the guest lie in memory as words of the host"
#endif

enum {
    VM_ENTRY_BYTES = 8,
    VM_ROW_WORDS = 13,
    VM_WIDE_WORDS = 64,
    VM_LINE_WORDS = 8,
    VM_OUT_WORDS = 8,
    VM_PAGE_WORDS = 1024,
    VM_PAGES = 1 << 20,
    VM_DUP = 0x80,
    VM_NO_ACCESS = 1,
};

#define VM_HALTED 0xFFFFFFFFu

/* As in errors.py, from 1 on. */
enum vm_trap {
    VM_RUNNING = 0,
    VM_ILLEGAL,
    VM_MISALIGNED,
    VM_FETCH,
    VM_HOST,
    VM_INPUT,
    VM_MEMORY,
    VM_CYCLES,
    VM_DONE, /* HALT */
    VM_NO_ROOM, /* the host has no memory left */
};

/* One instruction, ready to run. Reads of register 0 give 0. */
typedef struct {
    uint8_t op;
    uint8_t rd, rs1, rs2;
    uint8_t other;     /* register of the second operand: rs1 when dup, else rs2 */
    uint8_t kept_rd;   /* rd, or VM_SINK for x0 */
    uint32_t imm;
    uint32_t addend;   /* immediate of arithmetic, else 0: b = register + addend */
    uint32_t target;   /* index of the instruction at imm, or that of the end of the table */
    uint64_t entry;    /* the eight bytes of the program table */
} vm_step;

enum { VM_SINK = 32 };

/* A register or word in a run with rows: its value over the clock of its last access. Always read
 * and written whole: a load that needs two earlier stores would wait for both. */
typedef uint64_t vm_cell;

static inline vm_cell vm_cell_of(uint32_t clock, uint32_t value)
{
    return (uint64_t)value << 32 | clock;
}

static inline uint32_t vm_value(vm_cell cell)
{
    return (uint32_t)(cell >> 32);
}

typedef struct {
    const uint32_t *words;
    size_t count;
    size_t next;
} vm_stream;

typedef struct {
    vm_step *steps; /* count of them, and the end */
    uint32_t count;
    uint32_t base;
    int with_rows;
    void **pages; /* VM_PAGES pointers to pages of words, or of cells in a run with rows */
    uint32_t *touched; /* indices of the pages_used pages */
    uint32_t pages_used, pages_max;
    uint64_t cycles, cycles_max;
    uint32_t pc, last_pc;
    enum vm_trap state;
    uint32_t address; /* what a trap is about */
    uint32_t words[33];
    vm_cell cells[33];
    vm_stream input;
    const uint8_t *answers;
    size_t answer_count, answer_next;
    uint32_t out[VM_OUT_WORDS];
    uint64_t out_count[VM_OUT_WORDS];
} vm_run;

/* Room for rows: slots of 13 words, and 64 words for each wide one. */
typedef struct {
    uint32_t *rows;
    size_t row_count, row_max;
    uint32_t *wide;
    size_t wide_count, wide_max;
} vm_rows;

/* `rom` is the encoded program table; returns 0, or -1 when there is no memory. vm_free afterwards
 * in both cases. `run` is zeroed by the caller, with its limits and streams filled in. */
int vm_init(vm_run *run, const uint8_t *rom, uint32_t count, uint32_t base, uint32_t entry);
void vm_free(vm_run *run);

/* Places the image before the first step. Returns 0, or -1 with the trap in `run`. */
int vm_load(vm_run *run, uint32_t address, const uint32_t *words, size_t count);

/* Runs until a trap, HALT, or at least `cycles` more cycles. */
void vm_run_plain(vm_run *run, uint64_t cycles);

/* Runs until a trap, HALT, or one of the two rooms is full. */
void vm_run_traced(vm_run *run, vm_rows *rows);

/* The page of an address, made on first touch; NULL with the trap in `run`. */
void *vm_touch(vm_run *run, uint32_t address);

/* In a run with rows: each word that a step touched, as byte address, clock and value, addresses
 * ascending. Returns how many; `words` may be NULL, or has room for three times as many. */
size_t vm_touched(const vm_run *run, uint32_t *words);

/* Whether a wide operation has a step; if not, the trap is in `run`. */
int vm_is_placed(vm_run *run, uint32_t op, uint32_t v1, uint32_t v2);

/* [out] := the operation on the message and the accumulator, all in words. */
void vm_compress(const uint32_t chaining[8], const uint32_t message[16], uint32_t flags,
                 uint32_t out[8]);
void vm_multiply(const uint32_t left[8], const uint32_t right[8], uint32_t out[8]);
/* MULP, SQRP, ADDP, SUBP or COPY; out may be one of the others. */
void vm_combine(uint32_t op, const uint32_t operand[8], const uint32_t accumulator[8],
                uint32_t out[8]);

/* The next answer of IN (op 35) or SIG; returns 0, or -1 with the trap in `run`. */
int vm_answer(vm_run *run, uint32_t op, uint32_t *word);
void vm_show(vm_run *run, uint32_t place, uint32_t word);

/* The index of the instruction at `address`, or that of the end of the table. */
static inline uint32_t vm_index(const vm_run *run, uint32_t address)
{
    uint32_t offset = address - run->base;
    return offset % 4 == 0 && offset / 4 < run->count ? offset / 4 : run->count;
}

static inline int vm_stop(vm_run *run, enum vm_trap trap, uint32_t address)
{
    run->state = trap;
    run->address = address;
    return -1;
}

#endif
