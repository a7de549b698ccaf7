/* The multiples of G, of the key P and of the nonce point R: hints that are shown to be right.
 *
 * With s G - e P = R for a valid signature, R' = s G - e P is compared with R as follows. For any
 * v that is not 0,
 *
 *     v s G - v e P + (1 - v) R = R + v (R' - R),
 *
 * which is R only if R' = R. Scalars act on points modulo n, and so do elements of Z[w] (curve.py),
 * modulo PI. There v can be chosen so that v and v e are small together, some 66 bits in each half.
 * What is read and shown:
 *
 *     e = E + (..) PI and s = S + (..) PI, with halves of E and S of some 129 bits,
 *     key + v E = (..) PI and base = v S + (..) PI, for v = 1 - nonce,
 *
 * where key, nonce and base are the multiples of the three points. The equations are ones of
 * integers: both sides are smaller than p, or, in those of e and s, than 2^32 p; these are shown
 * modulo 2^32 as well. What bounds them is how many words are read.
 */
#ifndef GUEST_SECP_SCALARS_H
#define GUEST_SECP_SCALARS_H

#include "secp/work.h"

typedef uint16_t __attribute__((may_alias)) half_word;

enum { NO_FACTOR = 0x55555556 };

/* scalar = multiple[0] PI_0 + multiple[1] PI_1 + rest_0 and
 * 0 = multiple[0] PI_1 - multiple[1] PI_REST + rest_1: both sides are below 2^259. */
SECP_INLINE void split(struct secp_work *work, const secp_line *constants,
                       const secp_line *scalar, struct secp_split *of)
{
    secp_line *left = &work->scratch[0], *right = &work->scratch[1];
    const uint32_t pi_0 = SECP_CONSTANT(PI_0)->words[0], pi_1 = SECP_CONSTANT(PI_1)->words[0];
    uint32_t multiple_0, multiple_1;

    secp_read(&of->multiple[0], 4);
    secp_read(&of->multiple[1], 4);
    secp_read(&of->rest_0, 5);
    secp_read(&of->lifted_1, 5);
    secp_copy(&of->rest_1, &of->lifted_1);
    secp_subtract(&of->rest_1, SECP_CONSTANT(LIFT));
    secp_copy_times(left, &of->multiple[0], SECP_CONSTANT(PI_0));
    secp_copy_times(right, &of->multiple[1], SECP_CONSTANT(PI_1));
    secp_add(left, right);
    secp_add(left, &of->rest_0);
    secp_subtract(left, scalar);
    secp_collect(&work->wrong_other, &work->wrong, left, &work->term);
    secp_copy_times(left, &of->multiple[0], SECP_CONSTANT(PI_1));
    secp_copy_times(right, &of->multiple[1], SECP_CONSTANT(PI_REST));
    secp_subtract(left, right);
    secp_add(left, &of->rest_1);
    secp_collect(&work->wrong, &work->wrong_other, left, &work->term);
    multiple_0 = of->multiple[0].words[0];
    multiple_1 = of->multiple[1].words[0];
    work->wrong_words |= multiple_0 * pi_0 + multiple_1 * pi_1 + of->rest_0.words[0]
                         - scalar->words[0];
    work->wrong_words |= multiple_0 * pi_1 - multiple_1 * (pi_0 - pi_1) + of->lifted_1.words[0];
}

/* Digits of both halves to the base 4, 16 bits of each in a word. The last word has two digits. */
SECP_INLINE void read_digits(uint32_t digits[SECP_DIGIT_WORDS], secp_line multiple[2])
{
    half_word *first = (half_word *)&multiple[0], *second = (half_word *)&multiple[1];

#pragma GCC unroll 5
    for (int number = 0; number < SECP_DIGIT_WORDS; number++) {
        uint32_t word = secp_input();
        if (number == SECP_DIGIT_WORDS - 1) {
            word &= 0x000F000Fu;
        }
        digits[number] = word;
        first[number] = (half_word)word;
        second[number] = (half_word)(word >> 16);
    }
}

/* out := factor * of - quotient * PI: terms below 2^230. */
SECP_INLINE void combine(struct secp_work *work, const secp_line *constants,
                         const struct secp_split *of, secp_line out[2])
{
    const secp_line *factor = work->factor, *quotient = work->quotient;
    secp_line *term = &work->first;

    secp_copy_times(&out[0], &of->rest_0, &factor[0]);
    secp_copy_times(term, &of->rest_1, &factor[1]);
    secp_subtract(&out[0], term);
    secp_copy(&out[1], &of->rest_0);
    secp_subtract(&out[1], &of->rest_1);
    secp_multiply(&out[1], &factor[1]);
    secp_copy_times(term, &of->rest_1, &factor[0]);
    secp_add(&out[1], term);
    secp_copy_times(term, &quotient[0], SECP_CONSTANT(PI_0));
    secp_subtract(&out[0], term);
    secp_copy_times(term, &quotient[1], SECP_CONSTANT(PI_1));
    secp_add(&out[0], term);
    secp_copy_times(term, &quotient[0], SECP_CONSTANT(PI_1));
    secp_subtract(&out[1], term);
    secp_copy_times(term, &quotient[1], SECP_CONSTANT(PI_REST));
    secp_subtract(&out[1], term);
}

SECP_INLINE void read_multiples(struct secp_work *work, const secp_line *constants)
{
    secp_line *out = work->scratch;

    read_digits(work->key_digits, work->key_multiple);
    read_digits(work->nonce_digits, work->nonce_multiple);
    if (work->nonce_digits[0] == NO_FACTOR) {
        secp_stop(); /* v could be 0; there are other ones */
    }
    secp_copy(&work->factor[0], SECP_CONSTANT(FACTOR_0));
    secp_subtract(&work->factor[0], &work->nonce_multiple[0]);
    secp_copy(&work->factor[1], SECP_CONSTANT(FACTOR_1));
    secp_subtract(&work->factor[1], &work->nonce_multiple[1]);
    secp_read(&work->quotient[0], 3);
    secp_read(&work->quotient[1], 3);
    combine(work, constants, &work->split[0], out);
    secp_add(&out[0], &work->key_multiple[0]);
    secp_add(&out[0], SECP_CONSTANT(KEY_0));
    secp_collect(&work->wrong_other, &work->wrong, &out[0], &work->term);
    secp_add(&out[1], &work->key_multiple[1]);
    secp_add(&out[1], SECP_CONSTANT(KEY_1));
    secp_collect(&work->wrong, &work->wrong_other, &out[1], &work->term);
}

SECP_INLINE void read_base_multiple(struct secp_work *work, const secp_line *constants)
{
    secp_line *out = work->scratch;

#pragma GCC unroll 2
    for (int part = 0; part < 2; part++) {
        secp_read(&work->base_multiple[part], 4);
        ((uint8_t *)&work->base_multiple[part])[16] = (uint8_t)secp_input();
    }
    secp_read(&work->quotient[0], 3);
    secp_read(&work->quotient[1], 3);
    combine(work, constants, &work->split[1], out);
    secp_add(&out[0], SECP_CONSTANT(BASE_0));
    secp_subtract(&out[0], &work->base_multiple[0]);
    secp_collect(&work->wrong_other, &work->wrong, &out[0], &work->term);
    secp_add(&out[1], SECP_CONSTANT(BASE_1));
    secp_subtract(&out[1], &work->base_multiple[1]);
    secp_collect(&work->wrong, &work->wrong_other, &out[1], &work->term);
}

SECP_INLINE void secp_read_scalars(struct secp_work *work, const secp_line *constants,
                                   const secp_line *challenge, const uint32_t signature[16])
{
    split(work, constants, challenge, &work->split[0]);
#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        work->scalar.words[place] = signature[15 - place];
    }
    split(work, constants, &work->scalar, &work->split[1]);
    read_multiples(work, constants);
    read_base_multiple(work, constants);
}

#endif
