/*
 * A batch in two halves. The plan only reads the tree: it sorts, hashes the new leaves, descends
 * level by level, and writes down which nodes are touched or new, what goes into which child slot,
 * and how much memory that takes. All memory is then reserved. The commit cannot fail: it fills the
 * slots and hashes the touched nodes from the deepest level up. Hence a batch happens as a whole or
 * not at all.
 */
#include "merkle/state_tree_internal.h"

/* Nodes are hashed in small groups, while the memory of the next groups is on its way. */
enum { HASH_BATCH = 256, NODE_BATCH = 16, PREFETCH_AHEAD = 32 };
#define NO_OPERATION UINT32_MAX
/* Scratch space above this is given back after the batch: bulk loads are rare. */
#define SCRATCH_KEEP_BYTES ((size_t)64 << 20)

/* A child slot: record * 2 + side. Record 0 is the root's holder, node 0. */
typedef uint32_t slot_id;

/* A node on the way of the batch, or (node = 0 while planning) one that the batch creates. */
struct record {
    uint32_t node;
    slot_id slot; /* where the node hangs */
};

/* Operations (sorted positions) or pending leaves low..high-1, all below the subtree at `slot`. */
struct range {
    tree_ref ref;
    uint32_t low, high;
    slot_id slot;
};

/*
 * A leaf that the batch places: by an operation (anew, or over leaf `ref`), or moved from `source`.
 */
struct pending_leaf {
    const uint8_t *path;
    uint32_t position;
    tree_ref ref;
    slot_id source;
};

/* What a slot becomes: a pending leaf, or nothing if there is neither operation nor leaf. */
struct action {
    slot_id slot;
    uint32_t position;
    tree_ref ref;
    slot_id source;
};

struct plan {
    struct state_tree *tree;
    struct update_scratch *scratch;
    size_t count;
    const uint8_t *paths, *values, *present;
    uint8_t *old_values, *old_present;
    uint32_t record_count, action_count, pending_count, freed_count;
    uint32_t new_nodes, new_leaves;
    /* This level's work and the next level's. */
    struct range *descents, *next_descents, *builds, *next_builds;
    uint32_t descent_count, next_descent_count, build_count, next_build_count;
    uint32_t depth;
    uint32_t level_start[PATH_BITS + 2];
};

void update_scratch_free(struct update_scratch *scratch)
{
    buffer_free(&scratch->order);
    buffer_free(&scratch->sort_keys);
    buffer_free(&scratch->leaf_hashes);
    buffer_free(&scratch->records);
    buffer_free(&scratch->actions);
    buffer_free(&scratch->pending);
    buffer_free(&scratch->freed);
    buffer_free(&scratch->descents[0]);
    buffer_free(&scratch->descents[1]);
    buffer_free(&scratch->builds[0]);
    buffer_free(&scratch->builds[1]);
}

static struct record *plan_records(const struct plan *plan)
{
    return plan->scratch->records.bytes;
}

static uint32_t plan_order(const struct plan *plan, uint32_t position)
{
    return ((const uint32_t *)plan->scratch->order.bytes)[position];
}

static uint8_t *plan_leaf_hash(const struct plan *plan, uint32_t position)
{
    return (uint8_t *)plan->scratch->leaf_hashes.bytes + (size_t)HASH_BYTES * position;
}

/* Value hash, then leaf hash, of every operation that leaves a leaf, at its sorted position. */
static void hash_new_leaves(const struct plan *plan)
{
    uint8_t messages[HASH_BATCH][MESSAGE_BYTES];
    const uint8_t *inputs[HASH_BATCH];
    uint8_t *outputs[HASH_BATCH], *finals[HASH_BATCH];
    uint32_t position = 0, index, filled;

    while (position < plan->count) {
        for (filled = 0; filled < HASH_BATCH && position < plan->count; position++) {
            size_t operation = plan_order(plan, position);

            if (!plan->present[operation]) {
                continue;
            }
            memcpy(messages[filled], plan->paths + PATH_BYTES * operation, PATH_BYTES);
            inputs[filled] = plan->values + VALUE_BYTES * operation;
            outputs[filled] = messages[filled] + PATH_BYTES;
            finals[filled] = plan_leaf_hash(plan, position);
            filled++;
        }
        plan->tree->kernel(TREE_KEY_VALUE, inputs, outputs, filled);
        for (index = 0; index < filled; index++) {
            inputs[index] = messages[index];
        }
        plan->tree->kernel(TREE_KEY_LEAF, inputs, finals, filled);
    }
}

static uint32_t add_record(struct plan *plan, uint32_t node, slot_id slot)
{
    struct record *record = plan_records(plan) + plan->record_count;

    record->node = node;
    record->slot = slot;
    return plan->record_count++;
}

static void add_action(struct plan *plan, slot_id slot, uint32_t position, tree_ref ref,
                       slot_id source)
{
    struct action *action = (struct action *)plan->scratch->actions.bytes + plan->action_count++;

    action->slot = slot;
    action->position = position;
    action->ref = ref;
    action->source = source;
}

static void add_pending(struct plan *plan, const uint8_t *path, uint32_t position, tree_ref ref,
                        slot_id source)
{
    struct pending_leaf *leaf =
        (struct pending_leaf *)plan->scratch->pending.bytes + plan->pending_count++;

    leaf->path = path;
    leaf->position = position;
    leaf->ref = ref;
    leaf->source = source;
}

static void add_range(struct range *ranges, uint32_t *count, tree_ref ref, uint32_t low,
                      uint32_t high, slot_id slot)
{
    struct range *range = ranges + (*count)++;

    range->ref = ref;
    range->low = low;
    range->high = high;
    range->slot = slot;
}

/*
 * An operation that meets the leaf with its own path: remember the old value, then replace or free.
 */
static void meet_existing(struct plan *plan, uint32_t position, tree_ref existing)
{
    size_t operation = plan_order(plan, position);

    plan->old_present[operation] = 1;
    memcpy(plan->old_values + VALUE_BYTES * operation, leaf_value(plan->tree, existing),
           VALUE_BYTES);
    if (plan->present[operation]) {
        add_pending(plan, plan->paths + PATH_BYTES * operation, position, existing, 0);
    } else {
        ((tree_ref *)plan->scratch->freed.bytes)[plan->freed_count++] = existing;
    }
}

/* The leaves that will stand where there was nothing or one leaf, in ascending order of paths. */
static void gather_pending(struct plan *plan, const struct range *range)
{
    tree_ref existing = range->ref;
    uint32_t position;

    for (position = range->low; position < range->high; position++) {
        size_t operation = plan_order(plan, position);
        const uint8_t *path = plan->paths + PATH_BYTES * operation;

        if (existing != 0) {
            int order = memcmp(path, leaf_path(plan->tree, existing), PATH_BYTES);

            if (order == 0) {
                meet_existing(plan, position, existing);
                existing = 0;
                continue;
            }
            if (order > 0) {
                add_pending(plan, leaf_path(plan->tree, existing), NO_OPERATION, existing,
                            range->slot);
                existing = 0;
            }
        }
        if (plan->present[operation]) {
            add_pending(plan, path, position, 0, 0);
            plan->new_leaves++;
        }
    }
    if (existing != 0) {
        add_pending(plan, leaf_path(plan->tree, existing), NO_OPERATION, existing, range->slot);
    }
}

static void add_leaf_action(struct plan *plan, slot_id slot, uint32_t pending_index)
{
    const struct pending_leaf *leaf =
        (const struct pending_leaf *)plan->scratch->pending.bytes + pending_index;

    add_action(plan, slot, leaf->position, leaf->ref, leaf->source);
}

/*
 * The descent ends at `range`: decide what the slot becomes. Two or more leaves are a new subtree.
 */
static void plan_terminal(struct plan *plan, const struct range *range)
{
    uint32_t start = plan->pending_count;
    uint32_t count;

    gather_pending(plan, range);
    count = plan->pending_count - start;
    if (count >= 2) {
        add_range(plan->builds, &plan->build_count, 0, start, plan->pending_count, range->slot);
    } else if (count == 1) {
        const struct pending_leaf *leaf =
            (const struct pending_leaf *)plan->scratch->pending.bytes + start;

        /* A leaf that stays where it is needs nothing. */
        if (leaf->position != NO_OPERATION) {
            add_leaf_action(plan, range->slot, start);
        }
    } else if (range->ref != 0) {
        add_action(plan, range->slot, NO_OPERATION, 0, 0);
    }
}

/* In which direction a sorted operation leaves a node at this depth. */
static uint32_t operation_side(const struct plan *plan, uint32_t position)
{
    const struct sort_entry *entry =
        (const struct sort_entry *)plan->scratch->sort_keys.bytes + position;

    if (plan->depth < 64) {
        return (uint32_t)(entry->prefix >> (63 - plan->depth)) & 1;
    }
    return path_bit(plan->paths + (size_t)PATH_BYTES * entry->operation, plan->depth);
}

/* First sorted position in low..high-1 whose path turns right at this depth. */
static uint32_t split_operations(const struct plan *plan, uint32_t low, uint32_t high)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (operation_side(plan, middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static uint32_t split_pending(const struct plan *plan, uint32_t low, uint32_t high)
{
    const struct pending_leaf *pending = plan->scratch->pending.bytes;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (path_bit(pending[middle].path, plan->depth)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* What the next level will read, so that the misses of a whole level overlap. */
static void prefetch_subtree(const struct state_tree *tree, tree_ref ref)
{
    if (is_leaf(ref)) {
        __builtin_prefetch(leaf_path(tree, ref));
        __builtin_prefetch(leaf_value(tree, ref));
    } else {
        __builtin_prefetch(node_children(tree, ref));
    }
}

static void descend(struct plan *plan, const struct range *range)
{
    const tree_ref *children = node_children(plan->tree, range->ref);
    uint32_t record = add_record(plan, range->ref, range->slot);
    uint32_t middle;

    if (range->high - range->low == 1) {
        /* Most of the way an operation is alone; whether it turns left or right nobody predicts. */
        uint32_t side = operation_side(plan, range->low);

        prefetch_subtree(plan->tree, children[side]);
        add_range(plan->next_descents, &plan->next_descent_count, children[side], range->low,
                  range->high, 2 * record + side);
        return;
    }
    middle = split_operations(plan, range->low, range->high);
    if (range->low < middle) {
        prefetch_subtree(plan->tree, children[0]);
        add_range(plan->next_descents, &plan->next_descent_count, children[0], range->low, middle,
                  2 * record);
    }
    if (middle < range->high) {
        prefetch_subtree(plan->tree, children[1]);
        add_range(plan->next_descents, &plan->next_descent_count, children[1], middle, range->high,
                  2 * record + 1);
    }
}

/* One side of a new node: empty slots of new nodes are zero already. */
static void build_side(struct plan *plan, uint32_t low, uint32_t high, slot_id slot)
{
    if (high - low == 1) {
        add_leaf_action(plan, slot, low);
    } else if (high > low) {
        add_range(plan->next_builds, &plan->next_build_count, 0, low, high, slot);
    }
}

static void build(struct plan *plan, const struct range *range)
{
    uint32_t middle = split_pending(plan, range->low, range->high);
    uint32_t record = add_record(plan, 0, range->slot);

    plan->new_nodes++;
    build_side(plan, range->low, middle, 2 * record);
    build_side(plan, middle, range->high, 2 * record + 1);
}

/*
 * Room for a level: each range becomes at most one record and two ranges of the next level; a
 * descent that ends may add a build to this level's list first.
 */
static int reserve_level(struct plan *plan, uint32_t parity)
{
    struct update_scratch *scratch = plan->scratch;
    size_t ranges = (size_t)plan->descent_count + plan->build_count;
    size_t record_total = plan->record_count + ranges;

    if (record_total > UINT32_MAX / 2) {
        return STATE_TREE_FULL;
    }
    if (buffer_reserve(&scratch->records, record_total * sizeof(struct record)) ||
        buffer_reserve(&scratch->descents[parity], plan->descent_count * sizeof(struct range)) ||
        buffer_reserve(&scratch->builds[parity], ranges * sizeof(struct range)) ||
        buffer_reserve(&scratch->descents[1 - parity], 2 * ranges * sizeof(struct range)) ||
        buffer_reserve(&scratch->builds[1 - parity], 2 * ranges * sizeof(struct range))) {
        return STATE_TREE_NO_MEMORY;
    }
    plan->descents = scratch->descents[parity].bytes;
    plan->builds = scratch->builds[parity].bytes;
    plan->next_descents = scratch->descents[1 - parity].bytes;
    plan->next_builds = scratch->builds[1 - parity].bytes;
    return STATE_TREE_OK;
}

static void plan_level(struct plan *plan)
{
    uint32_t index;

    for (index = 0; index < plan->descent_count; index++) {
        const struct range *range = &plan->descents[index];

        if (range->ref != 0 && !is_leaf(range->ref)) {
            descend(plan, range);
        } else {
            plan_terminal(plan, range);
        }
    }
    for (index = 0; index < plan->build_count; index++) {
        build(plan, &plan->builds[index]);
    }
}

/*
 * Everything that only reads the tree. Afterwards level_start[0..depth] bound the levels' records.
 */
static int make_plan(struct plan *plan)
{
    struct update_scratch *scratch = plan->scratch;
    uint32_t parity = 0;
    int status = sort_paths(scratch, plan->paths, plan->count);

    if (status != STATE_TREE_OK) {
        return status;
    }
    /* An ending range of k operations leaves at most k + 1 leaves, and k is at least 1. */
    if (buffer_reserve(&scratch->leaf_hashes, plan->count * HASH_BYTES) ||
        buffer_reserve(&scratch->actions, 2 * plan->count * sizeof(struct action)) ||
        buffer_reserve(&scratch->pending, 2 * plan->count * sizeof(struct pending_leaf)) ||
        buffer_reserve(&scratch->freed, plan->count * sizeof(tree_ref)) ||
        buffer_reserve(&scratch->records, sizeof(struct record)) ||
        buffer_reserve(&scratch->descents[0], sizeof(struct range))) {
        return STATE_TREE_NO_MEMORY;
    }
    hash_new_leaves(plan);
    add_record(plan, 0, 0);
    add_range(scratch->descents[0].bytes, &plan->descent_count, node_children(plan->tree, 0)[0], 0,
              (uint32_t)plan->count, 0);
    for (plan->depth = 0;; plan->depth++) {
        plan->level_start[plan->depth] = plan->record_count;
        if (plan->descent_count + plan->build_count == 0) {
            return STATE_TREE_OK;
        }
        status = reserve_level(plan, parity);
        if (status != STATE_TREE_OK) {
            return status;
        }
        plan_level(plan);
        plan->descent_count = plan->next_descent_count;
        plan->build_count = plan->next_build_count;
        plan->next_descent_count = 0;
        plan->next_build_count = 0;
        parity = 1 - parity;
    }
}

static uint32_t take_index(struct pool *pool, const void *linked, size_t stride)
{
    uint32_t index = pool->free_head;

    if (pool->free_count == 0) {
        return pool->next++;
    }
    memcpy(&pool->free_head, (const uint8_t *)linked + stride * index, sizeof pool->free_head);
    pool->free_count--;
    return index;
}

static void give_index(struct pool *pool, uint32_t index, void *linked, size_t stride)
{
    memcpy((uint8_t *)linked + stride * index, &pool->free_head, sizeof pool->free_head);
    pool->free_head = index;
    pool->free_count++;
}

static void set_slot(const struct plan *plan, slot_id slot, tree_ref ref, const uint8_t *hash)
{
    uint32_t node = plan_records(plan)[slot >> 1].node;
    uint8_t *place = node_message(plan->tree, node) + HASH_BYTES * (slot & 1);

    node_children(plan->tree, node)[slot & 1] = ref;
    if (hash != NULL) {
        memcpy(place, hash, HASH_BYTES);
    } else {
        memset(place, 0, HASH_BYTES);
    }
}

/* Create the planned nodes and hang them in. Their parents stand before them in the records. */
static void commit_nodes(const struct plan *plan)
{
    struct state_tree *tree = plan->tree;
    struct record *records = plan_records(plan);
    uint32_t index;

    for (index = 1; index < plan->record_count; index++) {
        struct record *record = &records[index];
        uint32_t parent, side;

        if (record->node != 0) {
            continue;
        }
        record->node = take_index(&tree->nodes, tree->children.bytes, 2 * sizeof(tree_ref));
        memset(node_message(tree, record->node), 0, MESSAGE_BYTES);
        memset(node_children(tree, record->node), 0, 2 * sizeof(tree_ref));
        /* Only the reference: a moved leaf's hash is still to be copied out of the slot. */
        parent = records[record->slot >> 1].node;
        side = record->slot & 1;
        node_children(tree, parent)[side] = record->node;
    }
}

static void commit_action(const struct plan *plan, const struct action *action)
{
    struct state_tree *tree = plan->tree;
    tree_ref ref = action->ref;
    size_t operation;

    if (action->position == NO_OPERATION) {
        uint32_t source_node = plan_records(plan)[action->source >> 1].node;
        const uint8_t *hash =
            node_message(tree, source_node) + HASH_BYTES * (action->source & 1);

        set_slot(plan, action->slot, ref, ref != 0 ? hash : NULL);
        return;
    }
    operation = plan_order(plan, action->position);
    if (ref == 0) {
        ref = LEAF_FLAG | take_index(&tree->leaves, tree->paths.bytes, PATH_BYTES);
        memcpy(leaf_path(tree, ref), plan->paths + PATH_BYTES * operation, PATH_BYTES);
    }
    memcpy(leaf_value(tree, ref), plan->values + VALUE_BYTES * operation, VALUE_BYTES);
    set_slot(plan, action->slot, ref, plan_leaf_hash(plan, action->position));
}

/* A node that lost its second leaf becomes that leaf, or nothing: it leaves the tree. */
static void collapse(const struct plan *plan, const struct record *record)
{
    struct state_tree *tree = plan->tree;
    const tree_ref *children = node_children(tree, record->node);
    uint32_t side = children[0] == 0;

    set_slot(plan, record->slot, children[side],
             node_message(tree, record->node) + HASH_BYTES * side);
    give_index(&tree->nodes, record->node, tree->children.bytes, 2 * sizeof(tree_ref));
}

static int is_collapsed(const tree_ref *children)
{
    return (children[0] == 0 && (children[1] == 0 || is_leaf(children[1]))) ||
           (children[1] == 0 && is_leaf(children[0]));
}

static void prefetch_record(const struct plan *plan, uint32_t index, uint32_t end)
{
    const struct record *records = plan_records(plan);

    if (index < end) {
        __builtin_prefetch(node_message(plan->tree, records[index].node));
        __builtin_prefetch(node_message(plan->tree, records[records[index].slot >> 1].node), 1);
    }
}

/* Hash one level's nodes into their parents; all nodes of a level are independent of each other. */
static void commit_level(const struct plan *plan, uint32_t start, uint32_t end)
{
    struct state_tree *tree = plan->tree;
    const struct record *records = plan_records(plan);
    /* Only a batch that frees a leaf can leave a node with one; no other needs to look. */
    int may_collapse = plan->freed_count > 0;
    const uint8_t *inputs[NODE_BATCH];
    uint8_t *outputs[NODE_BATCH];
    uint32_t index, filled = 0;

    for (index = start; index < start + PREFETCH_AHEAD; index++) {
        prefetch_record(plan, index, end);
    }
    for (index = start; index < end; index++) {
        const struct record *record = &records[index];
        uint32_t parent = records[record->slot >> 1].node;

        prefetch_record(plan, index + PREFETCH_AHEAD, end);
        if (may_collapse && is_collapsed(node_children(tree, record->node))) {
            collapse(plan, record);
            continue;
        }
        inputs[filled] = node_message(tree, record->node);
        outputs[filled] = node_message(tree, parent) + HASH_BYTES * (record->slot & 1);
        filled++;
        if (filled == NODE_BATCH) {
            tree->kernel(TREE_KEY_NODE, inputs, outputs, filled);
            filled = 0;
        }
    }
    tree->kernel(TREE_KEY_NODE, inputs, outputs, filled);
}

static void commit(const struct plan *plan)
{
    struct state_tree *tree = plan->tree;
    const struct action *actions = plan->scratch->actions.bytes;
    const tree_ref *freed = plan->scratch->freed.bytes;
    uint32_t index, depth;

    tree->generation++;
    commit_nodes(plan);
    for (index = 0; index < plan->action_count; index++) {
        commit_action(plan, &actions[index]);
    }
    for (index = 0; index < plan->freed_count; index++) {
        give_index(&tree->leaves, freed[index] & ~LEAF_FLAG, tree->paths.bytes, PATH_BYTES);
    }
    tree->leaf_count += plan->new_leaves;
    tree->leaf_count -= plan->freed_count;
    for (depth = plan->depth; depth > 0; depth--) {
        commit_level(plan, plan->level_start[depth - 1], plan->level_start[depth]);
    }
}

int state_tree_update(struct state_tree *tree, size_t count, const uint8_t *paths,
                      const uint8_t *values, const uint8_t *present, uint8_t *old_values,
                      uint8_t *old_present)
{
    struct plan plan = {.tree = tree,
                        .scratch = tree->scratch,
                        .count = count,
                        .paths = paths,
                        .values = values,
                        .present = present,
                        .old_values = old_values,
                        .old_present = old_present};
    size_t index;
    int status;

    if (count == 0) {
        return STATE_TREE_OK;
    }
    for (index = 0; index < count; index++) {
        if (present[index] > 1) {
            return STATE_TREE_FLAG;
        }
    }
    memset(old_values, 0, count * VALUE_BYTES);
    memset(old_present, 0, count);
    status = make_plan(&plan);
    if (status == STATE_TREE_OK) {
        status = reserve_nodes(tree, plan.new_nodes);
    }
    if (status == STATE_TREE_OK) {
        status = reserve_leaves(tree, plan.new_leaves);
    }
    if (status == STATE_TREE_OK) {
        commit(&plan);
    }
    if (state_tree_memory(tree) - tree->messages.capacity - tree->children.capacity -
            tree->paths.capacity - tree->values.capacity >
        SCRATCH_KEEP_BYTES) {
        update_scratch_free(tree->scratch);
    }
    return status;
}
