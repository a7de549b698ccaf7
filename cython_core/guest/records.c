/* Bitcoin-derived records: settlements with their deposits and payouts, stakes, the epoch's
 * opening.
 *
 * Every voter derives the records from Bitcoin and finalised state and compares them before it
 * votes; what is checked here is that they fit the books. A contradiction is an error of the
 * whole block.
 *
 *   SETTLEMENT  txid 32, last epoch u64, version u32, fee u64, vault value u64, rate u64   69
 *   DEPOSIT     txid 32, vout u32, value u64, recipient 32, fee u64                        85
 *   PAYOUT      payout id u64                                                               9
 *   STAKE       consensus key 32, record digest 32, first, last epoch u64, refund u32      85
 *   EPOCH       epoch u64, outputs digest 32 of the epoch that ended                       41
 *
 * (after the kind byte; lengths with it).
 *
 * The DEPOSIT and PAYOUT records of a settlement follow it; EPOCH is the first record of a seal.
 */
#include "bytes.h"
#include "ledger.h"

/* Satoshi; Bitcoin Core, consensus/amount.h. */
static const uint64_t MAX_MONEY = 2100000000000000ull;
/* Far above any fee market, and low enough that rate * size stays within 64 bits. */
static const uint64_t RATE_LIMIT = 1ull << 40;
static const uint64_t EPOCH_LIMIT = 1ull << 31;

/* The settlement whose records are being read. */
struct settlement {
    int is_open;
    uint64_t claimed; /* value of the new vault coin, as the record says */
    uint64_t reached; /* old coin, plus deposits, minus payouts, minus fee, so far */
};

size_t record_length(uint8_t kind)
{
    static const uint8_t LENGTHS[] = {0, 69, 85, 9, 85, 41};
    return kind < sizeof LENGTHS ? LENGTHS[kind] : 0;
}

static int close_settlement(struct ledger_block *block, struct settlement *settlement)
{
    if (!settlement->is_open) {
        return LEDGER_OK;
    }
    settlement->is_open = 0;
    block->totals.vault = settlement->claimed;
    return settlement->claimed == settlement->reached ? LEDGER_OK : LEDGER_RECORD;
}

static int apply_settlement(struct ledger_block *block, struct settlement *settlement,
                            const uint8_t *record)
{
    uint64_t last_epoch = load_u64(record + 33);
    uint64_t fee = load_u64(record + 45);
    uint64_t value = load_u64(record + 53);
    uint64_t rate = load_u64(record + 61);
    struct tree_slot *vault = find_numbered(block->access, LEAF_VAULT, 0);
    if (vault == NULL) {
        return LEDGER_ACCESS;
    }
    if (!vault->new_present) {
        return LEDGER_STATE;
    }
    uint64_t settled = load_u64(vault->new_value + 40);
    if (last_epoch < settled || last_epoch >= block->accumulator.epoch
        || fee > block->totals.fee_pool || value > MAX_MONEY || rate > RATE_LIMIT) {
        return LEDGER_RECORD;
    }
    bytes_copy(vault->new_value, record + 1, 32);
    store_u32(vault->new_value + 32, 0); /* output 0 is the vault coin (PROTOCOL.md 2) */
    bytes_copy(vault->new_value + 36, record + 41, 4);
    store_u64(vault->new_value + 40, last_epoch + 1);
    store_u64(vault->new_value + 48, load_u64(vault->new_value + 48) + 1);
    settlement->is_open = 1;
    settlement->claimed = value;
    settlement->reached = block->totals.vault - fee;
    block->totals.fee_pool -= fee;
    block->totals.last_rate = rate;
    return LEDGER_OK;
}

static int apply_deposit(struct ledger_block *block, struct settlement *settlement,
                         const uint8_t *record)
{
    uint64_t value = load_u64(record + 37);
    uint64_t fee = load_u64(record + 77);
    if (!settlement->is_open || value > MAX_MONEY || fee > value) {
        return LEDGER_RECORD;
    }
    settlement->reached += value;
    if (settlement->reached > MAX_MONEY) {
        return LEDGER_RECORD;
    }
    block->totals.fee_pool += fee;
    if (value == fee) {
        return LEDGER_OK;
    }
    struct tree_slot *slot = block->access->find(block->access->owner, LEAF_ACCOUNT, record + 45);
    if (slot == NULL) {
        return LEDGER_ACCESS;
    }
    /* The coins are in the vault whatever happens here: what is too little to open an account with
     * goes to the settlement reserve, and the books stay equal to Bitcoin's. */
    if (account_credit(block, slot, value - fee)) {
        block->totals.wrapped += value - fee;
    } else {
        block->totals.fee_pool += value - fee;
    }
    return LEDGER_OK;
}

static int apply_payout(struct ledger_block *block, struct settlement *settlement,
                        const uint8_t *record)
{
    struct tree_slot *slot = find_numbered(block->access, LEAF_PAYOUT, load_u64(record + 1));
    if (slot == NULL) {
        return LEDGER_ACCESS;
    }
    if (!settlement->is_open || !slot->new_present) {
        return LEDGER_RECORD;
    }
    uint64_t amount = load_u64(slot->new_value + 8);
    if (amount > settlement->reached || amount > block->totals.pending) {
        return LEDGER_RECORD;
    }
    settlement->reached -= amount;
    block->totals.pending -= amount;
    slot->new_present = 0;
    bytes_zero(slot->new_value, LEAF_VALUE);
    return LEDGER_OK;
}

static int apply_stake(struct ledger_block *block, const uint8_t *record)
{
    uint64_t first = load_u64(record + 65);
    uint64_t last = load_u64(record + 73);
    struct tree_slot *slot = block->access->find(block->access->owner, LEAF_STAKE, record + 1);
    if (slot == NULL) {
        return LEDGER_ACCESS;
    }
    /* A renewal has new keys (PROTOCOL.md 5), so a key that is known already is a contradiction. */
    if (slot->new_present || first > last) {
        return LEDGER_RECORD;
    }
    slot->new_present = 1;
    bytes_zero(slot->new_value, LEAF_VALUE);
    bytes_copy(slot->new_value, record + 33, 52);
    return LEDGER_OK;
}

/* Opens an epoch. The very first has no predecessor: its digest is zero and enters no history. */
static int apply_epoch(struct ledger_block *block, const uint8_t *record)
{
    struct accumulator *accumulator = &block->accumulator;
    uint64_t epoch = load_u64(record + 1);
    int is_first = accumulator->block_count == 0;
    if (epoch >= EPOCH_LIMIT || block->input->transaction_count != 0) {
        return LEDGER_RECORD;
    }
    if (is_first) {
        if (epoch != 0 || !bytes_are_zero(record + 9, 32)) {
            return LEDGER_RECORD;
        }
    } else {
        uint8_t leaf[32];
        struct sha256_stream stream;
        if (epoch <= accumulator->epoch) {
            return LEDGER_RECORD;
        }
        tagged_start(&stream, block->constants, TAG_HISTORY);
        sha256_absorb(&stream, record + 9, 32);
        sha256_finish(&stream, leaf);
        int error = frontier_append(block->access, LEAF_HISTORY, accumulator->history_count, leaf);
        if (error != LEDGER_OK) {
            return error;
        }
        accumulator->history_count++;
    }
    accumulator->epoch = epoch;
    accumulator->cycles_used = 0;
    accumulator->batch = 0;
    accumulator->batch_cycles = 0;
    accumulator->transaction_count = 0;
    accumulator->block_count = 0;
    accumulator->first_payout_id = block->totals.next_payout_id;
    hash_copy(block->epoch_pre_root, (const blake3_word *)(const void *)block->input->pre_root);
    hash_clear(block->certificates);
    hash_clear(block->transactions_digest);
    hash_clear(block->l1_inputs);
    return LEDGER_OK;
}

static int apply_record(struct ledger_block *block, struct settlement *settlement,
                        const uint8_t *record, int is_first)
{
    int error = LEDGER_OK;
    if (record[0] != RECORD_DEPOSIT && record[0] != RECORD_PAYOUT) {
        error = close_settlement(block, settlement);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    switch (record[0]) {
    case RECORD_SETTLEMENT:
        return apply_settlement(block, settlement, record);
    case RECORD_DEPOSIT:
        return apply_deposit(block, settlement, record);
    case RECORD_PAYOUT:
        return apply_payout(block, settlement, record);
    case RECORD_STAKE:
        return apply_stake(block, record);
    case RECORD_EPOCH:
        return is_first ? apply_epoch(block, record) : LEDGER_RECORD;
    default:
        return LEDGER_FORMAT;
    }
}

int ledger_apply_records(struct ledger_block *block)
{
    const uint8_t *records = block->input->records;
    size_t left = block->input->records_length;
    int is_first = 1;
    struct settlement settlement = {0, 0, 0};
    while (left != 0) {
        size_t length = record_length(records[0]);
        if (length == 0 || length > left) {
            return LEDGER_FORMAT;
        }
        int error = apply_record(block, &settlement, records, is_first);
        if (error != LEDGER_OK) {
            return error;
        }
        is_first = 0;
        records += length;
        left -= length;
    }
    return close_settlement(block, &settlement);
}
