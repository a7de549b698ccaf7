#if defined(__linux__)
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#endif

#include <stdlib.h>
#include <string.h>

#include "field/kb31_cells.h"

enum {
    CACHE_LINE = 64,
    HUGE_PAGE = 2 << 20,
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

uint32_t *kb31_cells_new(size_t count)
{
    size_t size = rounded_size(count);
    void *cells;

    if (size == 0) {
        return NULL;
    }
#if defined(__linux__)
    if (size >= HUGE_PAGE) {
        return map_huge(size);
    }
#endif
    cells = aligned_alloc(CACHE_LINE, size);
    if (cells != NULL) {
        memset(cells, 0, size);
    }
    return cells;
}

void kb31_cells_free(uint32_t *cells, size_t count)
{
    if (cells == NULL) {
        return;
    }
#if defined(__linux__)
    if (rounded_size(count) >= HUGE_PAGE) {
        (void)munmap(cells, rounded_size(count));
        return;
    }
#else
    (void)count;
#endif
    free(cells);
}
