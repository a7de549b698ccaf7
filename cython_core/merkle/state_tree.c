#define _DEFAULT_SOURCE

#include "merkle/state_tree.h"

#include <stdlib.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "merkle/state_tree_internal.h"

enum { CACHE_LINE = 64 };
static const size_t HUGE_PAGE = (size_t)2 << 20;

int buffer_reserve(struct buffer *buffer, size_t wanted)
{
    size_t capacity = buffer->capacity < 1024 ? 1024 : buffer->capacity;
    size_t alignment = CACHE_LINE;
    void *bytes;

    if (wanted <= buffer->capacity) {
        return STATE_TREE_OK;
    }
    while (capacity < wanted) {
        if (capacity > SIZE_MAX / 2) {
            return STATE_TREE_NO_MEMORY;
        }
        capacity *= 2;
    }
    if (capacity >= HUGE_PAGE) {
        alignment = HUGE_PAGE;
    }
    bytes = aligned_alloc(alignment, capacity);
    if (bytes == NULL) {
        return STATE_TREE_NO_MEMORY;
    }
#if defined(__linux__)
    /* Random access over hundreds of megabytes misses the TLB at every node without huge pages. */
    if (alignment == HUGE_PAGE) {
        (void)madvise(bytes, capacity, MADV_HUGEPAGE);
    }
#endif
    if (buffer->bytes != NULL) {
        memcpy(bytes, buffer->bytes, buffer->capacity);
        free(buffer->bytes);
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return STATE_TREE_OK;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    buffer->bytes = NULL;
    buffer->capacity = 0;
}

/* Grow a pool's two arrays so that `count` more indices can be given out. */
static int reserve_indices(struct pool *pool, size_t count, struct buffer *first, size_t first_size,
                           struct buffer *second, size_t second_size)
{
    size_t wanted;
    int status;

    if (count <= pool->free_count) {
        return STATE_TREE_OK;
    }
    wanted = (size_t)pool->next + (count - pool->free_count);
    if (wanted > INDEX_MAX) {
        return STATE_TREE_FULL;
    }
    if (wanted <= pool->capacity) {
        return STATE_TREE_OK;
    }
    status = buffer_reserve(first, wanted * first_size);
    if (status == STATE_TREE_OK) {
        status = buffer_reserve(second, wanted * second_size);
    }
    if (status == STATE_TREE_OK) {
        pool->capacity = (uint32_t)wanted;
    }
    return status;
}

int reserve_nodes(struct state_tree *tree, size_t count)
{
    return reserve_indices(&tree->nodes, count, &tree->messages, MESSAGE_BYTES, &tree->children,
                           2 * sizeof(tree_ref));
}

int reserve_leaves(struct state_tree *tree, size_t count)
{
    return reserve_indices(&tree->leaves, count, &tree->paths, PATH_BYTES, &tree->values,
                           VALUE_BYTES);
}

struct state_tree *state_tree_new(void)
{
    struct state_tree *tree = calloc(1, sizeof *tree);

    if (tree == NULL) {
        return NULL;
    }
    tree->kernel = b3_kernel_by_id(b3_best_kernel());
    tree->scratch = calloc(1, sizeof *tree->scratch);
    if (tree->scratch == NULL || reserve_nodes(tree, 1) != STATE_TREE_OK) {
        state_tree_free(tree);
        return NULL;
    }
    tree->nodes.next = 1;
    memset(node_message(tree, 0), 0, MESSAGE_BYTES);
    memset(node_children(tree, 0), 0, 2 * sizeof(tree_ref));
    return tree;
}

void state_tree_free(struct state_tree *tree)
{
    if (tree == NULL) {
        return;
    }
    buffer_free(&tree->messages);
    buffer_free(&tree->children);
    buffer_free(&tree->paths);
    buffer_free(&tree->values);
    if (tree->scratch != NULL) {
        update_scratch_free(tree->scratch);
        free(tree->scratch);
    }
    free(tree);
}

int state_tree_use_kernel(struct state_tree *tree, int kernel_id)
{
    b3_many_kernel kernel = b3_kernel_by_id((enum b3_kernel_id)kernel_id);

    if (kernel == NULL) {
        return -1;
    }
    tree->kernel = kernel;
    return 0;
}

const uint8_t *state_tree_root(const struct state_tree *tree)
{
    return node_message(tree, 0);
}

size_t state_tree_length(const struct state_tree *tree)
{
    return tree->leaf_count;
}

uint64_t state_tree_generation(const struct state_tree *tree)
{
    return tree->generation;
}

size_t state_tree_memory(const struct state_tree *tree)
{
    const struct update_scratch *scratch = tree->scratch;

    return sizeof *tree + sizeof *scratch + tree->messages.capacity + tree->children.capacity +
           tree->paths.capacity + tree->values.capacity + scratch->order.capacity +
           scratch->sort_keys.capacity + scratch->leaf_hashes.capacity +
           scratch->records.capacity + scratch->actions.capacity + scratch->pending.capacity +
           scratch->freed.capacity + scratch->descents[0].capacity + scratch->descents[1].capacity +
           scratch->builds[0].capacity + scratch->builds[1].capacity;
}

int state_tree_get(const struct state_tree *tree, const uint8_t *path, uint8_t *value_out)
{
    tree_ref ref = node_children(tree, 0)[0];
    uint32_t depth = 0;

    while (ref != 0 && !is_leaf(ref)) {
        ref = node_children(tree, ref)[path_bit(path, depth)];
        depth++;
    }
    if (ref == 0 || memcmp(leaf_path(tree, ref), path, PATH_BYTES) != 0) {
        memset(value_out, 0, VALUE_BYTES);
        return 0;
    }
    memcpy(value_out, leaf_value(tree, ref), VALUE_BYTES);
    return 1;
}

void state_tree_cursor_start(const struct state_tree *tree, struct state_tree_cursor *cursor)
{
    cursor->pending[0] = node_children(tree, 0)[0];
    cursor->height = cursor->pending[0] != 0;
}

int state_tree_cursor_next(const struct state_tree *tree, struct state_tree_cursor *cursor,
                           const uint8_t **path, const uint8_t **value)
{
    tree_ref ref;

    if (cursor->height == 0) {
        return 0;
    }
    /* At most one right sibling waits per level, so 256 of them and the current child suffice. */
    ref = cursor->pending[--cursor->height];
    while (!is_leaf(ref)) {
        const tree_ref *children = node_children(tree, ref);

        if (children[0] != 0 && children[1] != 0) {
            cursor->pending[cursor->height++] = children[1];
        }
        ref = children[0] != 0 ? children[0] : children[1];
    }
    *path = leaf_path(tree, ref);
    *value = leaf_value(tree, ref);
    return 1;
}
