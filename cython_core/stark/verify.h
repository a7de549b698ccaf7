/*
 * The compiled verifier: docs/proofs.md in C, written from that page and sharing no code with the
 * prover. No allocation: all memory comes with the call, its size follows from the key. Any bytes
 * may be given as key and as proof; a read never leaves them, and the time is bounded by the key.
 *
 * verify.c             the protocol, in its order
 * verify_key.c         the key's structure and limits
 * verify_rules.c       the key's rules: degrees, groups; which columns are read in the next row
 * verify_air.c         nodes, selectors and periodic columns of a table at one point
 * verify_buses.c       public interactions, and the constraints of the auxiliary columns
 * verify_merkle.c      opened rows of a commitment
 * verify_deep.c        the polynomial F at the query positions
 * verify_fri.c         layers, folds and the final polynomial
 */
#ifndef P2PSEQ_STARK_VERIFY_H
#define P2PSEQ_STARK_VERIFY_H

#include <stddef.h>
#include <stdint.h>

/* Why a proof is refused: the reasons of errors.py in the order of its enumeration. */
enum stark_status {
    STARK_VALID = 0,
    STARK_BAD_KEY,
    STARK_BAD_PUBLICS,
    STARK_BAD_INTERACTIONS,
    STARK_BAD_CONTEXT,
    STARK_BAD_MAGIC,
    STARK_WRONG_KEY,
    STARK_BAD_HEIGHT,
    STARK_TOO_MANY_INTERACTIONS,
    STARK_TRUNCATED,
    STARK_TRAILING_BYTES,
    STARK_NOT_CANONICAL,
    STARK_ZERO_DENOMINATOR,
    STARK_UNBALANCED_BUSES,
    STARK_BAD_POINT,
    STARK_CONSTRAINTS,
    STARK_LAYER_GRINDING,
    STARK_QUERY_GRINDING,
    STARK_BAD_OPENING,
    STARK_BAD_FOLD,
    STARK_BAD_FINAL,
    STARK_NO_MEMORY,
    STARK_STATUS_COUNT,
};

/* What is to be verified. All bytes stay the caller's and may lie at any address. */
struct stark_claim {
    const uint8_t *key;
    size_t key_length;
    /* Values in 4 bytes each, without their count. */
    const uint8_t *publics;
    size_t publics_length;
    /* As absorbed: count, then bus, multiplicity and elements of each. */
    const uint8_t *interactions;
    size_t interactions_length;
    const uint8_t *context;
    size_t context_length;
    const uint8_t *proof;
    size_t proof_length;
};

/* The word that errors.py has for a status; "valid" for STARK_VALID. */
const char *stark_status_name(enum stark_status status);

/* Memory that proofs under this key need, in bytes; 0 if these bytes are no key. */
size_t stark_verify_memory(const uint8_t *key, size_t length);

/*
 * Widths of the key's buses, for callers that put public interactions into bytes; returns how many
 * buses there are, none if these bytes are no key.
 */
enum { STARK_BUS_COUNT_MAX = 64 };
uint32_t stark_verify_buses(const uint8_t *key, size_t length,
                            uint32_t widths[STARK_BUS_COUNT_MAX]);

/* `memory` is aligned to 8 bytes and has no state: it may be used again for another claim. */
enum stark_status stark_verify(const struct stark_claim *claim, void *memory, size_t memory_bytes);

#endif
