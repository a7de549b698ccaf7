# cython: language_level=3, boundscheck=False, wraparound=False
"""Python door of the prover's passes over columns: shapes are checked here, loops hold no lock.

Values are canonical integers on the Python side, extension elements tuples of five.
"""

from functools import lru_cache

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cython_core.air._tape cimport Program, air_program
from cython_core.commitment._commitment cimport RowHasher
from cython_core.field._matrix cimport Matrix
from cython_core.ntt.ntt cimport (
    ntt_best,
    ntt_forward,
    ntt_inverse,
    ntt_plan,
    ntt_plan_get,
)

cdef extern from "field/kb31.h":
    enum:
        KB31_PANEL
        KB31_EXTENSION
    const uint32_t KB31_P
    const uint32_t KB31_ONE
    uint32_t kb31_from_plain(uint32_t value) noexcept nogil
    uint32_t kb31_to_plain(uint32_t value) noexcept nogil
    uint32_t kb31_mul(uint32_t a, uint32_t b) noexcept nogil
    uint32_t kb31_sub(uint32_t a, uint32_t b) noexcept nogil
    uint32_t kb31_inverse(uint32_t a) noexcept nogil
    uint32_t kb31_power(uint32_t base, unsigned long long exponent) noexcept nogil
    uint32_t kb31_root(uint32_t log) noexcept nogil

cdef extern from "field/kb31_cells.h":
    uint32_t *kb31_cells_new(size_t count) noexcept nogil
    uint32_t *kb31_cells_uncleared(size_t count) noexcept nogil
    void kb31_cells_free(uint32_t *cells, size_t count) noexcept nogil

cdef extern from "stark/kernels.h":
    enum:
        STARK_BLOCK
    cdef struct stark_kernels:
        const char *name
        void (*powers)(const uint32_t *z, uint32_t log, uint32_t *out) noexcept nogil
        void (*evaluate)(const uint32_t *panel, size_t rows, const uint32_t *weights,
                         uint32_t *out) noexcept nogil
    const stark_kernels *stark_kernels_by_name(const char *name) noexcept nogil

cdef extern from "stark/table.h":
    enum:
        STARK_OPERAND_MAIN
        STARK_OPERAND_PREPROCESSED
        STARK_READS_NOW
        STARK_READS_NEXT
    cdef struct stark_operand:
        uint32_t kind, column, offset
    cdef struct stark_matrix:
        const uint32_t *cells
        size_t panels
        const uint8_t *reads
    cdef struct stark_buses:
        uint32_t group_count
        const uint32_t *group_starts
        const uint32_t *items
        const uint32_t *outputs
        const uint32_t *widths
        const uint32_t *constants
        const uint32_t *alphas
    cdef struct stark_table:
        const stark_kernels *kernels
        const air_program *program
        uint32_t operand_count, output_count, constraint_count
        const stark_operand *operands
        const uint32_t *publics
        size_t rows
        stark_matrix main, preprocessed, auxiliary
        const uint32_t *const *periodic
        const size_t *periodic_lengths
        const uint32_t *first
        const uint32_t *last
        const uint32_t *transition
        stark_buses buses
    size_t stark_table_scratch(const stark_table *table) noexcept nogil
    int stark_table_fractions(const stark_table *table, size_t first, size_t last,
                              uint32_t *scratch, uint32_t *auxiliary) noexcept nogil
    void stark_table_accumulate(uint32_t *auxiliary, size_t rows, uint32_t group_count,
                                uint32_t *terminal) noexcept nogil
    int stark_table_quotient(const stark_table *table, const uint32_t *coefficients,
                             const uint32_t *terminal, size_t first, size_t last,
                             uint32_t *scratch, uint32_t *quotient, size_t stride,
                             size_t phase) noexcept nogil

cdef extern from "stark/deep.h":
    void stark_combine(const stark_kernels *kernels, const uint32_t *cells, size_t rows,
                       size_t panels, const uint32_t *here, const uint32_t *following,
                       const uint8_t *panel_has_next, size_t first, size_t last,
                       uint32_t *combined) noexcept nogil
    cdef struct stark_deep_t "stark_deep":
        const stark_kernels *kernels
        size_t rows
        uint32_t log
        uint32_t points[2][5]
        uint32_t values[2][5]
    int stark_deep_run "stark_deep"(const stark_deep_t *deep, const uint32_t *combined,
                                    uint32_t shift, size_t first, size_t last,
                                    uint32_t *out) noexcept nogil

cdef extern from "stark/opening.h":
    cdef struct stark_opening:
        const stark_kernels *kernels
        uint32_t log
        size_t count
        const uint32_t *positions
        uint32_t *weights
    size_t stark_opening_weights(const stark_opening *opening) noexcept nogil
    size_t stark_opening_scratch(const stark_opening *opening) noexcept nogil
    void stark_opening_prepare(const stark_opening *opening) noexcept nogil
    int stark_opening_panel(const stark_opening *opening, const uint32_t *coefficients,
                            uint32_t *scratch, uint32_t *rows) noexcept nogil

cdef extern from "stark/coefficients.h":
    int stark_unshift(uint32_t *panel, uint32_t log, uint32_t shift) noexcept nogil
    void stark_add_lifted(const uint32_t *panel, size_t rows, uint32_t *total) noexcept nogil
    void stark_split(const uint32_t *panel, size_t rows, uint32_t *halves) noexcept nogil


cdef const stark_kernels *kernels_of(str name) except NULL:
    cdef bytes encoded = name.encode("ascii")
    cdef const stark_kernels *kernels = stark_kernels_by_name(encoded)
    if kernels == NULL:
        raise ValueError(f"this CPU does not run the kernel {name!r}, or there is none")
    return kernels


def available_kernels():
    return tuple(name for name in ("scalar", "avx2", "avx512")
                 if stark_kernels_by_name(name.encode("ascii")) != NULL)


cdef uint32_t log_of(Matrix matrix) except? 0xffffffff:
    cdef uint32_t log = 0
    while (<Py_ssize_t>1 << log) < matrix.height:
        log += 1
    if (<Py_ssize_t>1 << log) != matrix.height:
        raise ValueError(f"{matrix.height} rows are not a power of two")
    return log


cdef const ntt_plan *plan_of(uint32_t log) except NULL:
    cdef const ntt_plan *plan = ntt_plan_get(log)
    if plan == NULL:
        raise MemoryError
    return plan


cdef uint32_t field_element(object value) except? 0xffffffff:
    if not 0 <= value < KB31_P:
        raise ValueError(f"{value} is not an element of the field")
    return kb31_from_plain(<uint32_t>value)


cdef class Words:
    """Zeroed memory for words on a cache line: field elements, integers, or scratch."""

    cdef uint32_t *words
    cdef readonly Py_ssize_t count

    def __cinit__(self, Py_ssize_t count):
        self.count = count
        self.words = kb31_cells_new(count)
        if self.words == NULL:
            raise MemoryError

    def __dealloc__(self):
        kb31_cells_free(self.words, self.count)

    @staticmethod
    cdef Words of_elements(values):
        cdef Words memory = Words(len(values))
        cdef Py_ssize_t index
        for index, value in enumerate(values):
            memory.words[index] = field_element(value)
        return memory

    @staticmethod
    cdef Words of_extensions(values):
        return Words.of_elements([part for value in values for part in value])

    @staticmethod
    cdef Words of_integers(values):
        cdef Words memory = Words(len(values))
        cdef Py_ssize_t index
        for index, value in enumerate(values):
            memory.words[index] = value
        return memory

    cdef tuple extension(self, Py_ssize_t index):
        return tuple([kb31_to_plain(self.words[5 * index + part]) for part in range(5)])


# Codewords.


def interpolate(Matrix values not None, Matrix coefficients not None, Py_ssize_t panel):
    """Bit-reversed coefficients of one panel of values, into the same panel of another matrix."""
    cdef const ntt_plan *plan = plan_of(log_of(values))
    check_panel(values, coefficients, panel)
    with nogil:
        ntt_inverse(ntt_best(), plan, values.panel(panel), coefficients.panel(panel))


cdef int check_panel(Matrix one, Matrix other, Py_ssize_t panel) except -1:
    if one.height != other.height or one.width != other.width or not 0 <= panel < one.panels:
        raise ValueError("the matrices differ in shape, or have no such panel")
    return 0


def extend(Matrix coefficients not None, shift, Matrix values not None, Py_ssize_t panel):
    """Values of one panel on shift * <g>, into the same panel of another matrix."""
    cdef const ntt_plan *plan = plan_of(log_of(coefficients))
    cdef uint32_t coset = field_element(shift)
    check_panel(coefficients, values, panel)
    with nogil:
        ntt_forward(ntt_best(), plan, coefficients.panel(panel), coset, values.panel(panel))


def hash_coset(RowHasher hasher not None, Matrix coefficients not None, Matrix values, int coset,
               shift, Py_ssize_t first_block):
    """Absorb the rows of one coset (0 to 3), panel by panel; `values` are its values if known."""
    cdef const ntt_plan *plan = plan_of(log_of(coefficients))
    cdef uint32_t start = field_element(shift)
    cdef Py_ssize_t height = coefficients.height, panel
    cdef Py_ssize_t first_row = coset * height
    cdef uint32_t *buffer = NULL
    cdef const uint32_t *rows
    cdef bint is_known = values is not None
    if not is_known:
        buffer = kb31_cells_uncleared(KB31_PANEL * height)
        if buffer == NULL:
            raise MemoryError
    else:
        check_panel(coefficients, values, 0)
    try:
        with nogil:
            for panel in range(coefficients.panels):
                if is_known:
                    rows = values.panel(panel)
                else:
                    ntt_forward(ntt_best(), plan, coefficients.panel(panel), start, buffer)
                    rows = buffer
                hasher.absorb_rows(first_row, height, rows, <uint32_t>(first_block + panel))
    finally:
        kb31_cells_free(buffer, KB31_PANEL * height)


cdef class Opening:
    """Rows of a matrix at ascending bit-reversed positions of its codeword (4 * height).

    Where the values of a coset are at hand they are taken from there, else out of the coefficients.
    Panels may be opened by several threads.
    """

    cdef Matrix coefficients
    cdef dict cosets
    cdef uint32_t log
    cdef Words positions, unknown, weights, rows
    cdef stark_opening opening

    def __init__(self, Matrix coefficients not None, positions, cosets,
                 str kernel not None="auto"):
        cdef Matrix values
        if any(not 0 <= position < 4 * coefficients.height for position in positions):
            raise ValueError("a position lies outside of the codeword")
        for values in cosets.values():
            check_panel(coefficients, values, 0)
        self.coefficients, self.cosets = coefficients, dict(cosets)
        self.log = log_of(coefficients)
        self.positions = Words.of_integers(positions)
        self.unknown = Words.of_integers(
            [place for place in positions if coset_of(place, self.log) not in self.cosets])
        self.opening.kernels = kernels_of(kernel)
        self.opening.log = self.log
        self.opening.count = self.unknown.count
        self.opening.positions = self.unknown.words
        self.weights = Words(stark_opening_weights(&self.opening))
        self.opening.weights = self.weights.words
        self.rows = Words(KB31_PANEL * coefficients.panels * self.positions.count)
        with nogil:
            stark_opening_prepare(&self.opening)

    def open(self, Py_ssize_t panel):
        cdef Words scratch = Words(stark_opening_scratch(&self.opening))
        cdef Words found = Words(KB31_PANEL * self.unknown.count)
        cdef Py_ssize_t index, used = 0
        cdef const uint32_t *source
        cdef uint32_t place
        cdef int status
        check_panel(self.coefficients, self.coefficients, panel)
        with nogil:
            status = stark_opening_panel(&self.opening, self.coefficients.panel(panel),
                                         scratch.words, found.words)
        if status != 0:
            raise MemoryError
        for index in range(self.positions.count):
            place = self.positions.words[index]
            if used < self.unknown.count and self.unknown.words[used] == place:
                source = found.words + KB31_PANEL * used
                used += 1
            else:
                source = self._row_at_hand(place, panel)
            memcpy(self.rows.words + KB31_PANEL * (panel * self.positions.count + index), source,
                   KB31_PANEL * sizeof(uint32_t))

    cdef const uint32_t *_row_at_hand(self, uint32_t place, Py_ssize_t panel) except NULL:
        cdef Matrix values = self.cosets[coset_of(place, self.log)]
        return values.panel(panel) + KB31_PANEL * reversed_bits(place, self.log)

    def encoded(self):
        """The canonical rows, one after the other, when all panels are opened."""
        cdef Py_ssize_t width = self.coefficients.width, count = self.positions.count, index, column
        cdef bytes rows = PyBytes_FromStringAndSize(NULL, 4 * width * count)
        cdef uint32_t *out = <uint32_t *>PyBytes_AS_STRING(rows)
        for index in range(count):
            for column in range(width):
                out[width * index + column] = kb31_to_plain(
                    self.rows.words[KB31_PANEL * (column // KB31_PANEL * count + index)
                                    + column % KB31_PANEL])
        return rows


cdef size_t reversed_bits(uint32_t value, uint32_t bits) noexcept:
    """The low bits in opposite order."""
    cdef size_t reverse = 0
    cdef uint32_t bit
    for bit in range(bits):
        reverse |= <size_t>((value >> bit) & 1) << (bits - 1 - bit)
    return reverse


cdef int coset_of(uint32_t place, uint32_t log) noexcept:
    """The coset of the trace domain in which a position of the codeword lies."""
    return <int>reversed_bits(place >> log, 2)


# Values at a point outside of the domain.


cdef class Weights:
    """Powers of a point in the order of bit-reversed coefficients."""

    cdef const stark_kernels *kernels
    cdef Words memory
    cdef Py_ssize_t rows

    def __init__(self, point, int log, str kernel not None="auto"):
        cdef Words z = Words.of_extensions([point])
        self.kernels = kernels_of(kernel)
        self.rows = <Py_ssize_t>1 << log
        self.memory = Words(5 * self.rows)
        with nogil:
            self.kernels.powers(z.words, log, self.memory.words)


def evaluate(Matrix coefficients not None, Weights weights not None, columns):
    """Values of some ascending columns at the point of the weights."""
    cdef Words out = Words(KB31_PANEL * 5)
    cdef Py_ssize_t panel
    if coefficients.height != weights.rows:
        raise ValueError("the weights are for another height")
    values = []
    for panel in sorted({column // KB31_PANEL for column in columns}):
        with nogil:
            weights.kernels.evaluate(coefficients.panel(panel), weights.rows,
                                     weights.memory.words, out.words)
        values += [out.extension(column % KB31_PANEL) for column in columns
                   if column // KB31_PANEL == panel]
    return values


# The quotient.


def interpolate_coset(Matrix values not None, shift):
    """In place: from values on shift * <g> to bit-reversed coefficients."""
    cdef uint32_t log = log_of(values), start = field_element(shift)
    cdef const ntt_plan *plan = plan_of(log)
    cdef int status
    if values.width != 5:
        raise ValueError("an extension-valued column has five base columns")
    with nogil:
        ntt_inverse(ntt_best(), plan, values.panel(0), values.panel(0))
        status = stark_unshift(values.panel(0), log, start)
    if status != 0:
        raise MemoryError


def add_lifted(Matrix coefficients not None, Matrix total not None):
    """Add f(X^k), f shorter by the factor k."""
    if coefficients.height > total.height or coefficients.width != 5 or total.width != 5:
        raise ValueError("what is lifted is not longer, and has five columns")
    with nogil:
        stark_add_lifted(coefficients.panel(0), coefficients.height, total.panel(0))


def split_quotient(Matrix coefficients not None):
    """Q of 2N coefficients as the ten columns of Q_0 and Q_1."""
    cdef Matrix halves = Matrix(coefficients.height // 2, 10)
    if coefficients.width != 5:
        raise ValueError("a quotient has five columns")
    with nogil:
        stark_split(coefficients.panel(0), halves.height, halves.panel(0))
    return halves


# The DEEP polynomial.


cdef class Terms:
    """The share of one matrix in the combined columns."""

    cdef const stark_kernels *kernels
    cdef Matrix matrix
    cdef Words here, following
    cdef bytearray panel_has_next

    def __init__(self, Matrix matrix not None, here, following, str kernel not None="auto"):
        """A coefficient for each column here, and {column: coefficient} for the next row."""
        zero = (0, 0, 0, 0, 0)
        columns = KB31_PANEL * matrix.panels
        self.kernels = kernels_of(kernel)
        self.matrix = matrix
        padded = list(here) + [zero] * (columns - len(here))
        self.here = Words.of_extensions(padded)
        self.following = Words.of_extensions(
            [following.get(column, zero) for column in range(columns)])
        self.panel_has_next = bytearray(matrix.panels)
        for column in following:
            self.panel_has_next[column // KB31_PANEL] = 1

    def combine(self, size_t first_block, size_t last_block, Matrix combined not None):
        cdef const uint8_t *flags = self.panel_has_next
        if combined.height < self.matrix.height or combined.width != 10:
            raise ValueError("the combined columns are ten, and as many rows as the longest table")
        with nogil:
            stark_combine(self.kernels, self.matrix.cells, self.matrix.height, self.matrix.panels,
                          self.here.words, self.following.words, flags, first_block, last_block,
                          combined.cells)


cdef class Deep:
    """F on the cosets of the evaluation domain."""

    cdef stark_deep_t deep
    cdef Matrix combined

    def __init__(self, Matrix combined not None, points, values, str kernel not None="auto"):
        cdef Words p = Words.of_extensions(points), v = Words.of_extensions(values)
        cdef int which, part
        self.combined = combined
        self.deep.kernels = kernels_of(kernel)
        self.deep.rows = combined.height
        self.deep.log = log_of(combined)
        for which in range(2):
            for part in range(5):
                self.deep.points[which][part] = p.words[5 * which + part]
                self.deep.values[which][part] = v.words[5 * which + part]

    def evaluate(self, int coset, shift, Matrix evaluations not None):
        """F on one coset, into its quarter of the bit-reversed evaluations."""
        cdef const ntt_plan *plan = plan_of(self.deep.log)
        cdef uint32_t start = field_element(shift)
        cdef size_t rows = self.deep.rows
        cdef int status, quarter = (coset >> 1) | ((coset & 1) << 1)
        cdef uint32_t *buffer
        if evaluations.height != 4 * self.combined.height or evaluations.width != 5:
            raise ValueError("the evaluations are four times as many, of five columns")
        buffer = kb31_cells_uncleared(KB31_PANEL * rows)
        if buffer == NULL:
            raise MemoryError
        with nogil:
            ntt_forward(ntt_best(), plan, self.combined.cells, start, buffer)
            status = stark_deep_run(&self.deep, buffer, start, 0,
                                    (rows + STARK_BLOCK - 1) // STARK_BLOCK,
                                    evaluations.cells + KB31_PANEL * rows * quarter)
            kb31_cells_free(buffer, KB31_PANEL * rows)
        if status != 0:
            raise MemoryError("no memory, or the point lies on the domain")


# One table.


program_of = lru_cache(maxsize=16)(Program)
"""Proofs of one statement share their programs: to make one takes as long as some transforms."""


cdef class TableView:
    """A table on one domain at a time: what its constraints and buses say on each row."""

    cdef stark_table view
    cdef readonly object table
    cdef readonly int log
    cdef Program program
    cdef Words operands, publics, starts, items, outputs, widths, constants, alphas
    cdef Words first, last, transition, coefficients, terminal
    cdef list periodic
    cdef const uint32_t **periodic_words
    cdef size_t *periodic_lengths
    cdef object held
    cdef bytes main_reads, preprocessed_reads

    def __cinit__(self):
        self.periodic_words = NULL
        self.periodic_lengths = NULL

    def __dealloc__(self):
        free(self.periodic_words)
        free(self.periodic_lengths)

    def __init__(self, table, int log, publics, gamma, alphas, str kernel not None="auto"):
        """`alphas` begins with alpha_0."""
        self.table, self.log = table, log
        self.program = program_of(table, kernel)
        self.view.kernels = kernels_of(kernel)
        self.view.program = self.program.program
        self.view.rows = <size_t>1 << log
        self.view.operand_count = len(table.operands)
        self.view.output_count = len(table.outputs)
        self.view.constraint_count = len(table.constraints)
        self.operands = Words.of_integers([part for node in table.operands for part in node])
        self.view.operands = <const stark_operand *>self.operands.words
        self.main_reads = panel_reads(table.operands, STARK_OPERAND_MAIN, table.main_width)
        self.preprocessed_reads = panel_reads(table.operands, STARK_OPERAND_PREPROCESSED,
                                              table.preprocessed_width)
        self.view.main.reads = <const uint8_t *>PyBytes_AS_STRING(self.main_reads)
        self.view.preprocessed.reads = <const uint8_t *>PyBytes_AS_STRING(self.preprocessed_reads)
        self.publics = Words.of_elements(publics)
        self.view.publics = self.publics.words
        self._set_buses(gamma, alphas)
        self._reserve_periodic()
        self.release()

    cdef int _set_buses(self, gamma, alphas) except -1:
        table = self.table
        starts, outputs, place = [0], [], len(table.constraints)
        for group in table.groups:
            starts.append(starts[len(starts) - 1] + len(group))
        for interaction in table.interactions:
            outputs.append(place)
            place += 1 + len(interaction.elements)
        constants = [
            tuple([(gamma[part] + alphas[0][part] * (interaction.bus + 1)) % KB31_P
                   for part in range(5)])
            for interaction in table.interactions
        ]
        self.starts = Words.of_integers(starts)
        self.items = Words.of_integers([item for group in table.groups for item in group])
        self.outputs = Words.of_integers(outputs)
        self.widths = Words.of_integers([len(one.elements) for one in table.interactions])
        self.constants = Words.of_extensions(constants)
        self.alphas = Words.of_extensions(alphas[1:])
        self.view.buses.group_count = len(table.groups)
        self.view.buses.group_starts = self.starts.words
        self.view.buses.items = self.items.words
        self.view.buses.outputs = self.outputs.words
        self.view.buses.widths = self.widths.words
        self.view.buses.constants = self.constants.words
        self.view.buses.alphas = self.alphas.words
        return 0

    cdef int _reserve_periodic(self) except -1:
        cdef Py_ssize_t count = len(self.table.periodic), index
        cdef Words memory
        cdef size_t rows = max(self.view.rows, <size_t>STARK_BLOCK)
        self.periodic = []
        self.periodic_words = <const uint32_t **>calloc(count + 1, sizeof(uint32_t *))
        self.periodic_lengths = <size_t *>calloc(count + 1, sizeof(size_t))
        if self.periodic_words == NULL or self.periodic_lengths == NULL:
            raise MemoryError
        for index, column in enumerate(self.table.periodic):
            memory = Words(max(len(column), STARK_BLOCK))
            self.periodic.append(memory)
            self.periodic_words[index] = memory.words
            self.periodic_lengths[index] = memory.count
        self.view.periodic = self.periodic_words
        self.view.periodic_lengths = self.periodic_lengths
        self.first, self.last, self.transition = Words(rows), Words(rows), Words(rows)
        self.view.first = self.first.words
        self.view.last = self.last.words
        self.view.transition = self.transition.words
        return 0

    def release(self):
        """Let go of the matrices of the domain at hand."""
        self.held = None
        self.view.main.cells = self.view.preprocessed.cells = self.view.auxiliary.cells = NULL
        self.view.main.panels = self.view.preprocessed.panels = self.view.auxiliary.panels = 0

    cdef int _hold(self, Matrix main, Matrix preprocessed, Matrix auxiliary) except -1:
        self.release()
        self.held = (main, preprocessed, auxiliary)
        set_matrix(&self.view.main, main, self.view.rows, self.table.main_width)
        set_matrix(&self.view.preprocessed, preprocessed, self.view.rows,
                   self.table.preprocessed_width)
        set_matrix(&self.view.auxiliary, auxiliary, self.view.rows, self.table.auxiliary_width)
        return 0

    def on_trace(self, Matrix main not None, Matrix preprocessed):
        """The rows of the table themselves."""
        cdef Words memory
        cdef Py_ssize_t index
        self._hold(main, preprocessed, None)
        set_trace_selectors(self.log, self.first.words, self.last.words, self.transition.words)
        for column, memory in zip(self.table.periodic, self.periodic):
            for index in range(memory.count):
                memory.words[index] = field_element(column[index % len(column)])

    def on_coset(self, shift, Matrix main not None, Matrix preprocessed, Matrix auxiliary):
        """The rows of a coset outside of the trace domain."""
        cdef uint32_t start = field_element(shift)
        self._hold(main, preprocessed, auxiliary)
        self._periodic_on(shift)
        with nogil:
            set_selectors(start, self.log, self.first.words, self.last.words,
                          self.transition.words)

    cdef int _periodic_on(self, shift) except -1:
        """A periodic column is a polynomial in X^(n / period): on a coset it is periodic too."""
        cdef Words memory
        cdef Py_ssize_t index
        cdef Matrix small, values
        for column, memory in zip(self.table.periodic, self.periodic):
            small = Matrix.from_columns([column])
            values = Matrix(small.height, 1)
            interpolate(small, values, 0)
            stretch = pow(shift, (<size_t>1 << self.log) // len(column), KB31_P)
            extend(values, stretch, small, 0)
            for index in range(memory.count):
                memory.words[index] = small.cells[KB31_PANEL * (index % small.height)]

    def fractions(self, size_t first_block, size_t last_block, Matrix auxiliary not None):
        """Fill rows of the auxiliary columns; the running sum's receive the sums of the rows."""
        cdef Words scratch = Words(stark_table_scratch(&self.view))
        cdef int status
        if (auxiliary.width != self.table.auxiliary_width
                or auxiliary.height != <Py_ssize_t>self.view.rows):
            raise ValueError("the auxiliary matrix has another shape")
        with nogil:
            status = stark_table_fractions(&self.view, first_block, last_block, scratch.words,
                                           auxiliary.cells)
        if status != 0:
            raise MemoryError("no memory, or a denominator of a bus is zero")

    def accumulate(self, Matrix auxiliary not None):
        """The running sum from the sums of the rows; returns the terminal."""
        cdef Words terminal = Words(5)
        with nogil:
            stark_table_accumulate(auxiliary.cells, self.view.rows, self.view.buses.group_count,
                                   terminal.words)
        return terminal.extension(0)

    def set_coefficients(self, coefficients, terminal):
        """Of the constraints, groups and the three of the running sum, over the vanishing value."""
        self.coefficients = Words.of_extensions(coefficients)
        self.terminal = Words.of_extensions([terminal])

    def quotient(self, size_t first_block, size_t last_block, Matrix quotient not None,
                 size_t phase):
        """The combined constraints on the coset at hand: row 2r + phase of `quotient`."""
        cdef Words scratch = Words(stark_table_scratch(&self.view))
        cdef int status
        if quotient.height != 2 * <Py_ssize_t>self.view.rows or quotient.width != 5:
            raise ValueError("the quotient has twice the rows, and five columns")
        with nogil:
            status = stark_table_quotient(&self.view, self.coefficients.words,
                                          self.terminal.words, first_block, last_block,
                                          scratch.words, quotient.cells, 2, phase)
        if status != 0:
            raise MemoryError


cdef int set_matrix(stark_matrix *target, Matrix matrix, size_t rows, int width) except -1:
    if matrix is None:
        return 0
    if <size_t>matrix.height != rows or matrix.width != width:
        raise ValueError(f"{matrix.height} x {matrix.width} cells instead of {rows} x {width}")
    target.cells, target.panels = matrix.cells, matrix.panels
    return 0


cdef bytes panel_reads(operands, int kind, int width):
    """Which panels of a matrix some operands lie in (STARK_READS_NOW and _NEXT)."""
    cdef bytearray reads = bytearray(-(-width // KB31_PANEL))
    for operation, column, offset in operands:
        if operation == kind:
            reads[column // KB31_PANEL] |= STARK_READS_NEXT if offset else STARK_READS_NOW
    return bytes(reads)


cdef void set_selectors(uint32_t shift, uint32_t log, uint32_t *first, uint32_t *last,
                        uint32_t *transition) noexcept nogil:
    """docs/proofs.md, step 5, at x = shift * g^r. `last` serves as memory for the inversions."""
    cdef Py_ssize_t rows = <Py_ssize_t>1 << log, row
    cdef uint32_t root = kb31_root(log), x = shift, running = KB31_ONE, scaled
    cdef uint32_t end = kb31_inverse(root)
    cdef uint32_t vanishing = kb31_sub(kb31_power(shift, rows), KB31_ONE)
    for row in range(rows):
        transition[row] = kb31_sub(x, end)
        first[row] = kb31_sub(x, KB31_ONE)
        last[row] = running
        running = kb31_mul(running, first[row])
        x = kb31_mul(x, root)
    running = kb31_mul(kb31_inverse(running), vanishing)
    for row in range(rows - 1, -1, -1):
        scaled = kb31_mul(running, last[row])
        running = kb31_mul(running, first[row])
        first[row] = scaled
    # x_r - g^-1 is (x_{r+1} - 1) / g.
    for row in range(rows):
        last[row] = kb31_mul(root, first[(row + 1) & (rows - 1)])
    repeat_selectors(rows, first, last, transition)


cdef void set_trace_selectors(uint32_t log, uint32_t *first, uint32_t *last,
                              uint32_t *transition) noexcept nogil:
    """The same on the trace domain: v / (x - a) is n / a where v and x - a vanish, else zero."""
    cdef Py_ssize_t rows = <Py_ssize_t>1 << log, row
    cdef uint32_t root = kb31_root(log), x = KB31_ONE, end = kb31_inverse(root)
    cdef uint32_t height = kb31_from_plain(<uint32_t>rows)
    for row in range(rows):
        first[row] = last[row] = 0
        transition[row] = kb31_sub(x, end)
        x = kb31_mul(x, root)
    first[0] = height
    last[rows - 1] = kb31_mul(height, root)
    repeat_selectors(rows, first, last, transition)


cdef void repeat_selectors(Py_ssize_t rows, uint32_t *first, uint32_t *last,
                           uint32_t *transition) noexcept nogil:
    """A block of a shorter table is the table again and again."""
    cdef Py_ssize_t row
    for row in range(rows, STARK_BLOCK):
        first[row] = first[row & (rows - 1)]
        last[row] = last[row & (rows - 1)]
        transition[row] = transition[row & (rows - 1)]
