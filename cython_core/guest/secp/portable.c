/* What the machine does in one step, and its input, for builds outside of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secp/work.h"

/* p = 2^256 - FOLD. */
#define FOLD 0x1000003D1ull

static secp_line room[4 * SECP_ROW];
secp_line *secp_points = room;

/* number := number + over * 2^256 mod p, for over below 2^34. */
static void reduce(uint32_t number[8], uint64_t over)
{
    uint32_t sum[8];
    uint64_t carry;

    while (over != 0) {
        uint64_t low = over * (uint32_t)FOLD, high = over * (FOLD >> 32);
        carry = 0;
        for (int place = 0; place < 8; place++) {
            carry += number[place];
            carry += place == 0 ? (uint32_t)low : place == 1 ? (low >> 32) + high : 0;
            number[place] = (uint32_t)carry;
            carry >>= 32;
        }
        over = carry;
    }
    carry = 0;
    for (int place = 0; place < 8; place++) {
        carry += (uint64_t)number[place] + (place == 0 ? (uint32_t)FOLD : place == 1);
        sum[place] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0) {
        memcpy(number, sum, sizeof sum);
    }
}

void secp_multiply(secp_line *to, const secp_line *by)
{
    uint32_t product[16] = {0}, number[9] = {0};
    uint64_t carry;

    for (int i = 0; i < 8; i++) {
        carry = 0;
        for (int j = 0; j < 8; j++) {
            carry += (uint64_t)to->words[i] * by->words[j] + product[i + j];
            product[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product[i + 8] = (uint32_t)carry;
    }
    /* low + high * FOLD, word by word: FOLD is 2^32 + 977. */
    carry = 0;
    for (int place = 0; place < 9; place++) {
        uint64_t high = place < 8 ? (uint64_t)product[8 + place] * 977 : 0;
        carry += (place < 8 ? product[place] : 0) + (high & 0xFFFFFFFFu);
        carry += place > 0 ? product[7 + place] : 0;
        number[place] = (uint32_t)carry;
        carry = (carry >> 32) + (high >> 32);
    }
    reduce(number, number[8] + (carry << 32));
    memcpy(to->words, number, 32);
}

void secp_square(secp_line *to, const secp_line *of)
{
    secp_line root = *of;

    *to = *of;
    secp_multiply(to, &root);
}

void secp_add(secp_line *to, const secp_line *term)
{
    uint64_t carry = 0;

    for (int place = 0; place < 8; place++) {
        carry += (uint64_t)to->words[place] + term->words[place];
        to->words[place] = (uint32_t)carry;
        carry >>= 32;
    }
    reduce(to->words, carry);
}

/* As in the machine's own: what was borrowed is 2^256, FOLD too much. */
void secp_subtract(secp_line *to, const secp_line *term)
{
    uint32_t other[8];
    int64_t carry = 1;

    memcpy(other, term->words, sizeof other);
    while (carry != 0) {
        carry = 0;
        for (int place = 0; place < 8; place++) {
            carry += (int64_t)to->words[place] - other[place];
            to->words[place] = (uint32_t)carry;
            carry >>= 32;
        }
        memset(other, 0, sizeof other);
        other[0] = (uint32_t)FOLD;
        other[1] = (uint32_t)(FOLD >> 32);
    }
    reduce(to->words, 0);
}

void secp_copy(secp_line *to, const secp_line *from)
{
    *to = *from;
}

uint32_t secp_input(void)
{
    uint32_t word;

    if (fread(&word, sizeof word, 1, stdin) != 1) {
        secp_stop();
    }
    return word;
}

_Noreturn void secp_stop(void)
{
    exit(3);
}
