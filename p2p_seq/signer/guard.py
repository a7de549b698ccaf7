"""The signing guard: an honest node never signs two votes in one slot, whatever happens to its
machine.

Before a vote is signed, `(epoch, view, slot) -> vote hash` is on disk, in an LMDB environment of
its own, and the second copy (`guard_log`) has grown. The same vote asked again gives the same
bytes; another vote of the slot, and every epoch that is sealed, is refused (PROTOCOL.md section 10,
consensus.md C.7).

A guard may be gone, or be an old or a foreign copy: the file is missing, its sequence is behind the
second copy, or the machine id, device or inode is not what it was made on. Then nobody knows what
the key has signed, and the guard is SILENT: it signs nothing before epoch E + 2, E being the
highest epoch that peers or Bitcoin show (`observe_epoch`). Everything the key ever signed lies in
epochs up to E, because nobody votes in an epoch whose predecessor's seal is not final. If votes of
the key appear that this guard did not sign, somebody else uses the key: the guard is STOPPED for
good. A clone of a running machine is not covered.

A guard that is created in the same act as its key is not missing: `create` writes both into a fresh
directory, syncs them and renames the directory into place.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import lmdb

from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, LocalError, OperatorError
from p2p_seq.protocol.types import Epoch, Hash32, Signature, XOnlyKey
from p2p_seq.protocol.votes import Vote, VoteStatement, slot_of
from p2p_seq.signer.guard_log import GuardLog, LogUnusable, Mark

MAP_BYTES: Final = 1 << 32
"""Address space of the environment; a vote takes about 200 bytes, old epochs are dropped."""

SILENT_EPOCHS: Final = 2
"""A guard without a past signs from E + 2 on."""

KEPT_EPOCHS: Final = 2
"""Votes of so many epochs before the sealed one stay, to recognise own votes that come back."""

_VOTES = b"votes"
_META = b"meta"
_IDENTITY = b"identity"
_MARK = b"mark"
_SILENCE = b"silence"
_STOPPED = b"stopped"


class GuardState(StrEnum):
    """Whether the guard signs."""

    READY = "ready"
    SILENT = "silent"
    """The past is unknown: waits for epoch E + 2."""
    STOPPED = "stopped"
    """The own key signs elsewhere: never again."""


class RefusalReason(StrEnum):
    """Why a vote is not signed."""

    CONFLICT = "conflict"
    """Another vote was signed in this slot."""
    SEALED = "epoch-sealed"
    """The epoch is over."""
    SILENT = "guard-silent"
    STOPPED = "guard-stopped"


class GuardRefusal(Exception):
    """The guard does not sign. `signed` is the vote that stands in the way, if it is one."""

    def __init__(self, reason: RefusalReason, signed: VoteStatement | None = None) -> None:
        super().__init__(f"{reason}: {signed}" if signed else str(reason))
        self.reason = reason
        self.signed = signed


@dataclass(frozen=True, slots=True)
class Identity:
    """What a guard was made on. A copied directory has another inode."""

    machine: bytes
    device: int
    inode: int
    public_key: XOnlyKey

    def encode(self) -> bytes:
        writer = Writer().var_bytes(self.machine, 64).u64(self.device).u64(self.inode)
        return writer.hash32(self.public_key).bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "Identity":
        reader = Reader(encoded)
        identity = cls(reader.var_bytes(64), reader.u64(), reader.u64(), reader.xonly())
        reader.finish()
        return identity


def machine_id() -> bytes:
    """The machine's id; empty where there is none, then device and inode must do."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            return path.read_bytes().strip()[:64]
        except OSError:
            continue
    return b""


def _no_crash(_: str) -> None:
    return


CRASH_POINTS: Final = (
    "guard:before-commit",
    "guard:after-commit",
    "guard:after-second-copy",
    "guard:before-seal",
    "guard:after-seal",
)
"""Names that a guard passes to its `crash_point` hook, in the order of the writes."""


class VoteGuard:
    """The guard of one consensus key. One process holds it; the signature is made by the caller's
    `sign`.
    """

    def __init__(
        self,
        directory: Path,
        second_copy: Path,
        public_key: XOnlyKey,
        crash_point: Callable[[str], None] = _no_crash,
    ) -> None:
        """Open the guard in `directory`; its log is the file `second_copy`, on another path.

        Raises OperatorError when another process holds it or the disk refuses.
        """
        self._directory = directory
        self._second_copy = second_copy
        self._crash_point = crash_point
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory / "guard.lock")
        try:
            self._open(public_key)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, public_key: XOnlyKey) -> None:
        is_missing = not (self._directory / "data.mdb").exists()
        self._environment = _environment(self._directory)
        self._votes = self._environment.open_db(_VOTES)
        self._meta = self._environment.open_db(_META)
        identity = _identity(self._directory, public_key)
        self._read_state()
        self.reason = self._distrust(is_missing, identity)
        """Why the guard became silent when it was opened; empty if its past is known."""
        if self.reason:
            self._begin_silence(identity)
            self._read_state()

    def _read_state(self) -> None:
        """What every vote asks for; the lock makes this process the only writer."""
        stored = self._get(_MARK)
        self._mark = Mark(0, 0)
        if stored is not None:
            try:
                self._mark = _decode_mark(stored)
            except CodecError:
                self._mark = Mark(0, 0)  # behind its second copy: silent
        silence = self._get(_SILENCE)
        self.silent_until: Epoch | None = Epoch(0)
        """First epoch in which the guard signs: 0 without silence, None while E is unknown."""
        if silence is not None:
            self.silent_until = Epoch(int.from_bytes(silence, "big")) if silence else None
        self._is_stopped = self._get(_STOPPED) is not None

    @classmethod
    def create(
        cls,
        directory: Path,
        second_copy: Path,
        public_key: XOnlyKey,
        write_key: Callable[[Path], None],
    ) -> None:
        """Make key and guard in one act. `write_key` puts the key into the directory that it gets.

        Raises OperatorError when `directory` exists (keys are never overwritten), or if the second
        copy remembers votes: then a guard is lost, and a new one would not know its past.
        """
        if directory.exists():
            raise OperatorError(
                f"there is a key in {directory} already",
                "a consensus key and its guard are made once, together",
                "use another directory",
            )
        _expect_no_past(second_copy)
        staging = directory.with_name(directory.name + ".new")
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True, mode=0o700)
        write_key(staging)
        environment = _environment(staging)
        meta = environment.open_db(_META)
        environment.open_db(_VOTES)
        with environment.begin(write=True, db=meta) as transaction:
            transaction.put(_IDENTITY, _identity(staging, public_key).encode())
            transaction.put(_MARK, _encode_mark(Mark(0, 0)))
        environment.close()
        for path in sorted(staging.iterdir()):
            _fsync(path)
        _fsync(staging)
        GuardLog.create(second_copy, Mark(0, 0)).close()
        staging.rename(directory)
        _fsync(directory.parent)

    def _distrust(self, is_missing: bool, identity: Identity) -> str:
        """Why the past of this guard is unknown, or an empty string."""
        if is_missing:
            return "the guard is missing"
        stored = self._get(_IDENTITY)
        try:
            log = GuardLog.open(self._second_copy)
        except LogUnusable as error:
            return f"the second copy is unusable: {error}"
        try:
            if stored is None or Identity.decode(stored) != identity:
                reason = "the guard was made on another machine or is a copy"
            elif any(own < copied for own, copied in zip(self._mark, log.mark, strict=True)):
                reason = "the guard is older than its second copy"
            else:
                self._log = log
                return ""
        except CodecError as error:
            reason = f"the guard is damaged: {error}"
        log.close()
        return reason

    def _begin_silence(self, identity: Identity) -> None:
        """Bind to this machine. Votes that are here still bind; more may be unknown."""
        try:
            known = GuardLog.open(self._second_copy)
            mark = Mark(*map(max, known.mark, self._mark))
            known.close()
        except LogUnusable:
            mark = self._mark
        with self._on_disk() as transaction:
            transaction.put(_SILENCE, b"", db=self._meta)
            transaction.put(_IDENTITY, identity.encode(), db=self._meta)
            transaction.put(_MARK, _encode_mark(mark), db=self._meta)
        self._log = GuardLog.create(self._second_copy, mark)

    def state(self, epoch: Epoch) -> GuardState:
        """What the guard does in an epoch."""
        if self._is_stopped:
            return GuardState.STOPPED
        until = self.silent_until
        return GuardState.READY if until is not None and epoch >= until else GuardState.SILENT

    def observe_epoch(self, highest: Epoch) -> None:
        """Tell a silent guard E: the higher of the best certified seal's epoch + 1 and Bitcoin's.

        The first answer counts and is durable. Call it only when both sources were heard.
        """
        if self.silent_until is None:
            until = highest + SILENT_EPOCHS
            self._put({_SILENCE: until.to_bytes(8, "big")})
            self._read_state()

    def heard_own(self, statement: VoteStatement) -> GuardState:
        """An authentic vote of the own key came from the network. Returns the state after it.

        A vote that this guard did not sign stops it for good, unless it can be from before the
        silence.
        """
        until = self.silent_until
        unknown_past = until is None or statement.epoch < until - 1
        is_old = statement.epoch + KEPT_EPOCHS < self._mark.sealed
        if not unknown_past and not is_old and self._find(statement) != statement:
            self._put({_STOPPED: b"1"})
            self._read_state()
        return self.state(statement.epoch)

    def sign(
        self,
        statement: VoteStatement,
        message: Hash32,
        signer: int,
        sign: Callable[[Hash32], Signature],
    ) -> Vote:
        """Check, write, sync, and only then sign `message`, the statement's `H_vote`.

        Raises GuardRefusal; OperatorError when the disk refuses, and then nothing was signed.
        """
        state = self.state(statement.epoch)
        if state is not GuardState.READY:
            stopped = state is GuardState.STOPPED
            raise GuardRefusal(RefusalReason.STOPPED if stopped else RefusalReason.SILENT)
        mark = self._mark
        if statement.epoch < mark.sealed:
            raise GuardRefusal(RefusalReason.SEALED)
        record = _encode_vote(statement, message)
        stored = self._get(_key(statement), self._votes)
        if stored is not None and stored != record:
            raise GuardRefusal(RefusalReason.CONFLICT, _decode_vote(stored))
        if stored is None:
            mark = Mark(mark.sequence + 1, mark.sealed)
            self._crash_point("guard:before-commit")
            with self._on_disk() as transaction:
                transaction.put(_key(statement), record, db=self._votes)
                transaction.put(_MARK, _encode_mark(mark), db=self._meta)
            self._mark = mark
            self._crash_point("guard:after-commit")
        if self._log.mark != mark:
            self._append(mark)
            self._crash_point("guard:after-second-copy")
        return Vote(statement, signer, sign(message))

    def votes(self, epoch: Epoch) -> list[VoteStatement]:
        """Everything signed in an epoch, by view: what the core is restored with."""
        prefix = epoch.to_bytes(8, "big")
        found: list[VoteStatement] = []
        with self._environment.begin(db=self._votes) as transaction:
            cursor = transaction.cursor()
            more = cursor.set_range(prefix)
            while more and cursor.key().startswith(prefix):
                found.append(_decode_vote(cursor.value()))
                more = cursor.next()
        return found

    def seal(self, epoch: Epoch) -> None:
        """The epoch's seal is final: never sign in it again. Drops votes of long-sealed epochs.

        Raises OperatorError when the disk refuses.
        """
        mark = self._mark
        if epoch < mark.sealed:
            return
        mark = Mark(mark.sequence, epoch + 1)
        oldest = max(0, epoch + 1 - KEPT_EPOCHS).to_bytes(8, "big")
        self._crash_point("guard:before-seal")
        with self._on_disk() as transaction:
            transaction.put(_MARK, _encode_mark(mark), db=self._meta)
            cursor = transaction.cursor(db=self._votes)
            while cursor.first() and cursor.key() < oldest:
                cursor.delete()
        self._mark = mark
        self._append(mark)
        self._crash_point("guard:after-seal")

    @property
    def sealed(self) -> int:
        """Number of sealed epochs; every epoch below it is refused."""
        return self._mark.sealed

    def close(self) -> None:
        """Release the files and the lock."""
        self._log.close()
        self._environment.close()
        os.close(self._lock)

    def _find(self, statement: VoteStatement) -> VoteStatement | None:
        stored = self._get(_key(statement), self._votes)
        return _decode_vote(stored) if stored is not None else None

    def _get(self, key: bytes, table: Any = None) -> bytes | None:
        with self._environment.begin(db=table or self._meta) as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def _put(self, values: dict[bytes, bytes]) -> None:
        with self._on_disk() as transaction:
            for key, value in values.items():
                transaction.put(key, value, db=self._meta)

    @contextmanager
    def _on_disk(self) -> Iterator[Any]:
        """One durable change. Raises OperatorError when the disk refuses."""
        try:
            with self._environment.begin(write=True) as transaction:
                yield transaction
        except (lmdb.Error, OSError) as error:
            raise _cannot_write(self._directory, error) from error

    def _append(self, mark: Mark) -> None:
        """To the second copy. Raises OperatorError when its disk refuses."""
        try:
            self._log.append(mark)
        except OSError as error:
            raise _cannot_write(self._second_copy, error) from error


def _cannot_write(place: Path, error: Exception) -> OperatorError:
    return OperatorError(
        f"the signing guard cannot write to {place}",
        f"{error}; a vote that is not on disk is not signed",
        "free space or mend the disk, then start again; nothing that was signed is lost",
        code=5,
    )


def _environment(directory: Path) -> Any:
    """Durable at every commit; no flag that trades that for speed."""
    try:
        return lmdb.open(
            str(directory), map_size=MAP_BYTES, max_dbs=2, sync=True, metasync=True, writemap=False
        )
    except lmdb.Error as error:
        raise OperatorError(
            f"the signing guard in {directory} cannot be opened",
            str(error),
            "check the disk; if data.mdb is damaged move it away: the node then waits two epochs",
        ) from error


def _identity(directory: Path, public_key: XOnlyKey) -> Identity:
    status = (directory / "data.mdb").stat()
    return Identity(machine_id(), status.st_dev, status.st_ino, public_key)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise OperatorError(
            f"the signing guard in {path.parent} is in use",
            "two processes with one consensus key would lose the stake",
            "stop the other process first",
        ) from error
    return descriptor


def _expect_no_past(second_copy: Path) -> None:
    if not second_copy.exists():
        return
    try:
        log = GuardLog.open(second_copy)
        log.close()
        has_past = log.mark != Mark(0, 0)
    except LogUnusable:
        has_past = True
    if has_past:
        raise OperatorError(
            f"the guard's second copy {second_copy} remembers votes",
            "a guard that is made anew does not know what its key has signed",
            "restore the key and start with it, or move the old copy away for a new key",
        )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key(statement: VoteStatement) -> bytes:
    """epoch u64 | view u64 | slot u8: in the order of time."""
    writer = Writer().u64(statement.epoch).u64(statement.view)
    return writer.u8(slot_of(statement.kind)).bytes()


def _encode_vote(statement: VoteStatement, message: Hash32) -> bytes:
    """H_vote 32 | statement 81."""
    writer = Writer().hash32(message)
    statement.write(writer)
    return writer.bytes()


def _decode_vote(encoded: bytes) -> VoteStatement:
    try:
        reader = Reader(encoded)
        reader.hash32()
        statement = VoteStatement.read(reader)
        reader.finish()
    except CodecError as error:
        raise LocalError(f"the guard holds a damaged vote: {error}") from error
    return statement


def _decode_mark(encoded: bytes) -> Mark:
    reader = Reader(encoded)
    mark = Mark(reader.u64(), reader.u64())
    reader.finish()
    return mark


def _encode_mark(mark: Mark) -> bytes:
    return Writer().u64(mark.sequence).u64(mark.sealed).bytes()
