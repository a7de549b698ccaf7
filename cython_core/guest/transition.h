/* One run of the transition program over one batch: witness in, statement out (trace.md 1).
 *
 * Witness, integers big-endian, read to its last byte:
 *
 *   version u32 = 1 | flags u32 (1: last batch of its epoch) | slots u32 | blocks u32
 *   | hints u32 | proof length u32 | claimed root before 32 | constants | frame | proof
 *   | hints u32 each | slots: kind u8, present u8, key 32, value 64 | blocks: context, records
 *   length u32, transactions length u32, transaction count u32, records, transactions
 *
 * The frame is program id, signing set and next set; zeros unless the batch is the last. Slots
 * stand in ascending order of their paths. Hints name the slot of each access in the order of
 * accesses, which costs the guest one comparison instead of a search.
 *
 * Bound by the statement: the roots, constants and blocks (inputs digest), frame (outputs
 * digest). Free: hints, proof and slots; they are checked against the roots. inputs digest, over
 * the blocks of the batch: H_batch(constants), then H_batch(digest | context | H_body | records
 * length u32 | records).
 *
 * S = BLAKE3-256(root before | root after | inputs digest | outputs digest), outputs digest zero
 * unless the batch is the last. Signatures are the host's answers: wrong ones stop the run.
 */
#ifndef GUEST_TRANSITION_H
#define GUEST_TRANSITION_H

#include "ledger.h"

enum {
    WITNESS_VERSION = 1,
    WITNESS_IS_LAST = 1,
    WITNESS_SLOT = 98,
    WITNESS_HEAD = 24 + 32 + CONSTANTS_LENGTH + FRAME_LENGTH,
    WITNESS_BLOCK_HEAD = CONTEXT_LENGTH + 12
};

struct transition_result {
    uint8_t statement[32];
    uint8_t pre_root[32];
    uint8_t post_root[32];
    uint8_t inputs_digest[32];
    uint8_t outputs_digest[32];
};

/* Runs one batch. `witness` is 4-byte aligned; `room` has space for `capacity` slots. Returns
 * LEDGER_OK or a ledger_error; `result` is valid only with LEDGER_OK. */
int transition(const uint8_t *witness, size_t length, struct tree_slot *room, uint32_t capacity,
               const struct ledger_signatures *signatures, struct transition_result *result);

/* BLAKE3-256 of 128 bytes, unkeyed. */
void statement_hash(const uint8_t message[128], uint8_t digest[32]);

#endif
