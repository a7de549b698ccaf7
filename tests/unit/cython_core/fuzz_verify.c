/*
 * Seeded fuzzing of the compiled verifier, built with sanitizers by test_verify_sanitizers.py.
 * Usage: fuzz_verify SEED ROUNDS FILE. FILE has valid claims: key, publics, interactions, context
 * and proof of each, each after its length (u32, little-endian).
 *
 * A round changes a claim and verifies it twice: strictly, when nothing but the claim itself may be
 * accepted; and leniently, when the checks in the middle (grinding, buses, constraints, openings)
 * let pass what they refuse, so that damage reaches what comes after them. Keys are damaged too,
 * with their digest put into the proof. All bytes are copied into memory of exactly their length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash/b3_stream.h"
#include "stark/verify.h"
#include "stark/verify_air.h"
#include "stark/verify_merkle.h"
#include "transcript/proof_keys.h"

enum { PARTS = 5, KEY = 0, PUBLICS, INTERACTIONS, CONTEXT, PROOF, CLAIMS_MAX = 16 };

struct bytes {
    uint8_t *at;
    size_t length;
};

static uint64_t random_state;
static int is_lenient;
static struct bytes claims[CLAIMS_MAX][PARTS];
static size_t claim_count;
static unsigned long counts[STARK_STATUS_COUNT];

int __real_transcript_check_grind(struct transcript *transcript, const char *label, uint32_t bits,
                                  uint64_t nonce);
enum stark_status __real_stark_check_balance(const struct stark_run *run,
                                             const uint8_t *public_interactions);
enum stark_status __real_stark_check_identity(struct stark_run *run,
                                              struct transcript_stream *coefficients);
enum stark_status __real_stark_open(const struct stark_commitment *commitment,
                                    const uint32_t *positions, size_t position_count,
                                    uint32_t domain_log, struct stark_cursor *proof);

int __wrap_transcript_check_grind(struct transcript *transcript, const char *label, uint32_t bits,
                                  uint64_t nonce)
{
    return __real_transcript_check_grind(transcript, label, bits, nonce) || is_lenient;
}

static enum stark_status let_pass(enum stark_status status, enum stark_status refusal)
{
    return is_lenient && status == refusal ? STARK_VALID : status;
}

enum stark_status __wrap_stark_check_balance(const struct stark_run *run,
                                             const uint8_t *public_interactions)
{
    return let_pass(__real_stark_check_balance(run, public_interactions), STARK_UNBALANCED_BUSES);
}

enum stark_status __wrap_stark_check_identity(struct stark_run *run,
                                              struct transcript_stream *coefficients)
{
    return let_pass(__real_stark_check_identity(run, coefficients), STARK_CONSTRAINTS);
}

enum stark_status __wrap_stark_open(const struct stark_commitment *commitment,
                                    const uint32_t *positions, size_t position_count,
                                    uint32_t domain_log, struct stark_cursor *proof)
{
    return let_pass(
        __real_stark_open(commitment, positions, position_count, domain_log, proof),
        STARK_BAD_OPENING);
}

/* xorshift64*, Vigna 2016: good enough to choose inputs. */
static uint32_t next_random(uint32_t bound)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1dull) >> 33) % bound;
}

#define EXPECT(condition)                                                    \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "line %d: %s is false\n", __LINE__, #condition); \
            abort();                                                         \
        }                                                                    \
    } while (0)

/* Memory of exactly this length, so that a byte too far is seen. */
static struct bytes copy_of(const uint8_t *from, size_t length)
{
    struct bytes copy = {malloc(length ? length : 1), length};

    EXPECT(copy.at != NULL);
    if (length != 0) {
        memcpy(copy.at, from, length);
    }
    return copy;
}

static void replace(struct bytes *bytes, const uint8_t *from, size_t length)
{
    struct bytes copy = copy_of(from, length);

    free(bytes->at);
    *bytes = copy;
}

static void write_word(uint8_t *bytes, uint32_t word)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(word >> (8 * i));
    }
}

/* Numbers at the edge of something. */
static uint32_t edge(void)
{
    static const uint32_t edges[] = {
        0, 1, 2, 3, 4, 5, 10, 11, 22, 23, 31, 32, 64, 65, 255, 256, 4096, 4097, 65536, 262144,
        KB31_P - 1, KB31_P, KB31_P + 1, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu,
    };
    return edges[next_random(sizeof edges / sizeof *edges)];
}

/* One damage of any kind. */
static void damage(struct bytes *bytes, const struct bytes *other)
{
    uint32_t at = bytes->length ? next_random((uint32_t)bytes->length) : 0;
    uint32_t word = bytes->length >= 4 ? next_random((uint32_t)bytes->length / 4) * 4 : 0;
    size_t length = bytes->length, shared = length < other->length ? length : other->length;

    switch (next_random(length >= 8 ? shared ? 9 : 8 : 3)) {
    case 0: {
        struct bytes longer = {calloc(length + 40, 1), length + next_random(40)};

        EXPECT(longer.at != NULL);
        memcpy(longer.at, bytes->at, length);
        replace(bytes, longer.at, longer.length);
        free(longer.at);
        break;
    }
    case 1:
        replace(bytes, bytes->at, at);
        break;
    case 2:
        replace(bytes, other->at, other->length);
        break;
    case 3:
        bytes->at[at] ^= (uint8_t)(1u << next_random(8));
        break;
    case 4:
        bytes->at[at] = (uint8_t)next_random(256);
        break;
    case 5:
        write_word(bytes->at + word, edge());
        break;
    case 6:
        write_word(bytes->at + word, next_random(64));
        break;
    case 7:
        memmove(bytes->at + word, bytes->at, next_random((uint32_t)(length - word)));
        break;
    default:
        memcpy(bytes->at + at % shared, other->at + at % shared, shared - at % shared);
    }
}

static enum stark_status verify(const struct bytes parts[PARTS])
{
    struct stark_claim claim = {
        parts[KEY].at, parts[KEY].length, parts[PUBLICS].at, parts[PUBLICS].length,
        parts[INTERACTIONS].at, parts[INTERACTIONS].length, parts[CONTEXT].at,
        parts[CONTEXT].length, parts[PROOF].at, parts[PROOF].length,
    };
    size_t size = stark_verify_memory(claim.key, claim.key_length);
    void *memory = malloc(size ? size : 1);
    enum stark_status status;

    EXPECT(memory != NULL);
    if (size > 0 && next_random(16) == 0) {
        EXPECT(stark_verify(&claim, memory, next_random((uint32_t)size)) == STARK_NO_MEMORY);
    }
    status = stark_verify(&claim, memory, size);
    EXPECT(status < STARK_STATUS_COUNT && status != STARK_NO_MEMORY);
    EXPECT(size > 0 || status == STARK_BAD_KEY);
    free(memory);
    return status;
}

/* The proof as one for the damaged key. */
static void put_digest(const struct bytes *key, struct bytes *proof)
{
    struct b3_stream stream;

    if (proof->length >= 40) {
        b3_stream_start(&stream, PROOF_KEY_KEY);
        b3_stream_write(&stream, key->at, key->length);
        b3_stream_digest(&stream, proof->at + 8);
    }
}

static int is_equal(const struct bytes *one, const struct bytes *other)
{
    return one->length == other->length && memcmp(one->at, other->at, one->length) == 0;
}

/* Whether these parts are one of the valid claims after all. */
static int is_known(const struct bytes parts[PARTS])
{
    for (size_t i = 0; i < claim_count; i++) {
        int part = 0;

        while (part < PARTS && is_equal(&parts[part], &claims[i][part])) {
            part++;
        }
        if (part == PARTS) {
            return 1;
        }
    }
    return 0;
}

static void one_round(void)
{
    const struct bytes *original = claims[next_random((uint32_t)claim_count)];
    const struct bytes *other = claims[next_random((uint32_t)claim_count)];
    struct bytes parts[PARTS];
    uint32_t damages = 1 + next_random(3), kind = next_random(8);

    for (int part = 0; part < PARTS; part++) {
        parts[part] = copy_of(original[part].at, original[part].length);
    }
    while (damages-- != 0) {
        int part = kind < 4 ? PROOF : kind < 7 ? KEY : (int)next_random(PARTS);
        damage(&parts[part], &other[part]);
    }
    if (kind >= 4) {
        put_digest(&parts[KEY], &parts[PROOF]);
    }
    is_lenient = 0;
    EXPECT((verify(parts) == STARK_VALID) == is_known(parts));
    is_lenient = 1;
    counts[verify(parts)]++;
    for (int part = 0; part < PARTS; part++) {
        free(parts[part].at);
    }
}

/* Challenges that make a public denominator zero: no transcript gives them to a test. */
static void check_zero_denominator(void)
{
    struct stark_run *run = calloc(1, sizeof *run);
    uint8_t interaction[4 + 4 * 3] = {1};

    EXPECT(run != NULL);
    run->key.bus_count = 1;
    run->key.bus_widths[0] = 1;
    is_lenient = 0;
    EXPECT(stark_check_balance(run, interaction) == STARK_ZERO_DENOMINATOR);
    run->gamma = kb31x_from_base(KB31_ONE);
    EXPECT(stark_check_balance(run, interaction) == STARK_VALID);
    interaction[8] = 1;
    EXPECT(stark_check_balance(run, interaction) == STARK_UNBALANCED_BUSES);
    free(run);
}

/* Points of the domain are refused, others are not. */
static void check_point(void)
{
    struct stark_run *run = calloc(1, sizeof *run);

    EXPECT(run != NULL);
    run->height_log = 5;
    for (uint32_t i = 0; i < 128; i++) {
        run->zeta = kb31x_from_base(kb31_power(kb31_root(7), i));
        EXPECT(stark_check_point(run) == STARK_BAD_POINT);
        run->zeta = kb31x_from_base(kb31_mul(run->zeta.c[0], kb31_root(8)));
        EXPECT(stark_check_point(run) == STARK_VALID);
        run->zeta.c[1] = 1;
        EXPECT(stark_check_point(run) == STARK_VALID);
    }
    run->zeta = kb31x_from_base(0);
    EXPECT(stark_check_point(run) == STARK_VALID);
    free(run);
}

static void read_claims(const char *name)
{
    FILE *file = fopen(name, "rb");
    uint8_t length[4];

    EXPECT(file != NULL);
    while (fread(length, 1, sizeof length, file) == sizeof length) {
        size_t part = claim_count % PARTS, claim = claim_count / PARTS;
        struct bytes *bytes = &claims[claim][part];

        EXPECT(claim < CLAIMS_MAX);
        bytes->length = stark_load_u32(length);
        bytes->at = malloc(bytes->length ? bytes->length : 1);
        EXPECT(bytes->at != NULL);
        EXPECT(fread(bytes->at, 1, bytes->length, file) == bytes->length);
        claim_count++;
    }
    EXPECT(claim_count > 0 && claim_count % PARTS == 0);
    claim_count /= PARTS;
    fclose(file);
}

int main(int argument_count, char **arguments)
{
    long rounds;

    EXPECT(argument_count == 4);
    random_state = strtoull(arguments[1], NULL, 10) * 2 + 1;
    rounds = strtol(arguments[2], NULL, 10);
    read_claims(arguments[3]);
    check_zero_denominator();
    check_point();
    for (size_t i = 0; i < claim_count; i++) {
        EXPECT(verify(claims[i]) == STARK_VALID);
    }
    while (rounds-- > 0) {
        one_round();
    }
    for (int status = 0; status < STARK_STATUS_COUNT; status++) {
        printf("%s %lu\n", stark_status_name((enum stark_status)status), counts[status]);
    }
    for (size_t i = 0; i < claim_count; i++) {
        for (int part = 0; part < PARTS; part++) {
            free(claims[i][part].at);
        }
    }
    return 0;
}
