# cython: language_level=3, boundscheck=False, wraparound=False
"""The guest's tree code, compiled natively, with a Python door."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef extern from "guest/tree.h":
    cdef struct tree_slot:
        uint8_t path[32]
        uint8_t old_value[64]
        uint8_t new_value[64]
        uint8_t old_present
        uint8_t new_present
    cdef enum tree_status:
        TREE_OK
        TREE_SLOTS_UNSORTED
        TREE_SLOT_FLAG
        TREE_UNALIGNED
        TREE_TRUNCATED
        TREE_TRAILING
        TREE_ITEM_INVALID
        TREE_CONTRADICTION
        TREE_PATH_INVALID
        TREE_MALFORMED
        TREE_UNDECIDABLE
    int tree_transition(const tree_slot *slots, uint32_t count, const uint8_t *proof,
                        size_t proof_length, uint8_t *pre_root, uint8_t *post_root) noexcept nogil
    void c_tree_path "tree_path"(const uint8_t *name, uint8_t *path) noexcept nogil

cdef dict REASONS = {
    TREE_SLOTS_UNSORTED: "slots-unsorted",
    TREE_SLOT_FLAG: "slot-flag",
    TREE_UNALIGNED: "unaligned",
    TREE_TRUNCATED: "truncated",
    TREE_TRAILING: "trailing",
    TREE_ITEM_INVALID: "item-invalid",
    TREE_CONTRADICTION: "contradiction",
    TREE_PATH_INVALID: "path-invalid",
    TREE_MALFORMED: "malformed",
    TREE_UNDECIDABLE: "undecidable",
}


class WitnessError(ValueError):
    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def tree_path(bytes name not None):
    cdef uint8_t[32] path
    if PyBytes_GET_SIZE(name) != 64:
        raise ValueError("the name of a leaf has 64 bytes")
    c_tree_path(<const uint8_t *>PyBytes_AS_STRING(name), path)
    return PyBytes_FromStringAndSize(<const char *>path, 32)


cdef int fill_slots(tree_slot *slots, Py_ssize_t count, bytes paths, bytes old_values,
                    bytes old_present, bytes new_values, bytes new_present) except -1:
    cdef Py_ssize_t index
    for index in range(count):
        memcpy(slots[index].path, PyBytes_AS_STRING(paths) + 32 * index, 32)
        memcpy(slots[index].old_value, PyBytes_AS_STRING(old_values) + 64 * index, 64)
        memcpy(slots[index].new_value, PyBytes_AS_STRING(new_values) + 64 * index, 64)
        slots[index].old_present = <uint8_t>PyBytes_AS_STRING(old_present)[index]
        slots[index].new_present = <uint8_t>PyBytes_AS_STRING(new_present)[index]
    return 0


def transition(bytes paths not None, bytes old_values not None, bytes old_present not None,
               bytes new_values not None, bytes new_present not None, bytes proof not None):
    cdef Py_ssize_t count = PyBytes_GET_SIZE(paths) // 32
    cdef Py_ssize_t proof_length = PyBytes_GET_SIZE(proof)
    cdef const uint8_t *proof_bytes = <const uint8_t *>PyBytes_AS_STRING(proof)
    cdef uint8_t[32] pre_root
    cdef uint8_t[32] post_root
    cdef tree_slot *slots
    cdef int status

    if PyBytes_GET_SIZE(paths) != 32 * count or count > 0xffffffff:
        raise ValueError("paths have 32 bytes each")
    if PyBytes_GET_SIZE(old_values) != 64 * count or PyBytes_GET_SIZE(new_values) != 64 * count:
        raise ValueError("values have 64 bytes each, one for each path")
    if PyBytes_GET_SIZE(old_present) != count or PyBytes_GET_SIZE(new_present) != count:
        raise ValueError("there is one presence flag for each path")
    slots = <tree_slot *>PyMem_Malloc(<size_t>count * sizeof(tree_slot) + 1)
    if slots == NULL:
        raise MemoryError("no memory for the slots")
    try:
        fill_slots(slots, count, paths, old_values, old_present, new_values, new_present)
        with nogil:
            status = tree_transition(slots, <uint32_t>count, proof_bytes, <size_t>proof_length,
                                     pre_root, post_root)
    finally:
        PyMem_Free(slots)
    if status != TREE_OK:
        raise WitnessError(REASONS[status])
    return (PyBytes_FromStringAndSize(<const char *>pre_root, 32),
            PyBytes_FromStringAndSize(<const char *>post_root, 32))
