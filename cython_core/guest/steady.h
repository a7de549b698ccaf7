/* Both hashes of a subtree in which no leaf comes or goes.
 *
 * Nearly every batch only changes values of leaves that exist. For such a subtree neither paths
 * nor kinds are needed: its shape is the same before and after. It is folded from its leaves up,
 * in one pass over the witness, with a sibling written once for both hashes.
 *
 * Witness: for each slot in order its steps, a word each and then what it asks for:
 *
 *   bits 0..4    levels: siblings without slots to climb past, each 8 words, lowest first
 *   bits 5..6    what the node above them is: 0 a left child that waits, 1 the right child of
 *                the latest that waits, 2 the subtree itself, 3 goes on with another step
 *   bits 8..31   its side on each level, lowest first: 0 left (24 levels at most)
 *
 * 0 ends the steps of a slot, 2 those of the subtree; after 1 and 3 the next step speaks of the
 * node that was made. On its lowest level a slot is on the side that its room says.
 *
 * Why a prover cannot cheat. The hash before is compared with the root of a well-formed tree, and
 * nobody finds collisions: so what is shown is a part of that tree, each slot is a leaf of it with
 * its old value, and no two slots are the same leaf. The hash after differs in the values of
 * exactly these leaves, so it is what the tree's definition gives. A sibling's kind does not
 * matter, because the leaf beside it stays.
 */
#ifndef GUEST_STEADY_H
#define GUEST_STEADY_H

#include "host.h"
#include "state.h"

enum {
    STEADY_LEVELS = 24,
    STEADY_WAITS = 0,
    STEADY_JOINS = 1,
    STEADY_ENDS = 2,
    STEADY_GOES_ON = 3
};

/* A leaf of the witness: everything that is hashed lies where the hash reads it. */
struct leaf_room {
    _Alignas(64) blake3_word name[BLAKE3_BLOCK_WORDS]; /* kind, zeros, key; later scratch, key */
    blake3_word message[BLAKE3_BLOCK_WORDS];           /* path, hash of the value */
    blake3_word line[BLAKE3_BLOCK_WORDS];              /* the lowest node above a steady leaf */
    struct tree_slot slot;
    uint32_t flags; /* as the witness has them */
};

/* The word in front of a leaf's key. A steady leaf is there before and after, and its hash before
 * the run stands in one half of its line. */
enum leaf_flag {
    LEAF_KIND = 0xff,
    LEAF_PRESENT = 1 << 8,
    LEAF_STEADY = 1 << 9,
    LEAF_RIGHT = 1 << 10,
    LEAF_WORDS_SHIFT = 16,
    LEAF_WORDS = 31 << LEAF_WORDS_SHIFT
};

/* Bytes from the start of its line to its hash. */
static inline uint32_t leaf_side(const struct leaf_room *leaf)
{
    return (leaf->flags & LEAF_RIGHT) >> 5;
}

/* The two messages that make a node's hashes. */
struct steady_messages {
    _Alignas(64) blake3_word before[BLAKE3_BLOCK_WORDS];
    blake3_word after[BLAKE3_BLOCK_WORDS];
};

/* A node whose left child is known. There are two rooms, used in turn: a node that was completed
 * here may itself be the next left child, and cannot be hashed onto itself. */
struct steady_node {
    struct steady_messages messages[2];
    uint32_t turn;
};

struct steady_room {
    struct steady_node waiting[TREE_PATH_BITS];
    _Alignas(64) blake3_word lines[STEADY_LEVELS + 1][BLAKE3_BLOCK_WORDS];
    _Alignas(64) blake3_word before[BLAKE3_BLOCK_WORDS]; /* of a node that goes on */
    _Alignas(64) blake3_word after[BLAKE3_BLOCK_WORDS];
};

/* Hashes of the subtree over leaves [low, high), which are all steady and have their value hashes
 * of after the run in `message`. Returns what it is, TREE_STEADY_LEAF or TREE_STEADY_NODE, or -1
 * for steps that make no subtree. */
int steady_fold(struct host *host, struct steady_room *room, struct leaf_room *leaves, uint32_t low,
                uint32_t high, blake3_word *before, blake3_word *after);

#endif
