/* One run of the transition program over one batch: witness in, statement out (trace.md 1).
 *
 * Witness: little-endian words, read once and in order (docs/ledger.md has the table).
 *
 *   head       version = 2 | flags (1: last batch of its epoch) | slots | blocks | hints
 *              | words of proof (0: the whole tree is steady) | claimed root before 8
 *   constants  96
 *   frame      24, only with the flag: program id, signing set, next set
 *   hints      the slot of each access that is not an order's, in the order of accesses
 *   names      for each slot a word and its key 8: bits 0..7 kind, 8 present, 9 steady,
 *              10 side in its lowest node, 16..20 words of its value
 *   values     for each present slot the words of its value; what is missing is zero
 *   blocks     context 24 | bytes of records | transfers | withdrawals | records | orders:
 *              TRANSFER  2 * sender slot | recipient slot | nonce 2 | fee 2 | amount 2
 *              WITHDRAW  2 * sender slot + 1 | script length | nonce 2 | fee 2 | amount 2
 *                        | script 9
 *   proof      tree.h, then the steps of its STEADY items (steady.h); without proof the steps of
 *              the whole tree
 *
 * Context, constants, frame, keys, values, records, scripts and hashes are bytes as they stand,
 * four a word, filled up with zeros. With a proof, slots stand in ascending order of their paths.
 *
 * Bound by the statement: the roots, constants and blocks (inputs digest), frame (outputs
 * digest). Everything else is free: it is checked against the roots. An order names its accounts
 * by slots and is hashed with their keys, so a wrong slot is another order.
 *
 * inputs digest: a chain of b3(key = digest so far, 64 bytes), from the hash of the batch's tag,
 * over the constants, then for each block its context | orders digest, then the length of its
 * records as a word, then these; each filled up to 64 bytes.
 *
 * S = BLAKE3-256(root before | root after | inputs digest | outputs digest), outputs digest zero
 * unless the batch is the last. Signatures are the host's answers: a wrong one stops the run.
 */
#ifndef GUEST_TRANSITION_H
#define GUEST_TRANSITION_H

#include "ledger.h"
#include "steady.h"

enum {
    WITNESS_VERSION = 2,
    WITNESS_IS_LAST = 1,
    CONSTANTS_WORDS = CONSTANTS_LENGTH / 4,
    CONTEXT_WORDS = CONTEXT_LENGTH / 4,
    FRAME_WORDS = FRAME_LENGTH / 4
};

struct transition_result {
    _Alignas(4) uint8_t statement[32];
    uint8_t pre_root[32];
    uint8_t post_root[32];
    uint8_t inputs_digest[32];
    uint8_t outputs_digest[32];
};

/* Where a run works. All of it is zero at the start. */
struct transition_room {
    struct ledger_block block;
    struct steady_room steady;
    _Alignas(64) blake3_word context[2 * BLAKE3_BLOCK_WORDS]; /* then the orders digest */
    _Alignas(64) blake3_word inputs[BLAKE3_HASH_WORDS];
    _Alignas(64) blake3_word before[BLAKE3_HASH_WORDS];
    _Alignas(64) blake3_word after[BLAKE3_HASH_WORDS];
    _Alignas(64) uint8_t script[BLAKE3_BLOCK_BYTES];
    struct leaf_room *leaves; /* 64-aligned, `capacity` of them */
    blake3_word *words;       /* 64-aligned, `word_capacity` of them: parts of the witness */
    uint32_t capacity;
    uint32_t word_capacity;
    uint32_t words_used;
};

/* Runs one batch. Returns LEDGER_OK or a ledger_error; `result` is valid only with LEDGER_OK. */
int transition(struct host *host, struct transition_room *room, struct transition_result *result);

/* BLAKE3-256 of 128 bytes on a 4-byte border, unkeyed. */
void statement_hash(const uint8_t message[128], uint8_t digest[32]);

#endif
