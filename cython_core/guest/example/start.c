/* Start and end of a guest: a stack, the guest, its statement, HALT.
 *
 * Memory is zero before the first step, so nothing is cleared here. The statement is shown by one
 * straight line of OUT 0 to 7: each word exactly once, whatever the guest did before.
 */
#include "host.h"

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

void *memcpy(void *to, const void *from, __SIZE_TYPE__ length)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    while (length-- != 0) {
        *target++ = *source++;
        __asm__ volatile("" ::: "memory"); /* or GCC makes a call to memcpy of this loop */
    }
    return to;
}

void *memset(void *to, int value, __SIZE_TYPE__ length)
{
    unsigned char *target = to;
    while (length-- != 0) {
        *target++ = (unsigned char)value;
        __asm__ volatile("" ::: "memory");
    }
    return to;
}
