/* What a native dispatcher of the SHA-256 compression needs to know of the portable one. */
#ifndef GUEST_SHA256_COMPRESS_H
#define GUEST_SHA256_COMPRESS_H

#include "sha256.h"

extern const uint32_t SHA256_K[64];

void sha256_compress_portable(struct sha256_midstate *state, const uint8_t *blocks, size_t count);

#endif
