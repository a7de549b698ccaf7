#include <string.h>

#include "stark/verify_merkle.h"
#include "stark/verify_queries.h"

/* 1/2 in Montgomery form: one in Montgomery form is even. */
#define HALF (KB31_ONE / 2)

/* A layer on its way down: values in the domain of 2^log points, at ascending positions. */
struct layer {
    uint32_t log;
    size_t count;
    uint32_t positions[STARK_QUERIES_MAX];
    kb31x values[STARK_QUERIES_MAX];
};

/* How often a layer folds whose degree bound is 2^bound_log. */
static uint32_t fold_log_of(const struct stark_run *run, uint32_t bound_log)
{
    uint32_t rest = bound_log - run->key.final_log;

    return rest < run->key.fold_log ? rest : run->key.fold_log;
}

/* A nonce; without work to do it is zero, so that it has one spelling. */
static enum stark_status check_grinding(struct stark_run *run, const char *label, uint32_t bits,
                                        enum stark_status reason)
{
    const uint8_t *encoded = stark_take(&run->proof, 8);
    uint64_t nonce;

    if (encoded == NULL) {
        return STARK_TRUNCATED;
    }
    nonce = stark_load_u64(encoded);
    if (bits == 0 && nonce != 0) {
        return STARK_NOT_CANONICAL;
    }
    return transcript_check_grind(&run->transcript, label, bits, nonce) ? STARK_VALID : reason;
}

static enum stark_status read_final(struct stark_run *run)
{
    uint32_t final_log = run->key.final_log;
    size_t count, bytes;
    const uint8_t *encoded;

    run->final_log = final_log < run->height_log ? final_log : run->height_log;
    count = (size_t)1 << run->final_log;
    bytes = STARK_EXTENSION_BYTES * count;
    encoded = stark_take(&run->proof, bytes);
    if (encoded == NULL) {
        return STARK_TRUNCATED;
    }
    if (!stark_are_canonical(encoded, KB31_EXTENSION * count)) {
        return STARK_NOT_CANONICAL;
    }
    for (size_t i = 0; i < count; i++) {
        run->final[i] = stark_load_extension(encoded + STARK_EXTENSION_BYTES * i);
    }
    transcript_absorb(&run->transcript, "final", encoded, bytes);
    return check_grinding(run, "query grind", run->key.query_grinding, STARK_QUERY_GRINDING);
}

enum stark_status stark_read_layers(struct stark_run *run)
{
    uint32_t bound = run->height_log;
    struct transcript_stream stream;

    for (run->layer_count = 0; bound > run->key.final_log; run->layer_count++) {
        const uint8_t *root = stark_take(&run->proof, STARK_DIGEST_BYTES);

        if (root == NULL) {
            return STARK_TRUNCATED;
        }
        transcript_absorb(&run->transcript, "layer", root, STARK_DIGEST_BYTES);
        STARK_TRY(check_grinding(run, "layer grind", run->key.commit_grinding,
                                 STARK_LAYER_GRINDING));
        transcript_squeeze(&run->transcript, "fold", &stream);
        run->layer_roots[run->layer_count] = root;
        run->layer_betas[run->layer_count] = stark_challenge(&stream);
        bound -= fold_log_of(run, bound);
    }
    return read_final(run);
}

/*
 * Folds row `index` of a layer to one value. Positions 2i and 2i+1 of a domain of 2^log points hold
 * f(x) and f(-x) for x = g_log^rev(2i) = g_log^rev_{log-1}(i). The row's own part of the inverse of
 * x is the same for all pairs; the rest are powers of g_fold.
 */
static kb31x fold_row(kb31x values[1 << STARK_FOLD_LOG_MAX], uint32_t log, uint32_t index,
                      uint32_t fold, kb31x beta)
{
    uint32_t x = kb31_power(kb31_root(log), stark_reverse_bits(index, log - fold));
    uint32_t inverse = kb31_inverse(x);
    uint32_t small = kb31_inverse(kb31_root(fold));

    for (; fold != 0; fold--) {
        uint32_t pairs = 1u << (fold - 1);

        for (uint32_t i = 0; i < pairs; i++) {
            kb31x one = values[2 * i], other = values[2 * i + 1], odd;
            uint32_t twist = kb31_mul(inverse, kb31_power(small, stark_reverse_bits(i, fold - 1)));

            odd = kb31x_mul(beta, kb31x_scale(kb31x_sub(one, other), twist));
            values[i] = kb31x_scale(kb31x_add(kb31x_add(one, other), odd), HALF);
        }
        inverse = kb31_mul(inverse, inverse);
        small = kb31_mul(small, small);
        beta = kb31x_mul(beta, beta);
    }
    return values[0];
}

/* Rows hold what the layer before gave, at the places of its positions; then they are folded. */
static enum stark_status fold_layer(struct layer *layer, const struct stark_matrix *matrix,
                                    uint32_t fold, kb31x beta)
{
    const uint8_t *row = matrix->rows;
    size_t at = 0, folded = 0;

    while (at < layer->count) {
        kb31x values[1 << STARK_FOLD_LOG_MAX];
        uint32_t index = layer->positions[at] >> fold;

        for (uint32_t i = 0; i < 1u << fold; i++) {
            values[i] = stark_load_extension(row + (size_t)STARK_EXTENSION_BYTES * i);
        }
        for (; at < layer->count && layer->positions[at] >> fold == index; at++) {
            uint32_t place = layer->positions[at] & ((1u << fold) - 1);

            if (!kb31x_equal(values[place], layer->values[at])) {
                return STARK_BAD_FOLD;
            }
        }
        layer->positions[folded] = index;
        layer->values[folded++] = fold_row(values, layer->log, index, fold, beta);
        row += (size_t)STARK_ELEMENT_BYTES * matrix->width;
    }
    layer->count = folded;
    layer->log -= fold;
    return STARK_VALID;
}

static enum stark_status check_final(const struct stark_run *run, const struct layer *layer)
{
    for (size_t i = 0; i < layer->count; i++) {
        uint32_t x = kb31_power(kb31_root(layer->log),
                                stark_reverse_bits(layer->positions[i], layer->log));
        kb31x value = {{0}};

        for (size_t power = (size_t)1 << run->final_log; power-- > 0;) {
            value = kb31x_add(kb31x_scale(value, x), run->final[power]);
        }
        if (!kb31x_equal(value, layer->values[i])) {
            return STARK_BAD_FINAL;
        }
    }
    return STARK_VALID;
}

static enum stark_status open_layers(struct stark_run *run, struct stark_matrix *matrices)
{
    uint32_t bound = run->height_log, log = bound + STARK_BLOWUP_LOG;
    uint32_t positions[STARK_QUERIES_MAX];
    size_t count = run->position_count;

    memcpy(positions, run->positions, count * sizeof *positions);
    for (uint32_t i = 0; i < run->layer_count; i++) {
        uint32_t fold = fold_log_of(run, bound);
        struct stark_commitment commitment = {run->layer_roots[i], 1, &matrices[i]};

        matrices[i].log = log - fold;
        matrices[i].width = (uint32_t)KB31_EXTENSION << fold;
        STARK_TRY(stark_open(&commitment, positions, count, log, &run->proof));
        count = stark_shift_positions(positions, count, fold, positions);
        bound -= fold;
        log -= fold;
    }
    return run->proof.left == 0 ? STARK_VALID : STARK_TRAILING_BYTES;
}

enum stark_status stark_check_folds(struct stark_run *run)
{
    struct stark_matrix matrices[STARK_HEIGHT_LOG_MAX];
    struct layer layer;

    STARK_TRY(open_layers(run, matrices));
    layer.log = run->height_log + STARK_BLOWUP_LOG;
    layer.count = run->position_count;
    memcpy(layer.positions, run->positions, layer.count * sizeof *layer.positions);
    memcpy(layer.values, run->codeword, layer.count * sizeof *layer.values);
    for (uint32_t i = 0; i < run->layer_count; i++) {
        uint32_t fold = layer.log - matrices[i].log;

        STARK_TRY(fold_layer(&layer, &matrices[i], fold, run->layer_betas[i]));
    }
    return check_final(run, &layer);
}
