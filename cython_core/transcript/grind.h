/* The kernels behind grind_search, one per instruction set. */
#ifndef P2PSEQ_TRANSCRIPT_GRIND_H
#define P2PSEQ_TRANSCRIPT_GRIND_H

#include <stddef.h>
#include <stdint.h>

enum { GRIND_MESSAGE_BYTES = 40 };

int grind_search_scalar(const uint8_t state[32], uint32_t bits, uint64_t start, uint64_t count,
                        uint64_t *nonce);
int grind_search_avx2(const uint8_t state[32], uint32_t bits, uint64_t start, uint64_t count,
                      uint64_t *nonce);
int grind_search_avx512(const uint8_t state[32], uint32_t bits, uint64_t start, uint64_t count,
                        uint64_t *nonce);

#endif
