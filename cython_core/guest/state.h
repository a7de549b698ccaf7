/* Leaves of the ledger's state: which there are, what their 64 bytes mean, how they are reached.
 *
 * A leaf is named by (kind, 32-byte key); its path in the tree is b3(K_path, kind | 31 zeros |
 * key). Values, big-endian (docs/ledger.md has the same table, p2p_seq/protocol/state.py the
 * Python twin):
 *
 *   ACCOUNT   key: x-only key     balance, nonce, tokens, bonded u64, little-endian (each transfer
 *                                 reads and writes them in the machine); 32 zeros
 *   TOTALS    key: 0              wrapped, pending, fee pool, insurance, vault, last rate,
 *                                 next payout id, account count: u64 each
 *   EPOCH     key: page number    0: epoch, cycles used, batch, cycles of the batch,
 *                                    transactions, blocks, first payout id, history count: u64
 *                                 1: root before the epoch 32, certificates digest 32
 *                                 2: transactions digest 32, l1_inputs 32
 *   WITHDRAWALS, HISTORY          page p: frontier nodes 2p and 2p+1 of the SHA-256 tree
 *   PAYOUT    key: id             epoch, amount u64, script length u8, script 34, 13 zeros
 *   STAKE     key: consensus key  record digest 32, first and last epoch u64, refund height u32,
 *                                 12 zeros
 *   VAULT     key: 0              txid 32, vout u32, version u32, last settled epoch + 1 u64,
 *                                 settlements u64, 8 zeros
 */
#ifndef GUEST_STATE_H
#define GUEST_STATE_H

#include <stdint.h>

#include "tree.h"

enum leaf_kind {
    LEAF_ACCOUNT = 1,
    LEAF_TOTALS = 2,
    LEAF_EPOCH = 3,
    LEAF_WITHDRAWALS = 4,
    LEAF_HISTORY = 5,
    LEAF_PAYOUT = 6,
    LEAF_STAKE = 7,
    LEAF_VAULT = 8
};

enum { LEAF_VALUE = 64, EPOCH_PAGES = 3, FRONTIER_LEVELS = 32 };

/* How the program reaches state. `find` returns the slot of a leaf, which stays where it is
 * until the run ends, or NULL when the owner cannot provide it (a witness that lacks it, no room
 * left). */
struct ledger_access {
    struct tree_slot *(*find)(void *owner, uint8_t kind, const uint8_t key[32]);
    /* The same for the two accounts of a transaction that is read from its bytes. A witness names
     * them in the transaction itself, so they need no hint. */
    struct tree_slot *(*find_party)(void *owner, uint8_t kind, const uint8_t key[32]);
    void *owner;
};

/* Path of a leaf in the state tree. */
void leaf_path(uint8_t kind, const uint8_t key[32], uint8_t path[32]);
/* Finds a leaf whose key is a number, right-aligned in 32 bytes. */
struct tree_slot *find_numbered(const struct ledger_access *access, uint8_t kind, uint64_t number);

struct totals {
    uint64_t wrapped;
    uint64_t pending;
    uint64_t fee_pool;
    uint64_t insurance;
    uint64_t vault;
    uint64_t last_rate; /* sat per kvB */
    uint64_t next_payout_id;
    uint64_t account_count;
};

struct accumulator {
    uint64_t epoch;
    uint64_t cycles_used;
    uint64_t batch;
    uint64_t batch_cycles;
    uint64_t transaction_count;
    uint64_t block_count;
    uint64_t first_payout_id;
    uint64_t history_count;
};

void totals_load(struct totals *totals, const uint8_t *value);
void totals_store(const struct totals *totals, uint8_t *value);
void accumulator_load(struct accumulator *accumulator, const uint8_t *value);
void accumulator_store(const struct accumulator *accumulator, uint8_t *value);

#endif
