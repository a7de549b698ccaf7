#include "transcript/transcript.h"

#include <string.h>

#include "field/kb31.h"
#include "transcript/proof_keys.h"

static void store_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static void store_u64(uint8_t *bytes, uint64_t value)
{
    store_u32(bytes, (uint32_t)value);
    store_u32(bytes + 4, (uint32_t)(value >> 32));
}

void transcript_start(struct transcript *transcript)
{
    memset(transcript->state, 0, sizeof transcript->state);
}

void transcript_absorb(struct transcript *transcript, const char *label, const void *message,
                       size_t length)
{
    struct b3_stream stream;
    uint8_t label_length[4], message_length[8];
    size_t characters = strlen(label);

    store_u32(label_length, (uint32_t)characters);
    store_u64(message_length, length);
    b3_stream_start(&stream, PROOF_KEY_TRANSCRIPT);
    b3_stream_write(&stream, transcript->state, sizeof transcript->state);
    b3_stream_write(&stream, label_length, sizeof label_length);
    b3_stream_write(&stream, label, characters);
    b3_stream_write(&stream, message_length, sizeof message_length);
    b3_stream_write(&stream, message, length);
    b3_stream_digest(&stream, transcript->state);
}

void transcript_squeeze(struct transcript *transcript, const char *label,
                        struct transcript_stream *stream)
{
    struct b3_stream hash;
    uint8_t padded[TRANSCRIPT_LABEL_MAX] = {0};

    memcpy(padded, label, strlen(label));
    b3_stream_start(&hash, PROOF_KEY_SQUEEZE);
    b3_stream_write(&hash, transcript->state, sizeof transcript->state);
    b3_stream_write(&hash, padded, sizeof padded);
    b3_stream_root(&hash, &stream->root);
    stream->counter = 0;
    stream->used = sizeof stream->output;

    b3_stream_start(&hash, PROOF_KEY_TRANSCRIPT);
    b3_stream_write(&hash, transcript->state, sizeof transcript->state);
    b3_stream_write(&hash, padded, sizeof padded);
    b3_stream_digest(&hash, transcript->state);
}

uint32_t transcript_word(struct transcript_stream *stream)
{
    uint32_t word;

    if (stream->used == sizeof stream->output) {
        b3_root_output(&stream->root, stream->counter++, stream->output);
        stream->used = 0;
    }
    memcpy(&word, stream->output + stream->used, sizeof word);
    stream->used += sizeof word;
    return word;
}

uint32_t transcript_element(struct transcript_stream *stream)
{
    uint32_t value;

    do {
        value = transcript_word(stream) & 0x7fffffffu;
    } while (value >= KB31_P);
    return value;
}

void transcript_extension(struct transcript_stream *stream, uint32_t coefficients[5])
{
    for (int i = 0; i < KB31_EXTENSION; i++) {
        coefficients[i] = transcript_element(stream);
    }
}

uint32_t transcript_index(struct transcript_stream *stream, uint32_t log)
{
    return (uint32_t)(transcript_word(stream) & (((uint64_t)1 << log) - 1));
}

static int has_work(const uint8_t state[32], uint32_t bits, uint64_t nonce)
{
    struct b3_stream stream;
    uint8_t encoded[8], digest[32];
    uint64_t low;

    if (bits == 0) {
        return nonce == 0;
    }
    store_u64(encoded, nonce);
    b3_stream_start(&stream, PROOF_KEY_GRIND);
    b3_stream_write(&stream, state, 32);
    b3_stream_write(&stream, encoded, sizeof encoded);
    b3_stream_digest(&stream, digest);
    memcpy(&low, digest, sizeof low);
    return (low & (((uint64_t)1 << bits) - 1)) == 0;
}

int transcript_check_grind(struct transcript *transcript, const char *label, uint32_t bits,
                           uint64_t nonce)
{
    uint8_t encoded[8];

    if (bits > TRANSCRIPT_GRIND_BITS_MAX || !has_work(transcript->state, bits, nonce)) {
        return 0;
    }
    store_u64(encoded, nonce);
    transcript_absorb(transcript, label, encoded, sizeof encoded);
    return 1;
}
