/* The host operations of the machine (docs/vm.md), for guests in C.
 *
 * Operands of the wide operations: b3 reads 64 bytes at `block`, 64-aligned, and works on 32 bytes
 * at `chaining`, 32-aligned, in another 64-byte line. The others read 32 bytes at their second
 * operand and work on 32 other bytes at the first, both 32-aligned. Anything else stops the run.
 *
 * p is 2^256 - 2^32 - 977. Operands are any numbers, the lowest word first; but for copies, what
 * comes out is below p.
 */
#ifndef GUEST_EXAMPLE_HOST_H
#define GUEST_EXAMPLE_HOST_H

#include <stdint.h>

enum { B3_CHUNK_START = 1, B3_CHUNK_END = 2, B3_PARENT = 4, B3_ROOT = 8, B3_KEYED = 16 };

/* The next word of the input. Free witness: hash or check what you read. */
static inline uint32_t host_in(void)
{
    uint32_t word;
    __asm__ volatile(".insn r 0x0b, 0, 0, %0, x0, x0" : "=r"(word));
    return word;
}

/* The next answer of the signature check, 0 or 1. */
static inline uint32_t host_signature(void)
{
    uint32_t answer;
    __asm__ volatile(".insn r 0x0b, 1, 0, %0, x0, x0" : "=r"(answer));
    return answer;
}

/* chaining := compression of a full block; flags is a constant. */
#define host_b3(chaining, block, flags)                        \
    __asm__ volatile(".insn r 0x0b, 4, %2, x0, %0, %1"         \
                     :                                         \
                     : "r"(block), "r"(chaining), "i"(flags)   \
                     : "memory")

/* product := factor * product mod p. */
static inline void host_mulp(uint32_t product[8], const uint32_t factor[8])
{
    __asm__ volatile(".insn r 0x0b, 5, 0, x0, %0, %1" : : "r"(factor), "r"(product) : "memory");
}

/* square := root^2 mod p. */
static inline void host_sqrp(uint32_t square[8], const uint32_t root[8])
{
    __asm__ volatile(".insn r 0x0b, 5, 1, x0, %0, %1" : : "r"(root), "r"(square) : "memory");
}

/* sum := sum + term mod p. */
static inline void host_addp(uint32_t sum[8], const uint32_t term[8])
{
    __asm__ volatile(".insn r 0x0b, 5, 2, x0, %0, %1" : : "r"(term), "r"(sum) : "memory");
}

/* rest := rest - term mod p. */
static inline void host_subp(uint32_t rest[8], const uint32_t term[8])
{
    __asm__ volatile(".insn r 0x0b, 5, 3, x0, %0, %1" : : "r"(term), "r"(rest) : "memory");
}

/* copy := original, not reduced. */
static inline void host_copy(uint32_t copy[8], const uint32_t original[8])
{
    __asm__ volatile(".insn r 0x0b, 5, 4, x0, %0, %1" : : "r"(original), "r"(copy) : "memory");
}

/* What a guest defines: it leaves the eight words of its statement, which start.c shows. */
void guest(uint32_t statement[8]);

#endif
