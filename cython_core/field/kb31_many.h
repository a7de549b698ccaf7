/* Arrays of elements, by one kernel per instruction set: how the lanes are tested and measured. */
#ifndef P2PSEQ_FIELD_KB31_MANY_H
#define P2PSEQ_FIELD_KB31_MANY_H

#include <stddef.h>
#include <stdint.h>

/* Each in canonical Montgomery form, `count` a multiple of 16; `to` may be `a` or `b`. */
typedef void (*kb31_many)(const uint32_t *a, const uint32_t *b, uint32_t *to, size_t count);

struct kb31_kernel {
    const char *name;
    kb31_many add;
    kb31_many sub;
    kb31_many mul;
};

/* "scalar", "avx2" or "avx512"; NULL for another name and for what this build or CPU lacks. */
const struct kb31_kernel *kb31_kernel_by_name(const char *name);

#endif
