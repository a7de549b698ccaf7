#include "tree.h"

#include "blake3.h"

/* BLAKE3("p2pseq/state/<domain>/v1"); tests/unit/cython_core/test_hash.py recomputes them. */
const uint32_t TREE_KEY_VALUE[8] = {0x9e760709u, 0x344d1febu, 0xd83dc51cu, 0x6c41afaau,
                                    0x212733ffu, 0xeaf9e14bu, 0xdba2fc4au, 0x493b8a96u};
const uint32_t TREE_KEY_LEAF[8] = {0xeeef3dc4u, 0x5fff2c30u, 0x5bf986f3u, 0x311ad812u,
                                   0xeb09e2f1u, 0x42029e8fu, 0xe6a6c3e9u, 0x8ea541c8u};
const uint32_t TREE_KEY_NODE[8] = {0x7c93844cu, 0x476e4d06u, 0x2da71a30u, 0xeded5b42u,
                                   0x5c271876u, 0x528d4af9u, 0xd9027dacu, 0xe543ee1cu};
const uint32_t TREE_KEY_PATH[8] = {0x3222c869u, 0xd7ddcd7cu, 0x94b77970u, 0x86622d7bu,
                                   0xcbb0dbaeu, 0x6ab2ff0du, 0x1c8080f8u, 0x1e4d101cu};

enum { HASH_WORDS = BLAKE3_HASH_WORDS };

/* What is known of a subtree. */
enum kind { KIND_EMPTY = 0, KIND_LEAF = 1, KIND_INNER = 2, KIND_UNKNOWN = 3 };

/* A finished subtree: its kinds, and whether its content differs between before and after. */
struct subtree {
    uint8_t before;
    uint8_t after;
    uint8_t changed;
};

/* An open node: the hashes of its children are written straight into the messages to be hashed. */
struct frame {
    uint32_t before[BLAKE3_BLOCK_WORDS];
    uint32_t after[BLAKE3_BLOCK_WORDS];
    uint32_t low, middle, high;
    struct subtree left;
    uint8_t on_right;
};

struct pass {
    const uint8_t *slots;
    size_t stride;
    const struct tree_steady *steady;
    const uint8_t *proof;
    size_t remaining;
    /* The position: its depth (open frames), the slots below it, where its hashes go. */
    uint32_t depth, low, high;
    uint32_t *before, *after;
    struct frame frames[TREE_PATH_BITS];
};

static const struct tree_slot *slot_at(const struct pass *pass, uint32_t index)
{
    return (const struct tree_slot *)(const void *)(pass->slots + pass->stride * index);
}

/* A leaf that the witness shows and that is none of the slots. */
struct other_leaf {
    const blake3_word *path;
    uint32_t hash[HASH_WORDS];
};

/* Left siblings that wait for their right one while leaves are placed in ascending order. */
struct branch {
    uint32_t hash[HASH_WORDS];
    uint32_t depth;
};

struct builder {
    uint32_t current[HASH_WORDS];
    uint32_t height;
    struct branch branches[TREE_PATH_BITS];
};

static void copy_hash(uint32_t *to, const blake3_word *from)
{
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    to[4] = from[4];
    to[5] = from[5];
    to[6] = from[6];
    to[7] = from[7];
}

static void clear_hash(uint32_t *to)
{
    to[0] = to[1] = to[2] = to[3] = to[4] = to[5] = to[6] = to[7] = 0;
}

static int is_zero_hash(const blake3_word *hash)
{
    return (hash[0] | hash[1] | hash[2] | hash[3] | hash[4] | hash[5] | hash[6] | hash[7]) == 0;
}

static int path_bit(const uint8_t *path, uint32_t depth)
{
    return (path[depth >> 3] >> (7 - (depth & 7))) & 1;
}

/* Index of the first bit in which two paths differ, TREE_PATH_BITS if none. */
static uint32_t common_prefix(const uint8_t *first, const uint8_t *second)
{
    uint32_t byte, bit;

    for (byte = 0; byte < TREE_PATH_BYTES; byte++) {
        uint32_t difference = (uint32_t)(first[byte] ^ second[byte]);
        if (difference != 0) {
            for (bit = 0; (difference & (0x80u >> bit)) == 0; bit++) {
            }
            return 8 * byte + bit;
        }
    }
    return TREE_PATH_BITS;
}

static int is_ascending(const uint8_t *first, const uint8_t *second)
{
    uint32_t shared = common_prefix(first, second);

    return shared < TREE_PATH_BITS && path_bit(second, shared);
}

static void hash_leaf(const uint8_t *path, const uint8_t *value, uint32_t out[HASH_WORDS])
{
    uint32_t message[BLAKE3_BLOCK_WORDS];

    copy_hash(message, (const blake3_word *)path);
    blake3_keyed_block(TREE_KEY_VALUE, (const blake3_word *)value, TREE_VALUE_BYTES,
                       message + HASH_WORDS);
    blake3_keyed_block(TREE_KEY_LEAF, message, BLAKE3_BLOCK_BYTES, out);
}

static void hash_node(const uint32_t children[BLAKE3_BLOCK_WORDS], uint32_t out[HASH_WORDS])
{
    blake3_keyed_block(TREE_KEY_NODE, children, BLAKE3_BLOCK_BYTES, out);
}

/* Lift a node from depth `from` to depth `to` (above it) past siblings that are empty. */
static void raise_node(uint32_t hash[HASH_WORDS], const uint8_t *path, uint32_t from, uint32_t to)
{
    uint32_t children[BLAKE3_BLOCK_WORDS];

    while (from > to) {
        uint32_t side;

        from--;
        side = (uint32_t)path_bit(path, from);
        copy_hash(children + HASH_WORDS * side, hash);
        clear_hash(children + HASH_WORDS * (1 - side));
        hash_node(children, hash);
    }
}

/*
 * Join all branches at `depth` or deeper to the current subtree, whose last leaf has `path`, and
 * bring the joined node up to `depth`. Branches lie in ascending depth, each joint raised to just
 * below the next one.
 */
static void close_branches(struct builder *builder, const uint8_t *path, uint32_t depth)
{
    uint32_t children[BLAKE3_BLOCK_WORDS];

    while (builder->height > 0 && builder->branches[builder->height - 1].depth >= depth) {
        const struct branch *branch = &builder->branches[--builder->height];
        uint32_t target = depth;

        copy_hash(children, branch->hash);
        copy_hash(children + HASH_WORDS, builder->current);
        hash_node(children, builder->current);
        if (builder->height > 0 && builder->branches[builder->height - 1].depth >= depth) {
            target = builder->branches[builder->height - 1].depth + 1;
        }
        raise_node(builder->current, path, branch->depth, target);
    }
}

/*
 * The new subtree at a position that had at most one leaf: all slots that are present afterwards,
 * and the OTHER leaf if there is one, in ascending order. Returns its kind; `out` receives its
 * hash.
 */
static uint8_t place_leaves(const struct pass *pass, const struct other_leaf *other, uint32_t *out)
{
    struct builder builder;
    const uint8_t *previous = NULL;
    uint32_t index = pass->low;
    uint32_t count = 0;

    builder.height = 0;
    for (;;) {
        const uint8_t *path;
        const struct tree_slot *slot = NULL;

        while (index < pass->high && !slot_at(pass, index)->new_present) {
            index++;
        }
        if (index < pass->high) {
            slot = slot_at(pass, index);
        }
        if (other != NULL &&
            (slot == NULL || is_ascending((const uint8_t *)other->path, slot->path))) {
            path = (const uint8_t *)other->path;
            slot = NULL;
        } else if (slot != NULL) {
            path = slot->path;
            index++;
        } else {
            break;
        }
        if (previous != NULL) {
            uint32_t shared = common_prefix(previous, path);
            struct branch *branch;

            close_branches(&builder, previous, shared + 1);
            branch = &builder.branches[builder.height++];
            copy_hash(branch->hash, builder.current);
            branch->depth = shared;
        }
        if (slot != NULL) {
            hash_leaf(path, slot->new_value, builder.current);
        } else {
            copy_hash(builder.current, other->hash);
            other = NULL;
        }
        previous = path;
        count++;
    }
    if (count == 0) {
        clear_hash(out);
        return KIND_EMPTY;
    }
    close_branches(&builder, previous, pass->depth);
    copy_hash(out, builder.current);
    return count == 1 ? KIND_LEAF : KIND_INNER;
}

/* The next `length` bytes of the witness (a multiple of four), or NULL if they are not there. */
static const blake3_word *take(struct pass *pass, size_t length)
{
    const uint8_t *taken = pass->proof;

    if (pass->remaining < length) {
        return NULL;
    }
    pass->proof += length;
    pass->remaining -= length;
    return (const blake3_word *)__builtin_assume_aligned(taken, 4);
}

static int is_slot_changed(const struct tree_slot *slot)
{
    const blake3_word *old_words = (const blake3_word *)slot->old_value;
    const blake3_word *new_words = (const blake3_word *)slot->new_value;
    uint32_t index, difference = 0;

    if (slot->old_present != slot->new_present) {
        return 1;
    }
    if (!slot->old_present) {
        return 0;
    }
    for (index = 0; index < TREE_VALUE_BYTES / 4; index++) {
        difference |= old_words[index] ^ new_words[index];
    }
    return difference != 0;
}

/*
 * The slots at a position that ends in EMPTY, LEAF or OTHER: how many existed before (the last one
 * in `*existing`), and whether any of them changes.
 */
static uint32_t count_existing(const struct pass *pass, const struct tree_slot **existing,
                               uint8_t *changed)
{
    uint32_t index, count = 0;

    *changed = 0;
    for (index = pass->low; index < pass->high; index++) {
        const struct tree_slot *slot = slot_at(pass, index);

        if (slot->old_present) {
            *existing = slot;
            count++;
        }
        if (!*changed && is_slot_changed(slot)) {
            *changed = 1;
        }
    }
    return count;
}

/*
 * The hash after is the hash before where no slot changes, and that of the placed leaves elsewhere.
 */
static void finish_leaves(struct pass *pass, const struct other_leaf *other,
                          struct subtree *subtree)
{
    if (subtree->changed) {
        subtree->after = place_leaves(pass, other, pass->after);
    } else {
        subtree->after = subtree->before;
        copy_hash(pass->after, pass->before);
    }
}

static int read_empty(struct pass *pass, struct subtree *subtree)
{
    const struct tree_slot *existing;

    if (count_existing(pass, &existing, &subtree->changed) != 0) {
        return TREE_CONTRADICTION;
    }
    subtree->before = KIND_EMPTY;
    clear_hash(pass->before);
    finish_leaves(pass, NULL, subtree);
    return TREE_OK;
}

static int read_leaf(struct pass *pass, struct subtree *subtree)
{
    const struct tree_slot *existing = NULL;

    if (count_existing(pass, &existing, &subtree->changed) != 1) {
        return TREE_CONTRADICTION;
    }
    subtree->before = KIND_LEAF;
    hash_leaf(existing->path, existing->old_value, pass->before);
    finish_leaves(pass, NULL, subtree);
    return TREE_OK;
}

/* Whether the path of an OTHER leaf belongs to the position and is none of the slots there. */
static int is_at_position(const struct pass *pass, const uint8_t *path)
{
    uint32_t index;

    for (index = pass->low; index < pass->high; index++) {
        uint32_t shared = common_prefix(path, slot_at(pass, index)->path);

        if (shared < pass->depth || shared == TREE_PATH_BITS) {
            return 0;
        }
    }
    if (pass->low == pass->high && pass->depth > 0) {
        /* No slot here, so all slots of the parent are on its other side. */
        const struct frame *parent = &pass->frames[pass->depth - 1];

        return common_prefix(path, slot_at(pass, parent->low)->path) == pass->depth - 1;
    }
    return 1;
}

static int read_other(struct pass *pass, struct subtree *subtree)
{
    const blake3_word *payload = take(pass, BLAKE3_BLOCK_BYTES);
    const struct tree_slot *existing;
    struct other_leaf other;

    if (payload == NULL) {
        return TREE_TRUNCATED;
    }
    if (!is_at_position(pass, (const uint8_t *)payload)) {
        return TREE_PATH_INVALID;
    }
    if (count_existing(pass, &existing, &subtree->changed) != 0) {
        return TREE_CONTRADICTION;
    }
    blake3_keyed_block(TREE_KEY_LEAF, payload, BLAKE3_BLOCK_BYTES, other.hash);
    other.path = payload;
    subtree->before = KIND_LEAF;
    copy_hash(pass->before, other.hash);
    finish_leaves(pass, &other, subtree);
    return TREE_OK;
}

/* A subtree without slots, by its hash alone or as the node it is. */
static int read_sibling(struct pass *pass, uint32_t item, struct subtree *subtree)
{
    const blake3_word *payload;

    /* At the last bit there are leaves only. */
    if (pass->low != pass->high ||
        (item == TREE_ITEM_OPENED && pass->depth == TREE_PATH_BITS)) {
        return TREE_ITEM_INVALID;
    }
    payload = take(pass, item == TREE_ITEM_OPAQUE ? BLAKE3_HASH_BYTES : BLAKE3_BLOCK_BYTES);
    if (payload == NULL) {
        return TREE_TRUNCATED;
    }
    if (item == TREE_ITEM_OPAQUE) {
        if (is_zero_hash(payload)) {
            return TREE_ITEM_INVALID;
        }
        copy_hash(pass->before, payload);
        subtree->before = KIND_UNKNOWN;
    } else {
        if (is_zero_hash(payload) && is_zero_hash(payload + HASH_WORDS)) {
            return TREE_MALFORMED;
        }
        blake3_keyed_block(TREE_KEY_NODE, payload, BLAKE3_BLOCK_BYTES, pass->before);
        subtree->before = KIND_INNER;
    }
    copy_hash(pass->after, pass->before);
    subtree->after = subtree->before;
    subtree->changed = 0;
    return TREE_OK;
}

/* First slot of the position whose path turns right: by the ends first, then by bisection. */
static uint32_t first_right(const struct pass *pass)
{
    uint32_t low = pass->low, high = pass->high;

    if (!path_bit(slot_at(pass, high - 1)->path, pass->depth)) {
        return high;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (path_bit(slot_at(pass, middle)->path, pass->depth)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static int open_frame(struct pass *pass)
{
    struct frame *frame;

    if (pass->low == pass->high || pass->depth == TREE_PATH_BITS) {
        return TREE_ITEM_INVALID;
    }
    frame = &pass->frames[pass->depth];
    frame->low = pass->low;
    frame->middle = first_right(pass);
    frame->high = pass->high;
    frame->on_right = 0;
    pass->depth++;
    pass->high = frame->middle;
    pass->before = frame->before;
    pass->after = frame->after;
    return TREE_OK;
}

/*
 * The node after the transition, from its children after. Only an opaque lone child is undecidable.
 */
static int join_after(const struct frame *frame, const struct subtree *right, uint32_t *out,
                      struct subtree *subtree)
{
    uint8_t left_kind = frame->left.after, right_kind = right->after;

    subtree->after = KIND_INNER;
    if (left_kind == KIND_EMPTY && right_kind == KIND_EMPTY) {
        clear_hash(out);
        subtree->after = KIND_EMPTY;
        return TREE_OK;
    }
    if (left_kind == KIND_EMPTY || right_kind == KIND_EMPTY) {
        uint8_t lone_kind = left_kind == KIND_EMPTY ? right_kind : left_kind;

        if (lone_kind == KIND_UNKNOWN) {
            return TREE_UNDECIDABLE;
        }
        if (lone_kind == KIND_LEAF) {
            copy_hash(out, frame->after + (left_kind == KIND_EMPTY ? HASH_WORDS : 0));
            subtree->after = KIND_LEAF;
            return TREE_OK;
        }
    }
    hash_node(frame->after, out);
    return TREE_OK;
}

/* Close the deepest frame, whose right child is `*subtree`, and make `*subtree` the node itself. */
static int close_frame(struct pass *pass, struct subtree *subtree)
{
    const struct frame *frame = &pass->frames[pass->depth - 1];
    struct subtree right = *subtree;
    uint8_t left_kind = frame->left.before;

    if ((left_kind == KIND_EMPTY && right.before <= KIND_LEAF) ||
        (left_kind == KIND_LEAF && right.before == KIND_EMPTY)) {
        return TREE_MALFORMED;
    }
    hash_node(frame->before, pass->before);
    subtree->before = KIND_INNER;
    subtree->changed = frame->left.changed | right.changed;
    if (!subtree->changed) {
        subtree->after = KIND_INNER;
        copy_hash(pass->after, pass->before);
        return TREE_OK;
    }
    return join_after(frame, &right, pass->after, subtree);
}

static int read_steady(struct pass *pass, struct subtree *subtree)
{
    int kind;

    if (pass->steady == NULL || pass->low == pass->high) {
        return TREE_ITEM_INVALID;
    }
    kind = pass->steady->fold(pass->steady->owner, pass->low, pass->high, pass->before,
                              pass->after);
    if (kind != TREE_STEADY_LEAF && kind != TREE_STEADY_NODE) {
        return TREE_ITEM_INVALID;
    }
    subtree->before = kind == TREE_STEADY_LEAF ? KIND_LEAF : KIND_INNER;
    subtree->after = subtree->before;
    subtree->changed = 1;
    return TREE_OK;
}

static int read_position(struct pass *pass, uint32_t item, struct subtree *subtree)
{
    switch (item) {
    case TREE_ITEM_EMPTY:
        return read_empty(pass, subtree);
    case TREE_ITEM_LEAF:
        return read_leaf(pass, subtree);
    case TREE_ITEM_OTHER:
        return read_other(pass, subtree);
    case TREE_ITEM_OPAQUE:
    case TREE_ITEM_OPENED:
        return read_sibling(pass, item, subtree);
    case TREE_ITEM_STEADY:
        return read_steady(pass, subtree);
    default:
        return TREE_ITEM_INVALID;
    }
}

/*
 * A subtree is complete: go on to the right sibling (returns 1), or close its parents until a right
 * sibling is missing (1) or the root is complete (0). Negative: a tree_status.
 */
static int ascend(struct pass *pass, uint32_t *root_before, uint32_t *root_after,
                  struct subtree *subtree)
{
    while (pass->depth > 0) {
        struct frame *frame = &pass->frames[pass->depth - 1];
        const struct frame *parent;
        uint32_t side;
        int status;

        if (!frame->on_right) {
            frame->left = *subtree;
            frame->on_right = 1;
            pass->low = frame->middle;
            pass->high = frame->high;
            pass->before = frame->before + HASH_WORDS;
            pass->after = frame->after + HASH_WORDS;
            return 1;
        }
        pass->before = root_before;
        pass->after = root_after;
        if (pass->depth > 1) {
            parent = &pass->frames[pass->depth - 2];
            side = parent->on_right ? HASH_WORDS : 0;
            pass->before = (uint32_t *)parent->before + side;
            pass->after = (uint32_t *)parent->after + side;
        }
        status = close_frame(pass, subtree);
        if (status != TREE_OK) {
            return status;
        }
        pass->depth--;
    }
    return 0;
}

static int check_slots(const struct pass *pass, uint32_t count)
{
    uint32_t index;

    if (((uintptr_t)pass->slots & 3) != 0 || (pass->stride & 3) != 0) {
        return TREE_UNALIGNED;
    }
    for (index = 0; index < count; index++) {
        const struct tree_slot *slot = slot_at(pass, index);

        if (slot->old_present > 1 || slot->new_present > 1) {
            return TREE_SLOT_FLAG;
        }
        if (index > 0 && !is_ascending(slot_at(pass, index - 1)->path, slot->path)) {
            return TREE_SLOTS_UNSORTED;
        }
    }
    return TREE_OK;
}

static void store_hash(const uint32_t hash[HASH_WORDS], uint8_t out[TREE_HASH_BYTES])
{
    uint32_t index;

    for (index = 0; index < TREE_HASH_BYTES; index++) {
        out[index] = (uint8_t)(hash[index / 4] >> (8 * (index % 4)));
    }
}

void tree_path(const uint8_t name[64], uint8_t path[TREE_PATH_BYTES])
{
    /* 64 bytes are never too long, so this cannot fail. */
    (void)blake3_keyed_bytes(TREE_KEY_PATH, name, 64, path);
}

int tree_transition(const struct tree_slot *slots, uint32_t count, const uint8_t *proof,
                    size_t proof_length, uint8_t pre_root[TREE_HASH_BYTES],
                    uint8_t post_root[TREE_HASH_BYTES])
{
    return tree_transition_steady(slots, sizeof *slots, count, proof, proof_length, NULL, pre_root,
                                  post_root);
}

int tree_transition_steady(const struct tree_slot *slots, size_t stride, uint32_t count,
                           const uint8_t *proof, size_t proof_length,
                           const struct tree_steady *steady, uint8_t pre_root[TREE_HASH_BYTES],
                           uint8_t post_root[TREE_HASH_BYTES])
{
    struct pass pass;
    struct subtree subtree;
    uint32_t before[HASH_WORDS], after[HASH_WORDS];
    int status;

    pass.slots = (const uint8_t *)slots;
    pass.stride = stride;
    pass.steady = steady;
    status = check_slots(&pass, count);
    if (status != TREE_OK) {
        return status;
    }
    if (((uintptr_t)proof & 3) != 0) {
        return TREE_UNALIGNED;
    }
    pass.proof = proof;
    pass.remaining = proof_length;
    pass.depth = 0;
    pass.low = 0;
    pass.high = count;
    pass.before = before;
    pass.after = after;
    do {
        const blake3_word *item = take(&pass, 4);

        if (item == NULL) {
            return TREE_TRUNCATED;
        }
        if (*item == TREE_ITEM_INNER) {
            status = open_frame(&pass);
            if (status != TREE_OK) {
                return status;
            }
            status = 1;
            continue;
        }
        status = read_position(&pass, *item, &subtree);
        if (status != TREE_OK) {
            return status;
        }
        status = ascend(&pass, before, after, &subtree);
    } while (status > 0);
    if (status != TREE_OK) {
        return status;
    }
    if (pass.remaining != 0) {
        return TREE_TRAILING;
    }
    store_hash(before, pre_root);
    store_hash(after, post_root);
    return TREE_OK;
}
