/* Room of a run for the harnesses: memory, and the witness as the host that gives it. */
#ifndef TRANSITION_ROOM_H
#define TRANSITION_ROOM_H

#include "guest/transition.h"

enum { ROOM_LEAVES = 1 << 12, ROOM_WORDS = 1 << 16 };

static struct transition_room room;
static struct leaf_room room_leaves[ROOM_LEAVES];
static _Alignas(64) blake3_word room_words[ROOM_WORDS];

/* The room is zero: before the first run, or cleared by the caller. */
static int run_witness(const uint8_t *witness, size_t length, struct transition_result *result)
{
    struct host host = {.words = witness, .count = length / 4};
    room.leaves = room_leaves;
    room.words = room_words;
    room.capacity = ROOM_LEAVES;
    room.word_capacity = ROOM_WORDS;
    return transition(&host, &room, result);
}

#endif
