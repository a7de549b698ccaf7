#include "commitment/row_hash.h"

#include <string.h>

#include "field/kb31.h"
#include "field/kb31_cells.h"

static row_absorb_kernel absorb_kernel(enum isa_id isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case ISA_AVX512:
        return row_absorb_avx512;
    case ISA_AVX2:
        return row_absorb_avx2;
#endif
    default:
        return row_absorb_scalar;
    }
}

static row_digests_kernel digests_kernel(enum isa_id isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case ISA_AVX512:
        return row_digests_avx512;
    case ISA_AVX2:
        return row_digests_avx2;
#endif
    default:
        return row_digests_scalar;
    }
}

static size_t state_words(const struct row_hasher *hasher)
{
    return (1 + (size_t)hasher->depth) * hasher->plane;
}

int row_hasher_init(struct row_hasher *hasher, size_t rows, uint32_t blocks, int coset_log,
                    enum isa_id isa)
{
    uint32_t chunks = (blocks + ROW_CHUNK_BLOCKS - 1) / ROW_CHUNK_BLOCKS;

    hasher->rows = rows;
    hasher->groups = (rows + ROW_GROUP - 1) / ROW_GROUP;
    hasher->blocks = blocks;
    hasher->depth = 0;
    /* The most ones that the number of a chunk before the last can have, plus one. */
    while (chunks >> (hasher->depth + 1) != 0) {
        hasher->depth++;
    }
    hasher->coset_log = coset_log;
    hasher->isa = isa;
    hasher->plane = hasher->groups * ROW_GROUP_WORDS;
    hasher->state = kb31_cells_uncleared(state_words(hasher));
    return hasher->state != NULL ? 0 : -1;
}

void row_hasher_free(struct row_hasher *hasher)
{
    kb31_cells_free(hasher->state, hasher->state == NULL ? 0 : state_words(hasher));
    hasher->state = NULL;
}

/*
 * Some rows of a group. They are hashed in a group of their own, and only their lanes are copied
 * in and out: another thread may be at work on the group's other rows.
 */
static void absorb_part(const struct row_hasher *hasher, size_t first_row, size_t rows,
                        const uint32_t *panels, size_t stride, uint32_t first_block,
                        uint32_t blocks)
{
    uint32_t state[(1 + ROW_DEPTH_MAX) * ROW_GROUP_WORDS] = {0};
    uint32_t block[ROW_GROUP * KB31_PANEL] = {0};
    const size_t lane = first_row % ROW_GROUP;
    uint32_t *group_state = hasher->state + first_row / ROW_GROUP * ROW_GROUP_WORDS;
    struct row_hasher part = *hasher;

    part.state = state;
    part.plane = ROW_GROUP_WORDS;
    for (size_t word = 0; word < 8 * (1 + (size_t)hasher->depth); word++) {
        const uint32_t *from = group_state + word / 8 * hasher->plane + word % 8 * ROW_GROUP;
        memcpy(state + word * ROW_GROUP, from + lane, rows * sizeof *state);
    }
    for (uint32_t index = 0; index < blocks; index++) {
        memcpy(block, panels + index * stride, rows * KB31_PANEL * sizeof *block);
        absorb_kernel(hasher->isa)(&part, 0, 1, block, 0, first_block + index, 1);
    }
    for (size_t word = 0; word < 8 * (1 + (size_t)hasher->depth); word++) {
        uint32_t *to = group_state + word / 8 * hasher->plane + word % 8 * ROW_GROUP;
        memcpy(to + lane, state + word * ROW_GROUP, rows * sizeof *state);
    }
}

void row_hasher_absorb(const struct row_hasher *hasher, size_t first_row, size_t rows,
                       const uint32_t *panels, size_t stride, uint32_t first_block, uint32_t blocks)
{
    while (rows > 0) {
        size_t lane = first_row % ROW_GROUP, taken = rows - rows % ROW_GROUP;

        if (lane == 0 && taken > 0) {
            absorb_kernel(hasher->isa)(hasher, first_row / ROW_GROUP, taken / ROW_GROUP, panels,
                                       stride, first_block, blocks);
        } else {
            taken = ROW_GROUP - lane < rows ? ROW_GROUP - lane : rows;
            absorb_part(hasher, first_row, taken, panels, stride, first_block, blocks);
        }
        first_row += taken;
        rows -= taken;
        panels += taken * KB31_PANEL;
    }
}

static size_t bit_reverse(size_t index, uint32_t bits)
{
    size_t reverse = 0;

    for (; bits > 0; bits--) {
        reverse = reverse << 1 | (index & 1);
        index >>= 1;
    }
    return reverse;
}

static uint32_t log_of(size_t power)
{
    return (uint32_t)__builtin_ctzll(power);
}

/* The place of row c * n + r: the bits of c and those of r, each reversed (row_hash.h). */
static size_t position_of(const struct row_hasher *hasher, size_t row)
{
    size_t height;

    if (hasher->coset_log == ROW_ORDER_POSITIONS) {
        return row;
    }
    height = hasher->rows >> hasher->coset_log;
    return bit_reverse(row / height, (uint32_t)hasher->coset_log) * height +
           bit_reverse(row % height, log_of(height));
}

/* Group by group as they lie, wherever their rows belong. */
static void finish_in_order(const struct row_hasher *hasher, uint8_t *digests)
{
    uint8_t unused[32], *outputs[ROW_GROUP];

    for (size_t group = 0; group < hasher->groups; group++) {
        for (size_t lane = 0; lane < ROW_GROUP; lane++) {
            size_t row = group * ROW_GROUP + lane;
            outputs[lane] = row < hasher->rows ? digests + 32 * position_of(hasher, row) : unused;
        }
        digests_kernel(hasher->isa)(hasher->state + group * ROW_GROUP_WORDS, outputs);
    }
}

/*
 * Of a coset the 16 rows of a group go to 16 places far from one another, but group rev(t) has the
 * neighbours of group rev(t + 1): taken in that order, the digests are written in 16 streams.
 */
static void finish_coset(const struct row_hasher *hasher, size_t coset, uint8_t *digests)
{
    const size_t height = hasher->rows >> hasher->coset_log, groups = height / ROW_GROUP;
    const uint32_t *state = hasher->state + coset * groups * ROW_GROUP_WORDS;
    const uint32_t log = log_of(groups);
    uint8_t *outputs[ROW_GROUP];

    digests += 32 * height * bit_reverse(coset, (uint32_t)hasher->coset_log);
    for (size_t lane = 0; lane < ROW_GROUP; lane++) {
        outputs[lane] = digests + 32 * bit_reverse(lane, 4) * groups;
    }
    for (size_t turn = 0; turn < groups; turn++) {
        const uint32_t *soon = state + bit_reverse((turn + 4) % groups, log) * ROW_GROUP_WORDS;
        for (size_t line = 0; line < ROW_GROUP_WORDS; line += 16) {
            __builtin_prefetch(soon + line);
        }
        digests_kernel(hasher->isa)(state + bit_reverse(turn, log) * ROW_GROUP_WORDS, outputs);
        for (size_t lane = 0; lane < ROW_GROUP; lane++) {
            outputs[lane] += 32;
        }
    }
}

void row_hasher_finish(const struct row_hasher *hasher, uint8_t *digests)
{
    if (hasher->coset_log == ROW_ORDER_POSITIONS ||
        hasher->rows >> hasher->coset_log < ROW_GROUP) {
        finish_in_order(hasher, digests);
        return;
    }
    for (size_t coset = 0; coset < (size_t)1 << hasher->coset_log; coset++) {
        finish_coset(hasher, coset, digests);
    }
}
