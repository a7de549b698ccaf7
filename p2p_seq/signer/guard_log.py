"""The guard's second copy: an append-only log in another place that only says how far the guard
came.

A record is `sequence u64 | sealed u64 | crc32`, 20 bytes, where `sealed` is the number of sealed
epochs. The highest intact record counts. A guard whose own sequence is lower was restored from an
older copy. A torn tail is what a crash leaves and is cut off; a broken record elsewhere means that
the file cannot be trusted.
"""

import os
import zlib
from pathlib import Path
from typing import Final, NamedTuple

RECORD_BYTES: Final = 20

COMPACT_RECORDS: Final = 65_536
"""The log is rewritten with its last record when it is opened longer than this."""


class Mark(NamedTuple):
    """How far a guard came. Both numbers only grow."""

    sequence: int
    """Votes signed."""
    sealed: int
    """Sealed epochs: the guard refuses every epoch below this number."""


class LogUnusable(Exception):
    """The log is missing or damaged: nothing is known about the guard's past."""


def _encode(mark: Mark) -> bytes:
    body = mark.sequence.to_bytes(8, "big") + mark.sealed.to_bytes(8, "big")
    return body + zlib.crc32(body).to_bytes(4, "big")


def _decode(record: bytes) -> Mark | None:
    body = record[:16]
    if len(record) != RECORD_BYTES or record[16:] != zlib.crc32(body).to_bytes(4, "big"):
        return None
    return Mark(int.from_bytes(body[:8], "big"), int.from_bytes(body[8:], "big"))


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class GuardLog:
    """An open log. Every append is on disk when it returns."""

    def __init__(self, path: Path, descriptor: int, mark: Mark) -> None:
        self.path = path
        self.mark = mark
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, mark: Mark) -> "GuardLog":
        """A new log that says `mark`; replaces an old one in one act."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(descriptor, _encode(mark))
        os.fsync(descriptor)
        fresh.rename(path)
        _fsync_directory(path.parent)
        return cls(path, descriptor, mark)

    @classmethod
    def open(cls, path: Path) -> "GuardLog":
        """The log at `path`. Raises LogUnusable."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise LogUnusable(f"{path}: {error.strerror}") from error
        content = path.read_bytes()
        whole = len(content) - len(content) % RECORD_BYTES
        mark: Mark | None = None
        for start in range(0, whole, RECORD_BYTES):
            record = _decode(content[start : start + RECORD_BYTES])
            if record is None:
                if start + RECORD_BYTES == whole and mark is not None:
                    whole = start  # torn tail
                    break
                os.close(descriptor)
                raise LogUnusable(f"{path}: damaged at byte {start}")
            mark = Mark(*map(max, record, mark)) if mark else record
        if mark is None:
            os.close(descriptor)
            raise LogUnusable(f"{path}: empty")
        os.ftruncate(descriptor, whole)
        os.fsync(descriptor)
        if whole // RECORD_BYTES > COMPACT_RECORDS:
            os.close(descriptor)
            return cls.create(path, mark)
        return cls(path, descriptor, mark)

    def append(self, mark: Mark) -> None:
        """Write a higher mark. An append that fails half-way is cut off again. Raises OSError."""
        length = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, _encode(mark)) != RECORD_BYTES:
                raise OSError(f"short write to {self.path}")
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, length)
            raise
        self.mark = mark

    def close(self) -> None:
        os.close(self._descriptor)
