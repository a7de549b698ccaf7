/* The sum of the multiples of G, of the key and of the nonce point, from the top digit down.
 *
 * Points are (X / Z^2, Y / Z^3). Each step leaves its Y in the line that was spare, so `y` and
 * `spare` change places at every doubling and every digit, also at a digit that is zero. Thus no
 * step needs a copy, and which line is which does not depend on digits.
 *
 * The formulas have exceptions: a point added to itself, or to its negative. All of them make Z
 * zero, and Z stays zero from then on, as each step multiplies it. verify.c looks at it at the end.
 */
#ifndef GUEST_SECP_LADDER_H
#define GUEST_SECP_LADDER_H

#include "secp/work.h"

struct lines {
    secp_line *x, *y, *spare, *z, *first, *second;
    const secp_line *three_halves, *beta;
};

SECP_INLINE struct lines turned(struct lines at)
{
    secp_line *y = at.y;
    at.y = at.spare;
    at.spare = y;
    return at;
}

/* With L = 3/2 X^2 and S = X Y^2: X3 = L^2 - 2 S, Y3 = L (S - X3) - Y^4, Z3 = Y Z: the usual form
 * with half its Z. Y3 is left in `spare`. */
SECP_INLINE void twice(struct lines at)
{
    secp_square(at.first, at.x);
    secp_multiply(at.first, at.three_halves);
    secp_square(at.spare, at.y);
    secp_multiply(at.z, at.y);
    secp_square(at.y, at.spare);
    secp_multiply(at.spare, at.x);
    secp_square(at.x, at.first);
    secp_subtract(at.x, at.spare);
    secp_subtract(at.x, at.spare);
    secp_subtract(at.spare, at.x);
    secp_multiply(at.spare, at.first);
    secp_subtract(at.spare, at.y);
}

/* Adds the point (x, y), or its image under the endomorphism. With H = x Z^2 - X, R = y Z^3 - Y and
 * V = X H^2: X3 = R^2 - H^3 - 2 V, Y3 = R (V - X3) - Y H^3, Z3 = Z H. Y3 is left in `spare`. */
SECP_INLINE void join(struct lines at, const secp_line *point, int is_image)
{
    secp_square(at.first, at.z);
    secp_copy(at.second, at.first);
    secp_multiply(at.second, at.z);
    secp_multiply(at.second, point + 1);
    secp_multiply(at.first, point);
    if (is_image) {
        secp_multiply(at.first, at.beta);
    }
    secp_subtract(at.first, at.x);
    secp_subtract(at.second, at.y);
    secp_multiply(at.z, at.first);
    secp_square(at.spare, at.first);
    secp_multiply(at.first, at.spare);
    secp_multiply(at.spare, at.x);
    secp_multiply(at.y, at.first);
    secp_square(at.x, at.second);
    secp_subtract(at.x, at.first);
    secp_subtract(at.x, at.spare);
    secp_subtract(at.x, at.spare);
    secp_subtract(at.spare, at.x);
    secp_multiply(at.spare, at.second);
    secp_subtract(at.spare, at.y);
}

/* Where i and j of a digit stand in an offset into entries; the digit 0, i = j = 0 stored as 1. */
enum { PLACE = 6, MASK = 3 << (16 + PLACE) | 3 << PLACE, NOTHING = 1 << (16 + PLACE) | 1 << PLACE };

struct digits {
    const uint8_t *entries;
    uint32_t mask, nothing;
};

SECP_INLINE void join_digit(struct lines at, struct digits table, uint32_t word, int window)
{
    int shift = 2 * window - PLACE;
    uint32_t offset = (shift < 0 ? word << -shift : word >> shift) & table.mask;

    if (offset == table.nothing) {
        secp_copy(at.spare, at.y);
    } else {
        join(at, (const secp_line *)(table.entries + offset), 0);
    }
}

SECP_INLINE void window_of(struct lines at, struct digits key, struct digits nonce,
                           uint32_t key_word, uint32_t nonce_word, int window)
{
    join_digit(at, key, key_word, window);
    join_digit(turned(at), nonce, nonce_word, window);
}

SECP_INLINE void double_twice(struct lines at)
{
    twice(at);
    twice(turned(at));
}

/* One byte of each half of a multiple of G, or of 2^64 G. */
SECP_INLINE void join_bytes(struct lines at, const secp_line *table, const uint8_t *byte)
{
    join(at, table + 2 * byte[0], 0);
    join(turned(at), table + 2 * byte[sizeof(secp_line)], 1);
}

SECP_INLINE void secp_climb(struct secp_work *work, const secp_line *constants)
{
    struct lines at = {&work->x, &work->y, &work->spare, &work->z, &work->first, &work->second,
                       SECP_CONSTANT(THREE_HALVES), SECP_CONSTANT(BETA)};
    struct digits key = {(const uint8_t *)(SECP_POINTS + SECP_KEY_ENTRIES), MASK, NOTHING};
    struct digits nonce = {(const uint8_t *)(SECP_POINTS + SECP_NONCE_ENTRIES), MASK, NOTHING};
    const secp_line *low = SECP_TABLE, *high = SECP_TABLE + 2 * SECP_TABLE_DIGITS;
    const uint8_t *bytes = (const uint8_t *)work->base_multiple;
    int top = SECP_DIGIT_WORDS - 1;

    SECP_KEEP(at.x);
    SECP_KEEP(at.y);
    SECP_KEEP(at.spare);
    SECP_KEEP(at.z);
    SECP_KEEP(at.first);
    SECP_KEEP(at.second);
    SECP_KEEP(at.three_halves);
    SECP_KEEP(at.beta);
    SECP_KEEP(key.entries);
    SECP_KEEP(key.mask);
    SECP_KEEP(key.nothing);
    SECP_KEEP(nonce.entries);
    SECP_KEEP(low);
    SECP_KEEP(high);
    nonce.mask = key.mask;
    nonce.nothing = key.nothing;
    secp_copy(at.x, SECP_CONSTANT(START_X));
    secp_copy(at.y, SECP_CONSTANT(START_Y));
    secp_copy(at.z, SECP_CONSTANT(ONE));
    window_of(at, key, nonce, work->key_digits[top], work->nonce_digits[top], 1);
    double_twice(at);
    window_of(at, key, nonce, work->key_digits[top], work->nonce_digits[top], 0);
    join_bytes(at, high, bytes + 16);
    for (int number = top - 1; number >= 0; number--) {
        uint32_t key_word = work->key_digits[number], nonce_word = work->nonce_digits[number];
#pragma GCC unroll 8
        for (int window = 7; window >= 0; window--) {
            double_twice(at);
            window_of(at, key, nonce, key_word, nonce_word, window);
            if (window % 4 == 0) {
                join_bytes(at, low, bytes + 2 * number + window / 4);
                join_bytes(at, high, bytes + 2 * number + window / 4 + 8);
            }
        }
    }
}

#endif
