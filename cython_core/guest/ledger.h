/* The ledger's rules, written once: every node runs them natively, the zkVM guest runs the same
 * source.
 *
 * A block is opened (its Bitcoin-derived records), then its transactions, then it is closed (the
 * leader's share and the digests). `ledger_execute` does all three for a node, which has the bytes
 * of transactions; the guest has orders whose accounts its witness names. State is reached through
 * `struct ledger_access` only, so the native core puts an overlay of the state tree behind it and
 * the guest the slots of a witness (transition.c).
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

#include "host.h"
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

/* How the fixed part of a fee is split; the rest is the settlement reserve's. */
struct fee_shares {
    uint64_t leader;
    uint64_t insurance;
};

/* What never changes while a network runs one set of parameters. */
struct ledger_constants {
    _Alignas(4) uint8_t chain_id[32];
    uint8_t tag_hashes[TAG_COUNT][32];      /* SHA-256 of the tags' names */
    struct sha256_midstate tags[TAG_COUNT]; /* only after ledger_constants_prepare */
    int is_prepared;
    uint64_t account_min;
    uint64_t payout_min;
    uint64_t fee_transfer;
    uint64_t fee_withdraw;
    uint64_t cycles_transfer;
    uint64_t cycles_other;
    uint64_t epoch_cycle_limit;
    uint64_t batches;
    struct fee_shares transfer_shares;
    struct fee_shares withdraw_shares;
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

struct ledger_input {
    struct ledger_context context;
    const uint8_t *records;
    size_t records_length;
    const uint8_t *transactions;
    size_t transactions_length;
    uint32_t transaction_count;
    uint32_t withdrawal_count; /* of them; ledger_execute counts itself */
    const uint8_t *pre_root;   /* state root before this block, on a 4-byte border */
};

/* A transaction as the rules see it. */
struct order {
    struct tree_slot *sender;
    struct tree_slot *recipient; /* TRANSFER only */
    const uint8_t *script;       /* WITHDRAW only, SCRIPT_ROOM bytes */
    uint64_t nonce;
    uint64_t fee;
    uint64_t amount;
    uint32_t kind;
    uint8_t script_length;
};

/* The state that nearly every step touches, loaded once per block. What is hashed in place comes
 * first, each in a line of its own. */
struct ledger_block {
    _Alignas(64) blake3_word line[BLAKE3_BLOCK_WORDS]; /* the block that is hashed next */
    _Alignas(64) blake3_word orders[BLAKE3_HASH_WORDS]; /* over the orders so far */
    _Alignas(64) blake3_word transactions_digest[BLAKE3_HASH_WORDS];
    _Alignas(64) blake3_word l1_inputs[BLAKE3_HASH_WORDS];
    blake3_word epoch_pre_root[BLAKE3_HASH_WORDS];
    blake3_word certificates[BLAKE3_HASH_WORDS];
    const struct ledger_constants *constants;
    const struct ledger_access *access;
    const struct ledger_input *input;
    struct tree_slot *totals_slot;
    struct tree_slot *pages[EPOCH_PAGES];
    struct totals totals;
    struct accumulator accumulator;
    uint64_t output_fee;     /* what a withdrawal pays for its Bitcoin output */
    uint64_t withdraw_price; /* with it */
    uint64_t fees;           /* taken so far */
    uint32_t executed;       /* transactions so far */
    uint32_t paid_transfers; /* of them, those whose fee was taken */
    uint32_t paid_withdrawals;
    int opened_batch; /* whether this block is the first of a batch */
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
/* Hashes all tags once, for who uses them often. */
void ledger_constants_prepare(struct ledger_constants *constants);
void ledger_context_read(struct ledger_context *context, const uint8_t *bytes);

/* Executes one block; `receipts` gets RECEIPT_LENGTH bytes per transaction or is NULL. `block`
 * is the caller's room; its digests are valid after LEDGER_OK. */
int ledger_execute(struct ledger_block *block, const struct ledger_constants *constants,
                   const struct ledger_access *access, struct ledger_input *input,
                   uint8_t *receipts);

/* The three parts of it. `input` says how many transactions of each kind there will be; what it
 * says of their bytes is not read. The caller hashes each order into `block->orders`. */
int ledger_open(struct ledger_block *block, const struct ledger_constants *constants,
                const struct ledger_access *access, const struct ledger_input *input);
int ledger_order(struct ledger_block *block, const struct order *order, uint8_t *code,
                 uint64_t *payout_id);
int ledger_close(struct ledger_block *block);

/* Orders, as `block->orders` hashes them: two blocks each, numbers little-endian (docs/ledger.md).
 * The first begins with this head, and ends with the sender. */
static inline void order_head(blake3_word *line, uint32_t kind, uint64_t nonce, uint64_t fee)
{
    line[0] = kind;
    line[1] = (uint32_t)nonce;
    line[2] = (uint32_t)(nonce >> 32);
    line[3] = (uint32_t)fee;
    line[4] = (uint32_t)(fee >> 32);
}

/* The second begins with this one: of a transfer `first` is zero and the recipient ends it, of a
 * withdrawal `first` is the length of its script, which follows the amount. */
static inline void order_tail(blake3_word *line, uint32_t first, uint64_t amount)
{
    line[0] = first;
    line[1] = (uint32_t)amount;
    line[2] = (uint32_t)(amount >> 32);
    line[3] = 0;
    line[4] = 0;
}

enum { ORDER_SCRIPT_OFFSET = 12 };

/* A tag as the key of a chain of hashes. */
static inline const blake3_word *tag_words(const struct ledger_constants *constants,
                                           enum ledger_tag tag)
{
    return (const blake3_word *)(const void *)constants->tag_hashes[tag];
}

/* value := b3(value, 64 bytes) for all bytes, filled up with zeros. `line` is scratch. */
void chain_bytes(blake3_word *value, blake3_word *line, const uint8_t *bytes, size_t length);

/* The fixed price of a block in cycles, from its kind bytes alone, which are counted. LEDGER_FORMAT
 * when lengths or kinds do not add up to exactly these bytes. */
int ledger_static_cycles(const struct ledger_constants *constants, struct ledger_input *input,
                         uint64_t *cycles);

/* H_tx(chain id | everything before the signature): transaction id and what its sender signs. */
void ledger_transaction_id(const struct ledger_constants *constants,
                           const struct transaction *parsed, uint8_t digest[32]);

/* The 12 words of relay.md 5.1 over the state behind `access`, hashed. */
int ledger_outputs_digest(const struct ledger_constants *constants,
                          const struct ledger_access *access, const struct ledger_frame *frame,
                          const uint8_t state_after[32], uint8_t words[384], uint8_t digest[32]);

/* Shared by the program's own files. */
/* The fixed price when withdrawals are counted already. */
int ledger_price_block(const struct ledger_constants *constants, const struct ledger_input *input,
                       uint64_t *cycles);
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
