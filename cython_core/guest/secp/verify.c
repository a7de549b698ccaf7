/* The verification of one signature (secp.h). */
#include "secp/secp.h"

/* In one piece, so that nothing is saved and restored between the parts. */
#include "secp/ladder.h"
#include "secp/points.h"
#include "secp/scalars.h"

/* What the hints show. */
enum { ON_CURVE = 0, KEY_OFF_CURVE = 1, NONCE_OFF_CURVE = 2 };

static struct secp_work shared;

static const uint32_t FIELD_ORDER[8] = {0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFFu,
                                        0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFEu, 0xFFFFFC2Fu};
static const uint32_t GROUP_ORDER[8] = {0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFEu,
                                        0xBAAEDCE6u, 0xAF48A03Bu, 0xBFD25E8Cu, 0xD0364141u};

/* Words of big-endian bytes; nearly always the first one decides. */
static int is_below(const uint32_t number[8], const uint32_t order[8])
{
    for (int place = 0; place < 8; place++) {
        if (number[place] != order[place]) {
            return number[place] < order[place];
        }
    }
    return 0;
}

SECP_INLINE int is_zero(const secp_line *number)
{
    uint32_t any = 0;

#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        any |= number->words[place];
    }
    return any == 0;
}

static int is_reduced(const secp_line *number)
{
    uint32_t turned[8];

    if (number->words[7] != 0xFFFFFFFFu) {
        return 1;
    }
    for (int place = 0; place < 8; place++) {
        turned[place] = number->words[7 - place];
    }
    return is_below(turned, FIELD_ORDER);
}

/* Reads y for x. out := y^2 - (x^3 + 7), or y^2 + (x^3 + 7): as -1 is no square, only one of the
 * two can be zero, and one always can. */
SECP_INLINE void lift(struct secp_work *work, const secp_line *constants, secp_line point[2],
                      const uint32_t x[8], int is_on_curve, secp_line *out)
{
    secp_line *cube = &work->scratch[0];

#pragma GCC unroll 8
    for (int place = 0; place < 8; place++) {
        point->words[place] = x[7 - place];
    }
    secp_read(&point[1], 8);
    secp_square(cube, point);
    secp_multiply(cube, point);
    secp_add(cube, SECP_CONSTANT(SEVEN));
    secp_square(out, &point[1]);
    if (!is_on_curve) {
        secp_add(out, cube);
        return;
    }
    secp_subtract(out, cube);
    if (point[1].words[0] % 2 != 0 || !is_reduced(&point[1])) {
        secp_stop();
    }
}

/* Of a key or a nonce that is no x of a point: no signature of it is valid. */
static int refuse(struct secp_work *work, const secp_line *constants, secp_line point[2],
                  const uint32_t x[8])
{
    lift(work, constants, point, x, 0, &work->wrong);
    if (!is_zero(&work->wrong)) {
        secp_stop();
    }
    return 0;
}

/* Whether the sum is the nonce point. Stops if anything that had to be zero was not, or if the sum
 * met an exception. A valid signature needs one look at words: the numbers are zero together. */
SECP_INLINE int is_sum(struct secp_work *work, const secp_line nonce[2])
{
    secp_line *off = &work->scratch[0], *any = &work->scratch[1];

    if ((work->z.words[0] == 0 && is_zero(&work->z)) || work->wrong_words != 0) {
        secp_stop();
    }
    secp_square(&work->first, &work->z);
    secp_copy_times(&work->second, &work->first, &work->z);
    secp_multiply(&work->first, &nonce[0]);
    secp_multiply(&work->second, &nonce[1]);
    secp_subtract(&work->first, &work->x);
    secp_subtract(&work->second, &work->y);
    secp_square(off, &work->first);
    secp_square(&work->term, &work->second);
    secp_add(off, &work->term);
    secp_collect(any, off, &work->wrong, &work->term);
    if (is_zero(any)) {
        return 1;
    }
    if (!is_zero(&work->wrong)) {
        secp_stop();
    }
    return 0;
}

int secp_verify_challenge(const uint32_t key[8], const secp_line *challenge,
                          const uint32_t signature[16])
{
    struct secp_work *work = &shared;
    const secp_line *constants = SECP_CONSTANTS;
    secp_line *key_point = secp_entry(SECP_POINTS + SECP_KEY_ENTRIES, 1, 0);
    secp_line *nonce_point = secp_entry(SECP_POINTS + SECP_NONCE_ENTRIES, 1, 0);
    uint32_t what;

    if (!is_below(key, FIELD_ORDER) || !is_below(signature, FIELD_ORDER)
        || !is_below(signature + 8, GROUP_ORDER)) {
        return 0;
    }
    SECP_KEEP(work);
    SECP_KEEP(constants);
    what = secp_input();
    if (what == KEY_OFF_CURVE) {
        return refuse(work, constants, key_point, key);
    }
    if (what == NONCE_OFF_CURVE) {
        return refuse(work, constants, nonce_point, signature);
    }
    work->wrong_words = 0;
    lift(work, constants, key_point, key, 1, &work->wrong_other);
    lift(work, constants, nonce_point, signature, 1, &work->scratch[1]);
    secp_collect(&work->wrong, &work->wrong_other, &work->scratch[1], &work->term);
    secp_read_scalars(work, constants, challenge, signature);
    secp_make_entries(work, constants);
    secp_climb(work, constants);
    return is_sum(work, nonce_point);
}

int secp_verify(const uint32_t key[8], const uint32_t message[8], const uint32_t signature[16])
{
    static secp_line challenge;

    secp_challenge(&challenge, signature, key, message);
    return secp_verify_challenge(key, &challenge, signature);
}
