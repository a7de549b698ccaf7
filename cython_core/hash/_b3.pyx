# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the BLAKE3 kernels: lengths are checked here, once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef extern from "guest/blake3.h":
    int blake3_keyed_bytes(const uint32_t *key, const uint8_t *message, size_t length,
                           uint8_t *out) noexcept nogil

cdef extern from "guest/tree.h":
    const uint32_t TREE_KEY_VALUE[8]
    const uint32_t TREE_KEY_LEAF[8]
    const uint32_t TREE_KEY_NODE[8]
    const uint32_t TREE_KEY_PATH[8]

cdef extern from "hash/b3_many.h":
    ctypedef void (*b3_many_kernel)(const uint32_t *key, const uint8_t **messages,
                                    uint8_t **outputs, size_t count) noexcept nogil
    cdef enum b3_kernel_id:
        B3_KERNEL_SCALAR
        B3_KERNEL_AVX2
        B3_KERNEL_AVX512
    b3_many_kernel b3_kernel_by_id(b3_kernel_id id) noexcept nogil
    b3_kernel_id b3_best_kernel() noexcept nogil
    void b3_many_contiguous(b3_many_kernel kernel, const uint32_t *key, const uint8_t *messages,
                            uint8_t *outputs, size_t count) noexcept nogil

cdef dict KERNEL_IDS = {
    "scalar": B3_KERNEL_SCALAR,
    "avx2": B3_KERNEL_AVX2,
    "avx512": B3_KERNEL_AVX512,
}

KEY_VALUE = PyBytes_FromStringAndSize(<const char *>TREE_KEY_VALUE, 32)
KEY_LEAF = PyBytes_FromStringAndSize(<const char *>TREE_KEY_LEAF, 32)
KEY_NODE = PyBytes_FromStringAndSize(<const char *>TREE_KEY_NODE, 32)
KEY_PATH = PyBytes_FromStringAndSize(<const char *>TREE_KEY_PATH, 32)


cdef int load_key(bytes domain_key, uint32_t *words) except -1:
    if domain_key is None or PyBytes_GET_SIZE(domain_key) != 32:
        raise ValueError("a domain key has 32 bytes")
    memcpy(words, PyBytes_AS_STRING(domain_key), 32)
    return 0


def available_kernels():
    return tuple(name for name, number in KERNEL_IDS.items()
                 if b3_kernel_by_id(<b3_kernel_id><int>number) != NULL)


def b3(bytes domain_key not None, bytes message not None):
    cdef uint32_t[8] key
    cdef uint8_t[32] out
    load_key(domain_key, key)
    if blake3_keyed_bytes(key, <const uint8_t *>PyBytes_AS_STRING(message),
                          PyBytes_GET_SIZE(message), out) != 0:
        raise ValueError("a single-block message has at most 64 bytes")
    return PyBytes_FromStringAndSize(<const char *>out, 32)


def b3_many(bytes domain_key not None, bytes messages not None, str kernel not None="auto"):
    cdef uint32_t[8] key
    cdef b3_many_kernel function
    cdef Py_ssize_t size = PyBytes_GET_SIZE(messages)
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(messages)
    cdef uint8_t *target
    cdef bytes hashes

    load_key(domain_key, key)
    if size % 64 != 0:
        raise ValueError("messages have 64 bytes each")
    if kernel == "auto":
        function = b3_kernel_by_id(b3_best_kernel())
    elif kernel in KERNEL_IDS:
        function = b3_kernel_by_id(<b3_kernel_id><int>KERNEL_IDS[kernel])
    else:
        raise ValueError(f"there is no kernel {kernel!r}")
    if function == NULL:
        raise ValueError(f"this CPU does not run the kernel {kernel!r}")
    hashes = PyBytes_FromStringAndSize(NULL, size // 2)
    target = <uint8_t *>PyBytes_AS_STRING(hashes)
    with nogil:
        b3_many_contiguous(function, key, source, target, <size_t>(size // 64))
    return hashes
