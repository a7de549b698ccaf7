/* The verification key: read from hostile bytes, with all limits and rules of docs/proofs.md. */
#ifndef P2PSEQ_STARK_VERIFY_KEY_H
#define P2PSEQ_STARK_VERIFY_KEY_H

#include "stark/verify_internal.h"

/* Reads the structure: all counts and limits, nothing that needs memory. The key points into it. */
enum stark_status stark_key_read(struct stark_key *key, const uint8_t *bytes, size_t length);

/* Memory that the rules need. */
void stark_key_give(struct stark_key *key, struct stark_arena *arena);

/* What the structure does not show: nodes, degrees, groups; and which columns have a next row. */
enum stark_status stark_key_check(struct stark_key *key);

#endif
