/* What the transition program asks of whoever runs it: words of its witness, answers about
 * signatures, and one hash.
 *
 * In the machine (P2PSEQ_MACHINE, docs/vm.md) each of the three is one instruction. Natively they
 * are functions over memory, so that both run the same source.
 */
#ifndef GUEST_HOST_H
#define GUEST_HOST_H

#include "blake3.h"
#include "bytes.h"

struct host {
    const uint8_t *words; /* little-endian words, `count` of them, at any address */
    size_t count;
    size_t used;
    const uint8_t *answers; /* one byte per signature, or NULL when all were checked before */
    size_t answer_count;
    size_t answers_used;
    int is_exhausted; /* more was read than there is */
};

#ifdef P2PSEQ_MACHINE

static inline uint32_t host_in(struct host *host)
{
    uint32_t word;
    (void)host;
    __asm__ volatile(".insn r 0x0b, 0, 0, %0, x0, x0" : "=r"(word));
    return word;
}

static inline uint32_t host_signature(struct host *host)
{
    uint32_t answer;
    (void)host;
    __asm__ volatile(".insn r 0x0b, 1, 0, %0, x0, x0" : "=r"(answer));
    return answer;
}

#define HOST_B3(chaining, block, flags)                      \
    __asm__ volatile(".insn r 0x0b, 4, %2, x0, %0, %1"       \
                     :                                       \
                     : "r"(block), "r"(chaining), "i"(flags) \
                     : "memory")

/* chaining := b3(key = chaining, block). `block` is 64-aligned, `chaining` 32-aligned and in
 * another line of 64 bytes. */
static inline void host_b3(blake3_word *chaining, const blake3_word *block)
{
    HOST_B3(chaining, block, BLAKE3_SINGLE_KEYED_FLAGS);
}

/* Whether more may be read. The machine has stopped before it reads what is not
 * there; what is left over, nobody reads. */
static inline int host_is_running(const struct host *host)
{
    (void)host;
    return 1;
}

static inline int host_is_finished(const struct host *host)
{
    (void)host;
    return 1;
}

/* Keeps the compiler from making the word again each time it is used. */
#define HOST_KEEP(word) __asm__("" : "+r"(word))

#else

static inline uint32_t host_in(struct host *host)
{
    const uint8_t *bytes = host->words + 4 * host->used;
    if (host->used == host->count) {
        host->is_exhausted = 1;
        return 0;
    }
    host->used++;
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16
        | (uint32_t)bytes[3] << 24;
}

static inline uint32_t host_signature(struct host *host)
{
    if (host->answers == NULL) {
        return 1;
    }
    if (host->answers_used == host->answer_count) {
        host->is_exhausted = 1;
        return 0;
    }
    return host->answers[host->answers_used++];
}

static inline void host_b3(blake3_word *chaining, const blake3_word *block)
{
    uint32_t key[BLAKE3_HASH_WORDS];
    for (int i = 0; i < BLAKE3_HASH_WORDS; i++) {
        key[i] = chaining[i];
    }
    blake3_keyed_block(key, block, BLAKE3_BLOCK_BYTES, key);
    for (int i = 0; i < BLAKE3_HASH_WORDS; i++) {
        chaining[i] = key[i];
    }
}

static inline int host_is_running(const struct host *host)
{
    return !host->is_exhausted;
}

static inline int host_is_finished(const struct host *host)
{
    return !host->is_exhausted && host->used == host->count
        && (host->answers == NULL || host->answers_used == host->answer_count);
}

#define HOST_KEEP(word) (void)(word)

#endif

/* Eight words straight from the witness to their place. */
static inline void host_hash(struct host *host, blake3_word *to)
{
    to[0] = host_in(host);
    to[1] = host_in(host);
    to[2] = host_in(host);
    to[3] = host_in(host);
    to[4] = host_in(host);
    to[5] = host_in(host);
    to[6] = host_in(host);
    to[7] = host_in(host);
}

static inline void hash_copy(blake3_word *to, const blake3_word *from)
{
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    to[4] = from[4];
    to[5] = from[5];
    to[6] = from[6];
    to[7] = from[7];
}

static inline void hash_clear(blake3_word *to)
{
    to[0] = to[1] = to[2] = to[3] = to[4] = to[5] = to[6] = to[7] = 0;
}

/* Whether `bytes`, at any address, are this hash. */
static inline int hash_is(const blake3_word *hash, const uint8_t *bytes)
{
    const blake3_word *words = (const blake3_word *)(const void *)bytes;
    uint32_t difference = 0;
    if (((uintptr_t)bytes & 3) != 0) {
        return bytes_equal((const uint8_t *)hash, bytes, 4 * BLAKE3_HASH_WORDS);
    }
    for (int i = 0; i < BLAKE3_HASH_WORDS; i++) {
        difference |= hash[i] ^ words[i];
    }
    return difference == 0;
}

/* A key in registers: it is written in front of every hash, because a hash takes its place. */
struct hash_key {
    uint32_t w0, w1, w2, w3, w4, w5, w6, w7;
};

static inline struct hash_key key_load(const uint32_t words[BLAKE3_HASH_WORDS])
{
    struct hash_key key = {words[0], words[1], words[2], words[3],
                           words[4], words[5], words[6], words[7]};
    HOST_KEEP(key.w0);
    HOST_KEEP(key.w1);
    HOST_KEEP(key.w2);
    HOST_KEEP(key.w3);
    HOST_KEEP(key.w4);
    HOST_KEEP(key.w5);
    HOST_KEEP(key.w6);
    HOST_KEEP(key.w7);
    return key;
}

/* to := b3(key, block); where they must lie is said at host_b3. */
static inline void host_keyed(struct hash_key key, blake3_word *to, const blake3_word *block)
{
    to[0] = key.w0;
    to[1] = key.w1;
    to[2] = key.w2;
    to[3] = key.w3;
    to[4] = key.w4;
    to[5] = key.w5;
    to[6] = key.w6;
    to[7] = key.w7;
    host_b3(to, block);
}

#endif
