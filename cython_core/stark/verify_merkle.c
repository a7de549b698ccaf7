#include <string.h>

#include "hash/b3_many.h"
#include "hash/b3_stream.h"
#include "stark/verify_internal.h"
#include "stark/verify_merkle.h"
#include "transcript/proof_keys.h"

enum { PADDING_ELEMENTS = 16, NODE_MESSAGE_BYTES = 2 * STARK_DIGEST_BYTES };

/* Nodes of one level that lead to opened rows. */
struct level {
    const struct stark_commitment *commitment;
    b3_many_kernel kernel;
    uint32_t log;
    size_t count;
    uint32_t indices[STARK_QUERIES_MAX];
    uint8_t digests[STARK_QUERIES_MAX * STARK_DIGEST_BYTES];
    uint8_t messages[STARK_QUERIES_MAX * NODE_MESSAGE_BYTES];
};

size_t stark_shift_positions(const uint32_t *positions, size_t count, uint32_t shift,
                             uint32_t *shifted)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t position = positions[i] >> shift;

        if (kept == 0 || shifted[kept - 1] != position) {
            shifted[kept++] = position;
        }
    }
    return kept;
}

static enum stark_status read_rows(const struct stark_commitment *commitment,
                                   const uint32_t *positions, size_t position_count,
                                   uint32_t domain_log, struct stark_cursor *proof)
{
    uint32_t shifted[STARK_QUERIES_MAX];

    for (uint32_t i = 0; i < commitment->count; i++) {
        struct stark_matrix *matrix = &commitment->matrices[i];
        size_t rows = stark_shift_positions(positions, position_count, domain_log - matrix->log,
                                            shifted);
        size_t elements = rows * matrix->width;

        matrix->rows = stark_take(proof, STARK_ELEMENT_BYTES * elements);
        if (matrix->rows == NULL) {
            return STARK_TRUNCATED;
        }
        if (!stark_are_canonical(matrix->rows, elements)) {
            return STARK_NOT_CANONICAL;
        }
    }
    return STARK_VALID;
}

static int has_rows(const struct level *level)
{
    for (uint32_t i = 0; i < level->commitment->count; i++) {
        if (level->commitment->matrices[i].log == level->log) {
            return 1;
        }
    }
    return 0;
}

/* b3(K_row, R_l) of the opened row number `index` of all matrices of the level. */
static void hash_row(const struct level *level, size_t index, uint8_t digest[STARK_DIGEST_BYTES])
{
    static const uint8_t zeros[STARK_ELEMENT_BYTES * PADDING_ELEMENTS];
    struct b3_stream stream;

    b3_stream_start(&stream, PROOF_KEY_ROW);
    for (uint32_t i = 0; i < level->commitment->count; i++) {
        const struct stark_matrix *matrix = &level->commitment->matrices[i];
        size_t bytes = (size_t)STARK_ELEMENT_BYTES * matrix->width;

        if (matrix->log == level->log) {
            b3_stream_write(&stream, matrix->rows + index * bytes, bytes);
            b3_stream_write(&stream, zeros, (sizeof zeros - bytes % sizeof zeros) % sizeof zeros);
        }
    }
    b3_stream_digest(&stream, digest);
}

/* Puts the rows of the level under its nodes. */
static void inject_rows(struct level *level)
{
    if (!has_rows(level)) {
        return;
    }
    for (size_t i = 0; i < level->count; i++) {
        uint8_t *message = level->messages + NODE_MESSAGE_BYTES * i;

        memcpy(message, level->digests + STARK_DIGEST_BYTES * i, STARK_DIGEST_BYTES);
        hash_row(level, i, message + STARK_DIGEST_BYTES);
    }
    b3_many_contiguous(level->kernel, PROOF_KEY_INJECT, level->messages, level->digests,
                       level->count);
}

/* From a level to the one nearer to the root; siblings that nothing opened leads to are read. */
static enum stark_status climb(struct level *level, struct stark_cursor *proof)
{
    size_t parents = 0, i = 0;

    while (i < level->count) {
        uint32_t index = level->indices[i];
        const uint8_t *own = level->digests + STARK_DIGEST_BYTES * i++, *sibling;
        uint8_t *message = level->messages + NODE_MESSAGE_BYTES * parents;

        if (i < level->count && level->indices[i] == (index ^ 1)) {
            sibling = level->digests + STARK_DIGEST_BYTES * i++;
        } else {
            sibling = stark_take(proof, STARK_DIGEST_BYTES);
        }
        if (sibling == NULL) {
            return STARK_TRUNCATED;
        }
        memcpy(message + (index & 1) * STARK_DIGEST_BYTES, own, STARK_DIGEST_BYTES);
        memcpy(message + (~index & 1) * STARK_DIGEST_BYTES, sibling, STARK_DIGEST_BYTES);
        level->indices[parents++] = index >> 1;
    }
    level->count = parents;
    level->log--;
    b3_many_contiguous(level->kernel, PROOF_KEY_NODE, level->messages, level->digests, parents);
    return STARK_VALID;
}

enum stark_status stark_open(const struct stark_commitment *commitment, const uint32_t *positions,
                             size_t position_count, uint32_t domain_log,
                             struct stark_cursor *proof)
{
    struct level level = {.commitment = commitment};

    level.kernel = b3_kernel_by_id(b3_best_kernel());
    for (uint32_t i = 0; i < commitment->count; i++) {
        uint32_t log = commitment->matrices[i].log;
        level.log = log > level.log ? log : level.log;
    }
    STARK_TRY(read_rows(commitment, positions, position_count, domain_log, proof));
    level.count = stark_shift_positions(positions, position_count, domain_log - level.log,
                                        level.indices);
    for (size_t i = 0; i < level.count; i++) {
        hash_row(&level, i, level.digests + STARK_DIGEST_BYTES * i);
    }
    while (level.log > 0) {
        STARK_TRY(climb(&level, proof));
        inject_rows(&level);
    }
    return memcmp(level.digests, commitment->root, STARK_DIGEST_BYTES) == 0 ? STARK_VALID
                                                                           : STARK_BAD_OPENING;
}
