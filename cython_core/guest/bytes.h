/* Byte order and copies for the transition program. Freestanding: no libc is ever needed.
 *
 * Everything the ledger stores or signs is big-endian with a fixed layout, so that a value has one
 * spelling; loads and stores are written byte by byte and compilers turn them into single moves.
 */
#ifndef GUEST_BYTES_H
#define GUEST_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline uint64_t load_u64(const uint8_t *bytes)
{
    return (uint64_t)load_u32(bytes) << 32 | load_u32(bytes + 4);
}

static inline void store_u32(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 24);
    bytes[1] = (uint8_t)(value >> 16);
    bytes[2] = (uint8_t)(value >> 8);
    bytes[3] = (uint8_t)value;
}

static inline void store_u64(uint8_t *bytes, uint64_t value)
{
    store_u32(bytes, (uint32_t)(value >> 32));
    store_u32(bytes + 4, (uint32_t)value);
}

/* Little-endian and on a 4-byte border: what the machine reads without turning bytes. */
typedef uint32_t native_word __attribute__((may_alias));

static inline uint64_t load_native(const void *bytes)
{
    const native_word *words = bytes;
    return (uint64_t)words[1] << 32 | words[0];
}

static inline void store_native(void *bytes, uint64_t value)
{
    native_word *words = bytes;
    words[0] = (uint32_t)value;
    words[1] = (uint32_t)(value >> 32);
}

#ifdef P2PSEQ_MACHINE

static inline void bytes_copy(uint8_t *to, const uint8_t *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        to[i] = from[i];
    }
}

static inline void bytes_zero(uint8_t *to, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        to[i] = 0;
    }
}

#else

/* The compiler's own, which every compiler has for a freestanding program too. */
static inline void bytes_copy(uint8_t *to, const uint8_t *from, size_t length)
{
    __builtin_memcpy(to, from, length);
}

static inline void bytes_zero(uint8_t *to, size_t length)
{
    __builtin_memset(to, 0, length);
}

#endif

static inline int bytes_equal(const uint8_t *left, const uint8_t *right, size_t length)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++) {
        difference |= (uint8_t)(left[i] ^ right[i]);
    }
    return difference == 0;
}

static inline int bytes_are_zero(const uint8_t *bytes, size_t length)
{
    uint8_t found = 0;
    for (size_t i = 0; i < length; i++) {
        found |= bytes[i];
    }
    return found == 0;
}

#endif
