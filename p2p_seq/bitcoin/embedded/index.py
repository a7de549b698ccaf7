"""The embedded node's disk: the block log, and indexes of the best chain, in one LMDB environment.

The log keeps every accepted block in the order of arrival and is synced before the engine sees the
block, because the engine itself writes only when it closes. Headers are kept for all blocks; coins,
transactions, spends, heights and undo records describe the best chain up to `tip` and change in one
LMDB transaction per call, so a SIGKILL leaves them at some block, never inside one.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from p2p_seq.bitcoin.block import HEADER_BYTES, Block
from p2p_seq.bitcoin.embedded.records import (
    FORMAT,
    Coin,
    HeaderRecord,
    SpendRecord,
    TxLocation,
    decode_coins,
    decode_outpoint,
    decode_sequence,
    encode_coins,
    height_key,
    outpoint_key,
    sequence_key,
)
from p2p_seq.bitcoin.wire import WITNESS_SCALE, write_compact_size
from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.protocol.types import Hash32, OutPoint

DEFAULT_MAP_BYTES: Final = 16 << 30
"""Upper limit of the index file, bytes; the file grows only with what is in it."""

MAX_COIN_SCRIPT_BYTES: Final = 10_000
"""A longer script can never be run (Bitcoin Core `IsUnspendable`), so its output is no coin."""

_OP_RETURN: Final = 0x6A
_NAMES: Final = (
    "meta",
    "blocks",
    "headers",
    "heights",
    "undo",
    "coins",
    "transactions",
    "spends",
    "mempool",
)


class LoggedBlock(NamedTuple):
    """A parsed block with its bytes and the height that its parent gives it."""

    encoded: bytes
    block: Block
    height: int


class ChainIndex:
    """All of the node's own state on disk. Not thread-safe; one process at a time."""

    def __init__(self, directory: Path, map_bytes: int = DEFAULT_MAP_BYTES) -> None:
        """Opens or creates `directory`. Raises OperatorError when it cannot be used."""
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._env: Any = lmdb.open(
                str(directory), map_size=map_bytes, max_dbs=len(_NAMES), subdir=True
            )
            self._databases = {name: self._env.open_db(name.encode()) for name in _NAMES}
        except (lmdb.Error, OSError) as error:
            raise _disk_error(directory, error) from error
        found = self._get("meta", b"format")
        if found not in (None, FORMAT):
            self._env.close()
            raise OperatorError(
                f"cannot open the Bitcoin index in {directory}",
                f"its format is {found!r}, this program writes {FORMAT!r}",
                "start with a new data directory",
            )

    def close(self) -> None:
        self._env.close()

    # Reading. Each call sees the last committed state.

    def _get(self, name: str, key: bytes) -> bytes | None:
        with self._env.begin(db=self._databases[name]) as transaction:
            found: bytes | None = transaction.get(key)
        return found

    def tip(self) -> Hash32 | None:
        """The block that the indexes describe; None before the genesis block is there."""
        found = self._get("meta", b"tip")
        return None if found is None else Hash32(found)

    def checkpoint(self) -> int:
        """The engine has written all blocks of the log with a sequence up to this one."""
        found = self._get("meta", b"checkpoint")
        return 0 if found is None else decode_sequence(found)

    def header(self, block_hash: Hash32) -> HeaderRecord | None:
        found = self._get("headers", block_hash)
        return None if found is None else HeaderRecord.decode(found)

    def hash_at(self, height: int) -> Hash32 | None:
        """The best chain's block at `height`."""
        if not 0 <= height < 1 << 32:
            return None
        found = self._get("heights", height_key(height))
        return None if found is None else Hash32(found)

    def raw_block(self, block_hash: Hash32) -> bytes | None:
        record = self.header(block_hash)
        return None if record is None else self._get("blocks", sequence_key(record.sequence))

    def undo(self, block_hash: Hash32) -> list[Coin]:
        """Coins that a block of the best chain spends, in the order of its inputs."""
        found = self._get("undo", block_hash)
        if found is None:
            raise LocalError(f"no undo record for block {block_hash[::-1].hex()}")
        return decode_coins(found)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        found = self._get("coins", outpoint_key(outpoint))
        return None if found is None else Coin.decode(found)

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        """All unspent outputs."""
        with self._env.begin(db=self._databases["coins"]) as transaction:
            for key, value in transaction.cursor():
                yield decode_outpoint(key), Coin.decode(value)

    def location(self, txid: Hash32) -> TxLocation | None:
        found = self._get("transactions", txid)
        return None if found is None else TxLocation.decode(found)

    def spend(self, outpoint: OutPoint) -> SpendRecord | None:
        found = self._get("spends", outpoint_key(outpoint))
        return None if found is None else SpendRecord.decode(found)

    def last_sequence(self) -> int:
        """Sequence of the newest block in the log; 0 when it is empty."""
        with self._env.begin(db=self._databases["blocks"]) as transaction:
            cursor = transaction.cursor()
            return decode_sequence(cursor.key()) if cursor.last() else 0

    def log_after(self, sequence: int) -> Iterator[bytes]:
        """Blocks of the log that are newer than `sequence`, oldest first."""
        with self._env.begin(db=self._databases["blocks"]) as transaction:
            cursor = transaction.cursor()
            if cursor.set_range(sequence_key(sequence + 1)):
                yield from cursor.iternext(keys=False, values=True)

    def coin_count(self) -> int:
        """Number of unspent outputs."""
        with self._env.begin(db=self._databases["coins"]) as transaction:
            return int(transaction.stat()["entries"])

    def saved_mempool(self) -> list[bytes]:
        """Transactions that the last clean stop left, in an order in which they can be admitted."""
        with self._env.begin(db=self._databases["mempool"]) as transaction:
            return [value for _, value in transaction.cursor()]

    # Writing. Each call is one synced LMDB transaction.

    @contextmanager
    def _write(self) -> Iterator["_Writer"]:
        try:
            with self._env.begin(write=True) as transaction:
                yield _Writer(transaction, self._databases)
        except lmdb.Error as error:
            raise _disk_error(self._directory, error) from error

    def initialise(self, genesis: bytes) -> None:
        """Make the genesis block the tip of an empty index. Its output can never be spent."""
        block = Block.parse(genesis)
        with self._write() as writer:
            writer.put("meta", b"format", FORMAT)
            writer.log(LoggedBlock(genesis, block, 0), 1)
            writer.put("heights", height_key(0), block.hash)
            writer.put("undo", block.hash, encode_coins([]))
            writer.put("meta", b"tip", block.hash)

    def append_blocks(self, blocks: Sequence[LoggedBlock]) -> None:
        """Write blocks to the log, which is safe on disk when this returns."""
        sequence = self.last_sequence()
        with self._write() as writer:
            for offset, logged in enumerate(blocks, 1):
                writer.log(logged, sequence + offset)

    def forget(self, block_hash: Hash32) -> None:
        """Drop a block that the engine refused to store: other bytes may have the same hash."""
        record = self.header(block_hash)
        if record is None:
            return
        with self._write() as writer:
            writer.delete("headers", block_hash)
            writer.delete("blocks", sequence_key(record.sequence))

    def mark_invalid(self, block_hashes: Iterable[Hash32]) -> None:
        """Drop blocks whose transactions are invalid from the log; their headers stay, marked."""
        with self._write() as writer:
            for block_hash in block_hashes:
                record = self.header(block_hash)
                if record is not None and not record.is_invalid:
                    writer.put("headers", block_hash, record._replace(is_invalid=True).encode())
                    writer.delete("blocks", sequence_key(record.sequence))

    def move(self, disconnect: Sequence[LoggedBlock], connect: Sequence[LoggedBlock]) -> None:
        """Follow the best chain: take off `disconnect` (tip first), then put on `connect`."""
        with self._write() as writer:
            for logged in disconnect:
                writer.disconnect(logged)
            for logged in connect:
                writer.connect(logged)
            if connect:
                writer.put("meta", b"tip", connect[-1].block.hash)

    def set_checkpoint(self, sequence: int) -> None:
        with self._write() as writer:
            writer.put("meta", b"checkpoint", sequence_key(sequence))

    def save_mempool(self, transactions: Sequence[bytes]) -> None:
        with self._write() as writer:
            writer.replace_all("mempool", transactions)


class _Writer:
    """The changes of one LMDB transaction."""

    def __init__(self, transaction: Any, databases: dict[str, Any]) -> None:
        self._transaction = transaction
        self._databases = databases

    def put(self, name: str, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._databases[name])

    def delete(self, name: str, key: bytes) -> None:
        self._transaction.delete(key, db=self._databases[name])

    def take(self, name: str, key: bytes) -> bytes | None:
        found: bytes | None = self._transaction.pop(key, db=self._databases[name])
        return found

    def replace_all(self, name: str, values: Sequence[bytes]) -> None:
        self._transaction.drop(self._databases[name], delete=False)
        for position, value in enumerate(values):
            self.put(name, sequence_key(position), value)

    def log(self, logged: LoggedBlock, sequence: int) -> None:
        block = logged.block
        frame = HEADER_BYTES + len(write_compact_size(len(block.transactions)))
        record = HeaderRecord(
            height=logged.height,
            sequence=sequence,
            transactions=len(block.transactions),
            size=len(logged.encoded),
            weight=WITNESS_SCALE * frame + sum(item.weight for item in block.transactions),
            is_invalid=False,
            header=block.header,
        )
        self.put("blocks", sequence_key(sequence), logged.encoded)
        self.put("headers", block.hash, record.encode())

    def connect(self, logged: LoggedBlock) -> None:
        """Spend and create the block's coins, and index its transactions."""
        block_hash = logged.block.hash
        transactions = logged.block.transactions
        offset = HEADER_BYTES + len(write_compact_size(len(transactions)))
        spent: list[Coin] = []
        for transaction in transactions:
            txid = transaction.txid
            if not transaction.is_coinbase:
                for position, item in enumerate(transaction.inputs):
                    key = outpoint_key(item.previous)
                    coin = self.take("coins", key)
                    if coin is None:
                        raise LocalError(f"block spends {item.previous}, which is no coin")
                    spent.append(Coin.decode(coin))
                    self.put("spends", key, SpendRecord(txid, position, block_hash).encode())
            for vout, output in enumerate(transaction.outputs):
                if is_spendable(output.script):
                    coin_record = Coin(logged.height, transaction.is_coinbase, output)
                    self.put("coins", outpoint_key(OutPoint(txid, vout)), coin_record.encode())
            length = len(transaction.serialize())
            self.put("transactions", txid, TxLocation(block_hash, offset, length).encode())
            offset += length
        self.put("undo", block_hash, encode_coins(spent))
        self.put("heights", height_key(logged.height), block_hash)

    def disconnect(self, logged: LoggedBlock) -> None:
        """The inverse of `connect`, in the opposite order."""
        block_hash = logged.block.hash
        undo = self.take("undo", block_hash)
        if undo is None:
            raise LocalError(f"no undo record for block {block_hash[::-1].hex()}")
        spent = decode_coins(undo)
        for transaction in reversed(logged.block.transactions):
            for vout in range(len(transaction.outputs)):
                self.delete("coins", outpoint_key(OutPoint(transaction.txid, vout)))
            self.delete("transactions", transaction.txid)
            if transaction.is_coinbase:
                continue
            for item in reversed(transaction.inputs):
                key = outpoint_key(item.previous)
                self.put("coins", key, spent.pop().encode())
                self.delete("spends", key)
        if spent:
            raise LocalError(f"undo record with {len(spent)} coins too many")
        self.delete("heights", height_key(logged.height))


def is_spendable(script: bytes) -> bool:
    """False for outputs that can never be spent (Bitcoin Core `CScript::IsUnspendable`)."""
    return len(script) <= MAX_COIN_SCRIPT_BYTES and not (script and script[0] == _OP_RETURN)


def _disk_error(directory: Path, error: Exception) -> OperatorError:
    """An error of LMDB or of the file system, said so that a person can mend it."""
    number = error.errno if isinstance(error, OSError) else None
    is_full = isinstance(error, lmdb.MapFullError) or number in (errno.ENOSPC, errno.EFBIG)
    what = f"cannot use the Bitcoin index in {directory}"
    if is_full or "No space left" in str(error) or "too large" in str(error):
        return OperatorError(what, f"the disk is full ({error})", "free disk space and start again")
    if isinstance(error, lmdb.LockError):
        return OperatorError(what, str(error), "stop the other process that uses it")
    return OperatorError(what, str(error), "check the directory's permissions and the disk")
