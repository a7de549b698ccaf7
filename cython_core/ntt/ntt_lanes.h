#include <stddef.h>

#include "field/kb31_lanes.h"
#include "ntt/ntt_internal.h"

KB_TARGET static void inverse(const struct ntt_plan *plan, uint32_t *panel)
{
    size_t height = (size_t)1 << plan->log, m, block, j, lane;

    for (m = height >> 1; m != 0; m >>= 1) {
        for (block = 0; block < height; block += 2 * m) {
            for (j = 0; j < m; j++) {
                uint32_t *low = panel + (block + j) * KB31_PANEL, *high = low + m * KB31_PANEL;
                kbv twiddle = kbv_set1(plan->inverse_roots[m + j]);
                for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
                    kbv a = kbv_load(low + lane), b = kbv_load(high + lane);
                    kbv_store(low + lane, kbv_add(a, b));
                    kbv_store(high + lane, kbv_mul(kbv_sub(a, b), twiddle));
                }
            }
        }
    }
    kbv factor = kbv_set1(plan->inverse_height);
    for (j = 0; j < height * KB31_PANEL; j += KB_LANES) {
        kbv_store(panel + j, kbv_mul(kbv_load(panel + j), factor));
    }
}

KB_TARGET static void forward(const struct ntt_plan *plan, uint32_t shift, uint32_t *panel)
{
    size_t height = (size_t)1 << plan->log, m, block, j, lane;

    for (m = 1; m < height; m <<= 1) {
        uint32_t factor = kb31_power(shift, height / (2 * m));
        for (block = 0; block < height; block += 2 * m) {
            for (j = 0; j < m; j++) {
                uint32_t *low = panel + (block + j) * KB31_PANEL, *high = low + m * KB31_PANEL;
                kbv twiddle = kbv_set1(kb31_mul(plan->roots[m + j], factor));
                for (lane = 0; lane < KB31_PANEL; lane += KB_LANES) {
                    kbv a = kbv_load(low + lane);
                    kbv b = kbv_mul(kbv_load(high + lane), twiddle);
                    kbv_store(low + lane, kbv_add(a, b));
                    kbv_store(high + lane, kbv_sub(a, b));
                }
            }
        }
    }
}
