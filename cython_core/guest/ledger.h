/* The ledger's rules, written once: every node runs them natively, the zkVM guest runs the same
 * source.
 *
 * One call executes one block: first the Bitcoin-derived records, then the user transactions,
 * then the leader's share. State is reached through `struct ledger_access` only, so the native
 * core puts an overlay of the state tree behind it and the guest the slots of a witness
 * (transition.c).
 *
 * Three outcomes, never mixed:
 *   - a transaction is DROPPED: nothing changes (it could not even pay its fee);
 *   - a transaction FAILED: fee and nonce are taken, a receipt says why;
 *   - an error code: the block is one that no honest voter votes for. The caller discards every
 *     slot.
 *
 * Supply: wrapped + pending + fee pool + insurance = vault is checked after every block.
 */
#ifndef GUEST_LEDGER_H
#define GUEST_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "sha256.h"
#include "state.h"
#include "transaction.h"

enum ledger_error {
    LEDGER_OK = 0,
    LEDGER_FORMAT = 1,    /* bytes that are not the one spelling of what they claim to be */
    LEDGER_CONTEXT = 2,   /* the block's epoch is not the state's */
    LEDGER_BUDGET = 3,    /* user transactions past the cycles they may use */
    LEDGER_RECORD = 4,    /* a record that contradicts the state or its neighbours */
    LEDGER_SUPPLY = 5,    /* the supply rule is broken */
    LEDGER_ACCESS = 6,    /* a leaf that the owner of the slots does not provide */
    LEDGER_STATE = 7,     /* a leaf that must exist does not */
    LEDGER_SIGNATURE = 8, /* the host says that a signature is wrong */
    LEDGER_WITNESS = 9,   /* a witness that does not parse or does not end where it should */
    LEDGER_BATCH = 10,    /* blocks that are not one whole batch */
    LEDGER_ROOT = 11      /* the claimed state roots are not the computed ones */
};

enum receipt_code {
    RECEIPT_OK = 0,
    DROPPED_NO_ACCOUNT = 1, /* the sender has no account */
    DROPPED_NONCE = 2,      /* not the sender's next nonce */
    DROPPED_PRICE = 3,      /* the fee is below the price of its kind */
    DROPPED_FEE = 4,        /* the sender cannot pay the fee */
    FAILED_BALANCE = 16,    /* the amount is over what is left after the fee */
    FAILED_ACCOUNT_MIN = 17, /* it would create an account with less than the minimum */
    FAILED_DUST = 18,       /* a payout below the minimum */
    FAILED_SCRIPT = 19      /* a payout to a script that is none of the five templates */
};

enum ledger_tag {
    TAG_TX,
    TAG_BODY,
    TAG_TRANSACTIONS,
    TAG_L1_INPUTS,
    TAG_INPUTS,
    TAG_OUTPUTS,
    TAG_HISTORY,
    TAG_WITHDRAWAL,
    TAG_BATCH,
    TAG_COUNT
};

enum {
    CONSTANTS_LENGTH = 32 + 32 * TAG_COUNT + 8 * 8,
    CONTEXT_LENGTH = 96,
    RECEIPT_LENGTH = 24,
    FRAME_LENGTH = 96
};

enum record_kind {
    RECORD_SETTLEMENT = 1,
    RECORD_DEPOSIT = 2,
    RECORD_PAYOUT = 3,
    RECORD_STAKE = 4,
    RECORD_EPOCH = 5
};

/* What never changes while a network runs one set of parameters. */
struct ledger_constants {
    uint8_t chain_id[32];
    struct sha256_midstate tags[TAG_COUNT];
    uint64_t account_min;
    uint64_t payout_min;
    uint64_t fee_transfer;
    uint64_t fee_withdraw;
    uint64_t cycles_transfer;
    uint64_t cycles_other;
    uint64_t epoch_cycle_limit;
    uint64_t batches;
};

/* What consensus says about one block. A seal is executed with the context of the epoch it
 * opens. */
struct ledger_context {
    uint64_t epoch;
    uint64_t height;
    uint64_t origin_height;
    uint64_t origin_time; /* median time past of the origin, seconds */
    const uint8_t *origin_hash;
    const uint8_t *leader;
    const uint8_t *bytes; /* CONTEXT_LENGTH bytes as they were read */
};

/* Answers whether a BIP340 signature is right: natively by libsecp256k1, in the guest by a SIG
 * row. */
struct ledger_signatures {
    int (*verify)(void *owner, const uint8_t key[32], const uint8_t message[32],
                  const uint8_t signature[64]);
    void *owner;
};

struct ledger_input {
    struct ledger_context context;
    const uint8_t *records;
    size_t records_length;
    const uint8_t *transactions;
    size_t transactions_length;
    uint32_t transaction_count;
    const uint8_t *pre_root; /* state root before this block */
};

/* The state that nearly every step touches, loaded once per block. */
struct ledger_block {
    const struct ledger_constants *constants;
    const struct ledger_access *access;
    const struct ledger_signatures *signatures; /* NULL: checked before, by the caller */
    const struct ledger_input *input;
    struct totals totals;
    struct accumulator accumulator;
    uint8_t epoch_pre_root[32];
    uint8_t certificates[32];
    uint8_t transactions_digest[32];
    uint8_t l1_inputs[32];
    uint8_t body_digest[32];
    uint64_t output_fee;   /* what a withdrawal pays for its Bitcoin output */
    uint64_t leader_share; /* collected for the leader, booked at the end of the block */
    int opened_batch;      /* whether this block is the first of a batch */
};

/* What the epoch's outputs need and the state does not hold. */
struct ledger_frame {
    const uint8_t *program;     /* program id */
    const uint8_t *signing_set; /* digest of the set that seals this epoch */
    const uint8_t *next_set;
    uint64_t origin_height; /* of the seal's parent */
    uint64_t origin_time;
};

/* Reads CONSTANTS_LENGTH bytes. Returns LEDGER_FORMAT for parameters that make no sense. */
int ledger_constants_read(struct ledger_constants *constants, const uint8_t *bytes);
void ledger_context_read(struct ledger_context *context, const uint8_t *bytes);

/* Executes one block; `receipts` gets RECEIPT_LENGTH bytes per transaction or is NULL. `block`
 * is the caller's room; its digests are valid after LEDGER_OK. */
int ledger_execute(struct ledger_block *block, const struct ledger_constants *constants,
                   const struct ledger_access *access, const struct ledger_signatures *signatures,
                   const struct ledger_input *input, uint8_t *receipts);

/* The fixed price of a block in cycles, from its kind bytes alone. LEDGER_FORMAT when lengths or
 * kinds do not add up to exactly these bytes. */
int ledger_static_cycles(const struct ledger_constants *constants, const struct ledger_input *input,
                         uint64_t *cycles);

/* H_tx(chain id | everything before the signature): transaction id and what its sender signs. */
void ledger_transaction_id(const struct ledger_constants *constants,
                           const struct transaction *parsed, uint8_t digest[32]);

/* The 12 words of relay.md 5.1 over the state behind `access`, hashed. */
int ledger_outputs_digest(const struct ledger_constants *constants,
                          const struct ledger_access *access, const struct ledger_frame *frame,
                          const uint8_t state_after[32], uint8_t words[384], uint8_t digest[32]);

/* Shared by the program's own files. */
enum { RECORD_LIMIT_LENGTH = 85 };
size_t record_length(uint8_t kind);
int ledger_apply_records(struct ledger_block *block);
void tagged_start(struct sha256_stream *stream, const struct ledger_constants *constants,
                  enum ledger_tag tag);
int frontier_append(const struct ledger_access *access, uint8_t kind, uint64_t count,
                    const uint8_t leaf[32]);
int frontier_root(const struct ledger_access *access, uint8_t kind, uint64_t count,
                  uint8_t root[32]);

struct account {
    uint64_t balance;
    uint64_t nonce;
};
int account_load(const struct tree_slot *slot, struct account *account);
void account_store(struct ledger_block *block, struct tree_slot *slot,
                   const struct account *account);
/* Adds to an account, creating it when the amount reaches the minimum. Returns 0 when it does
 * not. */
int account_credit(struct ledger_block *block, struct tree_slot *slot, uint64_t amount);

#endif
