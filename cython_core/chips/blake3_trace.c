#include "chips/blake3_trace.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "field/kb31.h"
#include "guest/blake3.h"

enum {
    LANES = 4,
    /* Kinds of words in the order of their columns. */
    D_MIDDLE = 0,
    B_MIDDLE = 1,
    D_OUT = 2,
    B_OUT = 3,
    WORD_KINDS = 4,
    BIT_PANELS = 32,
    CARRY_PANEL = 32,
    MESSAGE_PANEL = 34,
    CV_PANEL = 36,
    LAST_PANEL = 37,
    HASH_LIMBS = 8,
    /* Kinds of carries in the order of their columns. */
    A_MIDDLE = 0,
    C_MIDDLE = 1,
    A_OUT = 2,
    C_OUT = 3,
    FINISHING_ROW = 14,
    CLOSING_ROW = 15,
};

static const uint8_t PERMUTATION[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};

/* The words of one row whose bits are columns. */
struct words {
    uint32_t at[WORD_KINDS][LANES];
};

static uint32_t rotate_right(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32 - bits);
}

static uint32_t rotate_left(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* The words that follow from the bits of a row: see the chip. */
static uint32_t a_out(const struct words *row, unsigned lane)
{
    return row->at[D_MIDDLE][lane] ^ rotate_left(row->at[D_OUT][lane], 8);
}

static uint32_t c_out(const struct words *row, unsigned lane)
{
    return row->at[B_MIDDLE][lane] ^ rotate_left(row->at[B_OUT][lane], 7);
}

/* Inputs of the row after `row`, which has number `number`. */
static void take_inputs(const struct words *row, unsigned number, uint32_t a[LANES],
                        uint32_t b[LANES], uint32_t c[LANES], uint32_t d[LANES])
{
    unsigned b_step = number % 2 ? 1 : 3, d_step = number % 2 ? 3 : 1;

    for (unsigned lane = 0; lane < LANES; lane++) {
        a[lane] = a_out(row, lane);
        b[lane] = row->at[B_OUT][(lane + b_step) % LANES];
        c[lane] = number == 0 ? BLAKE3_IV[lane] : c_out(row, (lane + 2) % LANES);
        d[lane] = row->at[D_OUT][(lane + d_step) % LANES];
    }
}

static void set_up(const struct blake3_request *request, struct words *row)
{
    const uint32_t last_words[LANES] = {0, 0, BLAKE3_BLOCK_BYTES, request->flags};

    for (unsigned lane = 0; lane < LANES; lane++) {
        row->at[B_OUT][(lane + 3) % LANES] = request->cv[4 + lane];
        row->at[D_OUT][(lane + 1) % LANES] = last_words[lane];
        row->at[B_MIDDLE][lane] = request->message[lane];
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        row->at[D_MIDDLE][lane] = request->cv[lane] ^ rotate_left(row->at[D_OUT][lane], 8);
    }
}

/* The half round of row `number` + 1, reading places 0 to 7 of the message in that row. */
static void half_round(const struct words *row, unsigned number, const uint32_t places[8],
                       struct words *after)
{
    uint32_t a[LANES], b[LANES], c[LANES], d[LANES];

    take_inputs(row, number, a, b, c, d);
    for (unsigned lane = 0; lane < LANES; lane++) {
        uint32_t sum = a[lane] + b[lane] + places[2 * lane];
        uint32_t d_middle = rotate_right(d[lane] ^ sum, 16);
        uint32_t c_middle = c[lane] + d_middle;
        uint32_t b_middle = rotate_right(b[lane] ^ c_middle, 12);

        sum += b_middle + places[2 * lane + 1];
        after->at[D_MIDDLE][lane] = d_middle;
        after->at[B_MIDDLE][lane] = b_middle;
        after->at[D_OUT][lane] = rotate_right(d_middle ^ sum, 8);
        after->at[B_OUT][lane] = rotate_right(b_middle ^ (c_middle + after->at[D_OUT][lane]), 7);
    }
}

/* places[row]: the message as row `row` has it, rows 1 to 14. */
static void arrange_message(const uint32_t message[16], uint32_t places[BLAKE3_TRACE_ROWS][16])
{
    memcpy(places[1], message, sizeof places[1]);
    for (unsigned row = 1; row < FINISHING_ROW; row++) {
        for (unsigned place = 0; place < 16; place++) {
            unsigned from = row % 2 ? place : PERMUTATION[place];
            places[row + 1][place] = places[row][(from + 8) % 16];
        }
    }
}

static void compute_rows(const struct blake3_request *request,
                         uint32_t places[BLAKE3_TRACE_ROWS][16],
                         struct words rows[BLAKE3_TRACE_ROWS])
{
    struct words *closing = &rows[CLOSING_ROW];

    arrange_message(request->message, places);
    set_up(request, &rows[0]);
    for (unsigned row = 0; row < FINISHING_ROW; row++) {
        half_round(&rows[row], row, places[row + 1], &rows[row + 1]);
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        closing->at[D_MIDDLE][lane] = a_out(&rows[FINISHING_ROW], lane);
        closing->at[B_MIDDLE][lane] = request->message[4 + lane];
        closing->at[D_OUT][lane] = request->message[8 + lane];
        closing->at[B_OUT][lane] = request->message[12 + lane];
    }
}

/* An integer of small magnitude as an element. */
static uint32_t element(int64_t value)
{
    return kb31_from_plain((uint32_t)(value < 0 ? value + KB31_P : value));
}

/* The carry that makes an addition right whatever its terms are: difference / 2^16 in the field. */
static uint32_t free_carry(int64_t difference)
{
    int64_t shifted = difference * 65536 % (int64_t)KB31_P;
    return (uint32_t)(shifted < 0 ? shifted + KB31_P : shifted);
}

struct limbs {
    int64_t low, high;
};

static struct limbs limbs_of(uint32_t word)
{
    struct limbs limbs = {word & 0xffff, word >> 16};
    return limbs;
}

/* Carries of a sum of two or three words, as elements. */
static void true_carries(uint32_t x, uint32_t y, uint32_t z, uint32_t *cells)
{
    uint32_t low = (x & 0xffff) + (y & 0xffff) + (z & 0xffff);
    uint32_t high = (x >> 16) + (y >> 16) + (z >> 16) + (low >> 16);

    cells[0] = kb31_from_plain(low >> 16);
    cells[1] = kb31_from_plain(high >> 16);
}

static uint32_t *carry_cells(uint32_t *cells, size_t height, size_t row, unsigned kind,
                             unsigned lane)
{
    unsigned column = 8 * kind + 2 * lane;
    return cells + ((CARRY_PANEL + column / 16) * height + row) * KB31_PANEL + column % 16;
}

static uint32_t *message_cells(uint32_t *cells, size_t height, size_t row, unsigned word)
{
    unsigned column = 2 * word;
    return cells + ((MESSAGE_PANEL + column / 16) * height + row) * KB31_PANEL + column % 16;
}

/* Carries of a half round: row `number` + 1 of the block, row `row` of the table. */
static void write_carries(const struct words *before, unsigned number, const struct words *after,
                          const uint32_t places[8], uint32_t *cells, size_t height, size_t row)
{
    uint32_t a[LANES], b[LANES], c[LANES], d[LANES];

    take_inputs(before, number, a, b, c, d);
    for (unsigned lane = 0; lane < LANES; lane++) {
        uint32_t d_middle = after->at[D_MIDDLE][lane], b_middle = after->at[B_MIDDLE][lane];
        uint32_t a_middle = d[lane] ^ rotate_left(d_middle, 16);
        uint32_t c_middle = b[lane] ^ rotate_left(b_middle, 12);
        uint32_t x = places[2 * lane], y = places[2 * lane + 1];

        true_carries(a[lane], b[lane], x, carry_cells(cells, height, row, A_MIDDLE, lane));
        true_carries(c[lane], d_middle, 0, carry_cells(cells, height, row, C_MIDDLE, lane));
        true_carries(a_middle, b_middle, y, carry_cells(cells, height, row, A_OUT, lane));
        true_carries(c_middle, after->at[D_OUT][lane], 0,
                     carry_cells(cells, height, row, C_OUT, lane));
    }
}

/* x, with `known` + x = total, limb by limb. */
static void free_message(uint32_t known_1, uint32_t known_2, uint32_t total, uint32_t *cells)
{
    struct limbs first = limbs_of(known_1), second = limbs_of(known_2), sum = limbs_of(total);

    cells[0] = element(sum.low - first.low - second.low);
    cells[1] = element(sum.high - first.high - second.high);
}

/* The low carry enters the high limb: as the integer difference over 2^16, exactly in the field. */
static void free_carries(uint32_t known_1, uint32_t known_2, uint32_t total, uint32_t *cells)
{
    struct limbs first = limbs_of(known_1), second = limbs_of(known_2), sum = limbs_of(total);
    uint32_t inverse = free_carry(1);
    uint32_t low = free_carry(first.low + second.low - sum.low);
    uint32_t high = kb31_add(element(first.high + second.high - sum.high), low);

    cells[0] = low;
    cells[1] = kb31_mul(high, inverse);
}

/* The cells that make the additions right in a row that is no half round. */
static void write_free_cells(const struct words *before, unsigned number, const struct words *after,
                             uint32_t *cells, size_t height, size_t row)
{
    uint32_t a[LANES], b[LANES], c[LANES], d[LANES];

    take_inputs(before, number, a, b, c, d);
    for (unsigned word = 0; word < 16; word++) {
        memset(message_cells(cells, height, row, word), 0, 2 * sizeof *cells);
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        uint32_t d_middle = after->at[D_MIDDLE][lane], b_middle = after->at[B_MIDDLE][lane];
        uint32_t a_middle = d[lane] ^ rotate_left(d_middle, 16);
        uint32_t c_middle = b[lane] ^ rotate_left(b_middle, 12);

        memset(carry_cells(cells, height, row, A_MIDDLE, lane), 0, 2 * sizeof *cells);
        memset(carry_cells(cells, height, row, A_OUT, lane), 0, 2 * sizeof *cells);
        free_message(a[lane], b[lane], a_middle, message_cells(cells, height, row, 2 * lane));
        free_message(a_middle, b_middle, a_out(after, lane),
                     message_cells(cells, height, row, 2 * lane + 1));
        free_carries(c[lane], d_middle, c_middle, carry_cells(cells, height, row, C_MIDDLE, lane));
        free_carries(c_middle, after->at[D_OUT][lane], c_out(after, lane),
                     carry_cells(cells, height, row, C_OUT, lane));
    }
}

static void write_limbs(uint32_t word, uint32_t *cells)
{
    cells[0] = kb31_from_plain(word & 0xffff);
    cells[1] = kb31_from_plain(word >> 16);
}

/* Eight bits as eight elements, for each byte. */
struct bit_table {
    _Alignas(32) uint32_t bits[256][8];
};

static void make_bit_table(struct bit_table *table)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            table->bits[byte][bit] = byte >> bit & 1 ? KB31_ONE : 0;
        }
    }
}

/* A cache line, past the cache where that is possible: the trace is much larger than it. */
static void write_line(uint32_t to[16], const uint32_t low[8], const uint32_t high[8])
{
#if defined(__SSE2__)
    for (unsigned part = 0; part < 8; part += 4) {
        _mm_stream_si128((__m128i *)(to + part), _mm_load_si128((const __m128i *)(low + part)));
        _mm_stream_si128((__m128i *)(to + 8 + part),
                         _mm_load_si128((const __m128i *)(high + part)));
    }
#else
    memcpy(to, low, 8 * sizeof *to);
    memcpy(to + 8, high, 8 * sizeof *to);
#endif
}

static void write_bits(const struct bit_table *table, const struct words *rows, uint32_t *cells,
                       size_t height, size_t first_row)
{
    for (unsigned panel = 0; panel < BIT_PANELS; panel++) {
        uint32_t *to = cells + (panel * height + first_row) * KB31_PANEL;
        unsigned kind = panel / 8, lane = panel / 2 % LANES, shift = panel % 2 * 16;

        for (unsigned row = 0; row < BLAKE3_TRACE_ROWS; row++, to += KB31_PANEL) {
            uint32_t limb = rows[row].at[kind][lane] >> shift;
            write_line(to, table->bits[limb & 0xff], table->bits[limb >> 8 & 0xff]);
        }
    }
}

static void write_message(uint32_t places[BLAKE3_TRACE_ROWS][16], uint32_t *cells, size_t height,
                          size_t first_row)
{
    for (unsigned row = 1; row <= FINISHING_ROW; row++) {
        for (unsigned word = 0; word < 16; word++) {
            write_limbs(places[row][word], message_cells(cells, height, first_row + row, word));
        }
    }
}

/* The panels of cv and of a ^ c, flags and multiplicity. The last row's a ^ c is left out. */
static void write_edges(const struct blake3_request *request, const struct words *rows,
                        uint32_t *cells, size_t height, size_t first_row)
{
    uint32_t cv[KB31_PANEL], last[KB31_PANEL] = {0};

    for (unsigned word = 0; word < 8; word++) {
        write_limbs(request->cv[word], cv + 2 * word);
    }
    last[HASH_LIMBS] = kb31_from_plain(request->flags);
    last[HASH_LIMBS + 1] = kb31_from_plain(request->multiplicity);
    for (unsigned row = 0; row < BLAKE3_TRACE_ROWS; row++) {
        size_t at = first_row + row;

        for (unsigned lane = 0; lane < LANES && row < CLOSING_ROW; lane++) {
            uint32_t c = c_out(&rows[row], (lane + 2) % LANES);
            write_limbs(c ^ rows[row + 1].at[D_MIDDLE][lane], last + 2 * lane);
        }
        memcpy(cells + (CV_PANEL * height + at) * KB31_PANEL, cv, sizeof cv);
        memcpy(cells + (LAST_PANEL * height + at) * KB31_PANEL, last, sizeof last);
    }
}

/* What two rows that follow each other, the last of a block and the first, have between them. */
static void write_border(const struct words *closing, const struct words *opening, uint32_t *cells,
                         size_t height, size_t closing_row, size_t opening_row)
{
    uint32_t *a_xor_c = cells + (LAST_PANEL * height + closing_row) * KB31_PANEL;

    for (unsigned lane = 0; lane < LANES; lane++) {
        write_limbs(c_out(closing, (lane + 2) % LANES) ^ opening->at[D_MIDDLE][lane],
                    a_xor_c + 2 * lane);
    }
    write_free_cells(closing, CLOSING_ROW, opening, cells, height, opening_row);
}

void blake3_trace_fill(const struct blake3_request *requests, size_t count, size_t blocks,
                       uint32_t *cells)
{
    static const struct blake3_request nobody = {.flags = BLAKE3_SINGLE_KEYED_FLAGS};
    size_t height = blocks * BLAKE3_TRACE_ROWS;
    uint32_t places[BLAKE3_TRACE_ROWS][16];
    struct words rows[BLAKE3_TRACE_ROWS], first_opening, closing;
    struct bit_table table;

    make_bit_table(&table);
    for (size_t block = 0; block < blocks; block++) {
        const struct blake3_request *request = block < count ? &requests[block] : &nobody;
        size_t start = block * BLAKE3_TRACE_ROWS;

        compute_rows(request, places, rows);
        write_bits(&table, rows, cells, height, start);
        write_message(places, cells, height, start);
        for (unsigned row = 0; row < FINISHING_ROW; row++) {
            write_carries(&rows[row], row, &rows[row + 1], places[row + 1], cells, height,
                          start + row + 1);
        }
        write_free_cells(&rows[FINISHING_ROW], FINISHING_ROW, &rows[CLOSING_ROW], cells, height,
                         start + CLOSING_ROW);
        write_edges(request, rows, cells, height, start);
        if (block == 0) {
            first_opening = rows[0];
        } else {
            write_border(&closing, &rows[0], cells, height, start - 1, start);
        }
        closing = rows[CLOSING_ROW];
    }
    write_border(&closing, &first_opening, cells, height, height - 1, 0);
#if defined(__SSE2__)
    /* Lines written past the cache are in order for other threads only after this. */
    _mm_sfence();
#endif
}
