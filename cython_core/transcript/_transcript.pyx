# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the transcript: labels and lengths are checked here, once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cython_core.transcript._transcript cimport (
    ISA_AVX2,
    ISA_AVX512,
    ISA_SCALAR,
    TRANSCRIPT_GRIND_BITS_MAX,
    TRANSCRIPT_LABEL_MAX,
    b3_stream,
    b3_stream_digest,
    b3_stream_start,
    b3_stream_write,
    grind_search,
    isa_best,
    isa_id,
    isa_is_available,
    transcript_absorb,
    transcript_check_grind,
    transcript_element,
    transcript_index,
    transcript_squeeze,
    transcript_start,
    transcript_stream,
)

cdef dict ISA_BY_NAME = {"scalar": ISA_SCALAR, "avx2": ISA_AVX2, "avx512": ISA_AVX512}
cdef uint64_t NONCES_AT_ONCE = 1 << 22

GRIND_BITS_MAX = TRANSCRIPT_GRIND_BITS_MAX
LABEL_MAX = TRANSCRIPT_LABEL_MAX


def available_kernels():
    return tuple(name for name, number in ISA_BY_NAME.items()
                 if isa_is_available(<isa_id><int>number))


def hash_stream(bytes message not None, bytes key=None):
    cdef uint32_t[8] words
    cdef b3_stream stream
    cdef uint8_t[32] digest
    if key is not None:
        if PyBytes_GET_SIZE(key) != 32:
            raise ValueError("a key has 32 bytes")
        memcpy(words, PyBytes_AS_STRING(key), 32)
    b3_stream_start(&stream, NULL if key is None else words)
    b3_stream_write(&stream, PyBytes_AS_STRING(message), <size_t>PyBytes_GET_SIZE(message))
    b3_stream_digest(&stream, digest)
    return PyBytes_FromStringAndSize(<const char *>digest, 32)


cdef isa_id isa_by_name(str kernel) except *:
    cdef isa_id isa
    if kernel == "auto":
        return isa_best()
    if kernel not in ISA_BY_NAME:
        raise ValueError(f"there is no kernel {kernel!r}")
    isa = <isa_id><int>ISA_BY_NAME[kernel]
    if not isa_is_available(isa):
        raise ValueError(f"this CPU does not run the kernel {kernel!r}")
    return isa


cdef bytes encoded_label(str label):
    encoded = label.encode("ascii")
    if not 0 < len(encoded) <= TRANSCRIPT_LABEL_MAX or b"\0" in encoded:
        raise ValueError(f"a label has 1 to {LABEL_MAX} characters and no zero: {label!r}")
    return encoded


cdef uint32_t checked_bits(object bits) except? 0xffffffff:
    if not 0 <= bits <= TRANSCRIPT_GRIND_BITS_MAX:
        raise ValueError(f"grinding takes 0 to {GRIND_BITS_MAX} bits, not {bits}")
    return bits


cdef class Stream:
    """Challenges that follow from one squeeze, in order."""

    cdef transcript_stream stream

    def __init__(self):
        raise TypeError("a stream comes from Transcript.squeeze")

    def elements(self, Py_ssize_t count):
        cdef Py_ssize_t _
        return [transcript_element(&self.stream) for _ in range(count)]

    def extensions(self, Py_ssize_t count):
        return [tuple(self.elements(5)) for _ in range(count)]

    def indices(self, Py_ssize_t count, int log):
        cdef Py_ssize_t _
        if not 0 <= log <= 32:
            raise ValueError(f"an index has 0 to 32 bits, not {log}")
        return [transcript_index(&self.stream, <uint32_t>log) for _ in range(count)]


cdef class Transcript:
    """`recorder`, if given, receives every (label, bytes) that is absorbed."""

    def __init__(self, list recorder=None):
        transcript_start(&self.transcript)
        self.recorder = recorder

    @property
    def state(self):
        return PyBytes_FromStringAndSize(<const char *>self.transcript.state, 32)

    def absorb(self, str label not None, bytes message not None):
        cdef bytes encoded = encoded_label(label)
        transcript_absorb(&self.transcript, PyBytes_AS_STRING(encoded),
                          PyBytes_AS_STRING(message), <size_t>PyBytes_GET_SIZE(message))
        if self.recorder is not None:
            self.recorder.append((label, message))

    def squeeze(self, str label not None):
        cdef bytes encoded = encoded_label(label)
        cdef Stream stream = Stream.__new__(Stream)
        transcript_squeeze(&self.transcript, PyBytes_AS_STRING(encoded), &stream.stream)
        return stream

    def grind(self, bits, str label not None, str kernel not None="auto"):
        cdef uint32_t wanted = checked_bits(bits)
        cdef isa_id isa = isa_by_name(kernel)
        cdef uint64_t nonce = 0, start = 0
        cdef bint is_found = wanted == 0
        while not is_found:
            with nogil:
                is_found = grind_search(isa, self.transcript.state, wanted, start, NONCES_AT_ONCE,
                                        &nonce)
            start += NONCES_AT_ONCE
        self.absorb(label, (<object>nonce).to_bytes(8, "little"))
        return nonce

    def check_grind(self, bits, str label not None, nonce):
        cdef uint32_t wanted = checked_bits(bits)
        cdef bytes encoded = encoded_label(label)
        if not 0 <= nonce < 1 << 64:
            raise ValueError("a nonce has 8 bytes")
        if not transcript_check_grind(&self.transcript, PyBytes_AS_STRING(encoded), wanted, nonce):
            return False
        if self.recorder is not None:
            self.recorder.append((label, nonce.to_bytes(8, "little")))
        return True
