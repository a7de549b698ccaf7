# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the folding kernels: shapes are checked here, once."""

from libc.stdint cimport uint32_t

from cython_core.field._matrix cimport Matrix

cdef extern from "hash/isa.h":
    enum isa_id:
        ISA_SCALAR
        ISA_AVX2
        ISA_AVX512
    int isa_is_available(isa_id id) noexcept nogil
    isa_id isa_best() noexcept nogil

cdef extern from "field/kb31.h":
    const uint32_t KB31_P
    enum:
        KB31_EXTENSION
        KB31_TWO_ADICITY
    ctypedef struct kb31x:
        uint32_t c[5]
    uint32_t kb31_from_plain(uint32_t value) noexcept nogil

cdef extern from "fri/fold.h":
    enum:
        FRI_FOLD_LOG_MAX
    struct fri_layer:
        uint32_t *cells
        size_t height
        uint32_t fold_log
    struct fri_fold_plan:
        pass
    void fri_fold_plan_init(fri_fold_plan *plan, uint32_t domain_log, uint32_t fold_log,
                            kb31x challenge) noexcept nogil
    void fri_fold(isa_id isa, const fri_fold_plan *plan, const fri_layer *source,
                  size_t first_row, size_t rows, const fri_layer *target) noexcept nogil
    void fri_regroup(const fri_layer *source, size_t first, size_t count,
                     const fri_layer *target) noexcept nogil
    void fri_interpolate(const fri_layer *codeword, uint32_t log) noexcept nogil

cdef dict ISA_BY_NAME = {"scalar": ISA_SCALAR, "avx2": ISA_AVX2, "avx512": ISA_AVX512}

FOLD_LOG_MAX = FRI_FOLD_LOG_MAX


def available_kernels():
    return tuple(name for name, number in ISA_BY_NAME.items()
                 if isa_is_available(<isa_id><int>number))


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


cdef int checked_log(Matrix layer, int fold_log) except -1:
    """The log of the codeword's domain that lies in the layer."""
    cdef int log = layer.height.bit_length() - 1
    if not 0 <= fold_log <= FRI_FOLD_LOG_MAX:
        raise ValueError(f"a layer folds by 2^0 to 2^{FOLD_LOG_MAX}, not 2^{fold_log}")
    if layer.width != KB31_EXTENSION << fold_log:
        raise ValueError(f"a row of 2^{fold_log} values has {KB31_EXTENSION << fold_log} columns, "
                         f"not {layer.width}")
    if layer.height != <Py_ssize_t>1 << log or log + fold_log > KB31_TWO_ADICITY:
        raise ValueError(f"no codeword has {layer.height} x 2^{fold_log} values")
    return log + fold_log


cdef kb31x extension_of(challenge) except *:
    cdef kb31x element
    cdef int index
    coefficients = tuple(challenge)
    if len(coefficients) != KB31_EXTENSION:
        raise ValueError("a challenge has five coefficients")
    for index in range(KB31_EXTENSION):
        if not 0 <= coefficients[index] < KB31_P:
            raise ValueError(f"{coefficients[index]} is not an element of the field")
        element.c[index] = kb31_from_plain(coefficients[index])
    return element


cdef Matrix layer_for(int log, int fold_log, fri_layer *layer):
    """A matrix for a codeword of 2^log values, and its description."""
    if not 0 <= fold_log <= min(FRI_FOLD_LOG_MAX, log):
        raise ValueError(f"2^{log} values cannot be folded by 2^{fold_log}")
    cdef Matrix matrix = Matrix(1 << (log - fold_log), KB31_EXTENSION << fold_log)
    describe(matrix, fold_log, layer)
    return matrix


cdef void describe(Matrix matrix, int fold_log, fri_layer *layer) noexcept:
    layer.cells = matrix.cells
    layer.height = <size_t>matrix.height
    layer.fold_log = <uint32_t>fold_log


def regroup(Matrix codeword not None, int fold_log):
    cdef fri_layer source, target
    cdef int log = checked_log(codeword, 0)
    cdef Matrix layer = layer_for(log, fold_log, &target)
    describe(codeword, 0, &source)
    with nogil:
        fri_regroup(&source, 0, source.height, &target)
    return layer


def fold(Matrix layer not None, int fold_log, challenge, int next_fold_log=0,
         str kernel not None="auto"):
    cdef isa_id isa = isa_by_name(kernel)
    cdef int log = checked_log(layer, fold_log)
    cdef kb31x beta = extension_of(challenge)
    cdef fri_fold_plan plan
    cdef fri_layer source, target
    cdef Matrix folded
    if fold_log == 0:
        raise ValueError("a fold is by 2 at least")
    folded = layer_for(log - fold_log, next_fold_log, &target)
    describe(layer, fold_log, &source)
    with nogil:
        fri_fold_plan_init(&plan, <uint32_t>log, <uint32_t>fold_log, beta)
        fri_fold(isa, &plan, &source, 0, source.height, &target)
    return folded


def interpolate(Matrix codeword not None):
    cdef int log = checked_log(codeword, 0)
    cdef Matrix coefficients = codeword.copy()
    cdef fri_layer layer
    describe(coefficients, 0, &layer)
    with nogil:
        fri_interpolate(&layer, <uint32_t>log)
    return coefficients
