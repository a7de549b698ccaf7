# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of kb31.h and of the lanes, over elements as they lie in memory."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "field/kb31.h":
    const uint32_t KB31_P
    const uint32_t KB31_MU
    const uint32_t KB31_ONE
    const uint32_t KB31_R2
    enum:
        KB31_EXTENSION
        KB31_PANEL
        KB31_TWO_ADICITY
    ctypedef struct kb31x:
        uint32_t c[5]
    uint32_t kb31_from_plain(uint32_t value) noexcept nogil
    uint32_t kb31_to_plain(uint32_t a) noexcept nogil
    uint32_t kb31_power(uint32_t base, uint64_t exponent) noexcept nogil
    uint32_t kb31_inverse(uint32_t a) noexcept nogil
    uint32_t kb31_root(uint32_t log) noexcept nogil
    kb31x kb31x_add(kb31x a, kb31x b) noexcept nogil
    kb31x kb31x_sub(kb31x a, kb31x b) noexcept nogil
    kb31x kb31x_mul(kb31x a, kb31x b) noexcept nogil
    kb31x kb31x_power(kb31x base, uint64_t exponent) noexcept nogil
    kb31x kb31x_inverse(kb31x a) noexcept nogil

cdef extern from "field/kb31_many.h":
    ctypedef void (*kb31_many)(const uint32_t *a, const uint32_t *b, uint32_t *to,
                               size_t count) noexcept nogil
    cdef struct kb31_kernel:
        kb31_many add
        kb31_many sub
        kb31_many mul
    const kb31_kernel *kb31_kernel_by_name(const char *name) noexcept nogil

P, MU, ONE, R2 = KB31_P, KB31_MU, KB31_ONE, KB31_R2
cdef tuple KERNELS = ("scalar", "avx2", "avx512")


def available_kernels():
    return tuple(name for name in KERNELS if kb31_kernel_by_name(name.encode()) != NULL)


cdef const kb31_kernel *kernel_of(str name) except NULL:
    cdef const kb31_kernel *kernel
    if name not in KERNELS:
        raise ValueError(f"there is no kernel {name!r}")
    kernel = kb31_kernel_by_name(name.encode())
    if kernel == NULL:
        raise ValueError(f"this CPU does not run the kernel {name!r}")
    return kernel


cdef uint32_t element_of(object value) except? 0xffffffff:
    if not 0 <= value < KB31_P:
        raise ValueError(f"{value} is not an element of the field")
    return <uint32_t>value


cdef Py_ssize_t count_of(bytes left, bytes right) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(left)
    cdef Py_ssize_t index
    if size != PyBytes_GET_SIZE(right) or size % (4 * KB31_PANEL) != 0:
        raise ValueError("both sides have one length, a multiple of 16 elements")
    for side in (left, right):
        for index in range(size // 4):
            element_of((<const uint32_t *>PyBytes_AS_STRING(side))[index])
    return size // 4


cdef bytes combine(kb31_many function, bytes left, bytes right, Py_ssize_t times):
    cdef Py_ssize_t count = count_of(left, right)
    cdef const uint32_t *a = <const uint32_t *>PyBytes_AS_STRING(left)
    cdef const uint32_t *b = <const uint32_t *>PyBytes_AS_STRING(right)
    cdef bytes combined = PyBytes_FromStringAndSize(NULL, 4 * count)
    cdef uint32_t *to = <uint32_t *>PyBytes_AS_STRING(combined)
    cdef Py_ssize_t turn
    with nogil:
        for turn in range(times):
            function(<const uint32_t *>to if turn != 0 else a, b, to, <size_t>count)
    return combined


def add(bytes left not None, bytes right not None, str kernel not None):
    return combine(kernel_of(kernel).add, left, right, 1)


def subtract(bytes left not None, bytes right not None, str kernel not None):
    return combine(kernel_of(kernel).sub, left, right, 1)


def multiply(bytes left not None, bytes right not None, str kernel not None):
    return combine(kernel_of(kernel).mul, left, right, 1)


def multiply_repeatedly(bytes left not None, bytes right not None, str kernel not None,
                        Py_ssize_t times):
    if times < 1:
        raise ValueError("at least once")
    return combine(kernel_of(kernel).mul, left, right, times)


def to_montgomery(uint32_t value):
    return kb31_from_plain(value)


def to_plain(element):
    return kb31_to_plain(element_of(element))


def power(base, uint64_t exponent):
    return kb31_power(element_of(base), exponent)


def inverse(element):
    return kb31_inverse(element_of(element))


def root(uint32_t log):
    if log > KB31_TWO_ADICITY:
        raise ValueError(f"there is no subgroup of order 2^{log}")
    return kb31_root(log)


cdef int load_extension(tuple coefficients, kb31x *element) except -1:
    cdef int index
    if coefficients is None or len(coefficients) != KB31_EXTENSION:
        raise ValueError("an element of the extension has five coefficients")
    for index in range(KB31_EXTENSION):
        element.c[index] = element_of(coefficients[index])
    return 0


cdef tuple stored_extension(kb31x element):
    return (element.c[0], element.c[1], element.c[2], element.c[3], element.c[4])


def extension_add(tuple left, tuple right):
    cdef kb31x a, b
    load_extension(left, &a)
    load_extension(right, &b)
    return stored_extension(kb31x_add(a, b))


def extension_subtract(tuple left, tuple right):
    cdef kb31x a, b
    load_extension(left, &a)
    load_extension(right, &b)
    return stored_extension(kb31x_sub(a, b))


def extension_multiply(tuple left, tuple right):
    cdef kb31x a, b
    load_extension(left, &a)
    load_extension(right, &b)
    return stored_extension(kb31x_mul(a, b))


def extension_power(tuple base, uint64_t exponent):
    cdef kb31x a
    load_extension(base, &a)
    return stored_extension(kb31x_power(a, exponent))


def extension_inverse(tuple element):
    cdef kb31x a
    load_extension(element, &a)
    return stored_extension(kb31x_inverse(a))
