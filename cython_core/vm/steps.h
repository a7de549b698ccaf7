/* What each operation computes, for both runs. X(NAME, expression): a and b are the operands,
 * `word` the aligned word of an access and `place` its bit offset. The numbers are those of
 * operations.py. */
#ifndef VM_STEPS_H
#define VM_STEPS_H

#include <stdint.h>

enum vm_op {
    OP_ILL, OP_ADD, OP_SUB, OP_SLT, OP_SLTU, OP_XOR, OP_OR, OP_AND, OP_SLL, OP_SRL, OP_SRA,
    OP_MUL, OP_MULH, OP_MULHSU, OP_MULHU, OP_DIV, OP_DIVU, OP_REM, OP_REMU,
    OP_LB, OP_LH, OP_LW, OP_LBU, OP_LHU, OP_SB, OP_SH, OP_SW,
    OP_BEQ, OP_BNE, OP_BLT, OP_BGE, OP_BLTU, OP_BGEU, OP_JAL, OP_JALR,
    OP_IN, OP_SIG, OP_OUT, OP_HALT, OP_PAD, OP_B3, OP_MULP,
    OP_SQRP, OP_ADDP, OP_SUBP, OP_COPY, OP_END
};

#define VM_ARITHMETIC(X)                                                   \
    X(ADD, a + b)                                                          \
    X(SUB, a - b)                                                          \
    X(SLT, (uint32_t)((int32_t)a < (int32_t)b))                            \
    X(SLTU, (uint32_t)(a < b))                                             \
    X(XOR, a ^ b)                                                          \
    X(OR, a | b)                                                           \
    X(AND, a & b)                                                          \
    X(SLL, a << (b & 31))                                                  \
    X(SRL, a >> (b & 31))                                                  \
    X(SRA, (uint32_t)((int32_t)a >> (b & 31)))                             \
    X(MUL, a * b)                                                          \
    X(MULH, (uint32_t)((uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32)) \
    X(MULHSU, (uint32_t)((uint64_t)((int64_t)(int32_t)a * (int64_t)b) >> 32)) \
    X(MULHU, (uint32_t)((uint64_t)a * b >> 32))                            \
    X(DIV, vm_divide(a, b))                                                \
    X(DIVU, b ? a / b : 0xFFFFFFFFu)                                       \
    X(REM, vm_remainder(a, b))                                             \
    X(REMU, b ? a % b : a)

#define VM_LOADS(X)                                     \
    X(LB, 1, (uint32_t)(int32_t)(int8_t)(word >> place))   \
    X(LH, 2, (uint32_t)(int32_t)(int16_t)(word >> place))  \
    X(LW, 4, word)                                      \
    X(LBU, 1, (uint32_t)(uint8_t)(word >> place))       \
    X(LHU, 2, (uint32_t)(uint16_t)(word >> place))

#define VM_STORES(X)                                                        \
    X(SB, 1, (word & ~(0xFFu << place)) | (b & 0xFFu) << place)             \
    X(SH, 2, (word & ~(0xFFFFu << place)) | (b & 0xFFFFu) << place)         \
    X(SW, 4, b)

#define VM_BRANCHES(X)                  \
    X(BEQ, a == b)                      \
    X(BNE, a != b)                      \
    X(BLT, (int32_t)a < (int32_t)b)     \
    X(BGE, (int32_t)a >= (int32_t)b)    \
    X(BLTU, a < b)                      \
    X(BGEU, a >= b)

/* Labels in the order of vm_op, for a computed goto. */
#define VM_LABELS                                                                          \
    {                                                                                      \
        &&ILL, &&ADD, &&SUB, &&SLT, &&SLTU, &&XOR, &&OR, &&AND, &&SLL, &&SRL, &&SRA,       \
        &&MUL, &&MULH, &&MULHSU, &&MULHU, &&DIV, &&DIVU, &&REM, &&REMU,                    \
        &&LB, &&LH, &&LW, &&LBU, &&LHU, &&SB, &&SH, &&SW,                                  \
        &&BEQ, &&BNE, &&BLT, &&BGE, &&BLTU, &&BGEU, &&JAL, &&JALR,                         \
        &&IN, &&SIG, &&OUT, &&HALT, &&ILL, &&B3, &&MULP,                                   \
        &&SQRP, &&ADDP, &&SUBP, &&COPY, &&END                                              \
    }

/* -2^31 / -1 does not fit into C's division; RISC-V gives -2^31 and remainder 0. */
static inline uint32_t vm_divide(uint32_t a, uint32_t b)
{
    if (b == 0) {
        return 0xFFFFFFFFu;
    }
    return b == 0xFFFFFFFFu ? 0 - a : (uint32_t)((int32_t)a / (int32_t)b);
}

static inline uint32_t vm_remainder(uint32_t a, uint32_t b)
{
    if (b == 0) {
        return a;
    }
    return b == 0xFFFFFFFFu ? 0 : (uint32_t)((int32_t)a % (int32_t)b);
}

#endif
