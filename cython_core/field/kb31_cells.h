/*
 * Memory for many elements: aligned to a cache line, huge pages where they help. Some of what is
 * given back is kept for the next who asks.
 */
#ifndef P2PSEQ_FIELD_KB31_CELLS_H
#define P2PSEQ_FIELD_KB31_CELLS_H

#include <stddef.h>
#include <stdint.h>

/* `count` zeros, or NULL when out of memory. */
uint32_t *kb31_cells_new(size_t count);
/* The same with anything in it. */
uint32_t *kb31_cells_uncleared(size_t count);
/* `count` as it was asked for; `cells` may be NULL. */
void kb31_cells_free(uint32_t *cells, size_t count);

#endif
