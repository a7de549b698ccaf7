#include "vm/tree.h"

#include <stdlib.h>
#include <string.h>

/* For the flags alone. */
#define KB_ISA_SCALAR
#include "hash/b3_lanes.h"
#include "vm/steps.h"
#include "vm/vm.h"

enum {
    SINGLE = B3_CHUNK_START | B3_CHUNK_END | B3_ROOT,
    NODE_BYTES = 4 * TREE_DIGEST_BYTES,
    NONCE_MESSAGE_BYTES = TREE_DIGEST_BYTES + 4,
    HEAD_BYTES = 32,
};

static const struct tree_hash NODE = {BLAKE3_IV, NULL, SINGLE, TREE_BLOCK_BYTES, 0};

/* PAD_ROW of records.py. */
static const uint32_t PAD_WORDS[VM_ROW_WORDS] = {
    OP_PAD, 0, VM_HALTED, VM_HALTED, 0, 0, 0, 0, 0, VM_NO_ACCESS, 0, 0, 0,
};

static uint32_t group_slots(const struct trace_tree *tree)
{
    return (uint32_t)1 << 2 * tree->depth;
}

static uint32_t chunk_slots(const struct trace_tree *tree)
{
    return (uint32_t)1 << 2 * tree->chunk_depth;
}

static uint32_t current_group(const struct trace_tree *tree)
{
    return tree->index >> 2 * tree->depth;
}

/* Which block of four nodes of `level` stands above a slot, counted in its group. */
static uint32_t block_above(const struct trace_tree *tree, uint32_t index, uint32_t level)
{
    return (index & (group_slots(tree) - 1)) >> 2 * (level + 1);
}

static void hash_one_node(const struct trace_tree *tree, const uint8_t *children, uint8_t *digest)
{
    tree->kernel(&NODE, &children, &digest, 1);
}

/* `count` nodes of 64 bytes each to their digests, one after the other; may be in place. */
static void hash_nodes(const struct trace_tree *tree, const uint8_t *nodes, uint8_t *digests,
                       size_t count)
{
    const uint8_t *messages[TREE_LANES];
    uint8_t *outputs[TREE_LANES];

    for (size_t start = 0, size; start < count; start += size) {
        size = count - start < TREE_LANES ? count - start : TREE_LANES;
        for (size_t lane = 0; lane < size; lane++) {
            messages[lane] = nodes + NODE_BYTES * (start + lane);
            outputs[lane] = digests + TREE_DIGEST_BYTES * (start + lane);
        }
        tree->kernel(&NODE, messages, outputs, size);
    }
}

static void fill_node(uint8_t node[NODE_BYTES], const uint8_t *digest)
{
    for (int child = 0; child < 4; child++) {
        memcpy(node + TREE_DIGEST_BYTES * child, digest, TREE_DIGEST_BYTES);
    }
}

/* PAD subtrees of all levels. */
static void make_pads(struct trace_tree *tree)
{
    const struct tree_hash leaf = {tree->key, NULL, SINGLE | B3_KEYED_HASH, TREE_BLOCK_BYTES, 0};
    uint8_t record[TREE_BLOCK_BYTES] = {0}, node[NODE_BYTES];
    const uint8_t *message = record;
    uint8_t *digest = tree->pads[0];

    memcpy(record, PAD_WORDS, sizeof PAD_WORDS);
    tree->kernel(&leaf, &message, &digest, 1);
    for (uint32_t level = 0; level < tree->depth; level++) {
        fill_node(node, tree->pads[level]);
        hash_one_node(tree, node, tree->pads[level + 1]);
    }
}

static void begin_group(struct trace_tree *tree)
{
    tree->last.index = tree->index + group_slots(tree) - 1;
    tree->watch_from = tree->watch_to;
    while (tree->watch_to < tree->watch_count &&
           tree->watches[tree->watch_to].index <= tree->last.index) {
        tree->watch_to++;
    }
    tree->is_group_pad = 0;
}

static int is_passed_over(const struct trace_tree *tree)
{
    return tree->only_watched && tree->watch_from == tree->watch_to;
}

/* Of the blocks of `level` that begin with number `first`, those above watched slots are kept;
 * `step` is 0 when all blocks are the same. */
static void keep_blocks(struct trace_tree *tree, uint32_t level, uint32_t first,
                        const uint8_t *blocks, size_t step, uint32_t count)
{
    for (size_t at = tree->watch_from; at <= tree->watch_to; at++) {
        struct tree_watch *watch = at == tree->watch_to ? &tree->last : &tree->watches[at];
        uint32_t place = block_above(tree, watch->index, level) - first;
        if (place < count) {
            memcpy(watch->path[level], blocks + step * place, NODE_BYTES);
        }
    }
}

static void keep_record(struct trace_tree *tree, uint32_t index, const uint8_t *slot,
                        const uint8_t *wide)
{
    for (size_t at = tree->watch_from; at <= tree->watch_to; at++) {
        struct tree_watch *watch = at == tree->watch_to ? &tree->last : &tree->watches[at];
        if (watch->index == index) {
            watch->is_wide = wide != NULL;
            memset(watch->record, 0, TREE_WIDE_BYTES);
            memcpy(watch->record, wide != NULL ? wide : slot,
                   wide != NULL ? TREE_WIDE_BYTES : TREE_SLOT_BYTES);
        }
    }
}

/* The next watched slot from `index` on, or the last one of the group. */
static uint32_t next_stop(const struct trace_tree *tree, uint32_t index)
{
    for (size_t at = tree->watch_from; at < tree->watch_to; at++) {
        if (tree->watches[at].index >= index) {
            return tree->watches[at].index;
        }
    }
    return tree->last.index;
}

/* Group roots for sixteen salts of the last slot: those of `first` and the following nonces. */
static void try_nonces(const struct trace_tree *tree, uint32_t first,
                       uint8_t roots[TREE_LANES][TREE_DIGEST_BYTES])
{
    const struct tree_hash salting = {BLAKE3_IV, NULL, SINGLE, NONCE_MESSAGE_BYTES, 0};
    struct tree_hash leaf = {NULL, NULL, SINGLE | B3_KEYED_HASH, TREE_BLOCK_BYTES, 0};
    uint8_t keys[TREE_LANES][TREE_BLOCK_BYTES] = {0}, nodes[TREE_LANES][NODE_BYTES] = {0};
    const uint8_t *key_lanes[TREE_LANES], *node_lanes[TREE_LANES], *record_lanes[TREE_LANES];
    uint8_t *outputs[TREE_LANES];
    const int parts = tree->last.is_wide ? 4 : 1;

    for (uint32_t lane = 0; lane < TREE_LANES; lane++) {
        uint32_t nonce = first + lane;
        memcpy(nodes[lane], tree->salt, TREE_DIGEST_BYTES);
        memcpy(nodes[lane] + TREE_DIGEST_BYTES, &nonce, sizeof nonce);
        node_lanes[lane] = nodes[lane];
        key_lanes[lane] = keys[lane];
        outputs[lane] = keys[lane];
    }
    tree->kernel(&salting, node_lanes, outputs, TREE_LANES);
    leaf.keys = key_lanes;
    for (int part = 0; part < parts; part++) {
        for (int lane = 0; lane < TREE_LANES; lane++) {
            record_lanes[lane] = tree->last.record + TREE_BLOCK_BYTES * part;
            outputs[lane] = parts == 1 ? roots[lane] : nodes[lane] + TREE_DIGEST_BYTES * part;
        }
        tree->kernel(&leaf, record_lanes, outputs, TREE_LANES);
    }
    for (int lane = 0; lane < TREE_LANES; lane++) {
        outputs[lane] = roots[lane];
    }
    if (parts == 4) {
        tree->kernel(&NODE, node_lanes, outputs, TREE_LANES);
    }
    for (uint32_t level = 0; level < tree->depth; level++) {
        for (int lane = 0; lane < TREE_LANES; lane++) {
            memcpy(nodes[lane], tree->last.path[level], NODE_BYTES - TREE_DIGEST_BYTES);
            memcpy(nodes[lane] + NODE_BYTES - TREE_DIGEST_BYTES, roots[lane], TREE_DIGEST_BYTES);
        }
        tree->kernel(&NODE, node_lanes, outputs, TREE_LANES);
    }
}

static uint32_t sum_of_digits(const uint8_t *digest)
{
    uint32_t sum = 0;

    for (int at = 0; at < TREE_DIGEST_BYTES; at++) {
        sum += digest[at] % 16 + digest[at] / 16;
    }
    return sum;
}

static enum tree_status grind(const struct trace_tree *tree, uint8_t *root, uint32_t *nonce)
{
    uint8_t roots[TREE_LANES][TREE_DIGEST_BYTES];

    for (uint32_t first = 0; first < TREE_NONCES; first += TREE_LANES) {
        try_nonces(tree, first, roots);
        for (uint32_t lane = 0; lane < TREE_LANES; lane++) {
            if (sum_of_digits(roots[lane]) == tree->digit_sum) {
                memcpy(root, roots[lane], TREE_DIGEST_BYTES);
                *nonce = first + lane;
                return TREE_OK;
            }
        }
    }
    return TREE_UNREACHABLE;
}

/* The digest of the last slot under the salt of `nonce`. */
static void hash_last(const struct trace_tree *tree, uint32_t nonce, uint8_t *digest)
{
    const struct tree_hash salting = {BLAKE3_IV, NULL, SINGLE, NONCE_MESSAGE_BYTES, 0};
    uint8_t block[TREE_BLOCK_BYTES] = {0}, nodes[NODE_BYTES];
    uint32_t key[8] = {0};
    const struct tree_hash leaf = {key, NULL, SINGLE | B3_KEYED_HASH, TREE_BLOCK_BYTES, 0};
    const uint8_t *message = block;
    uint8_t *output = digest;

    memcpy(block, tree->salt, TREE_DIGEST_BYTES);
    memcpy(block + TREE_DIGEST_BYTES, &nonce, sizeof nonce);
    tree->kernel(&salting, &message, &output, 1);
    memcpy(key, digest, TREE_DIGEST_BYTES);
    for (int part = 0; part < (tree->last.is_wide ? 4 : 1); part++) {
        message = tree->last.record + TREE_BLOCK_BYTES * part;
        output = tree->last.is_wide ? nodes + TREE_DIGEST_BYTES * part : digest;
        tree->kernel(&leaf, &message, &output, 1);
    }
    if (tree->last.is_wide) {
        hash_one_node(tree, nodes, digest);
    }
}

/* Puts the last slot's ancestors, which depend on the nonce, into the paths that have them. */
static void mend_paths(struct trace_tree *tree, uint32_t nonce)
{
    uint8_t digest[TREE_DIGEST_BYTES], node[NODE_BYTES];

    hash_last(tree, nonce, digest);
    for (uint32_t level = 0; level < tree->depth; level++) {
        memcpy(node, tree->last.path[level], NODE_BYTES - TREE_DIGEST_BYTES);
        memcpy(node + NODE_BYTES - TREE_DIGEST_BYTES, digest, TREE_DIGEST_BYTES);
        keep_blocks(tree, level, block_above(tree, tree->last.index, level), node, 0, 1);
        hash_one_node(tree, node, digest);
    }
}

static enum tree_status end_group(struct trace_tree *tree)
{
    uint32_t group = current_group(tree) - 1;
    uint8_t *root = tree->roots + (size_t)TREE_DIGEST_BYTES * group;
    enum tree_status status;

    if (tree->is_group_pad && tree->has_pad_root) {
        memcpy(root, tree->roots + (size_t)TREE_DIGEST_BYTES * tree->pad_group, TREE_DIGEST_BYTES);
        tree->nonces[group] = tree->nonces[tree->pad_group];
    } else {
        status = grind(tree, root, &tree->nonces[group]);
        if (status != TREE_OK) {
            return status;
        }
    }
    if (tree->is_group_pad) {
        tree->has_pad_root = 1;
        tree->pad_group = group;
    }
    if (tree->watch_from != tree->watch_to) {
        mend_paths(tree, tree->nonces[group]);
    }
    begin_group(tree);
    return TREE_OK;
}

/* The root of the chunk that ends before the next slot. */
static enum tree_status push_chunk(struct trace_tree *tree, const uint8_t *root)
{
    uint8_t digest[TREE_DIGEST_BYTES];
    uint32_t start = tree->index - chunk_slots(tree);

    memcpy(digest, root, TREE_DIGEST_BYTES);
    for (uint32_t level = tree->chunk_depth; level < tree->depth; level++) {
        uint8_t *node = tree->upper[level];
        memcpy(node + TREE_DIGEST_BYTES * tree->upper_count[level]++, digest, TREE_DIGEST_BYTES);
        if (tree->upper_count[level] < 4) {
            return TREE_OK;
        }
        tree->upper_count[level] = 0;
        keep_blocks(tree, level, block_above(tree, start, level), node, 0, 1);
        hash_one_node(tree, node, digest);
    }
    return end_group(tree);
}

static enum tree_status end_chunk(struct trace_tree *tree)
{
    uint32_t start = tree->index - chunk_slots(tree), nodes = chunk_slots(tree);

    tree->fill = 0;
    for (uint32_t level = 0; level < tree->chunk_depth; level++) {
        nodes /= 4;
        keep_blocks(tree, level, block_above(tree, start, level), tree->chunk, NODE_BYTES, nodes);
        hash_nodes(tree, tree->chunk, tree->chunk, nodes);
    }
    return push_chunk(tree, tree->chunk);
}

/* Rows that wait for their lanes. */
struct gathered {
    const uint8_t *rows[TREE_LANES], *wide[TREE_LANES];
    uint8_t *digests[TREE_LANES], *wide_digests[TREE_LANES];
    size_t count, wide_count;
};

static void flush_rows(const struct trace_tree *tree, struct gathered *gathered)
{
    const struct tree_hash leaf = {tree->key, NULL, SINGLE | B3_KEYED_HASH, TREE_BLOCK_BYTES, 1};

    tree->kernel(&leaf, gathered->rows, gathered->digests, gathered->count);
    gathered->count = 0;
}

static void flush_wide(const struct trace_tree *tree, struct gathered *gathered)
{
    const struct tree_hash leaf = {tree->key, NULL, SINGLE | B3_KEYED_HASH, TREE_BLOCK_BYTES, 0};
    uint8_t nodes[TREE_LANES][NODE_BYTES];
    const uint8_t *messages[4 * TREE_LANES];
    uint8_t *outputs[4 * TREE_LANES];
    const size_t count = gathered->wide_count;

    for (size_t at = 0; at < 4 * count; at++) {
        messages[at] = gathered->wide[at / 4] + TREE_BLOCK_BYTES * (at % 4);
        outputs[at] = nodes[at / 4] + TREE_DIGEST_BYTES * (at % 4);
    }
    tree->kernel(&leaf, messages, outputs, 4 * count);
    for (size_t at = 0; at < count; at++) {
        messages[at] = nodes[at];
    }
    tree->kernel(&NODE, messages, gathered->wide_digests, count);
    gathered->wide_count = 0;
}

/* Whether a slot and a wide record are one row in its only spelling (records.decode_rows). */
static int is_wide_row(const uint8_t *slot, const uint8_t *record)
{
    static const uint8_t zeros[TREE_SLOT_BYTES - HEAD_BYTES];
    int is_row = memcmp(slot, record, HEAD_BYTES) == 0 &&
                 memcmp(slot + HEAD_BYTES, zeros, sizeof zeros) == 0;

    for (int part = 1; part < 4; part++) {
        const uint8_t *end = record + TREE_BLOCK_BYTES * (part + 1) - 4;
        is_row = is_row && memcmp(end, zeros, 4) == 0;
    }
    return is_row;
}

/* A piece of rows that is being read. */
struct piece {
    const uint8_t *slots, *wide;
    size_t count, wide_count;
    const uint8_t *final; /* the last slot, and a copy with 64 bytes behind which nothing is read */
    uint8_t copy[TREE_BLOCK_BYTES];
};

/* The next `count` rows of a piece into the chunk. */
static enum tree_status take_rows(struct trace_tree *tree, struct piece *piece, uint32_t count)
{
    struct gathered gathered = {.count = 0};
    const int is_passed = is_passed_over(tree);
    uint32_t stop = next_stop(tree, tree->index);

    for (uint32_t end = tree->index + count; tree->index < end; tree->index++, tree->fill++) {
        const uint8_t *slot = piece->slots, *record = NULL;
        uint8_t *digest = tree->chunk + (size_t)TREE_DIGEST_BYTES * tree->fill;

        piece->slots += TREE_SLOT_BYTES;
        if (slot[0] >= OP_B3 && slot[0] <= OP_COPY) {
            if (piece->wide_count == 0 || !is_wide_row(slot, piece->wide)) {
                return TREE_MALFORMED;
            }
            record = piece->wide;
            piece->wide += TREE_WIDE_BYTES;
            piece->wide_count--;
        }
        if (is_passed) {
            continue;
        }
        if (tree->index == stop) {
            keep_record(tree, tree->index, slot, record);
            stop = next_stop(tree, tree->index + 1);
        }
        if (record != NULL) {
            gathered.wide[gathered.wide_count] = record;
            gathered.wide_digests[gathered.wide_count++] = digest;
        } else {
            gathered.rows[gathered.count] = slot == piece->final ? piece->copy : slot;
            gathered.digests[gathered.count++] = digest;
        }
        if (gathered.count == TREE_LANES) {
            flush_rows(tree, &gathered);
        }
        if (gathered.wide_count == TREE_LANES) {
            flush_wide(tree, &gathered);
        }
    }
    flush_rows(tree, &gathered);
    flush_wide(tree, &gathered);
    return TREE_OK;
}

enum tree_status trace_tree_absorb(struct trace_tree *tree, const uint8_t *slots, size_t count,
                                   const uint8_t *wide, size_t wide_count)
{
    uint32_t capacity = tree->groups * group_slots(tree);
    struct piece piece = {slots, wide, count, wide_count, NULL, {0}};

    if (count > capacity - tree->index) {
        return TREE_FULL;
    }
    if (count > 0) {
        piece.final = slots + TREE_SLOT_BYTES * (count - 1);
        memcpy(piece.copy, piece.final, TREE_SLOT_BYTES);
    }
    while (count > 0) {
        uint32_t room = chunk_slots(tree) - tree->fill;
        enum tree_status status;

        room = count < room ? (uint32_t)count : room;
        count -= room;
        status = take_rows(tree, &piece, room);
        if (status == TREE_OK && tree->fill == chunk_slots(tree)) {
            if (!is_passed_over(tree)) {
                status = end_chunk(tree);
            } else {
                tree->fill = 0;
                if (tree->index > tree->last.index) {
                    begin_group(tree);
                }
            }
        }
        if (status != TREE_OK) {
            return status;
        }
    }
    return piece.wide_count == 0 ? TREE_OK : TREE_MALFORMED;
}

/* `count` slots of PAD: their records where they are kept. */
static void keep_pads(struct trace_tree *tree, uint32_t count)
{
    uint32_t end = tree->index + count, at = next_stop(tree, tree->index);

    while (at < end) {
        keep_record(tree, at, (const uint8_t *)PAD_WORDS, NULL);
        if (at == tree->last.index) {
            return;
        }
        at = next_stop(tree, at + 1);
    }
}

static void place_pads(struct trace_tree *tree, uint32_t count)
{
    keep_pads(tree, count);
    for (uint32_t at = 0; at < count; at++) {
        memcpy(tree->chunk + (size_t)TREE_DIGEST_BYTES * (tree->fill + at), tree->pads[0],
               TREE_DIGEST_BYTES);
    }
    tree->fill += count;
    tree->index += count;
}

static enum tree_status pad_chunk(struct trace_tree *tree)
{
    uint8_t node[NODE_BYTES];
    uint32_t nodes = chunk_slots(tree);

    keep_pads(tree, nodes);
    for (uint32_t level = 0; level < tree->chunk_depth; level++) {
        nodes /= 4;
        fill_node(node, tree->pads[level]);
        keep_blocks(tree, level, block_above(tree, tree->index, level), node, 0, nodes);
    }
    tree->index += chunk_slots(tree);
    return push_chunk(tree, tree->pads[tree->chunk_depth]);
}

enum tree_status trace_tree_finish(struct trace_tree *tree)
{
    uint32_t capacity = tree->groups * group_slots(tree);
    enum tree_status status = TREE_OK;

    while (status == TREE_OK && tree->index < capacity) {
        if (is_passed_over(tree)) {
            tree->fill = 0;
            tree->index = tree->last.index + 1;
            begin_group(tree);
        } else if (tree->fill > 0) {
            place_pads(tree, chunk_slots(tree) - tree->fill);
            status = end_chunk(tree);
        } else {
            if (tree->index + group_slots(tree) == tree->last.index + 1) {
                tree->is_group_pad = 1;
            }
            status = pad_chunk(tree);
        }
    }
    return status;
}

static tree_kernel kernel_of(enum isa_id isa)
{
#if defined(__x86_64__)
    if (isa == ISA_AVX512) {
        return tree_hash_avx512;
    }
    if (isa == ISA_AVX2) {
        return tree_hash_avx2;
    }
#endif
    (void)isa;
    return tree_hash_scalar;
}

enum tree_status trace_tree_init(struct trace_tree *tree, enum isa_id isa)
{
    tree->kernel = kernel_of(isa);
    tree->chunk_depth = tree->depth < TREE_CHUNK_DEPTH ? tree->depth : TREE_CHUNK_DEPTH;
    tree->chunk = malloc((size_t)TREE_DIGEST_BYTES * chunk_slots(tree));
    if (tree->chunk == NULL) {
        return TREE_NO_MEMORY;
    }
    memcpy(tree->key, tree->salt, TREE_DIGEST_BYTES);
    memset(tree->key + 4, 0, TREE_DIGEST_BYTES);
    make_pads(tree);
    begin_group(tree);
    place_pads(tree, 1);
    return TREE_OK;
}

void trace_tree_free(struct trace_tree *tree)
{
    free(tree->chunk);
    tree->chunk = NULL;
}
