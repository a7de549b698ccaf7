/* Start-up code that runs the transition program under Linux user emulation of RV32: the witness
 * is linked in, the five digests are written to standard output as bytes, the exit code is the
 * error. */
#include "transition_room.h"

enum { SYSTEM_WRITE = 64, SYSTEM_EXIT = 93 };

__asm__(".section .rodata\n.balign 4\n"
        "witness_start:\n.incbin \"" WITNESS "\"\nwitness_end:\n.text\n");
extern const uint8_t witness_start[], witness_end[];

void *memcpy(void *to, const void *from, size_t length)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    while (length-- != 0) {
        *target++ = *source++;
        __asm__ volatile("" ::: "memory"); /* or GCC makes a call to memcpy of this loop */
    }
    return to;
}

void *memset(void *to, int value, size_t length)
{
    uint8_t *target = to;
    while (length-- != 0) {
        *target++ = (uint8_t)value;
        __asm__ volatile("" ::: "memory");
    }
    return to;
}

static long system_call(long number, long first, long second, long third)
{
    register long a0 __asm__("a0") = first;
    register long a1 __asm__("a1") = second;
    register long a2 __asm__("a2") = third;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

void _start(void)
{
    static struct transition_result result;
    int error = run_witness(witness_start, (size_t)(witness_end - witness_start), &result);
    system_call(SYSTEM_WRITE, 1, (long)&result, sizeof result);
    system_call(SYSTEM_EXIT, error, 0, 0);
    for (;;) {
    }
}
