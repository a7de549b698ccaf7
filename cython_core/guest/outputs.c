/* Digests: tagged hashes, the SHA-256 trees of the state (relay.md 5.3), the epoch's outputs
 * (5.1). */
#include "bytes.h"
#include "ledger.h"

void tagged_start(struct sha256_stream *stream, const struct ledger_constants *constants,
                  enum ledger_tag tag)
{
    struct sha256_midstate midstate;
    if (constants->is_prepared) {
        sha256_start_tagged(stream, &constants->tags[tag]);
        return;
    }
    sha256_tag(&midstate, constants->tag_hashes[tag]);
    sha256_start_tagged(stream, &midstate);
}

void ledger_constants_prepare(struct ledger_constants *constants)
{
    for (int i = 0; i < TAG_COUNT; i++) {
        sha256_tag(&constants->tags[i], constants->tag_hashes[i]);
    }
    constants->is_prepared = 1;
}

void ledger_transaction_id(const struct ledger_constants *constants,
                           const struct transaction *parsed, uint8_t digest[32])
{
    struct sha256_stream stream;
    tagged_start(&stream, constants, TAG_TX);
    sha256_absorb(&stream, constants->chain_id, 32);
    sha256_absorb(&stream, parsed->bytes, parsed->length - SIGNATURE_LENGTH);
    sha256_finish(&stream, digest);
}

/* PROTOCOL.md 7: 40 % settlement reserve, 40 % leader, 20 % insurance; rounding goes to the
 * reserve. */
enum { LEADER_PERCENT = 40, INSURANCE_PERCENT = 20 };

static struct fee_shares shares_of(uint64_t price)
{
    return (struct fee_shares){price * LEADER_PERCENT / 100, price * INSURANCE_PERCENT / 100};
}

static const uint64_t PARAMETER_LIMIT = 1ull << 50; /* above 21 M BTC and any cycle budget */

int ledger_constants_read(struct ledger_constants *constants, const uint8_t *bytes)
{
    const uint8_t *numbers = bytes + 32 + 32 * TAG_COUNT;
    bytes_copy(constants->chain_id, bytes, 32);
    bytes_copy(constants->tag_hashes[0], bytes + 32, 32 * TAG_COUNT);
    constants->is_prepared = 0;
    for (int i = 0; i < 8; i++) {
        if (load_u64(numbers + 8 * i) > PARAMETER_LIMIT) {
            return LEDGER_FORMAT;
        }
    }
    constants->account_min = load_u64(numbers);
    constants->payout_min = load_u64(numbers + 8);
    constants->fee_transfer = load_u64(numbers + 16);
    constants->fee_withdraw = load_u64(numbers + 24);
    constants->cycles_transfer = load_u64(numbers + 32);
    constants->cycles_other = load_u64(numbers + 40);
    constants->epoch_cycle_limit = load_u64(numbers + 48);
    constants->batches = load_u64(numbers + 56);
    constants->transfer_shares = shares_of(constants->fee_transfer);
    constants->withdraw_shares = shares_of(constants->fee_withdraw);
    /* An account may not be created empty, and a payout may not be nothing. */
    return constants->account_min != 0 && constants->payout_min != 0 && constants->batches != 0
            && constants->cycles_other != 0
        ? LEDGER_OK
        : LEDGER_FORMAT;
}

void ledger_context_read(struct ledger_context *context, const uint8_t *bytes)
{
    context->epoch = load_u64(bytes);
    context->height = load_u64(bytes + 8);
    context->origin_height = load_u64(bytes + 16);
    context->origin_time = load_u64(bytes + 24);
    context->origin_hash = bytes + 32;
    context->leader = bytes + 64;
    context->bytes = bytes;
}

/* Cuts the bytes of transactions by their kinds. LEDGER_FORMAT when they do not add up. */
static int count_withdrawals(const struct ledger_input *input, uint32_t *withdrawals)
{
    const uint8_t *next = input->transactions;
    size_t left = input->transactions_length;
    *withdrawals = 0;
    for (uint32_t i = 0; i < input->transaction_count; i++) {
        if (left < TRANSACTION_MINIMUM) {
            return LEDGER_FORMAT;
        }
        int is_transfer = next[1] == TRANSACTION_TRANSFER;
        size_t length = is_transfer ? TRANSFER_LENGTH : WITHDRAW_LENGTH;
        if ((!is_transfer && next[1] != TRANSACTION_WITHDRAW) || left < length) {
            return LEDGER_FORMAT;
        }
        *withdrawals += (uint32_t)!is_transfer;
        next += length;
        left -= length;
    }
    return left == 0 ? LEDGER_OK : LEDGER_FORMAT;
}

int ledger_price_block(const struct ledger_constants *constants, const struct ledger_input *input,
                       uint64_t *cycles)
{
    const uint8_t *next = input->records;
    size_t left = input->records_length;
    uint64_t others = 1; /* the block itself */
    while (left != 0) {
        size_t length = record_length(next[0]);
        if (length == 0 || length > left) {
            return LEDGER_FORMAT;
        }
        others++;
        next += length;
        left -= length;
    }
    others += input->withdrawal_count;
    *cycles = constants->cycles_other * others
        + constants->cycles_transfer * (input->transaction_count - input->withdrawal_count);
    return LEDGER_OK;
}

int ledger_static_cycles(const struct ledger_constants *constants, struct ledger_input *input,
                         uint64_t *cycles)
{
    int error = count_withdrawals(input, &input->withdrawal_count);
    return error == LEDGER_OK ? ledger_price_block(constants, input, cycles) : error;
}

static struct tree_slot *frontier_page(const struct ledger_access *access, uint8_t kind, int level)
{
    return find_numbered(access, kind, (uint64_t)(level / 2));
}

/* Appends leaf number `count`. Node `level` of the frontier is the last complete left subtree of
 * that height; nodes at levels where `count` has a zero bit are leftovers that nothing reads. */
int frontier_append(const struct ledger_access *access, uint8_t kind, uint64_t count,
                    const uint8_t leaf[32])
{
    uint8_t node[32];
    int level = 0;
    if (count >= 1ull << FRONTIER_LEVELS) {
        return LEDGER_STATE;
    }
    bytes_copy(node, leaf, 32);
    struct tree_slot *page = frontier_page(access, kind, 0);
    while (page != NULL && (count >> level & 1) != 0) {
        sha256_node(page->new_value + 32 * (level & 1), node, node);
        level++;
        if ((level & 1) == 0 && level < FRONTIER_LEVELS) {
            page = frontier_page(access, kind, level);
        }
    }
    if (page == NULL) {
        return LEDGER_ACCESS;
    }
    if (level == FRONTIER_LEVELS) {
        return LEDGER_STATE;
    }
    page->new_present = 1;
    bytes_copy(page->new_value + 32 * (level & 1), node, 32);
    return LEDGER_OK;
}

/* Root of the perfect binary tree of depth bit_length(count - 1), missing leaves zero; zero if
 * empty. */
int frontier_root(const struct ledger_access *access, uint8_t kind, uint64_t count,
                  uint8_t root[32])
{
    uint8_t missing[32];
    int depth = 0;
    bytes_zero(root, 32);
    bytes_zero(missing, 32);
    if (count == 0) {
        return LEDGER_OK;
    }
    while (count > 1ull << depth) {
        depth++;
    }
    if (depth >= FRONTIER_LEVELS) {
        return LEDGER_STATE;
    }
    struct tree_slot *page = NULL;
    int is_full = count == 1ull << depth;
    for (int level = is_full ? depth : 0; level < depth + is_full; level++) {
        if (page == NULL || (level & 1) == 0) {
            page = frontier_page(access, kind, level);
        }
        if (page == NULL) {
            return LEDGER_ACCESS;
        }
        const uint8_t *held = page->new_value + 32 * (level & 1);
        if (is_full) {
            bytes_copy(root, held, 32);
        } else if ((count >> level & 1) != 0) {
            sha256_node(held, root, root);
        } else {
            sha256_node(root, missing, root);
        }
        sha256_node(missing, missing, missing);
    }
    return LEDGER_OK;
}

/* Word 1 ends with certified_through: the highest epoch with no uncertified one before it. There
 * are no certificates yet; zero frees nothing, because no channel can be open in epoch 0. */
static void outputs_head(uint8_t *words, const struct ledger_constants *constants,
                         const struct ledger_frame *frame, uint64_t epoch)
{
    bytes_zero(words, 384);
    bytes_copy(words, constants->chain_id, 32);
    store_u64(words + 32, epoch);
    store_u64(words + 40, frame->origin_height);
    store_u64(words + 48, frame->origin_time);
    bytes_copy(words + 64, frame->program, 32);
    bytes_copy(words + 288, frame->signing_set, 32);
    bytes_copy(words + 320, frame->next_set, 32);
}

int ledger_outputs_digest(const struct ledger_constants *constants,
                          const struct ledger_access *access, const struct ledger_frame *frame,
                          const uint8_t state_after[32], uint8_t words[384], uint8_t digest[32])
{
    struct sha256_stream stream;
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
    if (!totals->new_present || !pages[0]->new_present) {
        return LEDGER_STATE;
    }
    uint64_t withdrawals = load_u64(totals->new_value + 48) - load_u64(pages[0]->new_value + 48);
    uint64_t history = load_u64(pages[0]->new_value + 56);
    outputs_head(words, constants, frame, load_u64(pages[0]->new_value));
    bytes_copy(words + 96, pages[1]->new_value, 32);
    bytes_copy(words + 128, state_after, 32);
    tagged_start(&stream, constants, TAG_INPUTS);
    sha256_absorb(&stream, pages[2]->new_value, 64);
    sha256_finish(&stream, words + 160);
    /* Word 7, the outbox root, stays zero: the tree without channels. */
    bytes_copy(words + 352, pages[1]->new_value + 32, 32);
    int error = frontier_root(access, LEAF_WITHDRAWALS, withdrawals, words + 192);
    if (error == LEDGER_OK) {
        error = frontier_root(access, LEAF_HISTORY, history, words + 256);
    }
    tagged_start(&stream, constants, TAG_OUTPUTS);
    sha256_absorb(&stream, words, 384);
    sha256_finish(&stream, digest);
    return error;
}
