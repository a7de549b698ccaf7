#if defined(__linux__)
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#endif

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "field/kb31_cells.h"

enum {
    CACHE_LINE = 64,
    HUGE_PAGE = 2 << 20,
    SPARES = 16,
    /* Bytes of memory that is kept for the next who asks. */
    SPARE_BYTES_MAX = 256 << 20,
};

/* Bytes to ask for, a multiple of the alignment; 0 when `count` is too large. */
static size_t rounded_size(size_t count)
{
    size_t size, alignment;

    if (count > (SIZE_MAX - HUGE_PAGE) / sizeof(uint32_t)) {
        return 0;
    }
    size = count == 0 ? CACHE_LINE : count * sizeof(uint32_t);
    alignment = size >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    return (size + alignment - 1) / alignment * alignment;
}

#if defined(__linux__)

/*
 * Memory that was given back. Fresh pages cost as much as a transform: the kernel clears them, and
 * on a virtual machine the host may first have to find them. Each extension has spares of its own.
 */
static struct spare {
    uint8_t *bytes;
    size_t size;
} spares[SPARES];
static atomic_flag spares_are_taken = ATOMIC_FLAG_INIT;

static void lock_spares(void)
{
    while (atomic_flag_test_and_set_explicit(&spares_are_taken, memory_order_acquire)) {
    }
}

static void unlock_spares(void)
{
    atomic_flag_clear_explicit(&spares_are_taken, memory_order_release);
}

/* From the end of the smallest spare that is large enough, or NULL. */
static void *take_spare(size_t size)
{
    struct spare *best = NULL;
    uint8_t *bytes = NULL;

    lock_spares();
    for (struct spare *spare = spares; spare < spares + SPARES; spare++) {
        if (spare->size >= size && (best == NULL || spare->size < best->size)) {
            best = spare;
        }
    }
    if (best != NULL) {
        best->size -= size;
        bytes = best->bytes + best->size;
    }
    unlock_spares();
    return bytes;
}

/* Whether it was kept: whole, in a free place, within the limit. */
static int keep_spare(uint8_t *bytes, size_t size)
{
    struct spare *empty = NULL;
    size_t kept = size;

    lock_spares();
    for (struct spare *spare = spares; spare < spares + SPARES; spare++) {
        kept += spare->size;
        if (spare->size == 0) {
            empty = spare;
        }
    }
    if (empty != NULL && kept <= SPARE_BYTES_MAX) {
        *empty = (struct spare){bytes, size};
    } else {
        empty = NULL;
    }
    unlock_spares();
    return empty != NULL;
}

/*
 * Fresh pages of the kernel are zero: writing zeros first would cost as much as a transform. The
 * mapping is made one huge page longer and cut back to the alignment.
 */
static void *map_huge(size_t size)
{
    size_t head;
    uint8_t *bytes = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        return NULL;
    }
    head = (HUGE_PAGE - (uintptr_t)bytes % HUGE_PAGE) % HUGE_PAGE;
    if (head != 0) {
        (void)munmap(bytes, head);
    }
    (void)munmap(bytes + head + size, HUGE_PAGE - head);
    /* Strided passes over tens of megabytes miss the TLB at every row without huge pages. */
    (void)madvise(bytes + head, size, MADV_HUGEPAGE);
    return bytes + head;
}

#endif

static uint32_t *new_cells(size_t count, int is_cleared)
{
    size_t size = rounded_size(count);
    void *cells;

    if (size == 0) {
        return NULL;
    }
#if defined(__linux__)
    if (size >= HUGE_PAGE) {
        cells = take_spare(size);
        if (cells == NULL) {
            return map_huge(size);
        }
        return is_cleared ? memset(cells, 0, size) : cells;
    }
#endif
    cells = aligned_alloc(CACHE_LINE, size);
    if (cells != NULL && is_cleared) {
        memset(cells, 0, size);
    }
    return cells;
}

uint32_t *kb31_cells_new(size_t count)
{
    return new_cells(count, 1);
}

uint32_t *kb31_cells_uncleared(size_t count)
{
    return new_cells(count, 0);
}

void kb31_cells_free(uint32_t *cells, size_t count)
{
    if (cells == NULL) {
        return;
    }
#if defined(__linux__)
    if (rounded_size(count) >= HUGE_PAGE) {
        if (!keep_spare((uint8_t *)cells, rounded_size(count))) {
            (void)munmap(cells, rounded_size(count));
        }
        return;
    }
#else
    (void)count;
#endif
    free(cells);
}
