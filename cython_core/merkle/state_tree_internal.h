/* Layout of the tree and helpers that its three C files share. See state_tree.h. */
#ifndef P2PSEQ_MERKLE_STATE_TREE_INTERNAL_H
#define P2PSEQ_MERKLE_STATE_TREE_INTERNAL_H

#include <string.h>

#include "guest/tree.h"
#include "hash/b3_many.h"
#include "merkle/state_tree.h"

enum {
    PATH_BYTES = TREE_PATH_BYTES,
    VALUE_BYTES = TREE_VALUE_BYTES,
    HASH_BYTES = TREE_HASH_BYTES,
    MESSAGE_BYTES = 2 * TREE_HASH_BYTES,
    PATH_BITS = TREE_PATH_BITS,
};

/* What a child slot refers to: 0 nothing, LEAF_FLAG | index a leaf, else the index of a node. */
typedef uint32_t tree_ref;
#define LEAF_FLAG 0x80000000u
#define INDEX_MAX 0x7ffffffeu
/* Above a batch of this size indices of records (at most 257 per operation) could pass 32 bits. */
#define BATCH_MAX ((size_t)1 << 28)

/* Memory that only grows, aligned to cache lines and, when large, to huge pages. */
struct buffer {
    void *bytes;
    size_t capacity;
};

/* Index pool: below `next` everything was given out once; freed indices form a list. */
struct pool {
    uint32_t capacity;
    uint32_t next;
    uint32_t free_count;
    uint32_t free_head;
};

/*
 * Node 0 is no node of the tree: its left child slot is the root. Freed nodes are linked through
 * children[i][0], freed leaves through the first word of their path.
 */
struct state_tree {
    struct buffer messages; /* 64 bytes per node: left hash, right hash */
    struct buffer children; /* two tree_ref per node */
    struct buffer paths;    /* 32 bytes per leaf */
    struct buffer values;   /* 64 bytes per leaf */
    struct pool nodes;
    struct pool leaves;
    size_t leaf_count;
    uint64_t generation;
    b3_many_kernel kernel;
    struct update_scratch *scratch;
};

/* Work space of an update, kept between batches so that pages are not faulted in each time. */
struct update_scratch {
    struct buffer order;        /* u32: sorted position -> operation */
    struct buffer sort_keys;    /* struct sort_entry, twice */
    struct buffer leaf_hashes;  /* 32 bytes per sorted position */
    struct buffer records;      /* struct record */
    struct buffer actions;      /* struct action */
    struct buffer pending;      /* struct pending_leaf */
    struct buffer freed;        /* tree_ref: leaves that the batch deletes */
    struct buffer descents[2];  /* struct range, this level and the next */
    struct buffer builds[2];    /* struct range */
};

struct sort_entry {
    uint64_t prefix;
    uint32_t operation;
    uint32_t unused;
};

static inline uint8_t *node_message(const struct state_tree *tree, uint32_t node)
{
    return (uint8_t *)tree->messages.bytes + (size_t)MESSAGE_BYTES * node;
}

static inline tree_ref *node_children(const struct state_tree *tree, uint32_t node)
{
    return (tree_ref *)tree->children.bytes + (size_t)2 * node;
}

static inline uint8_t *leaf_path(const struct state_tree *tree, tree_ref leaf)
{
    return (uint8_t *)tree->paths.bytes + (size_t)PATH_BYTES * (leaf & ~LEAF_FLAG);
}

static inline uint8_t *leaf_value(const struct state_tree *tree, tree_ref leaf)
{
    return (uint8_t *)tree->values.bytes + (size_t)VALUE_BYTES * (leaf & ~LEAF_FLAG);
}

static inline int is_leaf(tree_ref ref)
{
    return (ref & LEAF_FLAG) != 0;
}

static inline uint32_t path_bit(const uint8_t *path, uint32_t depth)
{
    return (uint32_t)(path[depth >> 3] >> (7 - (depth & 7))) & 1;
}

/* Room for `wanted` bytes; contents are kept. Returns 0 or STATE_TREE_NO_MEMORY (unchanged). */
int buffer_reserve(struct buffer *buffer, size_t wanted);
void buffer_free(struct buffer *buffer);

/* Room for that many more indices. Returns a status; on failure the tree is as it was. */
int reserve_nodes(struct state_tree *tree, size_t count);
int reserve_leaves(struct state_tree *tree, size_t count);

/* Sort operations by path: `order` gets their numbers. Returns a status (duplicates refused). */
int sort_paths(struct update_scratch *scratch, const uint8_t *paths, size_t count);

void update_scratch_free(struct update_scratch *scratch);

#endif
