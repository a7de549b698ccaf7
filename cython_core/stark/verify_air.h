/* A table's polynomials at the out-of-domain point. */
#ifndef P2PSEQ_STARK_VERIFY_AIR_H
#define P2PSEQ_STARK_VERIFY_AIR_H

#include "stark/verify_internal.h"

/* The point x of a table, and the selectors there (docs/proofs.md, step 5). */
struct stark_point {
    kb31x x, vanishing, first, last, transition;
    uint32_t log;
};

/* zeta lies outside of the domain, so that no denominator is zero. */
struct stark_point stark_point_of(const struct stark_run *run, uint32_t log);

/* All nodes of the table at the point, into the run's scratch. */
void stark_evaluate_nodes(struct stark_run *run, uint32_t table, const struct stark_point *point);

/* Public interactions: every bus exists, elements are canonical, nothing is missing or follows. */
enum stark_status stark_check_interactions(const struct stark_key *key, const uint8_t *encoded,
                                           size_t length);

/* That multiplicities cannot wrap: fewer than p interactions on each bus. */
enum stark_status stark_count_interactions(const struct stark_run *run,
                                           const uint8_t *public_interactions);

/* Terminals and public interactions sum to zero. */
enum stark_status stark_check_balance(const struct stark_run *run,
                                      const uint8_t *public_interactions);

/* The combination of all constraints of a table, those of its buses included. */
kb31x stark_combine_constraints(struct stark_run *run, uint32_t table,
                                struct transcript_stream *coefficients);

#endif
