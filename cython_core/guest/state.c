/* Names and words of state leaves. */
#include "state.h"

#include "blake3.h"
#include "bytes.h"

void leaf_path(uint8_t kind, const uint8_t key[32], uint8_t path[32])
{
    blake3_word message[BLAKE3_BLOCK_WORDS] = {kind};
    uint32_t hash[BLAKE3_HASH_WORDS];
    bytes_copy((uint8_t *)(message + BLAKE3_HASH_WORDS), key, 32);
    blake3_keyed_block(TREE_KEY_PATH, message, BLAKE3_BLOCK_BYTES, hash);
    bytes_copy(path, (const uint8_t *)hash, 32);
}

struct tree_slot *find_numbered(const struct ledger_access *access, uint8_t kind, uint64_t number)
{
    native_word key[8] = {0};
    uint8_t *bytes = (uint8_t *)key;
    store_u64(bytes + 24, number);
    return access->find(access->owner, kind, bytes);
}

static void load_words(const uint8_t value[LEAF_VALUE], uint64_t words[8])
{
    for (int i = 0; i < 8; i++) {
        words[i] = load_u64(value + 8 * i);
    }
}

static void store_words(uint8_t value[LEAF_VALUE], const uint64_t words[8])
{
    for (int i = 0; i < 8; i++) {
        store_u64(value + 8 * i, words[i]);
    }
}

void totals_load(struct totals *totals, const uint8_t *value)
{
    uint64_t words[8];
    load_words(value, words);
    *totals = (struct totals){words[0], words[1], words[2], words[3],
                              words[4], words[5], words[6], words[7]};
}

void accumulator_load(struct accumulator *accumulator, const uint8_t *value)
{
    uint64_t words[8];
    load_words(value, words);
    *accumulator = (struct accumulator){words[0], words[1], words[2], words[3],
                                        words[4], words[5], words[6], words[7]};
}

void totals_store(const struct totals *totals, uint8_t *value)
{
    const uint64_t words[8] = {totals->wrapped,        totals->pending,   totals->fee_pool,
                               totals->insurance,      totals->vault,     totals->last_rate,
                               totals->next_payout_id, totals->account_count};
    store_words(value, words);
}

void accumulator_store(const struct accumulator *accumulator, uint8_t *value)
{
    const uint64_t words[8] = {accumulator->epoch,           accumulator->cycles_used,
                               accumulator->batch,           accumulator->batch_cycles,
                               accumulator->transaction_count, accumulator->block_count,
                               accumulator->first_payout_id, accumulator->history_count};
    store_words(value, words);
}
