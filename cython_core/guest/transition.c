/* Reads a witness, executes its blocks over its slots, computes both state roots from its proof. */
#include "transition.h"

#include "bytes.h"

/* The fixed parts of the witness, and how far the hints have been used. */
struct run {
    struct host *host;
    struct transition_room *room;
    struct leaf_room *leaves;
    const blake3_word *constants;
    const blake3_word *frame; /* NULL unless the batch is the last */
    const blake3_word *hints;
    uint32_t slot_count;
    uint32_t block_count;
    uint32_t hint_count;
    uint32_t hints_used;
    uint32_t proof_words;
    _Alignas(4) uint8_t claimed_root[32];
};

/* Moves the next words of the witness to memory; NULL without room for them. */
static const blake3_word *read_words(struct run *run, uint32_t count)
{
    struct transition_room *room = run->room;
    blake3_word *taken = room->words + room->words_used;
    if (count > room->word_capacity - room->words_used) {
        return NULL;
    }
    room->words_used += count;
    for (uint32_t i = 0; i < count; i++) {
        taken[i] = host_in(run->host);
    }
    return taken;
}

static int read_head(struct run *run)
{
    struct host *host = run->host;
    uint32_t version = host_in(host);
    uint32_t flags = host_in(host);
    run->slot_count = host_in(host);
    run->block_count = host_in(host);
    run->hint_count = host_in(host);
    run->proof_words = host_in(host);
    run->hints_used = 0;
    host_hash(host, (blake3_word *)run->claimed_root);
    if (version != WITNESS_VERSION || flags > WITNESS_IS_LAST || run->block_count == 0
        || run->slot_count > run->room->capacity) {
        return LEDGER_WITNESS;
    }
    run->constants = read_words(run, CONSTANTS_WORDS);
    run->frame = NULL;
    if (run->constants != NULL && flags == WITNESS_IS_LAST) {
        run->frame = read_words(run, FRAME_WORDS);
    }
    if (run->constants == NULL || (flags == WITNESS_IS_LAST && run->frame == NULL)) {
        return LEDGER_WITNESS;
    }
    run->hints = read_words(run, run->hint_count);
    return run->hints == NULL ? LEDGER_WITNESS : LEDGER_OK;
}

/* Names and paths. */
static int read_names(struct run *run)
{
    const struct hash_key path = key_load(TREE_KEY_PATH);
    const uint32_t known = LEAF_KIND | LEAF_PRESENT | LEAF_STEADY | LEAF_RIGHT | LEAF_WORDS;
    struct leaf_room *end = run->leaves + run->slot_count;
    for (struct leaf_room *leaf = run->leaves; leaf != end; leaf++) {
        uint32_t flags = host_in(run->host);
        leaf->flags = flags;
        leaf->slot.new_present = (flags & LEAF_PRESENT) != 0;
        if ((flags & ~known) != 0
            || ((flags & LEAF_PRESENT) == 0 && (flags & (LEAF_STEADY | LEAF_WORDS)) != 0)) {
            return LEDGER_WITNESS;
        }
        leaf->name[0] = flags & LEAF_KIND;
        host_hash(run->host, leaf->name + BLAKE3_HASH_WORDS);
        host_keyed(path, leaf->message, leaf->name);
    }
    return LEDGER_OK;
}

/* Values; of steady leaves also the hashes of what they hold before the run. */
static int read_values(struct run *run)
{
    const struct hash_key value_key = key_load(TREE_KEY_VALUE);
    const struct hash_key leaf_key = key_load(TREE_KEY_LEAF);
    struct leaf_room *end = run->leaves + run->slot_count;
    for (struct leaf_room *leaf = run->leaves; leaf != end; leaf++) {
        blake3_word *value = (blake3_word *)leaf->slot.new_value;
        uint32_t flags = leaf->flags;
        uint32_t count = flags >> LEAF_WORDS_SHIFT;
        if (count == 4) { /* an account without tokens */
            value[0] = host_in(run->host);
            value[1] = host_in(run->host);
            value[2] = host_in(run->host);
            value[3] = host_in(run->host);
        } else if (count > BLAKE3_BLOCK_WORDS) {
            return LEDGER_WITNESS;
        } else {
            for (uint32_t i = 0; i < count; i++) {
                value[i] = host_in(run->host);
            }
        }
        if ((flags & LEAF_STEADY) != 0) {
            host_keyed(value_key, leaf->message + BLAKE3_HASH_WORDS, value);
            host_keyed(leaf_key, (blake3_word *)((uint8_t *)leaf->line + leaf_side(leaf)),
                       leaf->message);
        }
    }
    return LEDGER_OK;
}

/* What the general pass over a proof needs beside that: of all slots, as it sorts and splits
 * all. */
static void keep_old_values(struct run *run)
{
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct leaf_room *leaf = &run->leaves[i];
        const blake3_word *value = (const blake3_word *)leaf->slot.new_value;
        blake3_word *kept = (blake3_word *)leaf->slot.old_value;
        leaf->slot.old_present = leaf->slot.new_present;
        hash_copy((blake3_word *)leaf->slot.path, leaf->message);
        hash_copy(kept, value);
        hash_copy(kept + BLAKE3_HASH_WORDS, value + BLAKE3_HASH_WORDS);
    }
}

static void hash_new_values(struct run *run)
{
    const struct hash_key key = key_load(TREE_KEY_VALUE);
    struct leaf_room *end = run->leaves + run->slot_count;
    for (struct leaf_room *leaf = run->leaves; leaf != end; leaf++) {
        if ((leaf->flags & LEAF_STEADY) != 0) {
            host_keyed(key, leaf->message + BLAKE3_HASH_WORDS,
                       (const blake3_word *)leaf->slot.new_value);
        }
    }
}

/* The hint says where; kind and key are compared, so a wrong hint can only stop the run. One leaf
 * has one slot, because no pass over the tree takes two slots for the same leaf. */
static struct tree_slot *witness_find(void *owner, uint8_t kind, const uint8_t key[32])
{
    struct run *run = owner;
    if (run->hints_used == run->hint_count) {
        return NULL;
    }
    uint32_t index = run->hints[run->hints_used];
    if (index >= run->slot_count) {
        return NULL;
    }
    struct leaf_room *leaf = run->leaves + index;
    if ((leaf->flags & LEAF_KIND) != kind || !hash_is(leaf->name + BLAKE3_HASH_WORDS, key)) {
        return NULL;
    }
    run->hints_used++;
    return &leaf->slot;
}

static uint64_t read_number(struct host *host)
{
    uint32_t low = host_in(host);
    return (uint64_t)host_in(host) << 32 | low;
}

/* The script of a withdrawal, as its second block of 64 bytes. Padding that is not zero would be a
 * second spelling of the same order. */
static int read_script(struct run *run, struct order *order)
{
    uint8_t *block = run->room->script;
    blake3_word *words = (blake3_word *)block;
    for (int i = 0; i < 9; i++) {
        words[ORDER_SCRIPT_OFFSET / 4 + i] = host_in(run->host);
    }
    order->script = block + ORDER_SCRIPT_OFFSET;
    words[0] = order->script_length;
    words[1] = (uint32_t)order->amount;
    words[2] = (uint32_t)(order->amount >> 32);
    size_t used = ORDER_SCRIPT_OFFSET + (size_t)order->script_length;
    return bytes_are_zero(block + used, BLAKE3_BLOCK_BYTES - used);
}

static inline struct leaf_room *account_room(struct run *run, uint32_t index)
{
    struct leaf_room *leaf = run->leaves + index;
    return index < run->slot_count && (leaf->flags & LEAF_KIND) == LEAF_ACCOUNT ? leaf : NULL;
}

/* Reads, hashes and executes one order. A name's first half is not needed any more: the blocks of
 * an order end with keys, so they are made where the keys stand. */
static inline int run_order(struct run *run, struct ledger_block *block, uint32_t *withdrawals)
{
    struct host *host = run->host;
    struct order order;
    struct leaf_room *recipient = NULL;
    uint8_t code;
    uint64_t payout_id;
    uint32_t head = host_in(host);
    uint32_t second = host_in(host);
    struct leaf_room *sender = account_room(run, head >> 1);
    order.nonce = read_number(host);
    order.fee = read_number(host);
    order.amount = read_number(host);
    if (!host_signature(host)) {
        return LEDGER_SIGNATURE;
    }
    if (sender == NULL) {
        return LEDGER_WITNESS;
    }
    order.sender = &sender->slot;
    if ((head & 1) == 0) {
        order.kind = TRANSACTION_TRANSFER;
        recipient = account_room(run, second);
        if (recipient == NULL) {
            return LEDGER_WITNESS;
        }
        order.recipient = &recipient->slot;
        order.script = NULL;
        order.script_length = 0;
    } else {
        order.kind = TRANSACTION_WITHDRAW;
        order.recipient = NULL;
        order.script_length = (uint8_t)second;
        if (second > SCRIPT_ROOM || !read_script(run, &order)) {
            return LEDGER_FORMAT;
        }
        *withdrawals += 1;
    }
    order_head(sender->name, order.kind, order.nonce, order.fee);
    host_b3(block->orders, sender->name);
    if (recipient != NULL) {
        order_tail(recipient->name, 0, order.amount);
        host_b3(block->orders, recipient->name);
    } else {
        host_b3(block->orders, (const blake3_word *)run->room->script);
    }
    return ledger_order(block, &order, &code, &payout_id);
}

static int read_block(struct run *run, struct ledger_input *input)
{
    struct host *host = run->host;
    blake3_word *context = run->room->context;
    host_hash(host, context);
    host_hash(host, context + 8);
    host_hash(host, context + 16);
    ledger_context_read(&input->context, (const uint8_t *)context);
    uint32_t length = host_in(host);
    uint32_t transfers = host_in(host);
    input->withdrawal_count = host_in(host);
    input->transaction_count = transfers + input->withdrawal_count;
    input->records_length = length;
    input->pre_root = run->claimed_root;
    input->transactions = NULL;
    input->transactions_length = 0;
    input->records = (const uint8_t *)read_words(run, length / 4 + ((length & 3) != 0));
    return input->records == NULL || input->transaction_count < transfers ? LEDGER_WITNESS
                                                                          : LEDGER_OK;
}

static void absorb_block(struct run *run, struct ledger_block *block)
{
    struct transition_room *room = run->room;
    const struct ledger_input *input = block->input;
    hash_copy(room->context + CONTEXT_WORDS, block->orders);
    host_b3(room->inputs, room->context);
    host_b3(room->inputs, room->context + BLAKE3_BLOCK_WORDS);
    hash_clear(block->line);
    hash_clear(block->line + BLAKE3_HASH_WORDS);
    block->line[0] = (uint32_t)input->records_length;
    host_b3(room->inputs, block->line);
    chain_bytes(room->inputs, block->line, input->records, input->records_length);
}

static int run_block(struct run *run, const struct ledger_constants *constants,
                     const struct ledger_access *access, struct ledger_input *input, int is_first)
{
    struct ledger_block *block = &run->room->block;
    uint32_t words_used = run->room->words_used;
    uint32_t withdrawals = 0;
    int error = read_block(run, input);
    if (error == LEDGER_OK) {
        error = ledger_open(block, constants, access, input);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    /* Exactly the first block opens a batch: a run is one whole batch or its beginning. This also
     * keeps an epoch's opening, whose root before is the claimed one, at the front. */
    if (block->opened_batch != is_first) {
        return LEDGER_BATCH;
    }
    for (uint32_t left = input->transaction_count; left != 0; left--) {
        error = run_order(run, block, &withdrawals);
        if (error != LEDGER_OK || !host_is_running(run->host)) {
            return error == LEDGER_OK ? LEDGER_WITNESS : error;
        }
    }
    if (withdrawals != input->withdrawal_count) {
        return LEDGER_FORMAT;
    }
    error = ledger_close(block);
    absorb_block(run, block);
    run->room->words_used = words_used;
    return error;
}

static int run_blocks(struct run *run, const struct ledger_constants *constants,
                      const struct ledger_access *access, struct ledger_input *last)
{
    blake3_word *inputs = run->room->inputs;
    hash_copy(inputs, tag_words(constants, TAG_BATCH));
    for (uint32_t i = 0; i < CONSTANTS_WORDS; i += BLAKE3_BLOCK_WORDS) {
        host_b3(inputs, run->constants + i);
    }
    for (uint32_t i = 0; i < run->block_count; i++) {
        int error = run_block(run, constants, access, last, i == 0);
        if (error != LEDGER_OK || !host_is_running(run->host)) {
            return error == LEDGER_OK ? LEDGER_WITNESS : error;
        }
    }
    return LEDGER_OK;
}

static int fold_steady(void *owner, uint32_t low, uint32_t high, uint32_t *before, uint32_t *after)
{
    struct run *run = owner;
    struct transition_room *room = run->room;
    int kind = steady_fold(run->host, &room->steady, run->leaves, low, high, room->before,
                           room->after);
    hash_copy(before, room->before);
    hash_copy(after, room->after);
    return kind;
}

/* Both roots. */
static int run_tree(struct run *run, struct transition_result *result)
{
    struct transition_room *room = run->room;
    const struct tree_steady steady = {fold_steady, run};
    hash_new_values(run);
    if (run->proof_words == 0) {
        int kind = steady_fold(run->host, &room->steady, run->leaves, 0, run->slot_count,
                               room->before, room->after);
        hash_copy((blake3_word *)result->pre_root, room->before);
        hash_copy((blake3_word *)result->post_root, room->after);
        return kind < 0 ? LEDGER_WITNESS : LEDGER_OK;
    }
    const blake3_word *proof = read_words(run, run->proof_words);
    if (proof == NULL || run->slot_count == 0) {
        return LEDGER_WITNESS;
    }
    int status = tree_transition_steady(&run->leaves->slot, sizeof *run->leaves, run->slot_count,
                                        (const uint8_t *)proof, 4 * (size_t)run->proof_words,
                                        &steady, result->pre_root, result->post_root);
    return status == TREE_OK ? LEDGER_OK : LEDGER_WITNESS;
}

static int finish_outputs(const struct run *run, const struct ledger_constants *constants,
                          const struct ledger_access *access, const struct ledger_input *last,
                          struct transition_result *result)
{
    uint8_t words[384];
    const uint8_t *bytes = (const uint8_t *)run->frame;
    if (bytes == NULL) {
        bytes_zero(result->outputs_digest, 32);
        return LEDGER_OK;
    }
    struct ledger_frame frame = {
        .program = bytes,
        .signing_set = bytes + 32,
        .next_set = bytes + 64,
        .origin_height = last->context.origin_height,
        .origin_time = last->context.origin_time,
    };
    return ledger_outputs_digest(constants, access, &frame, result->post_root, words,
                                 result->outputs_digest);
}

static void finish_statement(struct transition_result *result)
{
    _Alignas(4) uint8_t message[128];
    bytes_copy(message, result->pre_root, 32);
    bytes_copy(message + 32, result->post_root, 32);
    bytes_copy(message + 64, result->inputs_digest, 32);
    bytes_copy(message + 96, result->outputs_digest, 32);
    statement_hash(message, result->statement);
}

int transition(struct host *host, struct transition_room *room, struct transition_result *result)
{
    struct run run = {.host = host, .room = room, .leaves = room->leaves};
    struct ledger_constants constants;
    struct ledger_input last;
    struct ledger_access access = {witness_find, witness_find, &run};
    int error = read_head(&run);
    if (error == LEDGER_OK) {
        error = ledger_constants_read(&constants, (const uint8_t *)run.constants);
    }
    if (error == LEDGER_OK) {
        error = read_names(&run);
    }
    if (error == LEDGER_OK) {
        error = read_values(&run);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    if (run.proof_words != 0) {
        keep_old_values(&run);
    }
    error = run_blocks(&run, &constants, &access, &last);
    if (error == LEDGER_OK) {
        error = run_tree(&run, result);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    if (!bytes_equal(result->pre_root, run.claimed_root, 32)) {
        return LEDGER_ROOT;
    }
    hash_copy((blake3_word *)result->inputs_digest, room->inputs);
    error = finish_outputs(&run, &constants, &access, &last, result);
    if (error == LEDGER_OK && (run.hints_used != run.hint_count || !host_is_finished(host))) {
        error = LEDGER_WITNESS;
    }
    if (error == LEDGER_OK) {
        finish_statement(result);
    }
    return error;
}
