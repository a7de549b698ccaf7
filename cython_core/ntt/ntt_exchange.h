/*
 * Columns are brought in, and sent back, a few at a time and while others are worked on: a row of a
 * few columns is far from the next, so that every one is a fetch of its own, and what was fetched
 * long before its use would by then have lost its place in the cache to the others.
 *
 * The including file defines NTT_TARGET.
 */
#ifndef P2PSEQ_NTT_EXCHANGE_H
#define P2PSEQ_NTT_EXCHANGE_H

#include <stddef.h>
#include <string.h>

#include "ntt/ntt_internal.h"

enum {
    /* Rows of all columns of a group: 256 KiB, twice. */
    GROUP_ROWS = 4096,
    GROUP_COLUMNS_MAX = 8,
    /* Rows asked for ahead, into the second cache: they may share one set of it, of 16 places. */
    FETCH_AHEAD = 16,
    FETCHED_TOGETHER = 8,
};

/* For each row: the buffer's columns go to `send` (or nowhere), then come from `bring`. */
struct exchange {
    /* Column by column. */
    uint32_t *buffer;
    uint32_t *send;
    const uint32_t *bring;
    size_t row;
    size_t rows;
    size_t columns;
    size_t stride;
    /* Memory is asked for evenly while others work: at one call in so many. */
    size_t every;
    size_t calls;
};

/* One that has nothing to do yet. `calls` come for each column. */
static struct exchange exchange_of(const struct ntt_plan *plan, size_t columns, size_t calls)
{
    size_t rows = (size_t)1 << plan->column_log, stride = (size_t)KB31_PANEL << plan->block_log;
    size_t every = calls * columns / rows;
    struct exchange exchange = {NULL, NULL, NULL, rows, rows, columns, stride, every, 0};
    return exchange;
}

/* One that copies nothing, but fetches rows that are read and others that are written soon. */
static struct exchange exchange_fetching(const uint32_t *read, uint32_t *written, size_t rows,
                                         size_t calls)
{
    size_t fetches = rows / FETCHED_TOGETHER, every = fetches == 0 ? 0 : calls / fetches;
    struct exchange exchange = {NULL, written, read, 0, fetches, 0, 0, every, 0};
    return exchange;
}

NTT_TARGET static inline void fetch_rows(struct exchange *e)
{
    size_t row;

    for (row = 0; row < FETCHED_TOGETHER; row++) {
        __builtin_prefetch(e->bring + row * KB31_PANEL, 0, 2);
        __builtin_prefetch(e->send + row * KB31_PANEL, 1, 2);
    }
    e->bring += FETCHED_TOGETHER * KB31_PANEL;
    e->send += FETCHED_TOGETHER * KB31_PANEL;
    e->row++;
}

static void exchange_start(struct exchange *e, uint32_t *buffer, uint32_t *send,
                           const uint32_t *bring)
{
    e->buffer = buffer;
    e->send = send;
    e->bring = bring;
    e->row = 0;
}

NTT_TARGET static inline void copy_row(struct exchange *e)
{
    size_t column, at = e->row * KB31_PANEL;

    if (e->send != NULL) {
        for (column = 0; column < e->columns; column++) {
            __builtin_prefetch(e->send + FETCH_AHEAD * e->stride + column * KB31_PANEL, 1, 2);
            memcpy(e->send + column * KB31_PANEL, e->buffer + column * e->rows * KB31_PANEL + at,
                   ROW_BYTES);
        }
        e->send += e->stride;
    }
    if (e->bring != NULL) {
        for (column = 0; column < e->columns; column++) {
            __builtin_prefetch(e->bring + FETCH_AHEAD * e->stride + column * KB31_PANEL, 0, 2);
            memcpy(e->buffer + column * e->rows * KB31_PANEL + at, e->bring + column * KB31_PANEL,
                   ROW_BYTES);
        }
        e->bring += e->stride;
    }
    e->row++;
}

/* Kernels call it after a few hundred instructions each. */
NTT_TARGET static inline void exchange_row(struct exchange *e)
{
    if (e->row == e->rows || ++e->calls < e->every) {
        return;
    }
    e->calls = 0;
    if (e->buffer == NULL) {
        fetch_rows(e);
    } else {
        copy_row(e);
    }
}

NTT_TARGET static void exchange_finish(struct exchange *e)
{
    while (e->row != e->rows) {
        copy_row(e);
    }
}

#endif
