"""The chain store keeps what it confirmed, all of a change or nothing of it."""

import resource
from pathlib import Path

import pytest

from p2p_seq.protocol.errors import OperatorError
from p2p_seq.storage.store import Store
from p2p_seq.storage.tables import Table


def test_a_change_survives_reopening(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.write() as change:
        change.put(Table.FINAL, b"\x00" * 8, b"a")
        change.put(Table.FINAL, b"\x00" * 7 + b"\x01", b"b")
    store.close()
    reopened = Store.open(tmp_path)
    with reopened.read() as view:
        assert list(view.scan(Table.FINAL)) == [(b"\0" * 8, b"a"), (b"\0" * 7 + b"\1", b"b")]
        assert view.last(Table.FINAL) == (b"\0" * 7 + b"\1", b"b")
        assert view.count(Table.FINAL) == 2


def test_a_failed_change_leaves_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)

    def fail_in_the_middle() -> None:
        with store.write() as change:
            change.put(Table.META, b"k", b"v")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_in_the_middle()
    with store.read() as view:
        assert view.get(Table.META, b"k") is None


def test_scans_stop_at_their_prefix(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.write() as change:
        for key in (b"a1", b"a2", b"b1"):
            change.put(Table.SHARES, key, key)
    with store.read() as view:
        assert [key for key, _ in view.scan(Table.SHARES, prefix=b"a")] == [b"a1", b"a2"]
        assert [key for key, _ in view.scan(Table.SHARES, start=b"a2")] == [b"a2", b"b1"]


def test_another_chain_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.bind_chain(b"\x01" * 32)
    store.bind_chain(b"\x01" * 32)
    with pytest.raises(OperatorError, match="belongs to chain 0101"):
        store.bind_chain(b"\x02" * 32)


def _write_eight_megabytes(store: Store) -> None:
    with store.write() as change:
        for index in range(2_000):
            change.put(Table.BLOCKS, index.to_bytes(32, "big"), bytes(4_096))


def test_a_full_disk_is_an_operator_error_and_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse to grow the file, as a full disk does."""
    import signal

    store = Store.open(tmp_path)
    with store.write() as change:
        change.put(Table.META, b"kept", b"yes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
    try:
        with pytest.raises(OperatorError, match="cannot write to"):
            _write_eight_megabytes(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    with store.write() as change:
        change.put(Table.META, b"after", b"yes")
    store.close()
    with Store.open(tmp_path).read() as view:
        assert view.get(Table.META, b"kept") == b"yes"
        assert view.get(Table.META, b"after") == b"yes"
        assert view.count(Table.BLOCKS) == 0
