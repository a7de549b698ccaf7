#include "transcript/grind.h"

#include "transcript/transcript.h"

int grind_search(enum isa_id isa, const uint8_t state[32], uint32_t bits, uint64_t start,
                 uint64_t count, uint64_t *nonce)
{
    switch (isa) {
#if defined(__x86_64__)
    case ISA_AVX512:
        return grind_search_avx512(state, bits, start, count, nonce);
    case ISA_AVX2:
        return grind_search_avx2(state, bits, start, count, nonce);
#endif
    default:
        return grind_search_scalar(state, bits, start, count, nonce);
    }
}
