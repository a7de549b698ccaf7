"""The C functions of ntt/ntt.h for extensions that link the files of ntt/sources.txt."""

from libc.stdint cimport uint32_t

cdef extern from "ntt/ntt.h":
    cdef struct ntt_plan:
        pass
    cdef struct ntt_kernel:
        pass
    enum:
        NTT_LOG_MAX
        NTT_BLOCK_LOG_MAX
    const ntt_plan *ntt_plan_get(uint32_t log) noexcept nogil
    const ntt_kernel *ntt_by_name(const char *name) noexcept nogil
    const ntt_kernel *ntt_best() noexcept nogil
    void ntt_inverse(const ntt_kernel *kernel, const ntt_plan *plan, const uint32_t *values,
                     uint32_t *coefficients) noexcept nogil
    void ntt_forward(const ntt_kernel *kernel, const ntt_plan *plan, const uint32_t *coefficients,
                     uint32_t shift, uint32_t *values) noexcept nogil
    void ntt_forward_blocks(const ntt_kernel *kernel, const ntt_plan *plan, size_t blocks,
                            const uint32_t *coefficients, uint32_t shift,
                            uint32_t *values) noexcept nogil
    void ntt_reverse_rows(const uint32_t *source, uint32_t log, uint32_t *target) noexcept nogil
