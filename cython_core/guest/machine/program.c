/* The ledger as a program of the machine: start, the transition program, its statement, the end.
 *
 * One translation unit, so that the compiler sees through every call. The only end is a straight
 * line of OUT 0 to 7 and HALT (trace.md 1.4); a witness that the program refuses ends at a word
 * that is no instruction, and such a run has no trace.
 */
#include "../blake3.c"
#include "../ledger.c"
#include "../outputs.c"
#include "../records.c"
#include "../sha256.c"
#include "../sha256_compress.c"
#include "../sha256_guest.c"
#include "../state.c"
#include "../statement.c"
#include "../steady.c"
#include "../transaction.c"
#include "../transition.c"
#include "../tree.c"

__asm__(".section .text.start\n"
        ".globl _start\n"
        "_start:\n"
        "    la sp, stack_top\n"
        "    addi sp, sp, -32\n"
        "    mv a0, sp\n"
        "    call guest\n"
        "    lw a0, 0(sp)\n"
        "    lw a1, 4(sp)\n"
        "    lw a2, 8(sp)\n"
        "    lw a3, 12(sp)\n"
        "    lw a4, 16(sp)\n"
        "    lw a5, 20(sp)\n"
        "    lw a6, 24(sp)\n"
        "    lw a7, 28(sp)\n"
        "    .insn r 0x0b, 2, 0, x0, a0, x0\n"
        "    .insn r 0x0b, 2, 1, x0, a1, x0\n"
        "    .insn r 0x0b, 2, 2, x0, a2, x0\n"
        "    .insn r 0x0b, 2, 3, x0, a3, x0\n"
        "    .insn r 0x0b, 2, 4, x0, a4, x0\n"
        "    .insn r 0x0b, 2, 5, x0, a5, x0\n"
        "    .insn r 0x0b, 2, 6, x0, a6, x0\n"
        "    .insn r 0x0b, 2, 7, x0, a7, x0\n"
        "    .insn r 0x0b, 3, 0, x0, x0, x0\n"
        ".text\n");

/* guest.ld places them; memory is there when it is touched. */
extern struct leaf_room witness_leaves[];
extern blake3_word witness_words[];

enum { LEAVES_MAX = 0x3e000000 / sizeof(struct leaf_room), WORDS_MAX = 1 << 26 };

static struct transition_room room;

void guest(uint32_t statement[8]);

__attribute__((used)) void guest(uint32_t statement[8])
{
    struct transition_result result;

    room.leaves = witness_leaves;
    room.words = witness_words;
    room.capacity = LEAVES_MAX;
    room.word_capacity = WORDS_MAX;
    if (transition(NULL, &room, &result) != LEDGER_OK) {
        __asm__ volatile(".word 0");
        __builtin_unreachable();
    }
    hash_copy(statement, (const blake3_word *)result.statement);
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t length)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    while (length-- != 0) {
        *target++ = *source++;
        __asm__ volatile("" ::: "memory"); /* or GCC makes a call to memcpy of this loop */
    }
    return to;
}

__attribute__((used)) void *memset(void *to, int value, size_t length)
{
    uint8_t *target = to;
    while (length-- != 0) {
        *target++ = (uint8_t)value;
        __asm__ volatile("" ::: "memory");
    }
    return to;
}
