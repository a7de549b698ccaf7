/*
 * The state tree as the transition program sees it: one pass over a witness gives both roots.
 *
 * Definitions (docs/state-tree.md). b3(K, m) is single-block keyed BLAKE3; every K is
 * BLAKE3("p2pseq/state/<value|leaf|node|path>/v1"):
 *
 *   value hash    b3(K_value, value, 64 bytes)
 *   leaf          b3(K_leaf, path 32 | value hash 32)
 *   node          b3(K_node, left 32 | right 32)
 *   empty         32 zero bytes
 *
 * A subtree with exactly one leaf IS that leaf's hash, at whatever depth; a subtree with two or
 * more leaves is a node, even when all of them are on one side. Bit 0 of a path is the most
 * significant bit of its first byte; a 0 goes left. The tree is a pure function of its set of
 * (path, value).
 *
 * Witness: the tree before the transition in preorder, cut off where no slot lies below. Each item
 * is a little-endian 32-bit word, then its payload; item and payload lengths are multiples of four.
 *
 *   word 0  EMPTY    -                  no leaf here
 *   word 1  LEAF     -                  exactly one leaf, and it is one of the slots here
 *   word 2  OTHER    path, value hash   exactly one leaf, and it is none of the slots
 *   word 3  INNER    -                  a node with slots below: both children follow, left first
 *   word 4  OPAQUE   hash               no slot here; anything but empty
 *   word 5  OPENED   left, right        no slot here; a node
 *   word 6  STEADY   -                  slots that all were and stay; hashed by somebody else
 *
 * Why a prover cannot cheat. Assume that nobody finds a collision of keyed BLAKE3 and that pre_root
 * is the root of a well-formed tree (the caller compares it with the root it knows; post_root of a
 * well-formed tree is well-formed, and the first tree is empty).
 *  - The pass hashes every shown item into pre_root, so by induction from the root each item's hash
 *    is the hash that stands at its position. K_value, K_leaf and K_node differ, hence no bytes are
 *    a leaf in one reading and a node in another; zeros are nobody's hash and are spelt EMPTY only
 *    (an OPAQUE zero is refused), hence the kind that an item shows is the kind that the tree has.
 *  - A slot's old content is forced: under EMPTY no slot may claim to have existed; under LEAF
 *    exactly one may, and path and value are hashed into the leaf; under OTHER none may, and the
 *    shown path must share the position's prefix and differ from every slot. All slots reach one of
 *    the three, because a position with slots accepts nothing else but INNER, which splits them.
 *  - The new subtree at such a position is a function of the known leaves. Above it the only
 *    unknown is an OPAQUE sibling. Beside something non-empty its kind does not matter (two or more
 *    leaves are a node). Beside something that became empty it would matter: an only leaf would be
 *    lifted, a node would not. That case is refused as TREE_UNDECIDABLE; the prover must show the
 *    sibling as OTHER (lifted) or OPENED (stays). Where nothing below changed the old hash is the
 *    new one.
 *  - The witness is consumed to its last byte, so it has no room for anything that is not hashed.
 *
 * Freestanding C: no libc, no allocation, no recursion. Stack: about 50 KiB, a constant.
 */
#ifndef P2PSEQ_GUEST_TREE_H
#define P2PSEQ_GUEST_TREE_H

#include <stddef.h>
#include <stdint.h>

enum {
    TREE_PATH_BYTES = 32,
    TREE_VALUE_BYTES = 64,
    TREE_HASH_BYTES = 32,
    TREE_PATH_BITS = 256,
};

enum tree_item {
    TREE_ITEM_EMPTY = 0,
    TREE_ITEM_LEAF = 1,
    TREE_ITEM_OTHER = 2,
    TREE_ITEM_INNER = 3,
    TREE_ITEM_OPAQUE = 4,
    TREE_ITEM_OPENED = 5,
    TREE_ITEM_STEADY = 6,
};

enum tree_status {
    TREE_OK = 0,
    /* The slots are not strictly ascending by path. */
    TREE_SLOTS_UNSORTED = -1,
    /* A presence flag is neither 0 nor 1. */
    TREE_SLOT_FLAG = -2,
    /* The witness or a slot does not lie on a 4-byte border. */
    TREE_UNALIGNED = -3,
    /* The witness ends too early. */
    TREE_TRUNCATED = -4,
    /* The witness goes on after the last item. */
    TREE_TRAILING = -5,
    /* An item that is unknown or may not stand at its position. */
    TREE_ITEM_INVALID = -6,
    /* An item contradicts what the slots say was there before. */
    TREE_CONTRADICTION = -7,
    /* An OTHER leaf whose path does not belong to its position, or is a slot's. */
    TREE_PATH_INVALID = -8,
    /* A node that no well-formed tree has: nothing below, or only one leaf. */
    TREE_MALFORMED = -9,
    /* The new root depends on the kind of a sibling that the witness does not open. */
    TREE_UNDECIDABLE = -10,
};

/*
 * One leaf before and after. Values of an absent side are ignored. Aligned so that RV32 reads
 * words.
 */
struct tree_slot {
    _Alignas(4) uint8_t new_value[TREE_VALUE_BYTES];
    uint8_t old_value[TREE_VALUE_BYTES];
    uint8_t path[TREE_PATH_BYTES];
    uint8_t old_present;
    uint8_t new_present;
};

/* The keys of the four domains, as eight little-endian words each. */
extern const uint32_t TREE_KEY_VALUE[8];
extern const uint32_t TREE_KEY_LEAF[8];
extern const uint32_t TREE_KEY_NODE[8];
extern const uint32_t TREE_KEY_PATH[8];

/* Where a leaf that is named by 64 bytes lies: b3(K_path, name). */
void tree_path(const uint8_t name[64], uint8_t path[TREE_PATH_BYTES]);

/*
 * Check a witness against `count` slots (strictly ascending by path) and give the root before, with
 * the old values, and after, with the new ones. `proof` must be 4-byte aligned. Returns TREE_OK or
 * another tree_status; the roots are written only with TREE_OK. The caller compares pre_root.
 */
int tree_transition(const struct tree_slot *slots, uint32_t count, const uint8_t *proof,
                    size_t proof_length, uint8_t pre_root[TREE_HASH_BYTES],
                    uint8_t post_root[TREE_HASH_BYTES]);

/*
 * Who answers for STEADY items: `fold` gives both hashes of the subtree over slots [low, high) and
 * returns what it is, or -1. It must make sure of what steady.h says; then the argument above holds
 * with the subtree in the place of an item. NULL when there are none.
 */
enum { TREE_STEADY_LEAF = 1, TREE_STEADY_NODE = 2 };

struct tree_steady {
    int (*fold)(void *owner, uint32_t low, uint32_t high, uint32_t *before, uint32_t *after);
    void *owner;
};

/* The same over slots that lie `stride` bytes apart, with STEADY items. */
int tree_transition_steady(const struct tree_slot *slots, size_t stride, uint32_t count,
                           const uint8_t *proof, size_t proof_length,
                           const struct tree_steady *steady, uint8_t pre_root[TREE_HASH_BYTES],
                           uint8_t post_root[TREE_HASH_BYTES]);

#endif
