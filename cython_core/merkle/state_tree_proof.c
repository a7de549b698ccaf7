/*
 * The witness of guest/tree.h. A sibling without slots is opened only where the new root could
 * depend on its kind: beside a subtree that is not empty and of which every leaf may vanish.
 */
#include <stdlib.h>

#include "guest/blake3.h"
#include "merkle/state_tree_internal.h"

struct prover {
    const struct state_tree *tree;
    const uint32_t *order;
    const uint8_t *paths;
    const uint8_t *may_vanish;
    uint8_t *bytes;
    size_t length, capacity;
};

static const uint8_t *slot_path(const struct prover *prover, uint32_t position)
{
    return prover->paths + (size_t)PATH_BYTES * prover->order[position];
}

static int slot_may_vanish(const struct prover *prover, uint32_t position)
{
    return prover->may_vanish == NULL || prover->may_vanish[prover->order[position]];
}

static int emit(struct prover *prover, const void *bytes, size_t length)
{
    if (prover->capacity - prover->length < length) {
        size_t capacity = 2 * prover->capacity + 4096;
        uint8_t *grown = realloc(prover->bytes, capacity);

        if (grown == NULL) {
            return STATE_TREE_NO_MEMORY;
        }
        prover->bytes = grown;
        prover->capacity = capacity;
    }
    memcpy(prover->bytes + prover->length, bytes, length);
    prover->length += length;
    return STATE_TREE_OK;
}

/* An item word in little-endian, then its payload. */
static int emit_item(struct prover *prover, uint32_t item, const void *payload, size_t length)
{
    int status = emit(prover, &item, sizeof item);

    return status == STATE_TREE_OK && length > 0 ? emit(prover, payload, length) : status;
}

static int emit_other(struct prover *prover, tree_ref leaf)
{
    uint8_t payload[MESSAGE_BYTES];

    memcpy(payload, leaf_path(prover->tree, leaf), PATH_BYTES);
    /* 64 bytes are never too long, so this cannot fail. */
    (void)blake3_keyed_bytes(TREE_KEY_VALUE, leaf_value(prover->tree, leaf), VALUE_BYTES,
                             payload + PATH_BYTES);
    return emit_item(prover, TREE_ITEM_OTHER, payload, sizeof payload);
}

static uint32_t split_slots(const struct prover *prover, uint32_t low, uint32_t high,
                            uint32_t depth)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (path_bit(slot_path(prover, middle), depth)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/*
 * Whether updates of the slots low..high-1 could leave this subtree empty: all its leaves are
 * slots, and all those slots may vanish. Recursion is bounded by the depth of the tree. Called for
 * the siblings of slotless subtrees only, where it stops at the next slotless subtree below, so
 * that no node is visited twice in one proof.
 */
static int may_become_empty(const struct prover *prover, tree_ref ref, uint32_t low, uint32_t high,
                            uint32_t depth)
{
    uint32_t position, middle;
    const tree_ref *children;

    if (low == high) {
        return ref == 0;
    }
    if (ref == 0 || is_leaf(ref)) {
        int is_covered = ref == 0;

        for (position = low; position < high; position++) {
            if (!slot_may_vanish(prover, position)) {
                return 0;
            }
            if (!is_covered && memcmp(slot_path(prover, position), leaf_path(prover->tree, ref),
                                      PATH_BYTES) == 0) {
                is_covered = 1;
            }
        }
        return is_covered;
    }
    children = node_children(prover->tree, ref);
    middle = split_slots(prover, low, high, depth);
    if ((low == middle && children[0] != 0) || (middle == high && children[1] != 0)) {
        return 0;
    }
    return may_become_empty(prover, children[0], low, middle, depth + 1) &&
           may_become_empty(prover, children[1], middle, high, depth + 1);
}

/* A subtree without slots, given the hash that its parent holds. */
static int prove_sibling(struct prover *prover, tree_ref ref, const uint8_t *hash, int is_opened)
{
    if (ref == 0) {
        return emit_item(prover, TREE_ITEM_EMPTY, NULL, 0);
    }
    if (!is_opened) {
        return emit_item(prover, TREE_ITEM_OPAQUE, hash, HASH_BYTES);
    }
    if (is_leaf(ref)) {
        return emit_other(prover, ref);
    }
    return emit_item(prover, TREE_ITEM_OPENED, node_message(prover->tree, ref), MESSAGE_BYTES);
}

static int prove_leaf(struct prover *prover, tree_ref leaf, uint32_t low, uint32_t high)
{
    uint32_t position;

    for (position = low; position < high; position++) {
        if (memcmp(slot_path(prover, position), leaf_path(prover->tree, leaf), PATH_BYTES) == 0) {
            return emit_item(prover, TREE_ITEM_LEAF, NULL, 0);
        }
    }
    return emit_other(prover, leaf);
}

/* Preorder; at least one slot lies below. Recursion is bounded by the 256 bits of a path. */
static int prove_subtree(struct prover *prover, tree_ref ref, uint32_t low, uint32_t high,
                         uint32_t depth)
{
    const tree_ref *children;
    uint32_t bounds[3];
    uint32_t side;
    int status;

    if (ref == 0) {
        return emit_item(prover, TREE_ITEM_EMPTY, NULL, 0);
    }
    if (is_leaf(ref)) {
        return prove_leaf(prover, ref, low, high);
    }
    children = node_children(prover->tree, ref);
    bounds[0] = low;
    bounds[1] = split_slots(prover, low, high, depth);
    bounds[2] = high;
    status = emit_item(prover, TREE_ITEM_INNER, NULL, 0);
    for (side = 0; side < 2 && status == STATE_TREE_OK; side++) {
        if (bounds[side] < bounds[side + 1]) {
            status = prove_subtree(prover, children[side], bounds[side], bounds[side + 1],
                                   depth + 1);
        } else {
            tree_ref other = children[1 - side];
            int is_opened = other != 0 && may_become_empty(prover, other, low, high, depth + 1);

            status = prove_sibling(prover, children[side],
                                   node_message(prover->tree, ref) + HASH_BYTES * side, is_opened);
        }
    }
    return status;
}

int state_tree_prove(const struct state_tree *tree, size_t count, const uint8_t *paths,
                     const uint8_t *may_vanish, uint8_t **proof, size_t *proof_length)
{
    struct prover prover = {.tree = tree, .paths = paths, .may_vanish = may_vanish};
    tree_ref root = node_children(tree, 0)[0];
    /* Scratch of its own: a proof only reads the tree. */
    struct update_scratch scratch;
    int status;

    memset(&scratch, 0, sizeof scratch);
    status = sort_paths(&scratch, paths, count);
    if (status == STATE_TREE_OK) {
        prover.order = scratch.order.bytes;
        status = count > 0 ? prove_subtree(&prover, root, 0, (uint32_t)count, 0)
                           : prove_sibling(&prover, root, state_tree_root(tree), 0);
    }
    update_scratch_free(&scratch);
    if (status != STATE_TREE_OK) {
        free(prover.bytes);
        return status;
    }
    *proof = prover.bytes;
    *proof_length = prover.length;
    return STATE_TREE_OK;
}

void state_tree_free_proof(uint8_t *proof)
{
    free(proof);
}
