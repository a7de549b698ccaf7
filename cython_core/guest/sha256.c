/* Streaming and tagged SHA-256; the compression itself is in sha256_compress.c. */
#include "sha256.h"

#include "bytes.h"

static const struct sha256_midstate INITIAL = {
    {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu,
     0x5be0cd19u}};

void sha256_start(struct sha256_stream *stream)
{
    stream->state = INITIAL;
    stream->length = 0;
}

void sha256_start_tagged(struct sha256_stream *stream, const struct sha256_midstate *midstate)
{
    stream->state = *midstate;
    stream->length = 64;
}

void sha256_absorb(struct sha256_stream *stream, const uint8_t *bytes, size_t length)
{
    size_t held = (size_t)(stream->length & 63);
    stream->length += length;
    if (held != 0) {
        size_t taken = 64 - held < length ? 64 - held : length;
        bytes_copy(stream->block + held, bytes, taken);
        bytes += taken;
        length -= taken;
        if (held + taken < 64) {
            return;
        }
        sha256_compress(&stream->state, stream->block, 1);
    }
    size_t whole = length / 64;
    if (whole != 0) {
        sha256_compress(&stream->state, bytes, whole);
    }
    bytes_copy(stream->block, bytes + 64 * whole, length - 64 * whole);
}

void sha256_finish(struct sha256_stream *stream, uint8_t digest[32])
{
    size_t held = (size_t)(stream->length & 63);
    uint64_t bits = stream->length * 8;
    stream->block[held++] = 0x80;
    if (held > 56) {
        bytes_zero(stream->block + held, 64 - held);
        sha256_compress(&stream->state, stream->block, 1);
        held = 0;
    }
    bytes_zero(stream->block + held, 56 - held);
    store_u64(stream->block + 56, bits);
    sha256_compress(&stream->state, stream->block, 1);
    for (int i = 0; i < 8; i++) {
        store_u32(digest + 4 * i, stream->state.words[i]);
    }
}

void sha256_tag(struct sha256_midstate *midstate, const uint8_t tag_hash[32])
{
    uint8_t block[64];
    bytes_copy(block, tag_hash, 32);
    bytes_copy(block + 32, tag_hash, 32);
    *midstate = INITIAL;
    sha256_compress(midstate, block, 1);
}

void sha256_node(const uint8_t left[32], const uint8_t right[32], uint8_t digest[32])
{
    struct sha256_stream stream;
    sha256_start(&stream);
    sha256_absorb(&stream, left, 32);
    sha256_absorb(&stream, right, 32);
    sha256_finish(&stream, digest);
}
