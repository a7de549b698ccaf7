"""The chain store: typed, transactional access to the tables of one data directory.

Every write transaction is synchronous: when `write()` leaves without an error, its content survives
`kill -9` and a power cut. Work is batched by the callers (one transaction per event-loop turn),
because a durable commit costs about 0.3 ms however much is in it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import lmdb

from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.storage.tables import SCHEMA_VERSION, Table

MAP_BYTES: Final = 1 << 40
"""Address space reserved for the file; disk is used only as data grows."""

META_SCHEMA: Final = b"schema"
META_CHAIN: Final = b"chain-id"


class ReadTransaction:
    """A consistent view. Values are copies: they outlive the transaction."""

    def __init__(self, raw: lmdb.Transaction, databases: dict[Table, "lmdb._Database"]) -> None:
        self._raw = raw
        self._databases = databases

    def get(self, table: Table, key: bytes) -> bytes | None:
        value = self._raw.get(key, db=self._databases[table])
        return None if value is None else bytes(value)

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """The entry with the greatest key."""
        with self._raw.cursor(db=self._databases[table]) as cursor:
            return (bytes(cursor.key()), bytes(cursor.value())) if cursor.last() else None

    def scan(
        self, table: Table, start: bytes = b"", prefix: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Entries in key order from `start` on, while the key begins with `prefix`."""
        with self._raw.cursor(db=self._databases[table]) as cursor:
            found = cursor.set_range(start or prefix) if (start or prefix) else cursor.first()
            while found and bytes(cursor.key()).startswith(prefix):
                yield bytes(cursor.key()), bytes(cursor.value())
                found = cursor.next()

    def count(self, table: Table) -> int:
        return int(self._raw.stat(self._databases[table])["entries"])


class WriteTransaction(ReadTransaction):
    """A view that also changes; all or nothing."""

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._raw.put(key, value, db=self._databases[table])

    def delete(self, table: Table, key: bytes) -> bool:
        return bool(self._raw.delete(key, db=self._databases[table]))


class Store:
    """One data directory's chain store. Open it once per process; a second process is refused."""

    def __init__(self, environment: lmdb.Environment, directory: Path) -> None:
        self._environment = environment
        self._directory = directory
        self._databases = {
            table: environment.open_db(table.value.encode("ascii")) for table in Table
        }

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open or create. Raises OperatorError for a disk or schema that cannot be used."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(
                str(directory),
                map_size=MAP_BYTES,
                max_dbs=len(Table),
                sync=True,
                metasync=True,
                readahead=False,
            )
        except (OSError, lmdb.Error) as error:
            raise _disk_trouble(directory, error) from error
        store = cls(environment, directory)
        with store.write() as transaction:
            found = transaction.get(Table.META, META_SCHEMA)
            if found is None:
                transaction.put(Table.META, META_SCHEMA, SCHEMA_VERSION.to_bytes(4, "big"))
            elif int.from_bytes(found, "big") != SCHEMA_VERSION:
                raise OperatorError(
                    f"the store in {directory} has schema {int.from_bytes(found, 'big')}",
                    f"this program reads schema {SCHEMA_VERSION}",
                    "use the program that wrote it, or start with an empty directory",
                    code=2,
                )
        return store

    @classmethod
    def open_to_read(cls, directory: Path) -> Self:
        """Open an existing store for reading alone, also beside the node that writes it.

        Raises OperatorError.
        """
        try:
            environment = lmdb.open(
                str(directory),
                map_size=MAP_BYTES,
                max_dbs=len(Table),
                readonly=True,
                create=False,
                readahead=False,
            )
            store = cls(environment, directory)
        except (OSError, lmdb.Error) as error:
            raise OperatorError(
                f"cannot read the store in {directory}",
                str(error),
                "name the chain folder of a node's home",
                code=2,
            ) from error
        with store.read() as transaction:
            found = transaction.get(Table.META, META_SCHEMA)
        if found != SCHEMA_VERSION.to_bytes(4, "big"):
            store.close()
            raise OperatorError(
                f"the store in {directory} has another schema",
                f"this program reads schema {SCHEMA_VERSION}",
                "use the program that wrote it",
                code=2,
            )
        return store

    def bind_chain(self, chain_id: bytes) -> None:
        """Tie the store to one chain. Raises OperatorError when it belongs to another."""
        with self.write() as transaction:
            found = transaction.get(Table.META, META_CHAIN)
            if found is None:
                transaction.put(Table.META, META_CHAIN, chain_id)
            elif found != chain_id:
                raise OperatorError(
                    f"the store in {self._directory} belongs to chain {found.hex()}",
                    f"the genesis file names chain {chain_id.hex()}",
                    "use the genesis file of that chain, or another home directory",
                    code=2,
                )

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        with self._environment.begin(buffers=True) as raw:
            yield ReadTransaction(raw, self._databases)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """One atomic, durable change. Raises OperatorError when the disk is full or broken."""
        try:
            with self._environment.begin(write=True, buffers=True) as raw:
                yield WriteTransaction(raw, self._databases)
        except (lmdb.Error, OSError) as error:
            raise _disk_trouble(self._directory, error) from error

    def close(self) -> None:
        self._environment.close()


def _disk_trouble(directory: Path, error: Exception) -> Exception:
    """The operator's explanation of a failed LMDB call; our own misuse stays a LocalError."""
    if isinstance(error, (lmdb.BadTxnError, lmdb.BadValsizeError, lmdb.BadDbiError)):
        return LocalError(f"wrong use of the store: {error}")
    full = isinstance(error, (lmdb.DiskError, lmdb.MapFullError)) or (
        isinstance(error, OSError) and error.errno == errno.ENOSPC
    )
    cause = "the disk is full or cannot be written" if full else "the store cannot be used"
    return OperatorError(
        f"cannot write to {directory}",
        f"{cause}: {error}",
        "free space or mend the disk, then start again; nothing that was confirmed is lost",
        code=5,
    )
