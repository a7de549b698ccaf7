"""The signing guard: nothing makes it sign two votes of one slot."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_seq.protocol.errors import LocalError, OperatorError
from p2p_seq.protocol.types import ZERO32, Epoch, Hash32, View
from p2p_seq.protocol.votes import VoteKind, VoteStatement, nullify
from p2p_seq.signer.guard import (
    CRASH_POINTS,
    GuardRefusal,
    GuardState,
    RefusalReason,
    VoteGuard,
)
from p2p_seq.signer.guard_log import RECORD_BYTES, GuardLog, LogUnusable, Mark
from p2p_seq.signer.schnorr import public_key, sign

SECRET = bytes([7]) * 32
PUBLIC = public_key(SECRET)
CHAIN = Hash32(bytes([1]) * 32)
SET_HASH = Hash32(bytes([2]) * 32)


def block_vote(kind: VoteKind, view: int, name: int = 9, epoch: int = 5) -> VoteStatement:
    return VoteStatement(kind, Epoch(epoch), View(view), Hash32(bytes([name]) * 32), ZERO32)


def null(view: int, epoch: int = 5) -> VoteStatement:
    return nullify(Epoch(epoch), View(view))


def cast(guard: VoteGuard, statement: VoteStatement):
    message = statement.message("regtest", CHAIN, SET_HASH)
    return guard.sign(statement, message, 0, lambda digest: sign(SECRET, digest))


class Place:
    """Where one test's guard lives."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "consensus"
        self.second = root / "elsewhere" / "guard.log"
        self._open: list[VoteGuard] = []

    def create(self) -> None:
        VoteGuard.create(
            self.directory,
            self.second,
            PUBLIC,
            lambda directory: (directory / "key").write_bytes(SECRET) and None,
        )

    def open(self, crash_point=lambda _: None) -> VoteGuard:
        guard = VoteGuard(self.directory, self.second, PUBLIC, crash_point)
        self._open.append(guard)
        return guard

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    made.create()
    yield made
    made.close()


def test_key_and_guard_are_made_in_one_act(place: Place) -> None:
    assert (place.directory / "key").read_bytes() == SECRET
    guard = place.open()
    assert guard.state(Epoch(0)) is GuardState.READY
    assert guard.reason == ""
    with pytest.raises(OperatorError):
        place.create()


def test_an_interrupted_creation_leaves_no_key(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def fail(_: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        VoteGuard.create(place.directory, place.second, PUBLIC, fail)
    assert not place.directory.exists()
    place.create()
    assert place.open().state(Epoch(0)) is GuardState.READY
    place.close()


def test_a_lost_guard_is_not_made_anew(place: Place) -> None:
    cast(place.open(), null(1))
    place.close()
    shutil.rmtree(place.directory)
    with pytest.raises(OperatorError, match="remembers votes"):
        place.create()
    place.second.write_bytes(b"")
    with pytest.raises(OperatorError, match="remembers votes"):
        place.create()


def test_the_same_vote_gives_the_same_bytes_also_after_a_restart(place: Place) -> None:
    guard = place.open()
    first = cast(guard, block_vote(VoteKind.NOTARIZE, 1))
    assert cast(guard, block_vote(VoteKind.NOTARIZE, 1)) == first
    place.close()
    assert cast(place.open(), block_vote(VoteKind.NOTARIZE, 1)) == first


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (block_vote(VoteKind.NOTARIZE, 1), block_vote(VoteKind.NOTARIZE, 1, name=8)),
        (null(1), block_vote(VoteKind.FINALIZE, 1)),
        (block_vote(VoteKind.FINALIZE, 1), null(1)),
        (block_vote(VoteKind.FINALIZE, 1), block_vote(VoteKind.FINALIZE, 1, name=8)),
    ],
)
def test_another_vote_of_the_slot_is_refused(
    place: Place, first: VoteStatement, second: VoteStatement
) -> None:
    cast(place.open(), first)
    place.close()
    guard = place.open()
    with pytest.raises(GuardRefusal) as caught:
        cast(guard, second)
    assert caught.value.reason is RefusalReason.CONFLICT
    assert caught.value.signed == first


def test_the_same_statement_under_another_chain_is_another_vote(place: Place) -> None:
    guard = place.open()
    statement = block_vote(VoteKind.NOTARIZE, 1)
    cast(guard, statement)
    foreign = statement.message("regtest", Hash32(bytes(32)), SET_HASH)
    with pytest.raises(GuardRefusal):
        guard.sign(statement, foreign, 0, lambda digest: sign(SECRET, digest))


def test_notarize_and_nullify_share_a_view(place: Place) -> None:
    guard = place.open()
    cast(guard, block_vote(VoteKind.NOTARIZE, 2))
    cast(guard, null(2))
    cast(guard, block_vote(VoteKind.FINALIZE, 300))
    cast(guard, null(1, epoch=6))
    assert guard.votes(Epoch(5)) == [
        block_vote(VoteKind.NOTARIZE, 2),
        null(2),
        block_vote(VoteKind.FINALIZE, 300),
    ]
    assert guard.votes(Epoch(6)) == [null(1, epoch=6)]
    assert guard.votes(Epoch(4)) == []


def test_sealed_epochs_are_refused_and_forgotten(place: Place) -> None:
    guard = place.open()
    for epoch in (3, 4, 5, 6):
        cast(guard, null(1, epoch))
    guard.seal(Epoch(5))
    guard.seal(Epoch(2))
    for epoch in (0, 5):
        with pytest.raises(GuardRefusal) as caught:
            cast(guard, null(9, epoch))
        assert caught.value.reason is RefusalReason.SEALED
    assert [len(guard.votes(Epoch(epoch))) for epoch in (3, 4, 5, 6)] == [0, 1, 1, 1]
    place.close()
    assert place.open().sealed == 6


def test_two_processes_cannot_hold_one_guard(place: Place) -> None:
    place.open()
    with pytest.raises(OperatorError, match="in use"):
        place.open()


def expect_silence(guard: VoteGuard) -> None:
    assert guard.reason
    assert guard.state(Epoch(10**6)) is GuardState.SILENT
    with pytest.raises(GuardRefusal) as caught:
        cast(guard, null(1, epoch=50))
    assert caught.value.reason is RefusalReason.SILENT
    guard.observe_epoch(Epoch(40))
    guard.observe_epoch(Epoch(10))
    assert guard.state(Epoch(41)) is GuardState.SILENT
    assert guard.state(Epoch(42)) is GuardState.READY


def test_a_missing_guard_is_silent_until_two_epochs_later(place: Place) -> None:
    cast(place.open(), null(1))
    place.close()
    for path in place.directory.glob("*.mdb"):
        path.unlink()
    expect_silence(place.open())
    place.close()
    reopened = place.open()
    assert reopened.reason == ""
    assert reopened.state(Epoch(41)) is GuardState.SILENT
    assert cast(reopened, null(1, epoch=42)).statement == null(1, epoch=42)


def test_silence_survives_restarts_while_the_epoch_is_unknown(place: Place) -> None:
    place.second.unlink()
    for _ in range(2):
        guard = place.open()
        assert guard.state(Epoch(10**6)) is GuardState.SILENT
        place.close()


def test_a_copied_directory_is_silent(place: Place) -> None:
    cast(place.open(), null(1))
    place.close()
    shutil.copytree(place.directory, place.directory.with_name("copy"))
    shutil.rmtree(place.directory)
    place.directory.with_name("copy").rename(place.directory)
    guard = place.open()
    assert guard.reason == "the guard was made on another machine or is a copy"
    expect_silence(guard)


def test_a_moved_directory_is_the_same_guard(place: Place) -> None:
    place.directory.rename(place.directory.with_name("moved"))
    place.directory = place.directory.with_name("moved")
    assert place.open().reason == ""


def test_an_older_content_is_silent(place: Place) -> None:
    cast(place.open(), null(1))
    place.close()
    content = (place.directory / "data.mdb").read_bytes()
    cast(place.open(), block_vote(VoteKind.NOTARIZE, 2))
    place.close()
    with (place.directory / "data.mdb").open("r+b") as file:  # same inode, old content
        file.write(content)
    guard = place.open()
    assert guard.reason == "the guard is older than its second copy"
    expect_silence(guard)


def test_an_older_seal_is_silent(place: Place) -> None:
    content = (place.directory / "data.mdb").read_bytes()
    place.open().seal(Epoch(3))
    place.close()
    with (place.directory / "data.mdb").open("r+b") as file:
        file.write(content)
    guard = place.open()
    assert guard.reason == "the guard is older than its second copy"
    assert guard.sealed == 4


@pytest.mark.parametrize("spoil", ["missing", "empty", "damaged"])
def test_without_a_second_copy_the_guard_is_silent(place: Place, spoil: str) -> None:
    guard = place.open()
    for view in range(1, 5):
        cast(guard, null(view))
    place.close()
    content = bytearray(place.second.read_bytes())
    assert len(content) == 5 * RECORD_BYTES
    if spoil == "missing":
        place.second.unlink()
    else:
        content[RECORD_BYTES + 3] ^= 1
        place.second.write_bytes(bytes(content) if spoil == "damaged" else b"")
    guard = place.open()
    assert guard.reason.startswith("the second copy is unusable")
    expect_silence(guard)


def test_a_torn_tail_is_what_a_crash_leaves(place: Place) -> None:
    guard = place.open()
    for view in (1, 2):
        cast(guard, null(view))
    place.close()
    content = place.second.read_bytes()
    place.second.write_bytes(content[:-3])
    guard = place.open()
    assert guard.reason == ""
    cast(guard, null(2))
    assert place.second.read_bytes() == content


def test_a_damaged_environment_is_named(place: Place) -> None:
    (place.directory / "data.mdb").write_bytes(b"garbage" * 2_000)
    with pytest.raises(OperatorError, match="cannot be opened"):
        place.open()


def test_a_foreign_key_is_silent(place: Place) -> None:
    guard = VoteGuard(place.directory, place.second, public_key(bytes([8]) * 32))
    assert guard.state(Epoch(1)) is GuardState.SILENT
    guard.close()


def test_an_own_vote_that_was_not_signed_here_stops_for_good(place: Place) -> None:
    guard = place.open()
    cast(guard, null(1))
    assert guard.heard_own(null(1)) is GuardState.READY
    assert guard.heard_own(block_vote(VoteKind.FINALIZE, 1)) is GuardState.STOPPED
    place.close()
    guard = place.open()
    assert guard.state(Epoch(1000)) is GuardState.STOPPED
    with pytest.raises(GuardRefusal) as caught:
        cast(guard, null(2))
    assert caught.value.reason is RefusalReason.STOPPED


def test_a_silent_guard_hears_its_past_but_not_its_double(place: Place) -> None:
    place.second.unlink()
    guard = place.open()
    assert guard.heard_own(null(1, epoch=3)) is GuardState.SILENT
    guard.observe_epoch(Epoch(5))
    assert guard.heard_own(null(1, epoch=5)) is GuardState.SILENT
    assert guard.heard_own(null(1, epoch=6)) is GuardState.STOPPED


def test_votes_of_forgotten_epochs_stop_nobody(place: Place) -> None:
    guard = place.open()
    cast(guard, null(1, epoch=1))
    guard.seal(Epoch(9))
    assert guard.heard_own(null(1, epoch=1)) is GuardState.READY


CHILD = """
import os, signal, sys
from pathlib import Path
from tests.unit.signer import test_guard as t

def crash_point(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

place = t.Place(Path(sys.argv[1]))
guard = place.open(crash_point)
t.cast(guard, t.block_vote(t.VoteKind.NOTARIZE, 7))
sys.stdout.write("signed")
sys.stdout.flush()
guard.seal(t.Epoch(5))
sys.stdout.write(" sealed")
"""


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_kill_at_every_point(tmp_path: Path, point: str) -> None:
    place = Place(tmp_path)
    place.create()
    root = Path(__file__).parents[3]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), point],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    guard = place.open()
    assert guard.reason == ""
    rival = block_vote(VoteKind.NOTARIZE, 7, name=8)
    if point == "guard:before-commit":
        assert child.stdout == b""
        cast(guard, rival)
    elif point == "guard:after-seal":
        assert guard.sealed == 6
    else:
        with pytest.raises(GuardRefusal):
            cast(guard, rival)
        cast(guard, block_vote(VoteKind.NOTARIZE, 7))
    place.close()
    assert place.open().reason == ""
    place.close()


def test_a_full_disk_signs_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = place.open()

    def full(self: GuardLog, mark: Mark) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(GuardLog, "append", full)
        with pytest.raises(OperatorError) as told:
            cast(guard, null(1))
    assert (told.value.what, told.value.why, told.value.do) == (
        f"the signing guard cannot write to {place.second}",
        "[Errno 28] No space left on device; a vote that is not on disk is not signed",
        "free space or mend the disk, then start again; nothing that was signed is lost",
    )
    assert cast(guard, null(1)).statement == null(1)
    assert guard.reason == ""


def test_damaged_votes_are_a_local_error(place: Place) -> None:
    guard = place.open()
    cast(guard, null(1))
    table = guard._votes
    with guard._environment.begin(write=True, db=table) as transaction:
        cursor = transaction.cursor()
        assert cursor.first()
        transaction.put(cursor.key(), b"\0" * 20)
    with pytest.raises(LocalError):
        guard.votes(Epoch(5))


def test_the_log_is_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_seq.signer.guard_log.COMPACT_RECORDS", 3)
    path = tmp_path / "guard.log"
    log = GuardLog.create(path, Mark(0, 0))
    for number in range(1, 6):
        log.append(Mark(number, 0))
    log.close()
    reopened = GuardLog.open(path)
    assert reopened.mark == Mark(5, 0)
    assert path.stat().st_size == RECORD_BYTES
    reopened.append(Mark(6, 1))
    reopened.close()
    with pytest.raises(LogUnusable):
        GuardLog.open(tmp_path / "none")
