/* Execution of a block: budget, transactions, the leader's share, the running digests.
 *
 * Amounts: every balance and total is at most the vault coin, and the vault coin at most 21 M BTC
 * (records.c), so sums of two of them never overflow 64 bits.
 */
#include "ledger.h"

#include "bytes.h"

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
    account->balance = load_native(slot->new_value);
    account->nonce = load_native(slot->new_value + 8);
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
    store_native(slot->new_value, account->balance);
    store_native(slot->new_value + 8, account->nonce);
}

/* A new account's first nonce is (epoch << 32) + transactions executed in the epoch before this
 * one. Every use of a nonce is one transaction of the epoch, so the nonces of a deleted account
 * all lie below the first nonce of its successor: an old transaction never replays, also within
 * one epoch. */
static uint64_t first_nonce(const struct ledger_block *block)
{
    return (block->accumulator.epoch << 32) + block->accumulator.transaction_count
        + block->executed;
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

/* Books the fees of the block's transactions and returns the leader's share. What is offered above
 * the price is the leader's. */
static uint64_t book_fees(struct ledger_block *block)
{
    const struct ledger_constants *constants = block->constants;
    struct totals *totals = &block->totals;
    uint64_t transfers = block->paid_transfers;
    uint64_t withdrawals = block->paid_withdrawals;
    uint64_t fixed = transfers * constants->fee_transfer + withdrawals * constants->fee_withdraw;
    uint64_t outputs = withdrawals * block->output_fee;
    uint64_t leader = transfers * constants->transfer_shares.leader
        + withdrawals * constants->withdraw_shares.leader;
    uint64_t insurance = transfers * constants->transfer_shares.insurance
        + withdrawals * constants->withdraw_shares.insurance;
    totals->wrapped -= block->fees;
    totals->fee_pool += fixed - leader - insurance + outputs;
    totals->insurance += insurance;
    return leader + (block->fees - fixed - outputs);
}

static int record_payout(struct ledger_block *block, const struct order *order,
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

static uint8_t withdraw_failure(const struct ledger_block *block, const struct order *order,
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

/* Takes what the sender's slot holds after fee and nonce, and moves the amount. */
static int move_amount(struct ledger_block *block, const struct order *order,
                       struct account *account, uint8_t *code, uint64_t *payout_id)
{
    if (order->kind == TRANSACTION_WITHDRAW) {
        *code = withdraw_failure(block, order, account->balance);
        if (*code == RECEIPT_OK) {
            account->balance -= order->amount;
            return record_payout(block, order, payout_id);
        }
        return LEDGER_OK;
    }
    if (order->amount > account->balance) {
        *code = FAILED_BALANCE;
    } else if (order->recipient != order->sender) {
        /* To oneself nothing moves: crediting the slot would be lost when the sender is stored. */
        if (account_credit(block, order->recipient, order->amount)) {
            account->balance -= order->amount;
        } else {
            *code = FAILED_ACCOUNT_MIN;
        }
    }
    return LEDGER_OK;
}

int ledger_order(struct ledger_block *block, const struct order *order, uint8_t *code,
                 uint64_t *payout_id)
{
    struct account account;
    int is_withdrawal = order->kind == TRANSACTION_WITHDRAW;
    uint64_t price = is_withdrawal ? block->withdraw_price : block->constants->fee_transfer;
    int error = LEDGER_OK;
    *payout_id = 0;
    if (!account_load(order->sender, &account)) {
        *code = DROPPED_NO_ACCOUNT;
    } else if (order->nonce != account.nonce) {
        *code = DROPPED_NONCE;
    } else if (order->fee < price) {
        *code = DROPPED_PRICE;
    } else if (order->fee > account.balance) {
        *code = DROPPED_FEE;
    } else {
        *code = RECEIPT_OK;
        account.balance -= order->fee;
        account.nonce++;
        block->fees += order->fee;
        block->paid_transfers += (uint32_t)!is_withdrawal;
        block->paid_withdrawals += (uint32_t)is_withdrawal;
        error = move_amount(block, order, &account, code, payout_id);
        account_store(block, order->sender, &account);
    }
    block->executed++;
    return error;
}

static void write_receipt(uint8_t *receipt, uint32_t index, uint8_t code,
                          const struct order *order, uint64_t payout_id)
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

/* Finds the order's leaves and hashes it. Returns a ledger_error. */
static int order_of(struct ledger_block *block, const struct transaction *parsed,
                    struct order *order)
{
    const struct ledger_access *access = block->access;
    blake3_word *line = block->line;
    int is_transfer = parsed->kind == TRANSACTION_TRANSFER;
    *order = (struct order){NULL,        NULL,           parsed->script, parsed->nonce,
                            parsed->fee, parsed->amount, parsed->kind,   parsed->script_length};
    order->sender = access->find_party(access->owner, LEAF_ACCOUNT, parsed->sender);
    hash_clear(line);
    order_head(line, parsed->kind, parsed->nonce, parsed->fee);
    bytes_copy((uint8_t *)(line + 8), parsed->sender, 32);
    host_b3(block->orders, line);
    hash_clear(line);
    if (is_transfer) {
        order->recipient = access->find_party(access->owner, LEAF_ACCOUNT, parsed->recipient);
        order_tail(line, 0, parsed->amount);
        bytes_copy((uint8_t *)(line + 8), parsed->recipient, 32);
    } else {
        hash_clear(line + 8);
        order_tail(line, parsed->script_length, parsed->amount);
        bytes_copy((uint8_t *)line + ORDER_SCRIPT_OFFSET, parsed->script, SCRIPT_ROOM);
    }
    host_b3(block->orders, line);
    return order->sender == NULL || (is_transfer && order->recipient == NULL) ? LEDGER_ACCESS
                                                                              : LEDGER_OK;
}

static int execute_transactions(struct ledger_block *block, uint8_t *receipts)
{
    const struct ledger_input *input = block->input;
    size_t position = 0;
    for (uint32_t i = 0; i < input->transaction_count; i++) {
        struct transaction parsed;
        struct order order;
        uint8_t code;
        uint64_t payout_id;
        uint32_t length = transaction_parse(input->transactions + position,
                                            input->transactions_length - position, &parsed);
        if (length == 0) {
            return LEDGER_FORMAT;
        }
        int error = order_of(block, &parsed, &order);
        if (error == LEDGER_OK) {
            error = ledger_order(block, &order, &code, &payout_id);
        }
        if (error != LEDGER_OK) {
            return error;
        }
        if (receipts != NULL) {
            write_receipt(receipts + (size_t)RECEIPT_LENGTH * i, i, code, &order, payout_id);
        }
        position += length;
    }
    return position == input->transactions_length ? LEDGER_OK : LEDGER_FORMAT;
}

/* Once per block; a leader without an account whose share is too small to open one gives it up. */
static int book_leader_share(struct ledger_block *block, uint64_t share)
{
    if (share == 0) {
        return LEDGER_OK;
    }
    struct tree_slot *slot = block->access->find(block->access->owner, LEAF_ACCOUNT,
                                                 block->input->context.leader);
    if (slot == NULL) {
        return LEDGER_ACCESS;
    }
    if (account_credit(block, slot, share)) {
        block->totals.wrapped += share;
    } else {
        block->totals.fee_pool += share;
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
    int error = ledger_price_block(constants, block->input, &cycles);
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
static int load_block(struct ledger_block *block)
{
    if (!block->totals_slot->new_present) {
        return LEDGER_STATE;
    }
    totals_load(&block->totals, block->totals_slot->new_value);
    if (block->pages[0]->new_present) {
        accumulator_load(&block->accumulator, block->pages[0]->new_value);
    } else {
        block->accumulator = (struct accumulator){0};
        if (block->input->records_length == 0 || block->input->records[0] != RECORD_EPOCH) {
            return LEDGER_STATE;
        }
    }
    const blake3_word *first = (const blake3_word *)block->pages[1]->new_value;
    const blake3_word *second = (const blake3_word *)block->pages[2]->new_value;
    hash_copy(block->epoch_pre_root, first);
    hash_copy(block->certificates, first + 8);
    hash_copy(block->transactions_digest, second);
    hash_copy(block->l1_inputs, second + 8);
    return LEDGER_OK;
}

static void store_block(const struct ledger_block *block)
{
    blake3_word *first = (blake3_word *)block->pages[1]->new_value;
    blake3_word *second = (blake3_word *)block->pages[2]->new_value;
    totals_store(&block->totals, block->totals_slot->new_value);
    accumulator_store(&block->accumulator, block->pages[0]->new_value);
    hash_copy(first, block->epoch_pre_root);
    hash_copy(first + 8, block->certificates);
    hash_copy(second, block->transactions_digest);
    hash_copy(second + 8, block->l1_inputs);
    for (int i = 0; i < EPOCH_PAGES; i++) {
        block->pages[i]->new_present = 1;
    }
}

void chain_bytes(blake3_word *value, blake3_word *line, const uint8_t *bytes, size_t length)
{
    while (length != 0) {
        size_t taken = length < BLAKE3_BLOCK_BYTES ? length : BLAKE3_BLOCK_BYTES;
        hash_clear(line);
        hash_clear(line + 8);
        bytes_copy((uint8_t *)line, bytes, taken);
        host_b3(value, line);
        bytes += taken;
        length -= taken;
    }
}

/* The running digests of the epoch: what word 5 of the outputs speaks of. */
static void absorb_inputs(struct ledger_block *block)
{
    const struct ledger_input *input = block->input;
    blake3_word *line = block->line;
    hash_copy(line, block->orders);
    hash_copy(line + 8, tag_words(block->constants, TAG_TRANSACTIONS));
    host_b3(block->transactions_digest, line);
    bytes_copy((uint8_t *)line, input->context.origin_hash, 32);
    hash_copy(line + 8, tag_words(block->constants, TAG_L1_INPUTS));
    host_b3(block->l1_inputs, line);
    hash_clear(line);
    hash_clear(line + 8);
    store_native(line, input->context.origin_height);
    line[2] = (uint32_t)input->records_length;
    host_b3(block->l1_inputs, line);
    chain_bytes(block->l1_inputs, line, input->records, input->records_length);
}

static int find_block(struct ledger_block *block)
{
    block->totals_slot = find_numbered(block->access, LEAF_TOTALS, 0);
    for (int i = 0; i < EPOCH_PAGES; i++) {
        block->pages[i] = find_numbered(block->access, LEAF_EPOCH, (uint64_t)i);
        if (block->pages[i] == NULL) {
            return LEDGER_ACCESS;
        }
    }
    return block->totals_slot == NULL ? LEDGER_ACCESS : LEDGER_OK;
}

int ledger_open(struct ledger_block *block, const struct ledger_constants *constants,
                const struct ledger_access *access, const struct ledger_input *input)
{
    block->constants = constants;
    block->access = access;
    block->input = input;
    block->fees = 0;
    block->executed = 0;
    block->paid_transfers = 0;
    block->paid_withdrawals = 0;
    int error = find_block(block);
    if (error == LEDGER_OK) {
        error = load_block(block);
    }
    if (error == LEDGER_OK) {
        error = ledger_apply_records(block);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    if (block->accumulator.epoch != input->context.epoch) {
        return LEDGER_CONTEXT;
    }
    block->output_fee = (2 * PAYOUT_OUTPUT_SIZE * block->totals.last_rate + 999) / 1000;
    block->withdraw_price = constants->fee_withdraw + block->output_fee;
    hash_copy(block->orders, tag_words(constants, TAG_BODY));
    hash_clear(block->line);
    hash_clear(block->line + 8);
    block->line[0] = input->transaction_count;
    host_b3(block->orders, block->line);
    return charge_cycles(block);
}

int ledger_close(struct ledger_block *block)
{
    const struct totals *sums = &block->totals;
    int error = book_leader_share(block, book_fees(block));
    if (error != LEDGER_OK) {
        return error;
    }
    block->accumulator.block_count++;
    block->accumulator.transaction_count += block->executed;
    absorb_inputs(block);
    store_block(block);
    return sums->wrapped + sums->pending + sums->fee_pool + sums->insurance == sums->vault
        ? LEDGER_OK
        : LEDGER_SUPPLY;
}

int ledger_execute(struct ledger_block *block, const struct ledger_constants *constants,
                   const struct ledger_access *access, struct ledger_input *input,
                   uint8_t *receipts)
{
    uint64_t cycles;
    int error = ledger_static_cycles(constants, input, &cycles);
    if (error == LEDGER_OK) {
        error = ledger_open(block, constants, access, input);
    }
    if (error == LEDGER_OK) {
        error = execute_transactions(block, receipts);
    }
    return error == LEDGER_OK ? ledger_close(block) : error;
}
