#include "hash/b3_stream.h"

#define KB_ISA_SCALAR
#include "hash/b3_lanes.h"

enum { CHUNK_BLOCKS = 16 };

void b3_compress(const uint32_t cv[8], const uint32_t block[16], uint64_t counter, uint32_t length,
                 uint32_t flags, uint32_t words[16])
{
    lanes_compress_words(cv, block, counter, length, flags, words);
}

static void parent_block(const uint32_t left[8], const uint32_t right[8], uint32_t block[16])
{
    memcpy(block, left, 32);
    memcpy(block + 8, right, 32);
}

static void start_chunk(struct b3_stream *stream)
{
    memcpy(stream->cv, stream->key, 32);
    stream->blocks = 0;
    stream->length = 0;
}

void b3_stream_start(struct b3_stream *stream, const uint32_t *key)
{
    memcpy(stream->key, key != NULL ? key : BLAKE3_IV, 32);
    stream->flags = key != NULL ? B3_KEYED_HASH : 0;
    stream->depth = 0;
    stream->chunk = 0;
    start_chunk(stream);
}

static uint32_t block_flags(const struct b3_stream *stream, int is_last)
{
    return stream->flags | (stream->blocks == 0 ? B3_CHUNK_START : 0) |
           (is_last ? B3_CHUNK_END : 0);
}

/*
 * A chunk that is not the last is complete: its value joins the stack, and whatever then has a
 * right neighbour becomes a parent. As many as the number of complete chunks has trailing zeros.
 */
static void end_chunk(struct b3_stream *stream, const uint32_t value[8])
{
    uint32_t block[16], words[16], node[8];
    uint64_t complete = stream->chunk + 1;

    memcpy(node, value, 32);
    for (; (complete & 1) == 0; complete >>= 1) {
        parent_block(stream->stack[--stream->depth], node, block);
        b3_compress(stream->key, block, 0, BLAKE3_BLOCK_BYTES, stream->flags | B3_PARENT, words);
        memcpy(node, words, 32);
    }
    memcpy(stream->stack[stream->depth++], node, 32);
    stream->chunk++;
    start_chunk(stream);
}

/* The held block is full and more comes. */
static void release_block(struct b3_stream *stream)
{
    uint32_t block[16], words[16];
    int is_last = stream->blocks == CHUNK_BLOCKS - 1;

    memcpy(block, stream->block, sizeof block);
    b3_compress(stream->cv, block, stream->chunk, BLAKE3_BLOCK_BYTES, block_flags(stream, is_last),
                words);
    if (is_last) {
        end_chunk(stream, words);
        return;
    }
    memcpy(stream->cv, words, 32);
    stream->blocks++;
    stream->length = 0;
}

void b3_stream_write(struct b3_stream *stream, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;

    while (length > 0) {
        size_t room, taken;
        if (stream->length == BLAKE3_BLOCK_BYTES) {
            release_block(stream);
        }
        room = BLAKE3_BLOCK_BYTES - stream->length;
        taken = length < room ? length : room;
        memcpy(stream->block + stream->length, from, taken);
        stream->length += (uint32_t)taken;
        from += taken;
        length -= taken;
    }
}

void b3_stream_root(const struct b3_stream *stream, struct b3_root *root)
{
    uint32_t words[16], depth = stream->depth;

    memcpy(root->cv, stream->cv, 32);
    memset(root->block, 0, sizeof root->block);
    memcpy(root->block, stream->block, stream->length);
    root->length = stream->length;
    root->flags = block_flags(stream, 1);
    if (depth > 0) {
        b3_compress(root->cv, root->block, stream->chunk, root->length, root->flags, words);
    }
    while (depth > 0) {
        parent_block(stream->stack[--depth], words, root->block);
        memcpy(root->cv, stream->key, 32);
        root->length = BLAKE3_BLOCK_BYTES;
        root->flags = stream->flags | B3_PARENT;
        if (depth > 0) {
            b3_compress(root->cv, root->block, 0, root->length, root->flags, words);
        }
    }
    root->flags |= B3_ROOT;
}

void b3_root_output(const struct b3_root *root, uint64_t counter, uint8_t output[64])
{
    uint32_t words[16];

    b3_compress(root->cv, root->block, counter, root->length, root->flags, words);
    memcpy(output, words, sizeof words);
}

void b3_stream_digest(const struct b3_stream *stream, uint8_t digest[32])
{
    struct b3_root root;
    uint8_t output[64];

    b3_stream_root(stream, &root);
    b3_root_output(&root, 0, output);
    memcpy(digest, output, 32);
}
