#include "stark/verify.h"

#include <string.h>

#include "hash/b3_stream.h"
#include "stark/verify_air.h"
#include "stark/verify_key.h"
#include "stark/verify_queries.h"
#include "transcript/proof_keys.h"

static const char PROTOCOL[] = "p2pseq/stark/v1";

static const char *const STATUS_NAMES[STARK_STATUS_COUNT] = {
    [STARK_VALID] = "valid",
    [STARK_BAD_KEY] = "bad-key",
    [STARK_BAD_PUBLICS] = "bad-publics",
    [STARK_BAD_INTERACTIONS] = "bad-interactions",
    [STARK_BAD_CONTEXT] = "bad-context",
    [STARK_BAD_MAGIC] = "bad-magic",
    [STARK_WRONG_KEY] = "wrong-key",
    [STARK_BAD_HEIGHT] = "bad-height",
    [STARK_TOO_MANY_INTERACTIONS] = "too-many-interactions",
    [STARK_TRUNCATED] = "truncated",
    [STARK_TRAILING_BYTES] = "trailing-bytes",
    [STARK_NOT_CANONICAL] = "not-canonical",
    [STARK_ZERO_DENOMINATOR] = "zero-denominator",
    [STARK_UNBALANCED_BUSES] = "unbalanced-buses",
    [STARK_BAD_POINT] = "bad-point",
    [STARK_CONSTRAINTS] = "constraints",
    [STARK_LAYER_GRINDING] = "layer-grinding",
    [STARK_QUERY_GRINDING] = "query-grinding",
    [STARK_BAD_OPENING] = "bad-opening",
    [STARK_BAD_FOLD] = "bad-fold",
    [STARK_BAD_FINAL] = "bad-final",
    [STARK_NO_MEMORY] = "no-memory",
};

const char *stark_status_name(enum stark_status status)
{
    return (unsigned)status < STARK_STATUS_COUNT ? STATUS_NAMES[status] : "unknown";
}

/* All memory of a run; whether it was enough, the arena knows. */
static void give_memory(struct stark_run *run, struct stark_arena *arena)
{
    const struct stark_key *key = &run->key;
    struct stark_scratch *scratch = &run->scratch;
    size_t period = (size_t)1 << key->period_log_max;

    stark_key_give(&run->key, arena);
    scratch->nodes = stark_give(arena, key->node_count_max, sizeof(kb31x));
    scratch->periodic = stark_give(arena, key->periodic_count_max, sizeof(kb31x));
    scratch->weights = stark_give(arena, period, sizeof(kb31x));
    scratch->denominators = stark_give(arena, period, sizeof(kb31x));
    scratch->fractions = stark_give(arena, key->interaction_count_max, sizeof(kb31x));
    scratch->multiplicities = stark_give(arena, key->interaction_count_max, sizeof(uint32_t));
    run->encoded_publics = stark_give(arena, 1 + (size_t)key->public_count, STARK_ELEMENT_BYTES);
    run->publics = stark_give(arena, key->public_count, sizeof(uint32_t));
    run->values = stark_give(arena, key->value_count_max, sizeof(kb31x));
    run->coefficients = stark_give(arena, key->value_count_max, sizeof(kb31x));
    run->final = stark_give(arena, (size_t)1 << key->final_log, sizeof(kb31x));
}

size_t stark_verify_memory(const uint8_t *key, size_t length)
{
    struct stark_run run;
    struct stark_arena arena = {NULL, 0, 0};

    if (stark_key_read(&run.key, key, length) != STARK_VALID) {
        return 0;
    }
    give_memory(&run, &arena);
    return arena.used;
}

uint32_t stark_verify_buses(const uint8_t *key, size_t length, uint32_t widths[STARK_BUS_COUNT_MAX])
{
    struct stark_key read;

    if (stark_key_read(&read, key, length) != STARK_VALID) {
        return 0;
    }
    memcpy(widths, read.bus_widths, sizeof read.bus_widths);
    return read.bus_count;
}

static enum stark_status read_claim(struct stark_run *run, const struct stark_claim *claim)
{
    uint32_t count = run->key.public_count;

    if (claim->publics_length != STARK_ELEMENT_BYTES * (size_t)count ||
        !stark_are_canonical(claim->publics, count)) {
        return STARK_BAD_PUBLICS;
    }
    stark_store_u32(run->encoded_publics, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = stark_word(claim->publics, i);

        stark_store_u32(run->encoded_publics + STARK_ELEMENT_BYTES * (1 + (size_t)i), value);
        run->publics[i] = kb31_from_plain(value);
    }
    STARK_TRY(stark_check_interactions(&run->key, claim->interactions,
                                       claim->interactions_length));
    return claim->context_length <= STARK_CONTEXT_BYTES_MAX ? STARK_VALID : STARK_BAD_CONTEXT;
}

static void hash_key(const struct stark_claim *claim, uint8_t digest[STARK_DIGEST_BYTES])
{
    struct b3_stream stream;

    b3_stream_start(&stream, PROOF_KEY_KEY);
    b3_stream_write(&stream, claim->key, claim->key_length);
    b3_stream_digest(&stream, digest);
}

static enum stark_status read_heights(struct stark_run *run, const struct stark_claim *claim)
{
    run->heights = stark_take(&run->proof, run->key.table_count);
    if (run->heights == NULL) {
        return STARK_TRUNCATED;
    }
    run->height_log = 0;
    for (uint32_t i = 0; i < run->key.table_count; i++) {
        const struct stark_verify_table *table = &run->key.tables[i];
        uint32_t log = run->heights[i];

        if (log < table->smallest_log || log > table->greatest_log) {
            return STARK_BAD_HEIGHT;
        }
        run->height_log = log > run->height_log ? log : run->height_log;
    }
    return stark_count_interactions(run, claim->interactions);
}

/* Step 1, with the head of the proof. */
static enum stark_status read_statement(struct stark_run *run, const struct stark_claim *claim)
{
    uint8_t digest[STARK_DIGEST_BYTES], heights[4 * (1 + STARK_TABLES_MAX)];
    uint32_t tables = run->key.table_count;
    const uint8_t *head = stark_take(&run->proof, 8), *named;

    if (head == NULL) {
        return STARK_TRUNCATED;
    }
    if (memcmp(head, "P2SP", 4) != 0 || stark_load_u32(head + 4) != 1) {
        return STARK_BAD_MAGIC;
    }
    named = stark_take(&run->proof, STARK_DIGEST_BYTES);
    if (named == NULL) {
        return STARK_TRUNCATED;
    }
    hash_key(claim, digest);
    if (memcmp(named, digest, sizeof digest) != 0) {
        return STARK_WRONG_KEY;
    }
    STARK_TRY(read_heights(run, claim));
    stark_store_u32(heights, tables);
    for (uint32_t i = 0; i < tables; i++) {
        stark_store_u32(heights + 4 * (1 + (size_t)i), run->heights[i]);
    }
    transcript_start(&run->transcript);
    transcript_absorb(&run->transcript, "protocol", PROTOCOL, strlen(PROTOCOL));
    transcript_absorb(&run->transcript, "key", digest, sizeof digest);
    transcript_absorb(&run->transcript, "publics", run->encoded_publics,
                      STARK_ELEMENT_BYTES * (1 + (size_t)run->key.public_count));
    transcript_absorb(&run->transcript, "interactions", claim->interactions,
                      claim->interactions_length);
    transcript_absorb(&run->transcript, "context", claim->context, claim->context_length);
    transcript_absorb(&run->transcript, "heights", heights, 4 * (1 + (size_t)tables));
    return STARK_VALID;
}

/* Steps 2 and 3. */
static enum stark_status read_buses(struct stark_run *run, const struct stark_claim *claim)
{
    struct transcript_stream stream;
    size_t elements = (size_t)KB31_EXTENSION * run->key.tables_with_buses;
    size_t bytes = STARK_DIGEST_BYTES + STARK_ELEMENT_BYTES * elements;
    const uint8_t *terminal;

    run->main_root = stark_take(&run->proof, STARK_DIGEST_BYTES);
    if (run->main_root == NULL) {
        return STARK_TRUNCATED;
    }
    transcript_absorb(&run->transcript, "main", run->main_root, STARK_DIGEST_BYTES);
    transcript_squeeze(&run->transcript, "logup", &stream);
    run->gamma = stark_challenge(&stream);
    for (uint32_t i = 0; i <= run->key.bus_width_max; i++) {
        run->alphas[i] = stark_challenge(&stream);
    }
    run->auxiliary_root = NULL;
    if (elements != 0) {
        run->auxiliary_root = stark_take(&run->proof, bytes);
        if (run->auxiliary_root == NULL) {
            return STARK_TRUNCATED;
        }
        terminal = run->auxiliary_root + STARK_DIGEST_BYTES;
        if (!stark_are_canonical(terminal, elements)) {
            return STARK_NOT_CANONICAL;
        }
        for (uint32_t i = 0; i < run->key.table_count; i++) {
            if (stark_has_buses(&run->key.tables[i])) {
                run->terminals[i] = stark_load_extension(terminal);
                terminal += STARK_EXTENSION_BYTES;
            }
        }
        transcript_absorb(&run->transcript, "auxiliary", run->auxiliary_root, bytes);
    }
    return stark_check_balance(run, claim->interactions);
}

/* Where the values of step 5 stand; how many they are. */
static void place_values(struct stark_run *run)
{
    size_t place = 0;

    for (uint32_t i = 0; i < run->key.table_count; i++) {
        const struct stark_verify_table *table = &run->key.tables[i];
        struct stark_places *places = &run->places[i];

        places->preprocessed = place;
        places->main = place + table->preprocessed.width + table->preprocessed.next_count;
        places->auxiliary = places->main + table->main.width + table->main.next_count;
        place = places->auxiliary;
        if (stark_has_buses(table)) {
            place += stark_auxiliary_width(table) + KB31_EXTENSION;
        }
    }
    run->quotient_place = place;
    run->value_count = place + STARK_QUOTIENT_WIDTH;
}

static enum stark_status read_values(struct stark_run *run)
{
    size_t bytes;
    const uint8_t *encoded;

    place_values(run);
    bytes = STARK_EXTENSION_BYTES * run->value_count;
    encoded = stark_take(&run->proof, bytes);
    if (encoded == NULL) {
        return STARK_TRUNCATED;
    }
    if (!stark_are_canonical(encoded, KB31_EXTENSION * run->value_count)) {
        return STARK_NOT_CANONICAL;
    }
    for (size_t i = 0; i < run->value_count; i++) {
        run->values[i] = stark_load_extension(encoded + STARK_EXTENSION_BYTES * i);
    }
    transcript_absorb(&run->transcript, "values", encoded, bytes);
    return STARK_VALID;
}

/* Steps 4 and 5. */
static enum stark_status check_constraints(struct stark_run *run)
{
    struct transcript_stream coefficients, point;

    run->quotient_root = stark_take(&run->proof, STARK_DIGEST_BYTES);
    if (run->quotient_root == NULL) {
        return STARK_TRUNCATED;
    }
    transcript_squeeze(&run->transcript, "constraints", &coefficients);
    transcript_absorb(&run->transcript, "quotient", run->quotient_root, STARK_DIGEST_BYTES);
    transcript_squeeze(&run->transcript, "point", &point);
    run->zeta = stark_challenge(&point);
    STARK_TRY(stark_check_point(run));
    STARK_TRY(read_values(run));
    return stark_check_identity(run, &coefficients);
}

/* Step 6: a coefficient for each value. */
static void draw_coefficients(struct stark_run *run)
{
    struct transcript_stream stream;

    transcript_squeeze(&run->transcript, "deep", &stream);
    for (size_t i = 0; i < run->value_count; i++) {
        run->coefficients[i] = stark_challenge(&stream);
    }
}

/* Step 8: positions, sorted as they are drawn; a position that is drawn twice is checked once. */
static void draw_positions(struct stark_run *run)
{
    struct transcript_stream stream;

    transcript_squeeze(&run->transcript, "queries", &stream);
    run->position_count = 0;
    for (uint32_t i = 0; i < run->key.queries; i++) {
        uint32_t drawn = transcript_index(&stream, run->height_log + STARK_BLOWUP_LOG);
        size_t place = run->position_count;

        while (place > 0 && run->positions[place - 1] > drawn) {
            place--;
        }
        if (place == 0 || run->positions[place - 1] != drawn) {
            memmove(run->positions + place + 1, run->positions + place,
                    (run->position_count - place) * sizeof *run->positions);
            run->positions[place] = drawn;
            run->position_count++;
        }
    }
}

enum stark_status stark_verify(const struct stark_claim *claim, void *memory, size_t memory_bytes)
{
    struct stark_run run;
    struct stark_arena arena = {memory, memory_bytes, 0};

    STARK_TRY(stark_key_read(&run.key, claim->key, claim->key_length));
    STARK_UNPOISON(memory, memory_bytes);
    give_memory(&run, &arena);
    if (arena.used > arena.size) {
        return STARK_NO_MEMORY;
    }
    STARK_TRY(stark_key_check(&run.key));
    STARK_TRY(read_claim(&run, claim));
    run.proof.at = claim->proof;
    run.proof.left = claim->proof_length;
    STARK_TRY(read_statement(&run, claim));
    STARK_TRY(read_buses(&run, claim));
    STARK_TRY(check_constraints(&run));
    draw_coefficients(&run);
    STARK_TRY(stark_read_layers(&run));
    draw_positions(&run);
    STARK_TRY(stark_open_codeword(&run));
    return stark_check_folds(&run);
}
