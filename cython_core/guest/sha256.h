/* SHA-256 (FIPS 180-4) and the tagged hashes of the protocol (PROTOCOL.md, conventions).
 *
 * A tagged hash is SHA256(t || t || message) with t = SHA256(tag name). The first block depends
 * on the tag only, so its midstate is computed once per run and every tagged hash starts from
 * there.
 */
#ifndef GUEST_SHA256_H
#define GUEST_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256_midstate {
    uint32_t words[8];
};

struct sha256_stream {
    struct sha256_midstate state;
    uint64_t length; /* bytes absorbed so far */
    uint8_t block[64];
};

/* Absorbs `count` blocks of 64 bytes. Natively another translation unit may provide a faster
 * one. */
void sha256_compress(struct sha256_midstate *state, const uint8_t *blocks, size_t count);

void sha256_start(struct sha256_stream *stream);
/* Continues after one 64-byte block that gave `midstate`. */
void sha256_start_tagged(struct sha256_stream *stream, const struct sha256_midstate *midstate);
void sha256_absorb(struct sha256_stream *stream, const uint8_t *bytes, size_t length);
void sha256_finish(struct sha256_stream *stream, uint8_t digest[32]);

/* Midstate of the tag whose name hashes to `tag_hash`. */
void sha256_tag(struct sha256_midstate *midstate, const uint8_t tag_hash[32]);
/* SHA256(left || right): inner nodes of the protocol's SHA-256 trees (relay.md 5). */
void sha256_node(const uint8_t left[32], const uint8_t right[32], uint8_t digest[32]);

#endif
