/* Names and words of state leaves. */
#include "state.h"

#include "bytes.h"

void leaf_path(uint8_t kind, const uint8_t key[32], uint8_t path[32])
{
    uint8_t message[64];
    bytes_zero(message, 32);
    message[0] = kind;
    bytes_copy(message + 32, key, 32);
    tree_path(message, path);
}

struct tree_slot *find_numbered(const struct ledger_access *access, uint8_t kind, uint64_t number)
{
    uint8_t key[32];
    bytes_zero(key, 24);
    store_u64(key + 24, number);
    return access->find(access->owner, kind, key);
}

void load_words(const uint8_t value[LEAF_VALUE], uint64_t words[8])
{
    for (int i = 0; i < 8; i++) {
        words[i] = load_u64(value + 8 * i);
    }
}

void store_words(uint8_t value[LEAF_VALUE], const uint64_t words[8])
{
    for (int i = 0; i < 8; i++) {
        store_u64(value + 8 * i, words[i]);
    }
}
