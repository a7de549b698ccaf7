# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the transforms: heights and kernels are checked here, once."""

from libc.stdint cimport uint32_t

from cython_core.field._matrix cimport Matrix
from cython_core.ntt.ntt cimport (
    NTT_BLOCK_LOG_MAX,
    NTT_LOG_MAX,
    ntt_best,
    ntt_by_name,
    ntt_forward,
    ntt_forward_blocks,
    ntt_inverse,
    ntt_kernel,
    ntt_plan,
    ntt_plan_get,
    ntt_reverse_rows,
)

cdef extern from "field/kb31.h":
    const uint32_t KB31_P
    uint32_t kb31_from_plain(uint32_t value) noexcept nogil

cdef tuple KERNELS = ("scalar", "avx2", "avx512", "avx512ifma")


cdef const ntt_kernel *kernel_of(str name) except NULL:
    cdef const ntt_kernel *kernel
    if name == "auto":
        return ntt_best()
    if name not in KERNELS:
        raise ValueError(f"there is no kernel {name!r}")
    kernel = ntt_by_name(name.encode())
    if kernel == NULL:
        raise ValueError(f"this CPU does not run the kernel {name!r}")
    return kernel


cdef uint32_t log_of(Matrix matrix) except? 0xffffffff:
    cdef uint32_t log = 0
    while <Py_ssize_t>1 << log < matrix.height and log < NTT_LOG_MAX:
        log += 1
    if <Py_ssize_t>1 << log != matrix.height:
        raise ValueError(f"{matrix.height} is not a power of two of at most 2^{NTT_LOG_MAX}")
    return log


cdef const ntt_plan *plan_of(Matrix matrix) except NULL:
    cdef const ntt_plan *plan = ntt_plan_get(log_of(matrix))
    if plan == NULL:
        raise MemoryError
    return plan


def available_kernels():
    return tuple(name for name in KERNELS if ntt_by_name(name.encode()) != NULL)


def inverse(Matrix matrix not None, str kernel not None="auto"):
    cdef const ntt_kernel *code = kernel_of(kernel)
    cdef const ntt_plan *plan = plan_of(matrix)
    cdef Py_ssize_t index
    with nogil:
        for index in range(matrix.panels):
            ntt_inverse(code, plan, matrix.panel(index), matrix.panel(index))


def forward(Matrix matrix not None, shift=1, str kernel not None="auto"):
    cdef const ntt_kernel *code = kernel_of(kernel)
    cdef const ntt_plan *plan = plan_of(matrix)
    cdef Matrix values
    cdef uint32_t coset
    cdef Py_ssize_t index
    if not 0 < shift < KB31_P:
        raise ValueError(f"{shift} is not the shift of a coset")
    coset = kb31_from_plain(<uint32_t>shift)
    values = Matrix(matrix.height, matrix.width)
    with nogil:
        for index in range(matrix.panels):
            ntt_forward(code, plan, matrix.panel(index), coset, values.panel(index))
    return values


def forward_blocks(Matrix matrix not None, int block_log, shift=1, str kernel not None="auto"):
    cdef const ntt_kernel *code = kernel_of(kernel)
    cdef const ntt_plan *plan
    cdef int log = <int>log_of(matrix)
    cdef uint32_t coset
    cdef size_t blocks
    cdef Matrix values
    cdef Py_ssize_t index
    if not 0 <= block_log <= min(log, <int>NTT_BLOCK_LOG_MAX):
        raise ValueError(f"{matrix.height} rows are not blocks of 2^{block_log}")
    if not 0 < shift < KB31_P:
        raise ValueError(f"{shift} is not the shift of a coset")
    plan = ntt_plan_get(block_log)
    if plan == NULL:
        raise MemoryError
    coset, blocks = kb31_from_plain(<uint32_t>shift), <size_t>1 << (log - block_log)
    values = Matrix(matrix.height, matrix.width)
    with nogil:
        for index in range(matrix.panels):
            ntt_forward_blocks(code, plan, blocks, matrix.panel(index), coset, values.panel(index))
    return values


def reverse_rows(Matrix matrix not None):
    cdef uint32_t log = log_of(matrix)
    cdef Matrix reversed_matrix = Matrix(matrix.height, matrix.width)
    cdef Py_ssize_t index
    with nogil:
        for index in range(matrix.panels):
            ntt_reverse_rows(matrix.panel(index), log, reversed_matrix.panel(index))
    return reversed_matrix
