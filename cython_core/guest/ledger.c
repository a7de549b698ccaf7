/* Execution of a block: budget, transactions, the leader's share, the running digests.
 *
 * Amounts: every balance and total is at most the vault coin, and the vault coin at most 21 M BTC
 * (records.c), so sums of two of them never overflow 64 bits.
 */
#include "ledger.h"

#include "bytes.h"

/* PROTOCOL.md 7: 40 % settlement reserve, 40 % leader, 20 % insurance; rounding goes to the
 * reserve. */
enum { LEADER_PERCENT = 40, INSURANCE_PERCENT = 20 };
/* PROTOCOL.md 1: virtual bytes of a payout output; a withdrawal pays them at twice the last
 * rate. */
enum { PAYOUT_OUTPUT_SIZE = 43 };
/* Boot and outputs of the guest run, charged when a batch begins. */
enum { BATCH_OVERHEAD_STEPS = 2 };
/* PROTOCOL.md 3: the last tenth of an epoch's budget is for system records. */
enum { USER_TENTHS = 9 };

int account_load(const struct tree_slot *slot, struct account *account)
{
    if (!slot->new_present) {
        account->balance = 0;
        account->nonce = 0;
        return 0;
    }
    account->balance = load_u64(slot->new_value);
    account->nonce = load_u64(slot->new_value + 8);
    return 1;
}

void account_store(struct ledger_block *block, struct tree_slot *slot,
                   const struct account *account)
{
    if (account->balance == 0 && bytes_are_zero(slot->new_value + 16, LEAF_VALUE - 16)) {
        slot->new_present = 0;
        bytes_zero(slot->new_value, LEAF_VALUE);
        block->totals.account_count--;
        return;
    }
    store_u64(slot->new_value, account->balance);
    store_u64(slot->new_value + 8, account->nonce);
}

/* A new account's first nonce is (epoch << 32) + transactions executed in the epoch before this
 * one. Every use of a nonce is one transaction of the epoch, so the nonces of a deleted account
 * all lie below the first nonce of its successor: an old transaction never replays, also within
 * one epoch. */
static uint64_t first_nonce(const struct ledger_block *block)
{
    return (block->accumulator.epoch << 32) + block->accumulator.transaction_count;
}

int account_credit(struct ledger_block *block, struct tree_slot *slot, uint64_t amount)
{
    struct account account;
    if (account_load(slot, &account)) {
        account.balance += amount;
    } else {
        if (amount < block->constants->account_min) {
            return 0;
        }
        bytes_zero(slot->new_value, LEAF_VALUE);
        slot->new_present = 1;
        block->totals.account_count++;
        account.balance = amount;
        account.nonce = first_nonce(block);
    }
    account_store(block, slot, &account);
    return 1;
}

/* Splits a paid fee. `price` is the kind's fixed part; the rest beyond the output is a tip. */
static void book_fee(struct ledger_block *block, uint64_t fee, uint64_t price, uint64_t output_fee)
{
    uint64_t leader = price * LEADER_PERCENT / 100;
    uint64_t insurance = price * INSURANCE_PERCENT / 100;
    block->totals.wrapped -= fee;
    block->totals.fee_pool += price - leader - insurance + output_fee;
    block->totals.insurance += insurance;
    block->leader_share += leader + (fee - price - output_fee);
}

static int record_payout(struct ledger_block *block, const struct transaction *order,
                         uint64_t *payout_id)
{
    uint8_t leaf[32];
    struct sha256_stream stream;
    uint64_t id = block->totals.next_payout_id;
    struct tree_slot *slot = find_numbered(block->access, LEAF_PAYOUT, id);
    if (slot == NULL) {
        return LEDGER_ACCESS;
    }
    if (slot->new_present) {
        return LEDGER_STATE;
    }
    slot->new_present = 1;
    bytes_zero(slot->new_value, LEAF_VALUE);
    store_u64(slot->new_value, block->accumulator.epoch);
    store_u64(slot->new_value + 8, order->amount);
    slot->new_value[16] = order->script_length;
    bytes_copy(slot->new_value + 17, order->script, SCRIPT_ROOM);
    /* Leaf of the withdrawals tree: id, amount, script length, script (docs/ledger.md). */
    uint8_t number[8];
    store_u64(number, id);
    tagged_start(&stream, block->constants, TAG_WITHDRAWAL);
    sha256_absorb(&stream, number, 8);
    sha256_absorb(&stream, slot->new_value + 8, 9 + SCRIPT_ROOM);
    sha256_finish(&stream, leaf);
    uint64_t position = id - block->accumulator.first_payout_id;
    int error = frontier_append(block->access, LEAF_WITHDRAWALS, position, leaf);
    if (error != LEDGER_OK) {
        return error;
    }
    block->totals.next_payout_id = id + 1;
    block->totals.wrapped -= order->amount;
    block->totals.pending += order->amount;
    *payout_id = id;
    return LEDGER_OK;
}

static uint8_t withdraw_failure(const struct ledger_block *block, const struct transaction *order,
                                uint64_t balance)
{
    if (order->amount > balance) {
        return FAILED_BALANCE;
    }
    if (order->amount < block->constants->payout_min) {
        return FAILED_DUST;
    }
    return script_is_payable(order->script, order->script_length) ? RECEIPT_OK : FAILED_SCRIPT;
}

/* Takes what the sender's slot holds after fee and nonce were written, and moves the amount. */
static int move_amount(struct ledger_block *block, const struct transaction *order,
                       struct tree_slot *sender, struct account *account, uint8_t *code,
                       uint64_t *payout_id)
{
    if (order->kind == TRANSACTION_WITHDRAW) {
        *code = withdraw_failure(block, order, account->balance);
        if (*code == RECEIPT_OK) {
            account->balance -= order->amount;
            return record_payout(block, order, payout_id);
        }
        return LEDGER_OK;
    }
    struct tree_slot *recipient = block->access->find(block->access->owner, LEAF_ACCOUNT,
                                                      order->recipient);
    if (recipient == NULL) {
        return LEDGER_ACCESS;
    }
    if (order->amount > account->balance) {
        *code = FAILED_BALANCE;
    } else if (recipient != sender) {
        /* To oneself nothing moves: crediting the slot would be lost when the sender is stored. */
        if (account_credit(block, recipient, order->amount)) {
            account->balance -= order->amount;
        } else {
            *code = FAILED_ACCOUNT_MIN;
        }
    }
    return LEDGER_OK;
}

static int execute_transaction(struct ledger_block *block, const struct transaction *order,
                               uint8_t *code, uint64_t *payout_id)
{
    struct account account;
    const struct ledger_constants *constants = block->constants;
    int is_withdrawal = order->kind == TRANSACTION_WITHDRAW;
    uint64_t price = is_withdrawal ? constants->fee_withdraw : constants->fee_transfer;
    uint64_t output_fee = is_withdrawal ? block->output_fee : 0;
    const struct ledger_access *access = block->access;
    struct tree_slot *sender = access->find(access->owner, LEAF_ACCOUNT, order->sender);
    if (sender == NULL) {
        return LEDGER_ACCESS;
    }
    if (!account_load(sender, &account)) {
        *code = DROPPED_NO_ACCOUNT;
    } else if (order->nonce != account.nonce) {
        *code = DROPPED_NONCE;
    } else if (order->fee < price + output_fee) {
        *code = DROPPED_PRICE;
    } else if (order->fee > account.balance) {
        *code = DROPPED_FEE;
    } else {
        *code = RECEIPT_OK;
        account.balance -= order->fee;
        account.nonce++;
        book_fee(block, order->fee, price, output_fee);
        int error = move_amount(block, order, sender, &account, code, payout_id);
        if (error != LEDGER_OK) {
            return error;
        }
        account_store(block, sender, &account);
    }
    return LEDGER_OK;
}

static int signature_is_right(const struct ledger_block *block, const struct transaction *order)
{
    uint8_t identity[32];
    if (block->signatures == NULL) {
        return 1;
    }
    ledger_transaction_id(block->constants, order, identity);
    return block->signatures->verify(block->signatures->owner, order->sender, identity,
                                     order->signature);
}

static void write_receipt(uint8_t *receipt, uint32_t index, uint8_t code,
                          const struct transaction *order, uint64_t payout_id)
{
    int is_dropped = code >= DROPPED_NO_ACCOUNT && code <= DROPPED_FEE;
    receipt[0] = code;
    receipt[1] = order->kind;
    receipt[2] = 0;
    receipt[3] = 0;
    store_u32(receipt + 4, index);
    store_u64(receipt + 8, is_dropped ? 0 : order->fee);
    store_u64(receipt + 16, payout_id);
}

static int execute_transactions(struct ledger_block *block, uint8_t *receipts)
{
    const struct ledger_input *input = block->input;
    size_t position = 0;
    for (uint32_t i = 0; i < input->transaction_count; i++) {
        struct transaction order;
        uint8_t code = RECEIPT_OK;
        uint64_t payout_id = 0;
        uint32_t length = transaction_parse(input->transactions + position,
                                            input->transactions_length - position, &order);
        if (length == 0) {
            return LEDGER_FORMAT;
        }
        if (!signature_is_right(block, &order)) {
            return LEDGER_SIGNATURE;
        }
        int error = execute_transaction(block, &order, &code, &payout_id);
        if (error != LEDGER_OK) {
            return error;
        }
        if (receipts != NULL) {
            write_receipt(receipts + (size_t)RECEIPT_LENGTH * i, i, code, &order, payout_id);
        }
        block->accumulator.transaction_count++;
        position += length;
    }
    return position == input->transactions_length ? LEDGER_OK : LEDGER_FORMAT;
}

/* Once per block; a leader without an account whose share is too small to open one gives it up. */
static int book_leader_share(struct ledger_block *block)
{
    if (block->leader_share == 0) {
        return LEDGER_OK;
    }
    struct tree_slot *slot = block->access->find(block->access->owner, LEAF_ACCOUNT,
                                                 block->input->context.leader);
    if (slot == NULL) {
        return LEDGER_ACCESS;
    }
    if (account_credit(block, slot, block->leader_share)) {
        block->totals.wrapped += block->leader_share;
    } else {
        block->totals.fee_pool += block->leader_share;
    }
    return LEDGER_OK;
}

/* Puts the block into a batch (PROTOCOL.md 3: a block that would pass the batch's limit starts
 * the next one). User transactions may not take room from the last tenth of the epoch; records
 * always enter, because Bitcoin has already decided them. */
static int charge_cycles(struct ledger_block *block)
{
    const struct ledger_constants *constants = block->constants;
    struct accumulator *accumulator = &block->accumulator;
    uint64_t cycles;
    uint64_t limit = constants->epoch_cycle_limit / constants->batches;
    int error = ledger_static_cycles(constants, block->input, &cycles);
    if (error != LEDGER_OK) {
        return error;
    }
    if (accumulator->batch_cycles != 0 && accumulator->batch_cycles + cycles > limit) {
        accumulator->batch++;
        accumulator->batch_cycles = 0;
    }
    block->opened_batch = accumulator->batch_cycles == 0;
    if (block->opened_batch) {
        cycles += BATCH_OVERHEAD_STEPS * constants->cycles_other;
    }
    accumulator->batch_cycles += cycles;
    accumulator->cycles_used += cycles;
    if (block->input->transaction_count == 0) {
        return LEDGER_OK;
    }
    uint64_t user_limit = constants->epoch_cycle_limit / 10 * USER_TENTHS;
    uint64_t reached = accumulator->batch * limit + accumulator->batch_cycles;
    return accumulator->batch_cycles <= limit && reached <= user_limit ? LEDGER_OK : LEDGER_BUDGET;
}

/* Before the first epoch there is no accumulator; only the record that opens an epoch makes one. */
static int open_block(struct ledger_block *block, struct tree_slot *totals,
                      struct tree_slot *pages[EPOCH_PAGES])
{
    if (!totals->new_present) {
        return LEDGER_STATE;
    }
    totals_load(&block->totals, totals->new_value);
    block->leader_share = 0;
    if (pages[0]->new_present) {
        accumulator_load(&block->accumulator, pages[0]->new_value);
    } else {
        bytes_zero((uint8_t *)&block->accumulator, sizeof block->accumulator);
        if (block->input->records_length == 0 || block->input->records[0] != RECORD_EPOCH) {
            return LEDGER_STATE;
        }
    }
    bytes_copy(block->epoch_pre_root, pages[1]->new_value, 32);
    bytes_copy(block->certificates, pages[1]->new_value + 32, 32);
    bytes_copy(block->transactions_digest, pages[2]->new_value, 32);
    bytes_copy(block->l1_inputs, pages[2]->new_value + 32, 32);
    return LEDGER_OK;
}

static void close_block(const struct ledger_block *block, struct tree_slot *totals,
                        struct tree_slot *pages[EPOCH_PAGES])
{
    totals_store(&block->totals, totals->new_value);
    accumulator_store(&block->accumulator, pages[0]->new_value);
    bytes_copy(pages[1]->new_value, block->epoch_pre_root, 32);
    bytes_copy(pages[1]->new_value + 32, block->certificates, 32);
    bytes_copy(pages[2]->new_value, block->transactions_digest, 32);
    bytes_copy(pages[2]->new_value + 32, block->l1_inputs, 32);
    for (int i = 0; i < EPOCH_PAGES; i++) {
        pages[i]->new_present = 1;
    }
}

/* The running digests of the epoch: what word 5 of the outputs speaks of. */
static void absorb_inputs(struct ledger_block *block)
{
    const struct ledger_input *input = block->input;
    struct sha256_stream stream;
    uint8_t count[4];
    uint8_t origin[44];
    store_u32(count, input->transaction_count);
    tagged_start(&stream, block->constants, TAG_BODY);
    sha256_absorb(&stream, count, 4);
    sha256_absorb(&stream, input->transactions, input->transactions_length);
    sha256_finish(&stream, block->body_digest);
    tagged_start(&stream, block->constants, TAG_TRANSACTIONS);
    sha256_absorb(&stream, block->transactions_digest, 32);
    sha256_absorb(&stream, block->body_digest, 32);
    sha256_finish(&stream, block->transactions_digest);
    store_u64(origin, input->context.origin_height);
    bytes_copy(origin + 8, input->context.origin_hash, 32);
    store_u32(origin + 40, (uint32_t)input->records_length);
    tagged_start(&stream, block->constants, TAG_L1_INPUTS);
    sha256_absorb(&stream, block->l1_inputs, 32);
    sha256_absorb(&stream, origin, sizeof origin);
    sha256_absorb(&stream, input->records, input->records_length);
    sha256_finish(&stream, block->l1_inputs);
}

static int run_block(struct ledger_block *block, uint8_t *receipts)
{
    int error = ledger_apply_records(block);
    if (error != LEDGER_OK) {
        return error;
    }
    if (block->accumulator.epoch != block->input->context.epoch) {
        return LEDGER_CONTEXT;
    }
    error = charge_cycles(block);
    if (error != LEDGER_OK) {
        return error;
    }
    block->accumulator.block_count++;
    block->output_fee = (2 * PAYOUT_OUTPUT_SIZE * block->totals.last_rate + 999) / 1000;
    error = execute_transactions(block, receipts);
    if (error != LEDGER_OK) {
        return error;
    }
    return book_leader_share(block);
}

int ledger_execute(struct ledger_block *block, const struct ledger_constants *constants,
                   const struct ledger_access *access, const struct ledger_signatures *signatures,
                   const struct ledger_input *input, uint8_t *receipts)
{
    struct tree_slot *pages[EPOCH_PAGES];
    struct tree_slot *totals = find_numbered(access, LEAF_TOTALS, 0);
    for (int i = 0; i < EPOCH_PAGES; i++) {
        pages[i] = find_numbered(access, LEAF_EPOCH, (uint64_t)i);
        if (pages[i] == NULL) {
            return LEDGER_ACCESS;
        }
    }
    if (totals == NULL) {
        return LEDGER_ACCESS;
    }
    block->constants = constants;
    block->access = access;
    block->signatures = signatures;
    block->input = input;
    int error = open_block(block, totals, pages);
    if (error == LEDGER_OK) {
        error = run_block(block, receipts);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    absorb_inputs(block);
    close_block(block, totals, pages);
    const struct totals *sums = &block->totals;
    return sums->wrapped + sums->pending + sums->fee_pool + sums->insurance == sums->vault
        ? LEDGER_OK
        : LEDGER_SUPPLY;
}
