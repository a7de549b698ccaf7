/*
 * KoalaBear, the field of the proofs: p = 2^31 - 2^24 + 1, and its extension of degree 5.
 *
 * Elements lie in memory in Montgomery form, a * 2^32 mod p, always below p ("canonical
 * Montgomery"). Bytes that leave the machine (hashes, proofs) carry the plain value instead:
 * kb31_to_plain.
 * The multiplicative group has order 2^24 * 127 and the generator 3.
 *
 * The extension is F[X] / (X^5 + X^2 - 1), five coefficients in ascending order. The polynomial is
 * irreducible over KoalaBear: tests/unit/cython_core/test_field.py shows it.
 */
#ifndef P2PSEQ_FIELD_KB31_H
#define P2PSEQ_FIELD_KB31_H

#include <stdint.h>

#define KB31_P 0x7f000001u
/* p * KB31_MU = 1 mod 2^32. */
#define KB31_MU 0x81000001u
/* 2^32 mod p: one in Montgomery form. */
#define KB31_ONE 0x01fffffeu
/* 2^64 mod p: brings a plain value into Montgomery form. */
#define KB31_R2 0x17f7efe4u

enum {
    KB31_TWO_ADICITY = 24,
    KB31_GENERATOR = 3,
    KB31_EXTENSION = 5,
    /* Columns of a panel: one row of it is one vector of 16 lanes and one block of BLAKE3. */
    KB31_PANEL = 16,
};

static inline uint32_t kb31_add(uint32_t a, uint32_t b)
{
    uint32_t sum = a + b;
    return sum >= KB31_P ? sum - KB31_P : sum;
}

static inline uint32_t kb31_sub(uint32_t a, uint32_t b)
{
    uint32_t difference = a - b;
    return a < b ? difference + KB31_P : difference;
}

static inline uint32_t kb31_neg(uint32_t a)
{
    return a == 0 ? 0 : KB31_P - a;
}

/* a * b / 2^32 mod p, for any a, b with a * b < p * 2^32. */
static inline uint32_t kb31_mul(uint32_t a, uint32_t b)
{
    uint64_t product = (uint64_t)a * b;
    uint32_t quotient = (uint32_t)product * KB31_MU;
    uint32_t high = (uint32_t)(product >> 32);
    uint32_t subtrahend = (uint32_t)(((uint64_t)quotient * KB31_P) >> 32);
    return kb31_sub(high, subtrahend);
}

/* Any 32-bit integer is taken modulo p. */
static inline uint32_t kb31_from_plain(uint32_t value)
{
    return kb31_mul(value, KB31_R2);
}

static inline uint32_t kb31_to_plain(uint32_t a)
{
    return kb31_mul(a, 1u);
}

static inline uint32_t kb31_power(uint32_t base, uint64_t exponent)
{
    uint32_t power = KB31_ONE;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1) {
            power = kb31_mul(power, base);
        }
        base = kb31_mul(base, base);
    }
    return power;
}

/* Zero for zero. */
static inline uint32_t kb31_inverse(uint32_t a)
{
    return kb31_power(a, KB31_P - 2);
}

/* A generator of the subgroup of order 2^log: 3^((p-1) / 2^log), log <= KB31_TWO_ADICITY. */
static inline uint32_t kb31_root(uint32_t log)
{
    return kb31_power(kb31_from_plain(KB31_GENERATOR), (uint64_t)(KB31_P - 1) >> log);
}

/* An element of the extension. */
typedef struct {
    uint32_t c[KB31_EXTENSION];
} kb31x;

static inline kb31x kb31x_from_base(uint32_t a)
{
    kb31x e = {{a, 0, 0, 0, 0}};
    return e;
}

static inline kb31x kb31x_add(kb31x a, kb31x b)
{
    kb31x sum;
    for (int i = 0; i < KB31_EXTENSION; i++) {
        sum.c[i] = kb31_add(a.c[i], b.c[i]);
    }
    return sum;
}

static inline kb31x kb31x_sub(kb31x a, kb31x b)
{
    kb31x difference;
    for (int i = 0; i < KB31_EXTENSION; i++) {
        difference.c[i] = kb31_sub(a.c[i], b.c[i]);
    }
    return difference;
}

static inline kb31x kb31x_scale(kb31x a, uint32_t b)
{
    kb31x scaled;
    for (int i = 0; i < KB31_EXTENSION; i++) {
        scaled.c[i] = kb31_mul(a.c[i], b);
    }
    return scaled;
}

/* X^5 = 1 - X^2, so X^6 = X - X^3, X^7 = X^2 - X^4, X^8 = X^3 - X^5 = X^3 + X^2 - 1. */
static inline kb31x kb31x_mul(kb31x a, kb31x b)
{
    uint32_t t[9] = {0};
    kb31x product;
    for (int i = 0; i < KB31_EXTENSION; i++) {
        for (int j = 0; j < KB31_EXTENSION; j++) {
            t[i + j] = kb31_add(t[i + j], kb31_mul(a.c[i], b.c[j]));
        }
    }
    product.c[0] = kb31_sub(kb31_add(t[0], t[5]), t[8]);
    product.c[1] = kb31_add(t[1], t[6]);
    product.c[2] = kb31_add(kb31_sub(kb31_add(t[2], t[7]), t[5]), t[8]);
    product.c[3] = kb31_add(kb31_sub(t[3], t[6]), t[8]);
    product.c[4] = kb31_sub(t[4], t[7]);
    return product;
}

static inline int kb31x_equal(kb31x a, kb31x b)
{
    uint32_t difference = 0;
    for (int i = 0; i < KB31_EXTENSION; i++) {
        difference |= a.c[i] ^ b.c[i];
    }
    return difference == 0;
}

static inline int kb31x_is_zero(kb31x a)
{
    return (a.c[0] | a.c[1] | a.c[2] | a.c[3] | a.c[4]) == 0;
}

static inline kb31x kb31x_power(kb31x base, uint64_t exponent)
{
    kb31x power = kb31x_from_base(KB31_ONE);
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1) {
            power = kb31x_mul(power, base);
        }
        base = kb31x_mul(base, base);
    }
    return power;
}

/* Zero for zero. */
kb31x kb31x_inverse(kb31x a);

#endif
