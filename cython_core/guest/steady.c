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

/* Climbs past `levels` siblings, twice: the first time they are read and the old hash is made, the
 * second time the new one over the same lines. `place` is where the source's hash stands in the
 * lowest line, `sides` the sides above it. */
static void climb(struct host *host, struct hash_key node, blake3_word (*lines)[BLAKE3_BLOCK_WORDS],
                  const struct source *source, blake3_word *line, uint32_t place, uint32_t levels,
                  uint32_t sides, blake3_word *before, blake3_word *after)
{
    const blake3_word *message = line;
    blake3_word *next = lines[1];
    blake3_word *end = lines[levels];
    uint32_t turns = sides;

    put_before(node, source, line + place);
    host_hash(host, line + (8 - place));
    for (; next != end; next += BLAKE3_BLOCK_WORDS) {
        uint32_t side = turns & 8;
        host_keyed(node, next + side, message);
        host_hash(host, next + (side ^ 8));
        message = next;
        turns >>= 1;
    }
    host_keyed(node, before, message);

    put_after(node, source, line + place);
    message = line;
    turns = sides;
    for (next = lines[1]; next != end; next += BLAKE3_BLOCK_WORDS) {
        host_keyed(node, next + (turns & 8), message);
        message = next;
        turns >>= 1;
    }
    host_keyed(node, after, message);
}

/* Where the two hashes of a finished step go. */
struct target {
    blake3_word *before;
    blake3_word *after;
};

static inline int find_target(struct steady_room *room, uint32_t action, uint32_t waiting,
                              struct target root, struct target *target)
{
    if (action == STEADY_WAITS) {
        if (waiting == TREE_PATH_BITS) {
            return 0;
        }
        struct steady_node *node = &room->waiting[waiting];
        node->turn ^= 1;
        target->before = node->messages[node->turn].before;
        target->after = node->messages[node->turn].after;
    } else if (action == STEADY_JOINS) {
        if (waiting == 0) {
            return 0;
        }
        struct steady_node *node = &room->waiting[waiting - 1];
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

int steady_fold(struct host *host, struct steady_room *room, struct leaf_room *leaves, uint32_t low,
                uint32_t high, blake3_word *before, blake3_word *after)
{
    const struct hash_key node = key_load(TREE_KEY_NODE);
    const struct target root = {before, after};
    uint32_t waiting = 0;
    uint32_t climbed = high - low - 1;

    for (uint32_t index = low; index < high; index++) {
        struct leaf_room *leaf = &leaves[index];
        struct source source = {SOURCE_LEAF, leaf->line + leaf->side, leaf->message};
        uint32_t action;

        if (!leaf->is_steady || !leaf->slot.new_present) {
            return -1;
        }
        do {
            uint32_t step = host_in(host);
            uint32_t levels = step & 31;
            struct target target;

            action = step >> 5 & 3;
            climbed |= levels;
            if (levels > STEADY_LEVELS || !find_target(room, action, waiting, root, &target)) {
                return -1;
            }
            if (levels == 0) {
                put_before(node, &source, target.before);
                put_after(node, &source, target.after);
            } else if (source.kind == SOURCE_LEAF) {
                climb(host, node, room->lines, &source, leaf->line, leaf->side, levels, step >> 6,
                      target.before, target.after);
            } else {
                climb(host, node, room->lines, &source, room->lines[0], step >> 5 & 8, levels,
                      step >> 6, target.before, target.after);
            }
            if (action == STEADY_JOINS) {
                /* The right child stands in the second half of these lines. */
                waiting--;
                source.kind = SOURCE_NODE;
                source.before = target.before - BLAKE3_HASH_WORDS;
                source.after = target.after - BLAKE3_HASH_WORDS;
            } else if (action == STEADY_GOES_ON) {
                source.kind = SOURCE_HASH;
                source.before = room->before;
                source.after = room->after;
            }
        } while (action == STEADY_JOINS || action == STEADY_GOES_ON);
        if (action == STEADY_WAITS) {
            waiting++;
        } else if (waiting != 0 || index + 1 != high) {
            return -1;
        } else {
            return climbed == 0 ? TREE_STEADY_LEAF : TREE_STEADY_NODE;
        }
    }
    return -1;
}
