"""C declarations of the transcript, for extensions that use it without the GIL.

Such an extension is linked with the files of transcript/sources.txt.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "hash/isa.h":
    cdef enum isa_id:
        ISA_SCALAR
        ISA_AVX2
        ISA_AVX512
    int isa_is_available(isa_id id) noexcept nogil
    isa_id isa_best() noexcept nogil

cdef extern from "hash/b3_stream.h":
    cdef struct b3_stream:
        pass
    void b3_stream_start(b3_stream *stream, const uint32_t *key) noexcept nogil
    void b3_stream_write(b3_stream *stream, const void *message, size_t length) noexcept nogil
    void b3_stream_digest(const b3_stream *stream, uint8_t *digest) noexcept nogil

cdef extern from "transcript/transcript.h":
    cdef enum:
        TRANSCRIPT_LABEL_MAX
        TRANSCRIPT_GRIND_BITS_MAX
    cdef struct transcript:
        uint8_t state[32]
    cdef struct transcript_stream:
        pass
    void transcript_start(transcript *t) noexcept nogil
    void transcript_absorb(transcript *t, const char *label, const void *message,
                           size_t length) noexcept nogil
    void transcript_squeeze(transcript *t, const char *label,
                            transcript_stream *stream) noexcept nogil
    uint32_t transcript_word(transcript_stream *stream) noexcept nogil
    uint32_t transcript_element(transcript_stream *stream) noexcept nogil
    void transcript_extension(transcript_stream *stream, uint32_t *coefficients) noexcept nogil
    uint32_t transcript_index(transcript_stream *stream, uint32_t log) noexcept nogil
    int transcript_check_grind(transcript *t, const char *label, uint32_t bits,
                               uint64_t nonce) noexcept nogil
    int grind_search(isa_id isa, const uint8_t *state, uint32_t bits, uint64_t start,
                     uint64_t count, uint64_t *nonce) noexcept nogil


cdef class Transcript:
    cdef transcript transcript
    cdef list recorder
