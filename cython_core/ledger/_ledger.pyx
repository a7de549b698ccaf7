# cython: boundscheck=False, wraparound=False
"""Native execution of the transition program (guest/ledger.h) over a state tree in memory.

`NativeLedger` executes blocks and moves the tree; `BatchRecorder` executes a batch without moving
it and keeps what a witness needs; `run_transition` is the guest's own run over such a witness;
`TransactionParser` cuts and identifies transactions in bulk. Lengths are checked here, once; the C
below trusts them. One thread at a time may use a tree.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import os

from cython_core.ledger.program cimport *
from cython_core.merkle._tree cimport (
    StateTree,
    state_tree,
    state_tree_get,
    state_tree_root,
    state_tree_update,
)

NAME_BYTES = 33
"""A leaf's name: kind, then key."""


class LedgerFault(Exception):
    """The program refused a block or a witness; `code` is one of `enum ledger_error`."""

    def __init__(self, code):
        super().__init__(f"transition program: error {code}")
        self.code = code


class MalformedTransaction(ValueError):
    """Bytes that do not go on with a transaction; `index` were good, `offset` is where it ends."""

    def __init__(self, index, offset):
        super().__init__(f"no transaction at byte {offset} (after {index} good ones)")
        self.index = index
        self.offset = offset


cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


cdef const uint8_t *view(bytes source):
    return <const uint8_t *>PyBytes_AS_STRING(source)


cdef uint8_t *writable(bytes fresh):
    """Of a bytes object that nobody else has seen yet."""
    return <uint8_t *>PyBytes_AS_STRING(fresh)


cdef bytes new_bytes(size_t length):
    return PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)


cdef int read_tree(void *tree, const uint8_t *path, uint8_t *value) noexcept nogil:
    return state_tree_get(<const state_tree *>tree, path, value)


cdef int read_constants(ledger_constants *constants, bytes encoded) except -1:
    if len(encoded) != CONSTANTS_LENGTH:
        raise ValueError(f"constants have {CONSTANTS_LENGTH} bytes, not {len(encoded)}")
    if ledger_constants_read(constants, view(encoded)) != LEDGER_OK:
        raise ValueError("constants that make no sense")
    ledger_constants_prepare(constants)
    return 0


cdef int fill_input(ledger_input *block, bytes context, bytes records, bytes transactions,
                    uint32_t count) except -1:
    if len(context) != CONTEXT_LENGTH:
        raise ValueError(f"a block context has {CONTEXT_LENGTH} bytes, not {len(context)}")
    # Bounds the memory that is reserved below by the bytes that are really there.
    if <uint64_t>count * TRANSACTION_MINIMUM > <uint64_t>len(transactions):
        raise LedgerFault(1)
    ledger_context_read(&block.context, view(context))
    block.records = view(records)
    block.records_length = len(records)
    block.transactions = view(transactions)
    block.transactions_length = len(transactions)
    block.transaction_count = count
    return 0


cdef int seed_overlay(overlay *touched, state_tree *tree) except -1:
    cdef uint64_t seed[2]
    cdef bytes chance = os.urandom(16)
    memcpy(seed, view(chance), 16)
    overlay_init(touched, read_tree, tree, seed)
    return 0


cdef class Execution:
    """What one block did. Leaves stand in the order of first access, packed.

    `names` n*33, `paths` n*32, `values` and `old_values` n*64, `present` and `old_present` n*1;
    `receipts` 24 bytes per transaction; `opened_batch`: whether it is the first block of a batch.
    """
    cdef readonly bytes pre_root
    cdef readonly bytes root
    cdef readonly bytes receipts
    cdef readonly bytes names
    cdef readonly bytes paths
    cdef readonly bytes values
    cdef readonly bytes present
    cdef readonly bytes old_values
    cdef readonly bytes old_present
    cdef readonly bint opened_batch


cdef Execution collect(overlay *touched):
    cdef Execution execution = Execution.__new__(Execution)
    cdef size_t changed = 0
    cdef size_t i
    cdef tree_slot *slot
    for i in range(touched.count):
        changed += overlay_is_changed(&touched.slots[i])
    execution.names = new_bytes(33 * changed)
    execution.paths = new_bytes(32 * changed)
    execution.values = new_bytes(64 * changed)
    execution.present = new_bytes(changed)
    execution.old_values = new_bytes(64 * changed)
    execution.old_present = new_bytes(changed)
    changed = 0
    for i in range(touched.count):
        slot = &touched.slots[i]
        if overlay_is_changed(slot):
            memcpy(writable(execution.names) + 33 * changed, touched.names + 33 * i, 33)
            memcpy(writable(execution.paths) + 32 * changed, slot.path, 32)
            memcpy(writable(execution.values) + 64 * changed, slot.new_value, 64)
            writable(execution.present)[changed] = slot.new_present
            changed += 1
    return execution


cdef class NativeLedger:
    """Executes blocks on `tree` by the rules of `constants` (state.py: ledger_constants)."""
    cdef readonly StateTree tree
    cdef readonly bytes constants
    cdef ledger_constants _constants
    cdef overlay _touched

    def __cinit__(self, StateTree tree not None, bytes constants not None):
        self.tree = tree
        self.constants = constants
        read_constants(&self._constants, constants)
        seed_overlay(&self._touched, tree.tree)

    def __dealloc__(self):
        overlay_free(&self._touched)

    cdef bytes _root(self):
        return PyBytes_FromStringAndSize(<const char *>state_tree_root(self.tree.tree), 32)

    cdef int _update(self, bytes paths, bytes values, bytes present, bytes old_values,
                     bytes old_present) except -1:
        cdef int status
        cdef state_tree *tree = self.tree.tree
        cdef size_t count = len(present)
        cdef const uint8_t *path_bytes = view(paths)
        cdef const uint8_t *value_bytes = view(values)
        cdef const uint8_t *present_bytes = view(present)
        cdef uint8_t *old_value_bytes = writable(old_values)
        cdef uint8_t *old_present_bytes = writable(old_present)
        self.tree.acquire()
        with nogil:
            status = state_tree_update(tree, count, path_bytes, value_bytes, present_bytes,
                                       old_value_bytes, old_present_bytes)
        self.tree.release()
        if status == -1:
            raise MemoryError("state tree")
        if status != 0:
            raise RuntimeError(f"state tree refused a batch of its own ledger: {status}")
        return 0

    def execute(self, bytes context not None, bytes records not None,
                bytes transactions not None, uint32_t count):
        """Execute one block and move the tree. Raises LedgerFault; then nothing has changed."""
        cdef ledger_input block
        cdef ledger_block room
        cdef ledger_access access
        cdef Execution execution
        cdef int error
        cdef bytes receipts
        cdef bytes pre_root = self._root()
        cdef uint8_t *receipt_bytes
        fill_input(&block, context, records, transactions, count)
        receipts = new_bytes(<size_t>RECEIPT_LENGTH * count)
        receipt_bytes = writable(receipts)
        block.pre_root = view(pre_root)
        access.find = overlay_find
        access.find_party = overlay_find_party
        access.owner = &self._touched
        overlay_clear(&self._touched)
        if overlay_reserve(&self._touched, overlay_leaves_of(block.records_length, count), 0) != 0:
            raise MemoryError("touched leaves")
        self.tree.acquire()
        with nogil:
            error = ledger_execute(&room, &self._constants, &access, &block, receipt_bytes)
        self.tree.release()
        if error != LEDGER_OK:
            raise LedgerFault(error)
        execution = collect(&self._touched)
        self._update(execution.paths, execution.values, execution.present,
                     execution.old_values, execution.old_present)
        execution.pre_root = pre_root
        execution.root = self._root()
        execution.receipts = receipts
        execution.opened_batch = room.opened_batch
        return execution

    def undo(self, Execution execution not None):
        """Take the last execution back. The tree must be where the execution left it."""
        if self._root() != execution.root:
            raise ValueError("undo of an execution that is not the last")
        self._update(execution.paths, execution.old_values, execution.old_present,
                     new_bytes(len(execution.values)), new_bytes(len(execution.present)))

    def redo(self, Execution execution not None):
        """Apply an undone execution again. The tree must be where the execution started."""
        if self._root() != execution.pre_root:
            raise ValueError("redo of an execution that does not follow")
        self._update(execution.paths, execution.values, execution.present,
                     new_bytes(len(execution.values)), new_bytes(len(execution.present)))

    def load(self, bytes names not None, bytes values not None):
        """Set leaves outright: genesis and restored snapshots. Names n*33, values n*64."""
        cdef Py_ssize_t count = len(names) // 33
        if len(names) != 33 * count or len(values) != 64 * count:
            raise ValueError("names of 33 bytes and values of 64, as many of each")
        self._update(leaf_paths(names), values, b"\x01" * count, new_bytes(64 * count),
                     new_bytes(count))
        return self._root()

    @property
    def root(self):
        return self._root()

    def get(self, bytes name not None):
        """Value of the leaf with this name, or None."""
        cdef uint8_t path[32]
        cdef bytes value = new_bytes(64)
        if len(name) != 33:
            raise ValueError("a leaf's name has 33 bytes")
        leaf_path(view(name)[0], view(name) + 1, path)
        return value if state_tree_get(self.tree.tree, path, writable(value)) else None

    def static_cycles(self, bytes records not None, bytes transactions not None, uint32_t count):
        """Fixed price of a block, from its kind bytes. Raises LedgerFault for bad bytes."""
        cdef ledger_input block
        cdef uint64_t cycles
        cdef int error
        fill_input(&block, bytes(CONTEXT_LENGTH), records, transactions, count)
        error = ledger_static_cycles(&self._constants, &block, &cycles)
        if error != LEDGER_OK:
            raise LedgerFault(error)
        return cycles

    def outputs(self, bytes frame not None, uint64_t origin_height, uint64_t origin_time):
        """(outputs digest, the 12 words) of the epoch whose last block the tree stands at."""
        cdef ledger_access access
        cdef bytes digest = new_bytes(32)
        cdef bytes words = new_bytes(384)
        cdef bytes root = self._root()
        access.find = overlay_find
        access.find_party = overlay_find_party
        access.owner = &self._touched
        overlay_clear(&self._touched)
        if overlay_reserve(&self._touched, overlay_leaves_of(0, 0), 0) != 0:
            raise MemoryError("touched leaves")
        write_outputs(&self._constants, &access, frame, origin_height, origin_time, root,
                      words, digest)
        return digest, words


cdef int write_outputs(const ledger_constants *constants, const ledger_access *access,
                       bytes frame, uint64_t origin_height, uint64_t origin_time, bytes root,
                       bytes words, bytes digest) except -1:
    cdef ledger_frame parts
    cdef int error
    if len(frame) != FRAME_LENGTH:
        raise ValueError(f"a frame has {FRAME_LENGTH} bytes, not {len(frame)}")
    parts.program = view(frame)
    parts.signing_set = view(frame) + 32
    parts.next_set = view(frame) + 64
    parts.origin_height = origin_height
    parts.origin_time = origin_time
    error = ledger_outputs_digest(constants, access, &parts, view(root), writable(words),
                                  writable(digest))
    if error != LEDGER_OK:
        raise LedgerFault(error)
    return 0


cdef class BatchRecorder:
    """Executes the blocks of one batch over an unchanged tree and records the accesses."""
    cdef StateTree _tree
    cdef ledger_constants _constants
    cdef overlay _touched
    cdef bytes _pre_root

    def __cinit__(self, StateTree tree not None, bytes constants not None):
        self._tree = tree
        read_constants(&self._constants, constants)
        seed_overlay(&self._touched, tree.tree)
        self._touched.is_recording = 1
        self._pre_root = PyBytes_FromStringAndSize(<const char *>state_tree_root(tree.tree), 32)

    def __dealloc__(self):
        overlay_free(&self._touched)

    def execute(self, bytes context not None, bytes records not None,
                bytes transactions not None, uint32_t count):
        """Execute the next block; True when it opens a batch. Raises LedgerFault: start again."""
        cdef ledger_input block
        cdef ledger_block room
        cdef ledger_access access
        cdef int error
        fill_input(&block, context, records, transactions, count)
        block.pre_root = view(self._pre_root)
        access.find = overlay_find
        access.find_party = overlay_find_party
        access.owner = &self._touched
        if overlay_reserve(&self._touched, overlay_leaves_of(block.records_length, count),
                           overlay_accesses_of(block.records_length, count)) != 0:
            raise MemoryError("touched leaves")
        self._tree.acquire()
        with nogil:
            error = ledger_execute(&room, &self._constants, &access, &block, NULL)
        self._tree.release()
        if error != LEDGER_OK:
            raise LedgerFault(error)
        return room.opened_batch != 0

    def touch_outputs(self, bytes frame not None):
        """Record what the outputs of the epoch read; after the last block of its last batch."""
        cdef ledger_access access
        access.find = overlay_find
        access.find_party = overlay_find_party
        access.owner = &self._touched
        if overlay_reserve(&self._touched, overlay_leaves_of(0, 0), overlay_accesses_of(0, 0)) != 0:
            raise MemoryError("touched leaves")
        write_outputs(&self._constants, &access, frame, 0, 0, self._pre_root, new_bytes(384),
                      new_bytes(32))

    @property
    def pre_root(self):
        return self._pre_root

    def leaves(self):
        """[(path, name, old value or None, is present afterwards)] in the order of first access."""
        cdef size_t i
        cdef tree_slot *slot
        found = []
        for i in range(self._touched.count):
            slot = &self._touched.slots[i]
            found.append((
                slot.path[:32],
                self._touched.names[33 * i:33 * i + 33],
                slot.old_value[:64] if slot.old_present else None,
                slot.new_present != 0,
            ))
        return found

    def hints(self):
        """Index into `leaves()` of every access, in order; those of orders name theirs."""
        cdef size_t i
        return [self._touched.hints[i] for i in range(self._touched.hint_count)]


cdef class TransitionResult:
    """What a run over a witness gave; 32 bytes each."""
    cdef readonly bytes statement
    cdef readonly bytes pre_root
    cdef readonly bytes post_root
    cdef readonly bytes inputs_digest
    cdef readonly bytes outputs_digest


def run_transition(bytes witness not None, bytes answers=None):
    """Run the guest's program natively over `witness` (guest/transition.h).

    `answers` holds one byte per signature, in order, nonzero for a right one: the host's part, as
    the SIG rows of the machine. None stands for "all were checked before". Raises LedgerFault.
    """
    cdef transition_result raw
    cdef host source
    cdef transition_room *room
    cdef TransitionResult outcome = TransitionResult.__new__(TransitionResult)
    cdef uint32_t words = <uint32_t>(len(witness) // 4)
    # A name has 9 words, so there are no more slots.
    cdef uint32_t capacity = words // 9
    cdef uint8_t *memory
    cdef size_t leaves = (<size_t>capacity + 1) * sizeof(leaf_room)
    cdef size_t total = sizeof(transition_room) + leaves + 64 * (<size_t>words // 16 + 1)
    cdef int error
    if len(witness) % 4:
        raise LedgerFault(9)
    memory = <uint8_t *>aligned_alloc(64, total)
    if memory == NULL:
        raise MemoryError("room of a witness")
    memset(memory, 0, total)
    room = <transition_room *>memory
    room.leaves = <leaf_room *>(memory + sizeof(transition_room))
    room.words = <blake3_word *>(memory + sizeof(transition_room) + leaves)
    room.capacity = capacity
    room.word_capacity = words
    source.words = view(witness)
    source.count = words
    source.used = 0
    source.answers = view(answers) if answers is not None else NULL
    source.answer_count = len(answers) if answers is not None else 0
    source.answers_used = 0
    source.is_exhausted = 0
    with nogil:
        error = transition(&source, room, &raw)
    free(memory)
    if error != LEDGER_OK:
        raise LedgerFault(error)
    outcome.statement = raw.statement[:32]
    outcome.pre_root = raw.pre_root[:32]
    outcome.post_root = raw.post_root[:32]
    outcome.inputs_digest = raw.inputs_digest[:32]
    outcome.outputs_digest = raw.outputs_digest[:32]
    return outcome


cdef class TransactionParser:
    """Strict parsing and identification of transactions in bulk."""
    cdef ledger_constants _constants

    def __cinit__(self, bytes constants not None):
        read_constants(&self._constants, constants)

    def parse_batch(self, bytes transactions not None):
        """[(offset, length, txid, sender, kind, nonce, fee, amount)] of concatenated transactions.

        Raises MalformedTransaction at the first byte that does not go on with one.
        """
        cdef transaction parsed
        cdef size_t offset = 0
        cdef size_t end = len(transactions)
        cdef uint32_t length
        cdef bytes txid
        found = []
        while offset < end:
            length = transaction_parse(view(transactions) + offset, end - offset, &parsed)
            if length == 0:
                raise MalformedTransaction(len(found), offset)
            txid = new_bytes(32)
            ledger_transaction_id(&self._constants, &parsed, writable(txid))
            found.append((offset, length, txid, parsed.sender[:32], parsed.kind, parsed.nonce,
                          parsed.fee, parsed.amount))
            offset += length
        return found

    def signing_triples(self, bytes transactions not None):
        """n*128 bytes: key 32, message 32, signature 64 of each, for the signature workers."""
        cdef transaction parsed
        cdef size_t offset = 0
        cdef size_t count = 0
        cdef size_t end = len(transactions)
        cdef uint32_t length
        cdef bytes room = new_bytes(128 * (end // TRANSACTION_MINIMUM))
        cdef uint8_t *triple
        while offset < end:
            length = transaction_parse(view(transactions) + offset, end - offset, &parsed)
            if length == 0:
                raise MalformedTransaction(count, offset)
            triple = writable(room) + 128 * count
            memcpy(triple, parsed.sender, 32)
            ledger_transaction_id(&self._constants, &parsed, triple + 32)
            memcpy(triple + 64, parsed.signature, 64)
            offset += length
            count += 1
        return room[:128 * count]


def leaf_paths(bytes names not None):
    """Paths (n*32) of leaves by their names (n*33)."""
    cdef Py_ssize_t count = len(names) // 33
    cdef Py_ssize_t i
    cdef bytes paths = new_bytes(32 * count)
    if len(names) != 33 * count:
        raise ValueError("names have 33 bytes each")
    for i in range(count):
        leaf_path(view(names)[33 * i], view(names) + 33 * i + 1, writable(paths) + 32 * i)
    return paths


def is_payable(bytes script not None):
    """Whether the program would pay to this output script."""
    if len(script) > 34:
        return False
    return script_is_payable(view(script), <uint8_t>len(script)) != 0
