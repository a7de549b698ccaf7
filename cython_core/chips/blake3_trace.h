/*
 * Fills the trace of the BLAKE3 chip (cython_core/chips/blake3.py says what the columns are).
 *
 * Cells are those of a field Matrix: panels of 16 columns, Montgomery form.
 */
#ifndef P2PSEQ_CHIPS_BLAKE3_TRACE_H
#define P2PSEQ_CHIPS_BLAKE3_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum {
    BLAKE3_TRACE_ROWS = 16,
    BLAKE3_TRACE_WIDTH = 602,
    BLAKE3_TRACE_PANELS = 38,
};

/* A compression that the trace is to contain; the layout of a request at the Python door. */
struct blake3_request {
    uint32_t cv[8];
    uint32_t message[16];
    uint32_t flags;
    uint32_t multiplicity;
};

/*
 * Writes `blocks` >= 1 blocks of 16 rows each: those of the requests, then compressions of zeros
 * that nobody asks for. count <= blocks; flags < 2^8 and multiplicity < p in each request.
 */
void blake3_trace_fill(const struct blake3_request *requests, size_t count, size_t blocks,
                       uint32_t *cells);

#endif
