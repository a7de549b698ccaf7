/*
 * Keys of the hashes of proofs: K_x = BLAKE3("p2pseq/proof/<x>/v1"), as words (docs/proofs.md,
 * "Bytes"). Computed once; tests/unit/cython_core/test_transcript.py computes them again.
 */
#ifndef P2PSEQ_TRANSCRIPT_PROOF_KEYS_H
#define P2PSEQ_TRANSCRIPT_PROOF_KEYS_H

#include <stdint.h>

extern const uint32_t PROOF_KEY_ROW[8];
extern const uint32_t PROOF_KEY_NODE[8];
extern const uint32_t PROOF_KEY_INJECT[8];
extern const uint32_t PROOF_KEY_TRANSCRIPT[8];
extern const uint32_t PROOF_KEY_SQUEEZE[8];
extern const uint32_t PROOF_KEY_GRIND[8];
extern const uint32_t PROOF_KEY_KEY[8];

#endif
