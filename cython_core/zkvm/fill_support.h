/* What the generated filling of the machine's chips is written with (zkvm/fill_code.py). */
#ifndef ZKVM_FILL_SUPPORT_H
#define ZKVM_FILL_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "field/kb31.h"
#include "zkvm/tally.h"

/* `count` rows of the machine into the cells of a Matrix with `height` rows. */
typedef void zk_filler(const uint32_t *row, size_t count, size_t height, uint32_t *cells,
                       zk_tally *tally);

typedef struct {
    const char *name;
    zk_filler *fill;
    uint32_t width, row_words;
} zk_chip;

extern const zk_chip zk_chips[];
extern const size_t zk_chip_count;

enum { ZK_PANEL = 16 };

/* A place outside is not counted: the row breaks a rule, which its proof will show. */
static inline void zk_count(uint32_t *counters, int64_t place)
{
    if (place >= 0 && place < ZK_FACTS) {
        counters[place]++;
    }
}

static inline int64_t zk_pair(int64_t low, int64_t high)
{
    return low >= 0 && low < 256 ? low + 256 * high : -1;
}

static inline int64_t zk_product_limb(int64_t a, int64_t b, int limb)
{
    return (int64_t)((uint64_t)a * (uint64_t)b >> 16 * limb & 0xffff);
}

static inline int64_t zk_quotient(int64_t a, int64_t b)
{
    return b == 0 ? 0xffffffff : a / b;
}

static inline int64_t zk_remainder(int64_t a, int64_t b)
{
    return b == 0 ? a : a % b;
}

static inline uint32_t zk_element(int64_t value)
{
    int64_t rest = value % (int64_t)KB31_P;
    return (uint32_t)(rest < 0 ? rest + KB31_P : rest);
}

enum { ZK_INVERSES = 1 << 16 };

/* Of 1 to 2^16 - 1, and 0 for 0; filled once, by zk_prepare. */
extern uint32_t zk_inverses[ZK_INVERSES];

/* p = (p / i) i + p mod i, so 1/i is -(p / i) / (p mod i). */
static inline void zk_prepare(void)
{
    zk_inverses[1] = 1;
    for (uint32_t i = 2; i < ZK_INVERSES; i++) {
        uint64_t rest = zk_inverses[KB31_P % i];
        zk_inverses[i] = (uint32_t)(KB31_P - KB31_P / i * rest % KB31_P);
    }
}

/* In the field, of a difference of limbs: a table is a tenth of what a power costs. */
static inline int64_t zk_inverse(int64_t value)
{
    int64_t size = value < 0 ? -value : value;
    int64_t inverse = size < ZK_INVERSES ? zk_inverses[size] : 0;

    return value < 0 ? -inverse : inverse;
}

/* a^(p - 2), p - 2 = 2^31 - 2^24 - 1: that is 0 for a = 0. */
static inline int64_t zk_field_inverse(int64_t value)
{
    uint32_t base = kb31_from_plain(zk_element(value)), power = kb31_from_plain(1);

    for (uint32_t bits = KB31_P - 2; bits != 0; bits >>= 1) {
        if (bits & 1) {
            power = kb31_mul(power, base);
        }
        base = kb31_mul(base, base);
    }
    return kb31_to_plain(power);
}

/* The columns of one row into their panels. Nearly all values are small and not negative. */
static inline void zk_store(const int64_t *column, uint32_t width, size_t height, size_t row,
                            uint32_t *cells)
{
    for (uint32_t first = 0; first < width; first += ZK_PANEL) {
        uint32_t *target = cells + (first / ZK_PANEL * height + row) * ZK_PANEL;
        uint32_t here = width - first < ZK_PANEL ? width - first : ZK_PANEL;
        for (uint32_t index = 0; index < here; index++) {
            int64_t value = column[first + index];
            uint32_t plain = (uint64_t)value < KB31_P ? (uint32_t)value : zk_element(value);
            target[index] = kb31_from_plain(plain);
        }
    }
}

#endif
