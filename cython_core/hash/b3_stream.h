/*
 * BLAKE3 of messages of any length, one at a time: keyed or not, with extended output.
 *
 * Scalar, without allocation and without libc beyond memcpy, so that a verifier can be built from
 * it anywhere. Many short messages at once are b3_many's.
 */
#ifndef P2PSEQ_HASH_B3_STREAM_H
#define P2PSEQ_HASH_B3_STREAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    /* Subtrees that wait for a right neighbour: one per bit of the count of chunks. */
    B3_STREAM_DEPTH_MAX = 54,
};

/* The compression function, all 16 words of it (BLAKE3 paper, section 2.2). */
void b3_compress(const uint32_t cv[8], const uint32_t block[16], uint64_t counter, uint32_t length,
                 uint32_t flags, uint32_t words[16]);

struct b3_stream {
    uint32_t key[8];
    uint32_t flags;
    uint32_t depth;
    uint64_t chunk;
    /* Of the chunk that is being read. */
    uint32_t cv[8];
    uint32_t blocks;
    /* The last block is held back: only the end of the message tells how it is compressed. */
    uint32_t length;
    uint8_t block[64];
    uint32_t stack[B3_STREAM_DEPTH_MAX][8];
};

/* `key` is NULL for the plain hash. */
void b3_stream_start(struct b3_stream *stream, const uint32_t *key);
void b3_stream_write(struct b3_stream *stream, const void *bytes, size_t length);
/* May be called at any time and more than once: the stream itself does not change. */
void b3_stream_digest(const struct b3_stream *stream, uint8_t digest[32]);

/* Extended output: what b3_compress makes of the root block with counters 0, 1, 2, ... */
struct b3_root {
    uint32_t cv[8];
    uint32_t block[16];
    uint32_t length;
    uint32_t flags;
};

void b3_stream_root(const struct b3_stream *stream, struct b3_root *root);
/* Block number `counter` of the output: bytes 64 * counter and on. */
void b3_root_output(const struct b3_root *root, uint64_t counter, uint8_t output[64]);

#endif
