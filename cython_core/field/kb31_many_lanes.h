#include <stddef.h>

#include "field/kb31_lanes.h"
#include "field/kb31_many.h"

KB_TARGET static void add_many(const uint32_t *a, const uint32_t *b, uint32_t *to, size_t count)
{
    for (size_t index = 0; index < count; index += KB_LANES) {
        kbv_store(to + index, kbv_add(kbv_load(a + index), kbv_load(b + index)));
    }
}

KB_TARGET static void sub_many(const uint32_t *a, const uint32_t *b, uint32_t *to, size_t count)
{
    for (size_t index = 0; index < count; index += KB_LANES) {
        kbv_store(to + index, kbv_sub(kbv_load(a + index), kbv_load(b + index)));
    }
}

KB_TARGET static void mul_many(const uint32_t *a, const uint32_t *b, uint32_t *to, size_t count)
{
    for (size_t index = 0; index < count; index += KB_LANES) {
        kbv_store(to + index, kbv_mul(kbv_load(a + index), kbv_load(b + index)));
    }
}
