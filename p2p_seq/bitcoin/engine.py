"""Bitcoin Core's own validation engine: the one file that knows libbitcoinkernel's Python binding.

Two uses: checking that an input of a transaction may be spent (`verify_input`,
`first_invalid_input`), and a whole regtest chain on disk (`KernelChain`) for the embedded node.

The binding is an alpha, so everything it does badly is kept here: objects are made from handles
(its own constructors unpack bytes one by one: 290 ms for a 4 MB transaction), out-of-range
arguments are refused before they reach an assertion in C that would end the process, its parsers
ignore trailing bytes (so transactions are parsed strictly first), and `process_block` reports
success for a block whose scripts fail (so the tip and the engine's own log line decide).

Threads: the engine releases the interpreter lock while it works and calls back on the calling
thread.
"""

import contextlib
import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pbk
import pbk.capi.bindings as capi
from pbk.script import PrecomputedTransactionData

from p2p_seq.bitcoin.transaction import Transaction, TxOut
from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.protocol.types import Hash32, parse_display_id

_CONSENSUS_FLAGS: Final[Any] = pbk.ScriptVerificationFlags.ALL

_FAILED_CONNECT: Final = re.compile(r"ConnectBlock ([0-9a-f]{64}) failed, ([^\s,]+)")
_FAILED_ACCEPT: Final = re.compile(r"AcceptBlock FAILED \(([^\s,)]+)")
_FAILED_CHECK: Final = re.compile(r"ProcessNewBlock: .*?FAILED \(([^\s,)]+)")


def verify_input(encoded: bytes, input_index: int, spent_outputs: Sequence[TxOut]) -> bool:
    """True when input `input_index` of the transaction may spend `spent_outputs[input_index]`.

    `spent_outputs`: the outputs of all inputs in order (a taproot signature commits to all of
    them). Lock times of the transaction against a chain are not scripts and are not checked here.
    Raises CodecError when `encoded` is not a transaction, ValueError when index or outputs do not
    fit it.
    """
    transaction = Transaction.parse(encoded)
    if not 0 <= input_index < len(transaction.inputs):
        raise ValueError(f"input {input_index} of {len(transaction.inputs)}")
    return _Spending(encoded, transaction, spent_outputs).is_valid(input_index)


def first_invalid_input(encoded: bytes, spent_outputs: Sequence[TxOut]) -> int | None:
    """The first input that may not be spent, or None when all may. Errors as `verify_input`."""
    transaction = Transaction.parse(encoded)
    spending = _Spending(encoded, transaction, spent_outputs)
    for index in range(len(transaction.inputs)):
        if not spending.is_valid(index):
            return index
    return None


def verify_transaction(encoded: bytes, spent_outputs: Sequence[TxOut]) -> bool:
    """True when every input may be spent. Errors as `verify_input`."""
    return first_invalid_input(encoded, spent_outputs) is None


class _Spending:
    """One transaction with the outputs it spends, as objects of the engine."""

    def __init__(
        self, encoded: bytes, transaction: Transaction, spent_outputs: Sequence[TxOut]
    ) -> None:
        if len(spent_outputs) != len(transaction.inputs):
            raise ValueError(
                f"{len(spent_outputs)} spent outputs for {len(transaction.inputs)} inputs"
            )
        self._spent = tuple(spent_outputs)
        self._scripts = [_script(output.script) for output in self._spent]
        self._outputs = [
            pbk.TransactionOutput(script, output.value)
            for script, output in zip(self._scripts, self._spent, strict=True)
        ]
        self._transaction = pbk.Transaction._from_handle(
            capi.btck_transaction_create(_array(encoded), len(encoded))
        )
        self._precomputed = PrecomputedTransactionData(self._transaction, self._outputs)

    def is_valid(self, input_index: int) -> bool:
        return bool(
            self._scripts[input_index].verify(
                self._spent[input_index].value,
                self._transaction,
                self._precomputed,
                input_index,
                _CONSENSUS_FLAGS,
            )
        )


def _array(encoded: bytes) -> Any:
    return (ctypes.c_ubyte * len(encoded)).from_buffer_copy(encoded)


def _script(encoded: bytes) -> Any:
    return pbk.ScriptPubkey._from_handle(
        capi.btck_script_pubkey_create(_array(encoded), len(encoded))
    )


@dataclass(frozen=True)
class BlockVerdict:
    """What the engine said about one block."""

    is_new: bool
    """The engine had not stored this block before."""
    reject_reason: str | None
    """bitcoind's word for why this block is invalid, or None when nothing is wrong with it so far
    (a block on a branch with less work has not had its scripts run)."""
    invalid_blocks: tuple[Hash32, ...] = ()
    """Blocks that turned out to be invalid while this one was processed: it may be an earlier block
    of a branch that this one made the longest."""


class _LogCapture:
    """The engine's log lines since the last `take`; its reject reasons appear nowhere else."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        pbk.logging_set_options(
            pbk.LoggingOptions(log_timestamps=False, always_print_category_levels=True)
        )
        self._connection = pbk.LoggingConnection(self._append)

    def _append(self, line: str) -> None:
        if line.startswith("[all:error]"):
            self._lines.append(line)

    def take(self) -> list[str]:
        taken, self._lines = self._lines, []
        return taken


_log_captures: list[_LogCapture] = []


def _log_capture() -> _LogCapture:
    """The engine has one logger for the whole process."""
    if not _log_captures:
        _log_captures.append(_LogCapture())
    return _log_captures[0]


class KernelChain:
    """A regtest chain in `directory`, validated by the engine. One user of the directory at a time.

    What the engine has not written yet is lost with a SIGKILL (it writes when it closes): `reopen`
    is a checkpoint, and the caller keeps the blocks since the last one.
    """

    def __init__(self, directory: Path) -> None:
        """Opens or creates it. Raises OperatorError when the directory cannot be used."""
        self._directory = directory
        self._log = _log_capture()
        self._fatal: list[str] = []
        self._manager: Any = None
        self._chain: Any = None
        self._open()

    def _open(self) -> None:
        options = pbk.ContextOptions()
        options.set_chainparams(pbk.ChainParameters(pbk.ChainType.REGTEST))
        options.set_notifications(self._notifications())
        context = pbk.Context(options)
        blocks = self._directory / "blocks"
        self._log.take()
        try:
            self._manager = pbk.ChainstateManager(
                pbk.ChainstateManagerOptions(context, str(self._directory), str(blocks))
            )
        except RuntimeError as error:
            said = "; ".join(line.strip() for line in self._log.take()) or str(error)
            raise OperatorError(
                f"cannot open the Bitcoin chain in {self._directory}",
                said,
                "stop the other process that uses it, or free disk space; "
                "when the files are damaged, start with a new data directory",
            ) from error
        self._chain = self._manager.get_active_chain()

    def _notifications(self) -> Any:
        from pbk.notifications import NotificationInterfaceCallbacks

        def failed(_user: Any, message: Any, length: int) -> None:
            self._fatal.append(ctypes.string_at(message, length).decode("utf-8", "replace"))

        return NotificationInterfaceCallbacks(flush_error=failed, fatal_error=failed)

    def process(self, encoded: bytes) -> BlockVerdict:
        """Give the engine one block. Raises LocalError when the engine itself failed (disk)."""
        handle = capi.btck_block_create(_array(encoded), len(encoded))
        if not handle:
            return BlockVerdict(is_new=False, reject_reason="bad-block-encoding")
        block = pbk.Block._from_handle(handle)
        block_id = str(block.block_hash)
        self._log.take()
        is_refused = False
        is_new = False
        try:
            is_new = self._manager.process_block(block)
        except pbk.ProcessBlockException:
            is_refused = True
        lines = self._log.take()
        if self._fatal:
            raise LocalError(f"the validation engine failed: {'; '.join(self._fatal)}")
        reason = _reject_reason(block_id, lines)
        if is_refused and reason is None:
            reason = "rejected"
        failed = (_FAILED_CONNECT.search(line) for line in lines)
        invalid = tuple(parse_display_id(found[1]) for found in failed if found is not None)
        return BlockVerdict(is_new, reason, invalid)

    def tip(self) -> tuple[Hash32, int]:
        """Id and height of the best block."""
        height = self._chain.height
        return self._hash_at(height), height

    def _hash_at(self, height: int) -> Hash32:
        entry = self._chain.block_tree_entries[height]
        return Hash32(bytes(entry.block_hash))

    def genesis(self) -> bytes:
        """The first block, serialised."""
        return bytes(self._manager.blocks[self._chain.block_tree_entries[0]])

    def reopen(self) -> None:
        """Write everything to disk (27-82 ms) and go on."""
        self.close()
        self._open()

    def close(self) -> None:
        """Write everything to disk. The engine lives as long as any view of it does, so views go
        first."""
        self._chain = None
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.__exit__(None, None, None)
        if self._fatal:
            raise LocalError(f"the validation engine failed: {'; '.join(self._fatal)}")


@contextlib.contextmanager
def open_chain(directory: Path) -> Iterator[KernelChain]:
    """A `KernelChain` that is written and closed at the end."""
    chain = KernelChain(directory)
    try:
        yield chain
    finally:
        chain.close()


def _reject_reason(block_id: str, lines: Sequence[str]) -> str | None:
    for line in lines:
        connect = _FAILED_CONNECT.search(line)
        if connect is not None and connect[1] == block_id:
            return connect[2]
        refused = _FAILED_ACCEPT.search(line) or _FAILED_CHECK.search(line)
        if refused is not None:
            return refused[1]
    return None
