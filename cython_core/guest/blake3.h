/*
 * BLAKE3, one block, keyed: the only form in which the ledger hashes.
 *
 * A message of at most 64 bytes is one block, one chunk and the root at once, so that every hash of
 * the state tree is exactly one compression (BLAKE3 paper, section 2.2: flags CHUNK_START,
 * CHUNK_END, ROOT and KEYED_HASH together). Freestanding: the same source runs in the node and in
 * the zkVM.
 */
#ifndef P2PSEQ_GUEST_BLAKE3_H
#define P2PSEQ_GUEST_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are hashed as they lie in memory; both the node and RV32IM are little-endian"
#endif

enum {
    BLAKE3_BLOCK_WORDS = 16,
    BLAKE3_HASH_WORDS = 8,
    BLAKE3_BLOCK_BYTES = 64,
    BLAKE3_HASH_BYTES = 32,
    /* CHUNK_START 1, CHUNK_END 2, ROOT 8, KEYED_HASH 16. */
    BLAKE3_SINGLE_KEYED_FLAGS = 27,
};

/* A word of a message: may be read from bytes, such as the value of a leaf, where they lie. */
typedef uint32_t blake3_word __attribute__((may_alias));

/*
 * The first words of the square roots of the primes, shared with SHA-256 (BLAKE3 paper, table 1).
 */
extern const uint32_t BLAKE3_IV[BLAKE3_HASH_WORDS];

/*
 * Hash one block of `length` <= 64 bytes that is padded with zeros to 16 little-endian words.
 * `out` (8 words) may overlap `block` or `key`: it is written last.
 */
void blake3_keyed_block(const uint32_t key[BLAKE3_HASH_WORDS],
                        const blake3_word block[BLAKE3_BLOCK_WORDS], uint32_t length,
                        uint32_t out[BLAKE3_HASH_WORDS]);

/* The same for bytes at any address. Returns 0, or -1 (out untouched) if length is above 64. */
int blake3_keyed_bytes(const uint32_t key[BLAKE3_HASH_WORDS], const uint8_t *message, size_t length,
                       uint8_t out[BLAKE3_HASH_BYTES]);

#endif
