/*
 * Many independent keyed single-block BLAKE3 hashes of 64-byte messages, one lane each.
 *
 * Messages and outputs are given by pointer, so that a Merkle level is hashed where it lies: the
 * input is the node's two child hashes, the output the node's place in its parent. Within one call
 * no output may overlap another message of the call.
 */
#ifndef P2PSEQ_HASH_B3_MANY_H
#define P2PSEQ_HASH_B3_MANY_H

#include <stddef.h>
#include <stdint.h>

#include "hash/isa.h"

typedef void (*b3_many_kernel)(const uint32_t key[8], const uint8_t *const *messages,
                               uint8_t *const *outputs, size_t count);

enum b3_kernel_id {
    B3_KERNEL_SCALAR = ISA_SCALAR,
    B3_KERNEL_AVX2 = ISA_AVX2,
    B3_KERNEL_AVX512 = ISA_AVX512,
};

void b3_many_scalar(const uint32_t key[8], const uint8_t *const *messages, uint8_t *const *outputs,
                    size_t count);
void b3_many_avx2(const uint32_t key[8], const uint8_t *const *messages, uint8_t *const *outputs,
                  size_t count);
void b3_many_avx512(const uint32_t key[8], const uint8_t *const *messages, uint8_t *const *outputs,
                    size_t count);

/* The kernel, or NULL if this build or this CPU lacks it. */
b3_many_kernel b3_kernel_by_id(enum b3_kernel_id id);

/* The widest kernel that this CPU runs. */
enum b3_kernel_id b3_best_kernel(void);

/* `count` messages and outputs that lie one after the other. */
void b3_many_contiguous(b3_many_kernel kernel, const uint32_t key[8], const uint8_t *messages,
                        uint8_t *outputs, size_t count);

#endif
