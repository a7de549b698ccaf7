# cython: boundscheck=False, wraparound=False
"""Python door of the compiled verifier (stark/verify.h)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc

import struct

from cython_core.stark.errors import InvalidProof, Reason

cdef extern from "stark/verify.h":
    cdef enum stark_status:
        STARK_VALID
        STARK_BAD_KEY
        STARK_NO_MEMORY
    enum:
        STARK_BUS_COUNT_MAX
    struct stark_claim:
        const uint8_t *key
        size_t key_length
        const uint8_t *publics
        size_t publics_length
        const uint8_t *interactions
        size_t interactions_length
        const uint8_t *context
        size_t context_length
        const uint8_t *proof
        size_t proof_length
    const char *stark_status_name(stark_status status) noexcept nogil
    uint32_t stark_verify_buses(const uint8_t *key, size_t length,
                                uint32_t *widths) noexcept nogil
    size_t stark_verify_memory(const uint8_t *key, size_t length) noexcept nogil
    stark_status stark_verify(const stark_claim *claim, void *memory,
                              size_t memory_bytes) noexcept nogil


cdef const uint8_t *view(bytes source):
    return <const uint8_t *>PyBytes_AS_STRING(source)


cdef size_t length(bytes source):
    return <size_t>PyBytes_GET_SIZE(source)


def encode_words(numbers):
    """Integers as 4 bytes each. struct.error for what is no 32-bit number."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def bus_widths(bytes key not None):
    cdef uint32_t[STARK_BUS_COUNT_MAX] widths
    cdef uint32_t count = stark_verify_buses(view(key), length(key), widths)
    return tuple(widths[bus] for bus in range(count))


def encode_interactions(interactions):
    """(bus, multiplicity, elements) of each, after their count (docs/proofs.md, step 1)."""
    words = [len(interactions)]
    for bus, multiplicity, elements in interactions:
        words += (bus, multiplicity, *elements)
    return encode_words(words)


cdef stark_status run(const stark_claim *claim) noexcept nogil:
    cdef size_t size = stark_verify_memory(claim.key, claim.key_length)
    cdef void *memory
    cdef stark_status status

    if size == 0:
        return STARK_BAD_KEY
    memory = malloc(size)
    if memory == NULL:
        return STARK_NO_MEMORY
    status = stark_verify(claim, memory, size)
    free(memory)
    return status


def verify_encoded(bytes key not None, bytes publics not None, bytes interactions not None,
                   bytes context not None, bytes proof not None):
    cdef stark_claim claim
    cdef stark_status status

    claim.key, claim.key_length = view(key), length(key)
    claim.publics, claim.publics_length = view(publics), length(publics)
    claim.interactions, claim.interactions_length = view(interactions), length(interactions)
    claim.context, claim.context_length = view(context), length(context)
    claim.proof, claim.proof_length = view(proof), length(proof)
    with nogil:
        status = run(&claim)
    if status != STARK_VALID:
        raise InvalidProof(Reason(stark_status_name(status).decode()))


def verify(bytes key not None, publics, interactions, bytes context not None,
           bytes proof not None):
    widths = bus_widths(key)
    try:
        encoded_publics = encode_words(publics)
    except struct.error:
        raise InvalidProof(Reason.BAD_PUBLICS) from None
    try:
        # In bytes a tuple of another width would read as other interactions.
        for bus, _, elements in interactions:
            if 0 <= bus < len(widths) and len(elements) != widths[bus]:
                raise InvalidProof(Reason.BAD_INTERACTIONS)
        encoded_interactions = encode_interactions(interactions)
    except struct.error:
        raise InvalidProof(Reason.BAD_INTERACTIONS) from None
    verify_encoded(key, encoded_publics, encoded_interactions, context, proof)


def memory_bytes(bytes key not None):
    return stark_verify_memory(view(key), length(key))
