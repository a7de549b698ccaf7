/*
 * Reading of hostile bytes, and memory for what is read.
 *
 * A cursor gives pointers into the bytes or nothing; who asks for n bytes has checked beforehand
 * that n did not overflow (all counts are bounded by limits of verify_internal.h).
 */
#ifndef P2PSEQ_STARK_VERIFY_BYTES_H
#define P2PSEQ_STARK_VERIFY_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "field/kb31.h"
#include "stark/verify.h"

/* Returns from the calling function unless the step was valid. */
#define STARK_TRY(step)                  \
    do {                                 \
        enum stark_status tried = (step); \
        if (tried != STARK_VALID) {      \
            return tried;                \
        }                                \
    } while (0)

enum { STARK_ELEMENT_BYTES = 4, STARK_EXTENSION_BYTES = 20, STARK_DIGEST_BYTES = 32 };

struct stark_cursor {
    const uint8_t *at;
    size_t left;
};

/* The next `count` bytes, or NULL when fewer are left. */
static inline const uint8_t *stark_take(struct stark_cursor *cursor, size_t count)
{
    const uint8_t *taken = cursor->at;

    if (count > cursor->left) {
        return NULL;
    }
    cursor->at += count;
    cursor->left -= count;
    return taken;
}

static inline uint32_t stark_load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t stark_load_u64(const uint8_t *bytes)
{
    return (uint64_t)stark_load_u32(bytes) | (uint64_t)stark_load_u32(bytes + 4) << 32;
}

static inline void stark_store_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Element number `index` of an array of 4-byte words. */
static inline uint32_t stark_word(const uint8_t *words, size_t index)
{
    return stark_load_u32(words + 4 * index);
}

static inline int stark_are_canonical(const uint8_t *elements, size_t count)
{
    uint32_t greatest = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t value = stark_word(elements, i);
        greatest = value > greatest ? value : greatest;
    }
    return greatest < KB31_P;
}

/* In Montgomery form, of five words that are known to be canonical. */
static inline kb31x stark_load_extension(const uint8_t *bytes)
{
    kb31x element;

    for (int i = 0; i < KB31_EXTENSION; i++) {
        element.c[i] = kb31_from_plain(stark_word(bytes, (size_t)i));
    }
    return element;
}

/* Under the address sanitizer, what lies between two pieces of memory may not be touched. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
enum { STARK_GAP_BYTES = 64 };
#define STARK_POISON(bytes, count) ASAN_POISON_MEMORY_REGION(bytes, count)
#define STARK_UNPOISON(bytes, count) ASAN_UNPOISON_MEMORY_REGION(bytes, count)
#else
enum { STARK_GAP_BYTES = 0 };
#define STARK_POISON(bytes, count) ((void)(bytes))
#define STARK_UNPOISON(bytes, count) ((void)(bytes))
#endif

/* Memory that is only ever given out. Without a base it gives nothing, and counts. */
struct stark_arena {
    uint8_t *base;
    size_t size, used;
};

/* Aligned to 8 bytes, or NULL. `count * size` does not overflow. */
static inline void *stark_give(struct stark_arena *arena, size_t count, size_t size)
{
    size_t offset = arena->used, bytes = (count * size + 7) / 8 * 8;

    arena->used += bytes + STARK_GAP_BYTES;
    if (arena->base == NULL || arena->used > arena->size) {
        return NULL;
    }
    STARK_POISON(arena->base + offset + bytes, STARK_GAP_BYTES);
    return arena->base + offset;
}

#endif
