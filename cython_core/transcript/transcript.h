/*
 * The transcript of a proof: what the prover has said so far as 32 bytes, and the challenges that
 * follow from it (docs/proofs.md, "Transcript"). No allocation, no libc beyond memcpy and strlen;
 * prover and verifier use the same functions.
 */
#ifndef P2PSEQ_TRANSCRIPT_TRANSCRIPT_H
#define P2PSEQ_TRANSCRIPT_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "hash/b3_stream.h"
#include "hash/isa.h"

enum {
    TRANSCRIPT_LABEL_MAX = 24,
    /* More work than this no prover could do. */
    TRANSCRIPT_GRIND_BITS_MAX = 48,
};

struct transcript {
    uint8_t state[32];
};

/* Challenges out of one squeeze, in order. */
struct transcript_stream {
    struct b3_root root;
    uint64_t counter;
    uint32_t used;
    uint8_t output[64];
};

void transcript_start(struct transcript *transcript);
/* `label` is ASCII of at most TRANSCRIPT_LABEL_MAX characters. */
void transcript_absorb(struct transcript *transcript, const char *label, const void *message,
                       size_t length);
void transcript_squeeze(struct transcript *transcript, const char *label,
                        struct transcript_stream *stream);

uint32_t transcript_word(struct transcript_stream *stream);
/* A uniform field element as a plain value below p. Words whose low 31 bits are not are skipped. */
uint32_t transcript_element(struct transcript_stream *stream);
/* Five of them, plain. */
void transcript_extension(struct transcript_stream *stream, uint32_t coefficients[5]);
/* Below 2^log, log <= 32. */
uint32_t transcript_index(struct transcript_stream *stream, uint32_t log);

/* Whether the nonce has `bits` <= TRANSCRIPT_GRIND_BITS_MAX bits of work; if so it is absorbed. */
int transcript_check_grind(struct transcript *transcript, const char *label, uint32_t bits,
                           uint64_t nonce);

/*
 * The search for a nonce (grind.c), which a verifier does without. The state is as in `struct
 * transcript`; the least nonce from `start` on below `start + count` is stored, or 0 is returned.
 */
int grind_search(enum isa_id isa, const uint8_t state[32], uint32_t bits, uint64_t start,
                 uint64_t count, uint64_t *nonce);

#endif
