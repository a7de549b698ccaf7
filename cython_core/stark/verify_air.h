/* A table's polynomials at the out-of-domain point. */
#ifndef P2PSEQ_STARK_VERIFY_AIR_H
#define P2PSEQ_STARK_VERIFY_AIR_H

#include "stark/verify_internal.h"

/* The point x of a table, and the selectors there (docs/proofs.md, step 5). */
struct stark_point {
    kb31x x, vanishing, first, last, transition;
    uint32_t log;
};

/* Public interactions: every bus exists, elements are canonical, nothing is missing or follows. */
enum stark_status stark_check_interactions(const struct stark_key *key, const uint8_t *encoded,
                                           size_t length);

/* That multiplicities cannot wrap: fewer than p interactions on each bus. */
enum stark_status stark_count_interactions(const struct stark_run *run,
                                           const uint8_t *public_interactions);

/* Terminals and public interactions sum to zero. */
enum stark_status stark_check_balance(const struct stark_run *run,
                                      const uint8_t *public_interactions);

/* Adds one constraint's value, with the next coefficient. */
static inline void stark_add_constraint(kb31x *combination, struct transcript_stream *coefficients,
                                        kb31x value)
{
    *combination = kb31x_add(*combination, kb31x_mul(stark_challenge(coefficients), value));
}

/* Adds the constraints of a table's auxiliary columns. Its nodes have been evaluated. */
void stark_combine_buses(struct stark_run *run, uint32_t table, const struct stark_point *point,
                         struct transcript_stream *coefficients, kb31x *combination);

/* That zeta lies outside of the domain; zeta^N is kept. */
enum stark_status stark_check_point(struct stark_run *run);

/* sum_t C_t = (Q_0 + zeta^N Q_1) (zeta^N - 1), with the coefficients of step 4. */
enum stark_status stark_check_identity(struct stark_run *run,
                                       struct transcript_stream *coefficients);

#endif
