/* The multiples i + j w of the key and of the nonce point (work.h).
 *
 * Computed are 2 P, D = (1 - w) P, (2 - w) P as P + D and (2 w - 1) P as w P - D; all others are
 * associates of P, 2 P and D. No denominator is zero: P has prime order, and no two points that
 * are added are equal or negatives. The inverses of four denominators come from the inverse of
 * their product, which is a hint.
 */
#ifndef GUEST_SECP_POINTS_H
#define GUEST_SECP_POINTS_H

#include "secp/work.h"

/* A point from x1, y1 and x2 and the slope of the line through both. */
SECP_INLINE void third_point(secp_line *to, const secp_line *slope, const secp_line *x1,
                             const secp_line *y1, const secp_line *x2)
{
    secp_square(to, slope);
    secp_subtract(to, x1);
    secp_subtract(to, x2);
    secp_copy(to + 1, x1);
    secp_subtract(to + 1, to);
    secp_multiply(to + 1, slope);
    secp_subtract(to + 1, y1);
}


/* inverse[k] := 1 / value[k], with 1 / (all of them) as hint. */
SECP_INLINE void invert(struct secp_work *work, const secp_line *constants,
                        const secp_line *const value[4], secp_line *wrong_before,
                        secp_line *wrong_after)
{
    secp_line *low = &work->batch[0], *high = &work->batch[1], *product = &work->first;

    secp_read(&work->hint, 8);
    secp_copy(low, value[0]);
    secp_multiply(low, value[1]);
    secp_copy(high, value[2]);
    secp_multiply(high, value[3]);
    secp_copy_times(product, low, high);
    secp_multiply(product, &work->hint);
    secp_subtract(product, SECP_CONSTANT(ONE));
    secp_collect(wrong_after, wrong_before, product, &work->term);
    secp_multiply(low, &work->hint);
    secp_multiply(high, &work->hint);
    secp_copy_times(&work->inverse[0], high, value[1]);
    secp_copy_times(&work->inverse[1], high, value[0]);
    secp_copy_times(&work->inverse[2], low, value[3]);
    secp_copy_times(&work->inverse[3], low, value[2]);
}

/* All but 2 - w and 2 w - 1, with the inverses of x and of y, which are used up. */
SECP_INLINE void first_entries(secp_line *entries, const secp_line *constants, secp_line *inverse)
{
    secp_line *point = secp_entry(entries, 1, 0), *negative = secp_entry(entries, -1, 0);
    secp_line *image = secp_entry(entries, 0, 1), *image_negative = secp_entry(entries, 0, -1);
    secp_line *image_2 = secp_entry(entries, -1, -1), *image_2_negative = secp_entry(entries, 1, 1);
    secp_line *twofold = secp_entry(entries, 2, 0), *twofold_image = secp_entry(entries, 0, 2);
    secp_line *twofold_image_2 = secp_entry(entries, 2, 2);
    secp_line *rest = secp_entry(entries, 1, -1), *rest_negative = secp_entry(entries, -1, 1);
    secp_line *rest_image = secp_entry(entries, 1, 2), *rest_image_2 = secp_entry(entries, 2, 1);

    secp_copy(negative, point);
    secp_copy_times(negative + 1, point + 1, SECP_CONSTANT(MINUS_ONE));
    secp_copy_times(image, point, SECP_CONSTANT(BETA));
    secp_copy(image + 1, point + 1);
    secp_copy(image_negative, image);
    secp_copy(image_negative + 1, negative + 1);
    secp_copy_times(image_2, point, SECP_CONSTANT(BETA_SQUARED));
    secp_copy(image_2 + 1, point + 1);
    secp_copy(image_2_negative, image_2);
    secp_copy(image_2_negative + 1, negative + 1);

    /* The line through P and -w P has the slope 2 y / ((1 - BETA) x). */
    secp_multiply(inverse, point + 1);
    secp_multiply(inverse, SECP_CONSTANT(TRIPLING));
    third_point(rest, inverse, point, point + 1, image);
    secp_copy(rest_negative, rest);
    secp_copy_times(rest_negative + 1, rest + 1, SECP_CONSTANT(MINUS_ONE));
    secp_copy_times(rest_image, rest, SECP_CONSTANT(BETA));
    secp_copy(rest_image + 1, rest + 1);
    secp_copy_times(rest_image_2, rest, SECP_CONSTANT(BETA_SQUARED));
    secp_copy(rest_image_2 + 1, rest_negative + 1);

    /* The tangent has the slope 3 x^2 / (2 y). */
    secp_square(twofold, point);
    secp_multiply(inverse + 1, twofold);
    secp_multiply(inverse + 1, SECP_CONSTANT(THREE_HALVES));
    third_point(twofold, inverse + 1, point, point + 1, point);
    secp_copy_times(twofold_image, twofold, SECP_CONSTANT(BETA));
    secp_copy(twofold_image + 1, twofold + 1);
    secp_copy_times(twofold_image_2, twofold, SECP_CONSTANT(BETA_SQUARED));
    secp_copy_times(twofold_image_2 + 1, twofold + 1, SECP_CONSTANT(MINUS_ONE));
}

/* Denominators of the two entries that are left: x of D - x of P, and x of w P - x of D. */
SECP_INLINE void denominators(secp_line *entries, secp_line *to)
{
    const secp_line *rest = secp_entry(entries, 1, -1);

    secp_copy(to, rest);
    secp_subtract(to, secp_entry(entries, 1, 0));
    secp_copy(to + 1, secp_entry(entries, 0, 1));
    secp_subtract(to + 1, rest);
}

SECP_INLINE void last_entries(secp_line *entries, secp_line *inverse, secp_line *slope)
{
    const secp_line *point = secp_entry(entries, 1, 0), *image = secp_entry(entries, 0, 1);
    const secp_line *rest = secp_entry(entries, 1, -1);

    secp_copy(slope, rest + 1);
    secp_subtract(slope, point + 1);
    secp_multiply(slope, inverse);
    third_point(secp_entry(entries, 2, -1), slope, point, point + 1, rest);
    secp_copy(slope, point + 1);
    secp_add(slope, rest + 1);
    secp_multiply(slope, inverse + 1);
    third_point(secp_entry(entries, -1, 2), slope, image, image + 1, rest);
}

SECP_INLINE void secp_make_entries(struct secp_work *work, const secp_line *constants)
{
    secp_line *key = SECP_POINTS + SECP_KEY_ENTRIES, *nonce = SECP_POINTS + SECP_NONCE_ENTRIES;
    const secp_line *key_point = secp_entry(key, 1, 0), *nonce_point = secp_entry(nonce, 1, 0);
    secp_line *rest = work->scratch;

    invert(work, constants,
           (const secp_line *const[]){key_point, key_point + 1, nonce_point, nonce_point + 1},
           &work->wrong, &work->wrong_other);
    first_entries(key, constants, &work->inverse[0]);
    first_entries(nonce, constants, &work->inverse[2]);
    denominators(key, rest);
    denominators(nonce, rest + 2);
    invert(work, constants, (const secp_line *const[]){rest, rest + 1, rest + 2, rest + 3},
           &work->wrong_other, &work->wrong);
    last_entries(key, &work->inverse[0], &work->scratch[0]);
    last_entries(nonce, &work->inverse[2], &work->scratch[0]);
}

#endif
