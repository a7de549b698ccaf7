/* Runs the transition program over a witness file and prints its five digests, or "error N".
 *
 *   run_transition FILE [MUTATIONS]
 *
 * With MUTATIONS, that many changed copies are run too, for the sanitizers: each in a block of
 * its own, so that reading past its end is seen. Prints how many of them were refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transition_room.h"

static void print_hex(const uint8_t *digest)
{
    for (int i = 0; i < 32; i++) {
        printf("%02x", digest[i]);
    }
    printf("\n");
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void clear_room(void)
{
    memset(&room, 0, sizeof room);
    memset(room_leaves, 0, sizeof room_leaves);
}

static int run_mutated(const uint8_t *witness, size_t length, uint32_t *chance)
{
    struct transition_result result;
    size_t kept = next_random(chance) % 8 == 0 ? next_random(chance) % length & ~(size_t)3 : length;
    uint8_t *copy = malloc(kept + 1);
    memcpy(copy, witness, kept);
    for (uint32_t i = next_random(chance) % 4; kept != 0 && i < 5; i++) {
        /* Half of the changes hit the head, where the counts and lengths are. */
        size_t range = next_random(chance) % 2 && kept > 24 ? 24 : kept;
        copy[next_random(chance) % range] = (uint8_t)next_random(chance);
    }
    clear_room();
    int error = run_witness(copy, kept, &result);
    free(copy);
    return error != LEDGER_OK;
}

int main(int argc, char **argv)
{
    static uint8_t witness[1 << 22];
    struct transition_result result;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        return 2;
    }
    size_t length = fread(witness, 1, sizeof witness, file);
    fclose(file);
    int error = run_witness(witness, length, &result);
    if (error != LEDGER_OK) {
        printf("error %d\n", error);
        return 1;
    }
    print_hex(result.statement);
    print_hex(result.pre_root);
    print_hex(result.post_root);
    print_hex(result.inputs_digest);
    print_hex(result.outputs_digest);
    int refused = 0;
    uint32_t chance = 2463534242u;
    int mutations = argc > 2 ? atoi(argv[2]) : 0;
    for (int i = 0; i < mutations; i++) {
        refused += run_mutated(witness, length, &chance);
    }
    printf("%d\n", refused);
    return 0;
}
