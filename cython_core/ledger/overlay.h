/* What the native node puts behind `struct ledger_access`: the leaves that a run touched, read
 * from the state tree once and changed here, so that a failing block leaves the tree alone and a
 * good one becomes one batched update. */
#ifndef LEDGER_OVERLAY_H
#define LEDGER_OVERLAY_H

#include <stddef.h>
#include <stdint.h>

#include "guest/ledger.h"
#include "guest/transition.h"

enum { LEAF_NAME = 33 }; /* kind, key */

/* Reads a leaf of the tree underneath: 1 and the value, or 0. */
typedef int (*overlay_read)(void *tree, const uint8_t path[32], uint8_t value[LEAF_VALUE]);

struct overlay {
    struct tree_slot *slots;
    uint8_t *names;
    uint32_t *table; /* slot + 1 by hash of the name; 0 is free */
    uint32_t *hints; /* slot of each access, in order; only while `is_recording` */
    size_t count;
    size_t capacity;
    size_t table_size; /* a power of two, at least twice the capacity */
    size_t hint_count;
    size_t hint_capacity;
    int is_recording;
    uint64_t seed[2]; /* secret of the process: users choose names, and would choose collisions */
    void *tree;
    overlay_read read;
};

/* Takes over no memory; everything else starts empty. */
void overlay_init(struct overlay *overlay, overlay_read read, void *tree, const uint64_t seed[2]);
void overlay_free(struct overlay *overlay);
/* Forgets all slots and hints, keeps the room. */
void overlay_clear(struct overlay *overlay);
/* Makes room for `leaves` more leaves and `accesses` more hints: slots then stay in place until
 * the next call. Returns 0, or -1 without memory (nothing changed). */
int overlay_reserve(struct overlay *overlay, size_t leaves, size_t accesses);
/* The `find` of `struct ledger_access`; the owner is a struct overlay. */
struct tree_slot *overlay_find(void *owner, uint8_t kind, const uint8_t key[32]);
/* Its `find_party`: finds and records nothing. */
struct tree_slot *overlay_find_party(void *owner, uint8_t kind, const uint8_t key[32]);
/* Whether the run changed the leaf. */
int overlay_is_changed(const struct tree_slot *slot);
/* Upper bounds of what one block can touch, from its sizes. */
size_t overlay_leaves_of(size_t records_length, uint32_t transactions);
size_t overlay_accesses_of(size_t records_length, uint32_t transactions);

#endif
