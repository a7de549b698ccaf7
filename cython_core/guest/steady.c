/* The steady pass. Every store and every hash here is done for each level of each leaf, so keys
 * stay in registers and children are hashed where they were written. */
#include "steady.h"

/* The node that is climbed from: its hashes are not made yet, except that of a leaf before. */
enum source_kind { SOURCE_LEAF, SOURCE_NODE, SOURCE_HASH };

struct source {
    enum source_kind kind;
    const blake3_word *before; /* NODE: message; HASH and LEAF: hash */
    const blake3_word *after;  /* NODE and LEAF: message; HASH: hash */
};

struct target {
    blake3_word *before;
    blake3_word *after;
};

enum { HALF = 32 };

static inline void put_before(struct hash_key node, const struct source *source, blake3_word *to)
{
    if (source->kind == SOURCE_NODE) {
        host_keyed(node, to, source->before);
    } else if (source->before != to) {
        hash_copy(to, source->before);
    }
}

static inline void put_after(struct hash_key node, const struct source *source, blake3_word *to)
{
    if (source->kind == SOURCE_NODE) {
        host_keyed(node, to, source->after);
    } else if (source->kind == SOURCE_LEAF) {
        hash_copy(to, TREE_KEY_LEAF);
        host_b3(to, source->after);
    } else {
        hash_copy(to, source->after);
    }
}

/* The half of a line that `side` names: a multiple of 32 bytes. */
static inline blake3_word *half(blake3_word *line, uint32_t side)
{
    return (blake3_word *)((uint8_t *)line + side);
}

/* The other half of the same line. */
static inline blake3_word *other_half(blake3_word *place)
{
    return (blake3_word *)((uintptr_t)place ^ HALF);
}

/* Climbs past siblings from a hash at `place`, the lowest line's half, up to the line before `end`,
 * twice: the first time siblings are read and the old hashes made, the second time the new ones
 * over the same lines. `sides` has one for each line from `next` on. */
static inline void climb(struct host *host, struct hash_key node, const struct source *source,
                         blake3_word *place, blake3_word *next, const blake3_word *end,
                         uint32_t sides, const struct target *target)
{
    blake3_word *const first = next;
    blake3_word *const lowest = (blake3_word *)((uintptr_t)place & ~(uintptr_t)HALF);
    const blake3_word *message = lowest;
    uint32_t turns = sides;

    put_before(node, source, place);
    host_hash(host, other_half(place));
#pragma GCC unroll 2
    for (; next != end; next += BLAKE3_BLOCK_WORDS) {
        blake3_word *to = half(next, turns & HALF);
        host_keyed(node, to, message);
        host_hash(host, other_half(to));
        message = next;
        turns >>= 1;
    }
    host_keyed(node, target->before, message);

    put_after(node, source, place);
    message = lowest;
    turns = sides;
#pragma GCC unroll 2
    for (next = first; next != end; next += BLAKE3_BLOCK_WORDS) {
        host_keyed(node, half(next, turns & HALF), message);
        message = next;
        turns >>= 1;
    }
    host_keyed(node, target->after, message);
}

/* Where the hashes of a finished step go. */
static inline int find_target(struct steady_room *room, uint32_t action, uint32_t waiting,
                              struct target root, struct target *target)
{
    struct steady_node *node = &room->waiting[waiting];
    if (action == STEADY_WAITS) {
        if (waiting == TREE_PATH_BITS) {
            return 0;
        }
        node->turn ^= 1;
        target->before = node->messages[node->turn].before;
        target->after = node->messages[node->turn].after;
    } else if (action == STEADY_JOINS) {
        if (waiting == 0) {
            return 0;
        }
        node--;
        target->before = node->messages[node->turn].before + BLAKE3_HASH_WORDS;
        target->after = node->messages[node->turn].after + BLAKE3_HASH_WORDS;
    } else if (action == STEADY_ENDS) {
        *target = root;
    } else {
        target->before = room->before;
        target->after = room->after;
    }
    return 1;
}

/* The steps of one slot. Returns the action of the last one, or -1; `*waiting` is left with the
 * number of waiting nodes, that of the slot not among them. */
static inline int run_steps(struct host *host, struct hash_key node, struct steady_room *room,
                            struct leaf_room *leaf, struct target root, uint32_t *waiting,
                            uint32_t *climbed)
{
    blake3_word *place = half(leaf->line, leaf_side(leaf));
    struct source source = {SOURCE_LEAF, place, leaf->message};
    for (;;) {
        uint32_t step = host_in(host);
        uint32_t levels = step & 31;
        uint32_t action = step >> 5 & 3;
        struct target target;

        *climbed |= levels;
        if (levels > STEADY_LEVELS || !find_target(room, action, *waiting, root, &target)) {
            return -1;
        }
        if (levels == 0) {
            put_before(node, &source, target.before);
            put_after(node, &source, target.after);
        } else {
            if (source.kind != SOURCE_LEAF) {
                place = half(room->lines[0], step >> 3 & HALF);
            }
            climb(host, node, &source, place, room->lines[1], room->lines[levels], step >> 4,
                  &target);
        }
        if (action == STEADY_JOINS) {
            /* The right child stands in the second half of these lines. */
            --*waiting;
            source.kind = SOURCE_NODE;
            source.before = target.before - BLAKE3_HASH_WORDS;
            source.after = target.after - BLAKE3_HASH_WORDS;
        } else if (action == STEADY_GOES_ON) {
            source.kind = SOURCE_HASH;
            source.before = room->before;
            source.after = room->after;
        } else {
            return (int)action;
        }
    }
}

int steady_fold(struct host *host, struct steady_room *room, struct leaf_room *leaves, uint32_t low,
                uint32_t high, blake3_word *before, blake3_word *after)
{
    const struct hash_key node = key_load(TREE_KEY_NODE);
    const struct target root = {before, after};
    uint32_t waiting = 0;
    uint32_t climbed = high - low - 1;

    for (uint32_t index = low; index < high; index++) {
        struct leaf_room *leaf = &leaves[index];
        if ((leaf->flags & LEAF_STEADY) == 0 || !leaf->slot.new_present) {
            return -1;
        }
        int action = run_steps(host, node, room, leaf, root, &waiting, &climbed);
        if (action == STEADY_WAITS) {
            waiting++;
        } else if (action != STEADY_ENDS || waiting != 0 || index + 1 != high) {
            return -1;
        } else {
            return climbed == 0 ? TREE_STEADY_LEAF : TREE_STEADY_NODE;
        }
    }
    return -1;
}
