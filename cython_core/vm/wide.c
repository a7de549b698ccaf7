#include "vm/vm.h"

#include <string.h>

#include "vm/steps.h"

/* The guest's own rounds: one spelling of BLAKE3 for the ledger, the guest and this machine. */
#include "guest/blake3.c"

enum { BLOCK_BYTES = 64, LINE_BYTES = 32 };

/* p = 2^256 - FOLD (SEC 2, section 2.4.1), so 2^256 = FOLD mod p. */
#define FOLD 0x1000003D1ull

typedef unsigned __int128 wide_word;

int vm_is_placed(vm_run *run, uint32_t op, uint32_t v1, uint32_t v2)
{
    uint32_t alignment = op == OP_B3 ? BLOCK_BYTES : LINE_BYTES;
    int is_met = op == OP_B3 ? v1 / BLOCK_BYTES == v2 / BLOCK_BYTES : v1 == v2;

    if (v1 % alignment != 0) {
        vm_stop(run, VM_HOST, v1);
        return 0;
    }
    if (v2 % LINE_BYTES != 0 || is_met) {
        vm_stop(run, VM_HOST, v2);
        return 0;
    }
    return 1;
}

void vm_compress(const uint32_t chaining[8], const uint32_t block[16], uint32_t flags,
                 uint32_t out[8])
{
    uint32_t v0 = chaining[0], v1 = chaining[1], v2 = chaining[2], v3 = chaining[3];
    uint32_t v4 = chaining[4], v5 = chaining[5], v6 = chaining[6], v7 = chaining[7];
    uint32_t v8 = BLAKE3_IV[0], v9 = BLAKE3_IV[1], v10 = BLAKE3_IV[2], v11 = BLAKE3_IV[3];
    uint32_t v12 = 0, v13 = 0, v14 = BLOCK_BYTES, v15 = flags;

    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);

    out[0] = v0 ^ v8;
    out[1] = v1 ^ v9;
    out[2] = v2 ^ v10;
    out[3] = v3 ^ v11;
    out[4] = v4 ^ v12;
    out[5] = v5 ^ v13;
    out[6] = v6 ^ v14;
    out[7] = v7 ^ v15;
}

/* low[4] += high * FOLD for high < 2^64; returns what goes over 2^256. */
static uint64_t fold_in(uint64_t low[4], uint64_t high)
{
    wide_word carry = (wide_word)high * FOLD;
    for (int limb = 0; limb < 4; limb++) {
        carry += low[limb];
        low[limb] = (uint64_t)carry;
        carry >>= 64;
    }
    return (uint64_t)carry;
}

/* number mod p: subtracting p is adding FOLD and dropping 2^256, if that comes out. */
static void reduce_once(uint64_t number[4])
{
    uint64_t sum[4];
    wide_word carry = FOLD;
    for (int limb = 0; limb < 4; limb++) {
        carry += number[limb];
        sum[limb] = (uint64_t)carry;
        carry >>= 64;
    }
    if (carry != 0) {
        for (int limb = 0; limb < 4; limb++) {
            number[limb] = sum[limb];
        }
    }
}

static void load(uint64_t number[4], const uint32_t words[8])
{
    for (int limb = 0; limb < 4; limb++) {
        number[limb] = (uint64_t)words[2 * limb + 1] << 32 | words[2 * limb];
    }
}

static void store(uint32_t words[8], const uint64_t number[4])
{
    for (int limb = 0; limb < 4; limb++) {
        words[2 * limb] = (uint32_t)number[limb];
        words[2 * limb + 1] = (uint32_t)(number[limb] >> 32);
    }
}

/* out := number + over * 2^256 mod p, for over < 2^64. */
static void reduce(uint32_t out[8], uint64_t number[4], uint64_t over)
{
    /* Folding in leaves at most 1 over 2^256, and then number is small. */
    if (fold_in(number, over) != 0) {
        fold_in(number, 1);
    }
    reduce_once(number);
    store(out, number);
}

static void reduce_product(uint32_t out[8], const uint64_t product[8])
{
    uint64_t number[4];
    wide_word carry = 0;

    for (int limb = 0; limb < 4; limb++) {
        carry += (wide_word)product[limb + 4] * FOLD + product[limb];
        number[limb] = (uint64_t)carry;
        carry >>= 64;
    }
    reduce(out, number, (uint64_t)carry); /* less than 2^34 */
}

void vm_multiply(const uint32_t left[8], const uint32_t right[8], uint32_t out[8])
{
    uint64_t a[4], b[4], product[8] = {0};

    load(a, left);
    load(b, right);
    for (int i = 0; i < 4; i++) {
        wide_word carry = 0;
        for (int j = 0; j < 4; j++) {
            carry += (wide_word)a[i] * b[j] + product[i + j];
            product[i + j] = (uint64_t)carry;
            carry >>= 64;
        }
        product[i + 4] = (uint64_t)carry;
    }
    reduce_product(out, product);
}

/* Each mixed product is computed once; the sum of them is doubled by shifting. */
static void square(const uint32_t operand[8], uint32_t out[8])
{
    uint64_t a[4], product[8] = {0};
    wide_word carry = 0;

    load(a, operand);
    for (int i = 0; i < 3; i++) {
        carry = 0;
        for (int j = i + 1; j < 4; j++) {
            carry += (wide_word)a[i] * a[j] + product[i + j];
            product[i + j] = (uint64_t)carry;
            carry >>= 64;
        }
        product[i + 4] = (uint64_t)carry;
    }
    for (int limb = 7; limb > 0; limb--) {
        product[limb] = product[limb] << 1 | product[limb - 1] >> 63;
    }
    carry = 0;
    for (int limb = 0; limb < 4; limb++) {
        wide_word own = (wide_word)a[limb] * a[limb];
        carry += (wide_word)product[2 * limb] + (uint64_t)own;
        product[2 * limb] = (uint64_t)carry;
        carry = (carry >> 64) + product[2 * limb + 1] + (uint64_t)(own >> 64);
        product[2 * limb + 1] = (uint64_t)carry;
        carry >>= 64;
    }
    reduce_product(out, product);
}

static void add(const uint32_t operand[8], const uint32_t accumulator[8], uint32_t out[8])
{
    uint64_t a[4], number[4];
    wide_word carry = 0;

    load(a, operand);
    load(number, accumulator);
    for (int limb = 0; limb < 4; limb++) {
        carry += (wide_word)number[limb] + a[limb];
        number[limb] = (uint64_t)carry;
        carry >>= 64;
    }
    reduce(out, number, (uint64_t)carry);
}

/* number -= other; returns what was borrowed, 0 or 1. */
static uint64_t take(uint64_t number[4], const uint64_t other[4])
{
    uint64_t borrow = 0;

    for (int limb = 0; limb < 4; limb++) {
        wide_word left = (wide_word)number[limb] - other[limb] - borrow;
        number[limb] = (uint64_t)left;
        borrow = (uint64_t)(left >> 64) & 1;
    }
    return borrow;
}

/* 2^256 that was borrowed is FOLD too much; taking that off borrows at most once more. */
static void subtract(const uint32_t operand[8], const uint32_t accumulator[8], uint32_t out[8])
{
    static const uint64_t fold[4] = {FOLD, 0, 0, 0};
    uint64_t a[4], number[4];

    load(a, operand);
    load(number, accumulator);
    if (take(number, a) != 0 && take(number, fold) != 0) {
        take(number, fold);
    }
    reduce_once(number);
    store(out, number);
}

void vm_combine(uint32_t op, const uint32_t operand[8], const uint32_t accumulator[8],
                uint32_t out[8])
{
    switch (op) {
    case OP_MULP:
        vm_multiply(operand, accumulator, out);
        break;
    case OP_SQRP:
        square(operand, out);
        break;
    case OP_ADDP:
        add(operand, accumulator, out);
        break;
    case OP_SUBP:
        subtract(operand, accumulator, out);
        break;
    default:
        memmove(out, operand, LINE_BYTES);
    }
}
