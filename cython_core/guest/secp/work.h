/* What the parts of a verification share.
 *
 * All lines are in one object, so that any is one addition away from a register. RAW lines have
 * only their low words ever written, and are never what an operation writes to: their high words
 * stay 0, which bounds them.
 *
 * What must be zero is collected: `wrong` becomes wrong^2 + number^2. As -1 is no square modulo p,
 * that is zero only if both are. `wrong_words` collects words by OR.
 */
#ifndef GUEST_SECP_WORK_H
#define GUEST_SECP_WORK_H

#include "secp/secp_lines.h"

enum { SECP_DIGIT_WORDS = 5 };

/* A scalar k as rest[0] + rest[1] w in Z[w], with k = rest + (multiple[0] - multiple[1] w) PI. */
struct secp_split {
    secp_line multiple[2]; /* RAW, 4 words */
    secp_line rest_0; /* RAW, 5 words */
    secp_line lifted_1; /* RAW, 5 words: rest[1] + 2^128 */
    secp_line rest_1;
};

struct secp_work {
    secp_line x, y, spare, z, first, second; /* the sum of the ladder, and its scratch */
    secp_line wrong, wrong_other, term; /* each part leaves what was wrong in `wrong` */
    secp_line scalar; /* s */
    struct secp_split split[2]; /* of e and of s */
    secp_line key_multiple[2], nonce_multiple[2]; /* RAW, 68 bits with the bias */
    secp_line base_multiple[2]; /* RAW, 136 bits */
    secp_line quotient[2]; /* RAW, 3 words */
    secp_line factor[2];
    secp_line scratch[4];
    secp_line hint, batch[2], inverse[4];
    uint32_t key_digits[SECP_DIGIT_WORDS], nonce_digits[SECP_DIGIT_WORDS];
    uint32_t wrong_words;
};

/* Multiples i + j w of a point, i and j from -1 to 2: x and y, `SECP_ROW` lines apart for each j.
 * The distance is that of the two halves of a word of digits, so that no digit has to be moved. */
enum { SECP_ROW = 1 << 17, SECP_KEY_ENTRIES = 0, SECP_NONCE_ENTRIES = 8 };

#ifdef __riscv
/* Nothing else lies here; of 13 MiB four pages are touched. */
#define SECP_POINTS ((secp_line *)0x20000000)
#else
extern secp_line *secp_points;
#define SECP_POINTS secp_points
#endif

SECP_INLINE secp_line *secp_entry(secp_line *entries, int i, int j)
{
    return entries + (j + 1) * SECP_ROW + (i + 1) * 2;
}

/* In a function that has `constants`, from which each is one addition away. */
#define SECP_CONSTANT(name) (constants + SECP_##name)

SECP_INLINE void secp_copy_times(secp_line *to, const secp_line *from, const secp_line *factor)
{
    secp_copy(to, from);
    secp_multiply(to, factor);
}

/* Collects a number that must be zero: wrong_after := wrong_before^2 + number^2. */
SECP_INLINE void secp_collect(secp_line *wrong_after, const secp_line *wrong_before,
                              const secp_line *number, secp_line *scratch)
{
    secp_square(wrong_after, wrong_before);
    secp_square(scratch, number);
    secp_add(wrong_after, scratch);
}

/* Reads words into a line. */
SECP_INLINE void secp_read(secp_line *line, int count)
{
#pragma GCC unroll 8
    for (int place = 0; place < count; place++) {
        line->words[place] = secp_input();
    }
}

#endif
