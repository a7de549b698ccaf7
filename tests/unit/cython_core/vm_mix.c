/* A program with a bit of everything that compilers make of C: what it computes is compared between
 * the machine and user emulation. Included after a start that defines `guest`'s caller. */
#include <stdint.h>

void guest(uint32_t statement[8]);

static const uint8_t TABLE[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};
static int16_t halves[64];
static uint32_t words[64];
static int8_t bytes[64];

static uint32_t state = 12345;

static uint32_t next(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void sort(uint32_t *values, int count)
{
    for (int i = 1; i < count; i++) {
        uint32_t value = values[i];
        int j = i;
        for (; j > 0 && values[j - 1] > value; j--) {
            values[j] = values[j - 1];
        }
        values[j] = value;
    }
}

static uint32_t classify(uint32_t value)
{
    switch (value % 9) {
    case 0: return value / 3;
    case 1: return value * 7;
    case 2: return value >> 3;
    case 3: return (uint32_t)((int32_t)value >> 5);
    case 4: return value << 9;
    case 5: return (uint32_t)((int32_t)value / -11);
    case 6: return (uint32_t)((int32_t)value % 1000);
    case 7: return TABLE[value & 15];
    default: return ~value;
    }
}

static uint32_t depth(uint32_t n)
{
    return n < 2 ? n : depth(n - 1) + depth(n - 2);
}

void guest(uint32_t statement[8])
{
    uint64_t wide = 1;
    uint32_t (*const calls[2])(uint32_t) = {classify, depth};

    for (int i = 0; i < 64; i++) {
        words[i] = next();
        halves[i] = (int16_t)(words[i] >> 7);
        bytes[i] = (int8_t)(words[i] >> 3);
        wide = wide * (words[i] | 1) + (uint64_t)((int64_t)halves[i] * bytes[i]);
    }
    sort(words, 64);
    for (int i = 0; i < 8; i++) {
        statement[i] = words[8 * i] + classify(next());
    }
    statement[0] ^= (uint32_t)wide;
    statement[1] ^= (uint32_t)(wide >> 32);
    statement[2] += (uint32_t)(wide / 1000003);
    statement[3] += calls[state & 1](11) + calls[1](10);
    for (int i = 0; i < 64; i++) {
        statement[4] += (uint32_t)halves[i];
        statement[5] += (uint32_t)bytes[i] * (uint16_t)halves[63 - i];
        statement[6] = statement[6] < words[i] ? statement[6] - words[i] : statement[6] + 1;
        statement[7] += (int32_t)words[i] < halves[i];
    }
}
