/* What is checked at the query positions: the polynomial F and its folds. */
#ifndef P2PSEQ_STARK_VERIFY_QUERIES_H
#define P2PSEQ_STARK_VERIFY_QUERIES_H

#include "stark/verify_internal.h"

/* Opens all commitments but the layers', and computes F at the positions, into run->codeword. */
enum stark_status stark_open_codeword(struct stark_run *run);

/* Reads the layers' roots, nonces and the final polynomial (docs/proofs.md, step 7). */
enum stark_status stark_read_layers(struct stark_run *run);

/* Opens the layers, after which the proof ends, and folds down to the final polynomial. */
enum stark_status stark_check_folds(struct stark_run *run);

#endif
