/* Reads a witness, executes its blocks over its slots, recomputes both state roots from its
 * proof. */
#include "transition.h"

#include "bytes.h"

/* The witness cut into its parts, and how far the hints have been used. */
struct witness {
    const uint8_t *claimed_root;
    const uint8_t *constants;
    const uint8_t *frame;
    const uint8_t *proof;
    const uint8_t *hints;
    const uint8_t *slots;
    const uint8_t *blocks;
    size_t blocks_length;
    size_t proof_length;
    uint32_t is_last;
    uint32_t slot_count;
    uint32_t block_count;
    uint32_t hint_count;
    uint32_t hints_used;
    struct tree_slot *room;
};

/* Takes `count` items of `size` bytes off the front; 0 when they are not there. 64-bit arithmetic,
 * because a count times a size may pass 32 bits on the guest. */
static const uint8_t *take(const uint8_t **next, size_t *left, uint32_t count, uint32_t size)
{
    const uint8_t *taken = *next;
    uint64_t wanted = (uint64_t)count * size;
    if (wanted > *left) {
        return NULL;
    }
    *next += (size_t)wanted;
    *left -= (size_t)wanted;
    return taken;
}

static int witness_parse(struct witness *witness, const uint8_t *bytes, size_t length,
                         uint32_t capacity)
{
    const uint8_t *next = bytes + WITNESS_HEAD;
    if (length < WITNESS_HEAD || load_u32(bytes) != WITNESS_VERSION
        || load_u32(bytes + 4) > WITNESS_IS_LAST || load_u32(bytes + 8) > capacity) {
        return LEDGER_WITNESS;
    }
    size_t left = length - WITNESS_HEAD;
    witness->is_last = load_u32(bytes + 4);
    witness->slot_count = load_u32(bytes + 8);
    witness->block_count = load_u32(bytes + 12);
    witness->hint_count = load_u32(bytes + 16);
    witness->proof_length = load_u32(bytes + 20);
    witness->claimed_root = bytes + 24;
    witness->constants = bytes + 56;
    witness->frame = bytes + 56 + CONSTANTS_LENGTH;
    witness->hints_used = 0;
    witness->proof = take(&next, &left, (uint32_t)witness->proof_length, 1);
    witness->hints = witness->proof ? take(&next, &left, witness->hint_count, 4) : NULL;
    witness->slots = witness->hints ? take(&next, &left, witness->slot_count, WITNESS_SLOT) : NULL;
    witness->blocks = next;
    witness->blocks_length = left;
    if (witness->slots == NULL || witness->block_count == 0
        || (!witness->is_last && !bytes_are_zero(witness->frame, FRAME_LENGTH))) {
        return LEDGER_WITNESS;
    }
    return LEDGER_OK;
}

static int witness_fill(struct witness *witness, struct tree_slot *room)
{
    witness->room = room;
    for (uint32_t i = 0; i < witness->slot_count; i++) {
        const uint8_t *shown = witness->slots + (size_t)WITNESS_SLOT * i;
        if (shown[1] > 1 || (shown[1] == 0 && !bytes_are_zero(shown + 34, LEAF_VALUE))) {
            return LEDGER_WITNESS;
        }
        leaf_path(shown[0], shown + 2, room[i].path);
        room[i].old_present = shown[1];
        room[i].new_present = shown[1];
        bytes_copy(room[i].old_value, shown + 34, LEAF_VALUE);
        bytes_copy(room[i].new_value, shown + 34, LEAF_VALUE);
    }
    return LEDGER_OK;
}

/* The hint says where; kind and key are compared, so a wrong hint can only stop the run. One
 * leaf has one slot, because tree_transition refuses two equal paths. */
static struct tree_slot *witness_find(void *owner, uint8_t kind, const uint8_t key[32])
{
    struct witness *witness = owner;
    if (witness->hints_used == witness->hint_count) {
        return NULL;
    }
    uint32_t index = load_u32(witness->hints + 4 * (size_t)witness->hints_used);
    if (index >= witness->slot_count) {
        return NULL;
    }
    const uint8_t *shown = witness->slots + (size_t)WITNESS_SLOT * index;
    if (shown[0] != kind || !bytes_equal(shown + 2, key, 32)) {
        return NULL;
    }
    witness->hints_used++;
    return witness->room + index;
}

static int read_block(struct ledger_input *input, const uint8_t **next, size_t *left)
{
    const uint8_t *head = take(next, left, 1, WITNESS_BLOCK_HEAD);
    if (head == NULL) {
        return LEDGER_WITNESS;
    }
    ledger_context_read(&input->context, head);
    input->records_length = load_u32(head + CONTEXT_LENGTH);
    input->transactions_length = load_u32(head + CONTEXT_LENGTH + 4);
    input->transaction_count = load_u32(head + CONTEXT_LENGTH + 8);
    input->records = take(next, left, (uint32_t)input->records_length, 1);
    if (input->records == NULL) {
        return LEDGER_WITNESS;
    }
    input->transactions = take(next, left, (uint32_t)input->transactions_length, 1);
    return input->transactions == NULL ? LEDGER_WITNESS : LEDGER_OK;
}

static void absorb_block(const struct ledger_constants *constants, const struct ledger_block *block,
                         uint8_t digest[32])
{
    const struct ledger_input *input = block->input;
    struct sha256_stream stream;
    uint8_t length[4];
    store_u32(length, (uint32_t)input->records_length);
    tagged_start(&stream, constants, TAG_BATCH);
    sha256_absorb(&stream, digest, 32);
    sha256_absorb(&stream, input->context.bytes, CONTEXT_LENGTH);
    sha256_absorb(&stream, block->body_digest, 32);
    sha256_absorb(&stream, length, 4);
    sha256_absorb(&stream, input->records, input->records_length);
    sha256_finish(&stream, digest);
}

/* Executes every block; `last` is left with the input of the last one. */
static int run_blocks(const struct witness *witness, const struct ledger_constants *constants,
                      const struct ledger_access *access,
                      const struct ledger_signatures *signatures, struct ledger_input *last,
                      uint8_t inputs_digest[32])
{
    struct ledger_block block;
    struct sha256_stream stream;
    const uint8_t *next = witness->blocks;
    size_t left = witness->blocks_length;
    tagged_start(&stream, constants, TAG_BATCH);
    sha256_absorb(&stream, witness->constants, CONSTANTS_LENGTH);
    sha256_finish(&stream, inputs_digest);
    for (uint32_t i = 0; i < witness->block_count; i++) {
        int error = read_block(last, &next, &left);
        if (error != LEDGER_OK) {
            return error;
        }
        last->pre_root = witness->claimed_root;
        error = ledger_execute(&block, constants, access, signatures, last, NULL);
        if (error != LEDGER_OK) {
            return error;
        }
        /* Exactly the first block opens a batch: a run is one whole batch or its beginning. This
         * also keeps an epoch's opening, whose root before is the claimed one, at the front. */
        if (block.opened_batch != (i == 0)) {
            return LEDGER_BATCH;
        }
        absorb_block(constants, &block, inputs_digest);
    }
    return left == 0 ? LEDGER_OK : LEDGER_WITNESS;
}

static int finish_outputs(const struct witness *witness, const struct ledger_constants *constants,
                          const struct ledger_access *access, const struct ledger_input *last,
                          struct transition_result *result)
{
    uint8_t words[384];
    struct ledger_frame frame = {
        .program = witness->frame,
        .signing_set = witness->frame + 32,
        .next_set = witness->frame + 64,
        .origin_height = last->context.origin_height,
        .origin_time = last->context.origin_time,
    };
    bytes_zero(result->outputs_digest, 32);
    if (!witness->is_last) {
        return LEDGER_OK;
    }
    return ledger_outputs_digest(constants, access, &frame, result->post_root, words,
                                 result->outputs_digest);
}

static void finish_statement(struct transition_result *result)
{
    uint8_t message[128];
    bytes_copy(message, result->pre_root, 32);
    bytes_copy(message + 32, result->post_root, 32);
    bytes_copy(message + 64, result->inputs_digest, 32);
    bytes_copy(message + 96, result->outputs_digest, 32);
    statement_hash(message, result->statement);
}

int transition(const uint8_t *bytes, size_t length, struct tree_slot *room, uint32_t capacity,
               const struct ledger_signatures *signatures, struct transition_result *result)
{
    struct witness witness;
    struct ledger_constants constants;
    struct ledger_input last;
    struct ledger_access access = {witness_find, &witness};
    int error = witness_parse(&witness, bytes, length, capacity);
    if (error == LEDGER_OK) {
        error = ledger_constants_read(&constants, witness.constants);
    }
    if (error == LEDGER_OK) {
        error = witness_fill(&witness, room);
    }
    if (error == LEDGER_OK) {
        error = run_blocks(&witness, &constants, &access, signatures, &last, result->inputs_digest);
    }
    if (error != LEDGER_OK) {
        return error;
    }
    if (tree_transition(room, witness.slot_count, witness.proof, witness.proof_length,
                        result->pre_root, result->post_root)
        != TREE_OK) {
        return LEDGER_WITNESS;
    }
    if (!bytes_equal(result->pre_root, witness.claimed_root, 32)) {
        return LEDGER_ROOT;
    }
    error = finish_outputs(&witness, &constants, &access, &last, result);
    if (error == LEDGER_OK && witness.hints_used != witness.hint_count) {
        error = LEDGER_WITNESS;
    }
    if (error == LEDGER_OK) {
        finish_statement(result);
    }
    return error;
}
