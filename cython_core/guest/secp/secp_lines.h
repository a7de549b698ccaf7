/* Numbers of 256 bits and what the machine does with them in one step (docs/vm.md): a line is eight
 * words, the lowest first. Results are modulo p = 2^256 - 2^32 - 977 and below p, but for copies.
 * The first operand and the second are always different lines.
 *
 * Outside of the machine the same five functions and the input come from portable.c.
 */
#ifndef GUEST_SECP_LINES_H
#define GUEST_SECP_LINES_H

#include <stdint.h>

typedef struct {
    _Alignas(32) uint32_t words[8];
} secp_line;

#define SECP_INLINE static inline __attribute__((always_inline))

#ifdef __riscv

#define SECP_STEP(which, to, by) \
    __asm__ volatile(".insn r 0x0b, 5, " #which ", x0, %0, %1" : : "r"(by), "r"(to) : "memory")

SECP_INLINE void secp_multiply(secp_line *to, const secp_line *by)
{
    SECP_STEP(0, to, by);
}

SECP_INLINE void secp_square(secp_line *to, const secp_line *of)
{
    SECP_STEP(1, to, of);
}

SECP_INLINE void secp_add(secp_line *to, const secp_line *term)
{
    SECP_STEP(2, to, term);
}

SECP_INLINE void secp_subtract(secp_line *to, const secp_line *term)
{
    SECP_STEP(3, to, term);
}

SECP_INLINE void secp_copy(secp_line *to, const secp_line *from)
{
    SECP_STEP(4, to, from);
}

SECP_INLINE uint32_t secp_input(void)
{
    uint32_t word;
    __asm__ volatile(".insn r 0x0b, 0, 0, %0, x0, x0" : "=r"(word));
    return word;
}

/* Ends the run without a trace: there is no proof of a run with false hints. */
SECP_INLINE _Noreturn void secp_stop(void)
{
    __asm__ volatile("ebreak");
    __builtin_unreachable();
}

/* Keeps the compiler from computing an address or a constant anew at each use. */
#define SECP_KEEP(value) __asm__("" : "+r"(value))

#else

void secp_multiply(secp_line *to, const secp_line *by);
void secp_square(secp_line *to, const secp_line *of);
void secp_add(secp_line *to, const secp_line *term);
void secp_subtract(secp_line *to, const secp_line *term);
void secp_copy(secp_line *to, const secp_line *from);
uint32_t secp_input(void);
_Noreturn void secp_stop(void);

#define SECP_KEEP(value) ((void)(value))

#endif

/* Written by tables.py, which says what they are. */
enum secp_constant {
    SECP_ONE,
    SECP_SEVEN,
    SECP_MINUS_ONE,
    SECP_THREE_HALVES,
    SECP_BETA,
    SECP_BETA_SQUARED,
    SECP_TRIPLING,
    SECP_PI_0,
    SECP_PI_1,
    SECP_PI_REST,
    SECP_LIFT,
    SECP_FACTOR_0,
    SECP_FACTOR_1,
    SECP_KEY_0,
    SECP_KEY_1,
    SECP_BASE_0,
    SECP_BASE_1,
    SECP_START_X,
    SECP_START_Y,
    SECP_CONSTANT_COUNT
};

extern const secp_line SECP_CONSTANTS[SECP_CONSTANT_COUNT];

enum { SECP_TABLE_DIGITS = 256 };

/* x and y of d B + Q, first for B = G, then for B = 2^64 G (tables.py). */
extern const secp_line SECP_TABLE[2 * SECP_TABLE_DIGITS * 2];

#endif
