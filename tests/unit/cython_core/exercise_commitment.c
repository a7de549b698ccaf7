/*
 * Runs the C code of commitments, transcript and FRI on buffers that are exactly as large as they
 * must be, under sanitizers, and compares each kernel with something simpler. Prints the number of
 * comparisons; exits with 1 at the first difference.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commitment/row_hash.h"
#include "commitment/tree.h"
#include "fri/fold.h"
#include "transcript/proof_keys.h"
#include "transcript/transcript.h"

static uint64_t random_state;
static unsigned long comparisons;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 32) * limit >> 32);
}

static void *allocate(size_t size)
{
    void *bytes = malloc(size);
    if (bytes == NULL) {
        exit(2);
    }
    return bytes;
}

static uint32_t *random_cells(size_t count)
{
    uint32_t *cells = allocate(count * sizeof *cells);
    for (size_t i = 0; i < count; i++) {
        cells[i] = random_below(8) == 0 ? KB31_P - 1 : random_below(KB31_P);
    }
    return cells;
}

static void expect(int is_equal, const char *what)
{
    comparisons++;
    if (!is_equal) {
        fprintf(stderr, "%s differs\n", what);
        exit(1);
    }
}

static enum isa_id random_isa(void)
{
    enum isa_id isa = (enum isa_id)random_below(ISA_COUNT);
    return isa_is_available(isa) ? isa : ISA_SCALAR;
}

/* Panels of `rows` rows, one after the other; the parts of them that a thread absorbs. */
struct task {
    const struct row_hasher *hasher;
    const uint32_t *panels;
    size_t first, rows;
};

static void *absorb(void *argument)
{
    const struct task *task = argument;
    const size_t stride = task->hasher->rows * KB31_PANEL;
    uint32_t block = 0, taken;

    for (; block < task->hasher->blocks; block += taken) {
        taken = 1 + block % 3;
        if (taken > task->hasher->blocks - block) {
            taken = task->hasher->blocks - block;
        }
        row_hasher_absorb(task->hasher, task->first, task->rows,
                          task->panels + block * stride + task->first * KB31_PANEL, stride, block,
                          taken);
    }
    return NULL;
}

static void hash_row(const uint32_t *panels, size_t rows, size_t row, uint32_t blocks,
                     uint8_t digest[32])
{
    struct b3_stream stream;

    b3_stream_start(&stream, PROOF_KEY_ROW);
    for (uint32_t block = 0; block < blocks; block++) {
        for (size_t lane = 0; lane < KB31_PANEL; lane++) {
            uint32_t plain = kb31_to_plain(panels[(block * rows + row) * KB31_PANEL + lane]);
            b3_stream_write(&stream, &plain, sizeof plain);
        }
    }
    b3_stream_digest(&stream, digest);
}

static void exercise_rows(void)
{
    const size_t rows = 1 + random_below(70);
    const uint32_t blocks = 1 + random_below(random_below(4) == 0 ? 70 : 20);
    uint32_t *panels = random_cells(rows * blocks * KB31_PANEL);
    uint8_t *digests = allocate(32 * rows), digest[32];
    const size_t cut = random_below((uint32_t)rows + 1);
    struct row_hasher hasher;
    struct task tasks[2] = {{&hasher, panels, 0, cut}, {&hasher, panels, cut, rows - cut}};
    pthread_t thread;

    if (row_hasher_init(&hasher, rows, blocks, ROW_ORDER_POSITIONS, random_isa()) != 0 ||
        pthread_create(&thread, NULL, absorb, &tasks[0]) != 0) {
        exit(2);
    }
    absorb(&tasks[1]);
    (void)pthread_join(thread, NULL);
    row_hasher_finish(&hasher, digests);
    for (size_t row = 0; row < rows; row++) {
        hash_row(panels, rows, row, blocks, digest);
        expect(memcmp(digest, digests + 32 * row, 32) == 0, "a row's digest");
    }
    row_hasher_free(&hasher);
    free(panels);
    free(digests);
}

static void exercise_cosets(void)
{
    const uint32_t log = random_below(9), coset_log = random_below(log + 1);
    const size_t rows = (size_t)1 << log, height = rows >> coset_log;
    uint32_t *panel = random_cells(rows * KB31_PANEL);
    uint8_t *nodes = allocate(64 * rows), *digests = nodes + 32 * rows, digest[32];
    struct row_hasher hasher;

    if (row_hasher_init(&hasher, rows, 1, (int)coset_log, random_isa()) != 0) {
        exit(2);
    }
    row_hasher_absorb(&hasher, 0, rows, panel, 0, 0, 1);
    row_hasher_finish(&hasher, digests);
    for (size_t row = 0; row < rows; row++) {
        size_t exponent = row / height + (row % height << coset_log);
        hash_row(panel, rows, row, 1, digest);
        expect(memcmp(digest, digests + 32 * fri_reverse(exponent, log), 32) == 0, "a position");
    }
    /* The levels above, with any digests injected: those of the rows serve. */
    for (uint32_t level = log; level-- > 0;) {
        b3_many_kernel kernel = b3_kernel_by_id((enum b3_kernel_id)random_isa());
        tree_hash_level(kernel, nodes, level);
        tree_inject_level(b3_many_scalar, nodes, level, digests);
    }
    row_hasher_free(&hasher);
    free(panel);
    free(nodes);
}

static void exercise_folds(void)
{
    const uint32_t fold_log = 1 + random_below(FRI_FOLD_LOG_MAX);
    const uint32_t log = fold_log + random_below(8);
    const uint32_t next = random_below((log - fold_log < 4 ? log - fold_log : 4) + 1);
    const size_t height = (size_t)1 << (log - fold_log), next_height = height >> next;
    const size_t panels = ((KB31_EXTENSION << fold_log) + KB31_PANEL - 1) / KB31_PANEL;
    const size_t next_panels = ((KB31_EXTENSION << next) + KB31_PANEL - 1) / KB31_PANEL;
    const size_t size = next_panels * next_height * KB31_PANEL;
    struct fri_layer from = {random_cells(panels * height * KB31_PANEL), height, fold_log};
    struct fri_layer one = {random_cells(size), next_height, next};
    struct fri_layer other = {allocate(size * sizeof *other.cells), next_height, next};
    struct fri_fold_plan plan;
    kb31x challenge;

    memcpy(other.cells, one.cells, size * sizeof *other.cells);
    for (int i = 0; i < KB31_EXTENSION; i++) {
        challenge.c[i] = random_below(KB31_P);
    }
    fri_fold_plan_init(&plan, log, fold_log, challenge);
    fri_fold(random_isa(), &plan, &from, 0, height, &one);
    /* The other one in two parts, where they are large enough. */
    if (height > 16) {
        fri_fold(random_isa(), &plan, &from, height / 2, height / 2, &other);
        fri_fold(random_isa(), &plan, &from, 0, height / 2, &other);
    } else {
        fri_fold(ISA_SCALAR, &plan, &from, 0, height, &other);
    }
    expect(memcmp(one.cells, other.cells, size * sizeof *one.cells) == 0, "a fold");
    if (next == 0) {
        fri_regroup(&one, 0, next_height, &other);
        fri_interpolate(&one, log - fold_log);
    }
    free(from.cells);
    free(one.cells);
    free(other.cells);
}

static void exercise_transcript(void)
{
    struct transcript transcript;
    struct transcript_stream stream;
    const size_t length = 1 + random_below(3000);
    uint8_t *message = allocate(length);
    uint64_t nonce = 0;

    memset(message, 7, length);
    transcript_start(&transcript);
    transcript_absorb(&transcript, "a label of 24 characters", message, length);
    transcript_squeeze(&transcript, "x", &stream);
    for (int i = 0; i < 40; i++) {
        expect(transcript_element(&stream) < KB31_P, "an element");
        expect(transcript_index(&stream, 5) < 32, "an index");
    }
    expect(grind_search(random_isa(), transcript.state, 5, 0, 100000, &nonce), "the work");
    for (uint64_t earlier = 0; earlier < nonce; earlier++) {
        expect(!transcript_check_grind(&transcript, "g", 5, earlier), "an earlier nonce");
    }
    expect(transcript_check_grind(&transcript, "g", 5, nonce), "the nonce");
    free(message);
}

int main(int count, char **arguments)
{
    if (count != 3) {
        return 2;
    }
    random_state = strtoull(arguments[1], NULL, 10);
    for (int round = atoi(arguments[2]); round > 0; round--) {
        exercise_rows();
        exercise_cosets();
        exercise_folds();
        exercise_transcript();
    }
    printf("%lu\n", comparisons);
    return 0;
}
