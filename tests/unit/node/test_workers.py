"""Signature workers: real processes, killed, stopped, cancelled and outnumbered."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_seq.node.signature_worker import TRIPLE_BYTES, check_triples
from p2p_seq.node.workers import (
    SignatureWorkerError,
    SignatureWorkers,
    Urgency,
    WorkerLimits,
    open_signature_workers,
)
from p2p_seq.signer.schnorr import public_key, sign

ROOT = Path(__file__).resolve().parents[3]


def triple(number: int) -> bytes:
    secret = hashlib.sha256(b"worker test %d" % number).digest()
    message = hashlib.sha256(b"message %d" % number).digest()
    return public_key(secret) + message + sign(secret, message)


GOOD = [triple(number) for number in range(40)]


def batch(count: int, bad: frozenset[int] = frozenset()) -> tuple[bytes, bytes]:
    """`count` triples of which those at `bad` are wrong, and the verdicts that are due."""
    parts = []
    for index in range(count):
        part = bytearray(GOOD[index % len(GOOD)])
        if index in bad:
            part[(index * 7) % TRIPLE_BYTES] ^= 1 << index % 8
        parts.append(bytes(part))
    return b"".join(parts), bytes(0 if index in bad else 1 for index in range(count))


def process_is_running(process_id: int) -> bool:
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 39), st.none() | st.integers(0, 1023)), max_size=8))
def test_a_flipped_bit_anywhere_fails_exactly_its_triple(
    cases: list[tuple[int, int | None]],
) -> None:
    packed, due = bytearray(), bytearray()
    for index, bit in cases:
        part = bytearray(GOOD[index])
        if bit is not None:
            part[bit // 8] ^= 1 << bit % 8
        packed += part
        due.append(bit is None)
    assert check_triples(packed) == bytes(due)


def test_bip340_vectors_that_must_fail_without_a_crash() -> None:
    """BIP340 vectors 1, 5 (key off the curve), 12 (r is the field size), 13 (s is the order)."""
    key = "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659"
    message = "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89"
    off_curve = "EEFDEA4CDB677750A420FEE807EACF21EB9898AE79B9768766E4FAA04A2D4A34"
    r, s = (
        "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769",
        "69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B",
    )
    field_size = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F"
    order = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141"
    good = (
        "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE3341"
        "8906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A"
    )
    lines = [
        key + message + good,
        off_curve + message + r + s,
        key + message + field_size + s,
        key + message + r + order,
        "FF" * 32 + message + r + s,
    ]
    assert check_triples(bytes.fromhex("".join(lines))) == bytes([1, 0, 0, 0, 0])


async def test_verdicts_stand_in_order_over_chunks_and_workers() -> None:
    packed, due = batch(700, frozenset({0, 31, 255, 256, 257, 511, 699}))
    async with open_signature_workers(WorkerLimits(workers=2, chunk_max=64)) as workers:
        assert await workers.verify(packed) == due
        assert workers.counters.inline_checks == 0
        assert workers.counters.checks == 700


async def test_an_empty_batch_and_a_batch_without_workers() -> None:
    async with open_signature_workers(WorkerLimits(workers=0)) as workers:
        assert await workers.verify(b"") == b""
        packed, due = batch(20, frozenset({3}))
        assert await workers.verify(packed) == due
        assert workers.process_ids == ()


async def test_a_small_batch_never_leaves_the_process() -> None:
    packed, due = batch(15, frozenset({14}))
    async with open_signature_workers(WorkerLimits(workers=1)) as workers:
        assert await workers.verify(packed) == due
        assert workers.counters.inline_checks == 15


async def test_a_length_that_is_no_number_of_triples_is_refused() -> None:
    async with open_signature_workers(WorkerLimits(workers=0)) as workers:
        with pytest.raises(ValueError, match=r"^129 bytes are not a number of 128-byte triples$"):
            await workers.verify(bytes(129))


async def first_pid(workers: SignatureWorkers) -> int:
    with trio.fail_after(10):
        while not workers.process_ids:
            await trio.lowlevel.checkpoint()
    return workers.process_ids[0]


async def test_a_killed_worker_is_replaced_and_its_batch_is_answered() -> None:
    packed, due = batch(600, frozenset({5}))
    async with open_signature_workers(WorkerLimits(workers=1, chunk_max=512)) as workers:
        assert await workers.verify(packed) == due
        first = await first_pid(workers)
        async with trio.open_nursery() as nursery:
            verdicts: list[bytes] = []

            async def ask() -> None:
                verdicts.append(await workers.verify(packed))

            nursery.start_soon(ask)
            while not workers.queued_checks:
                await trio.lowlevel.checkpoint()
            os.kill(first, signal.SIGKILL)
        assert verdicts == [due]
        assert workers.counters.restarts == 1
        assert first not in workers.process_ids
        assert not process_is_running(first)


async def test_a_stopped_worker_is_killed_after_the_time_limit() -> None:
    packed, due = batch(32)
    limits = WorkerLimits(workers=1, answer_timeout_s=0.4)
    async with open_signature_workers(limits) as workers:
        assert await workers.verify(packed) == due
        stopped = await first_pid(workers)
        os.kill(stopped, signal.SIGSTOP)
        assert await workers.verify(packed) == due
        assert not process_is_running(stopped)


async def test_workers_that_never_stay_alive_are_a_local_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_seq.node.workers.sys.executable", "/bin/false")
    monkeypatch.setattr("p2p_seq.node.workers.RESTART_PAUSE_S", 0.001)
    async with open_signature_workers(WorkerLimits(workers=1)) as workers:
        with pytest.raises(
            SignatureWorkerError, match=r"^5 signature workers died one after another$"
        ):
            await workers.verify(batch(16)[0])


async def test_a_cancelled_caller_frees_the_queue_and_the_next_answer_is_its_own() -> None:
    large, _ = batch(2_000, frozenset(range(2_000)))
    packed, due = batch(64, frozenset({1}))
    async with open_signature_workers(WorkerLimits(workers=1, chunk_max=64)) as workers:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.verify, large)
            while workers.queued_checks < 2_000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert workers.queued_checks == 0
        assert await workers.verify(packed) == due
        assert workers.counters.restarts == 0


async def test_a_block_overtakes_admission() -> None:
    packed, _ = batch(1_280)
    urgent, due = batch(64)
    order = []

    async def admission(workers: SignatureWorkers) -> None:
        await workers.verify(packed)
        order.append("admission")

    async with (
        open_signature_workers(WorkerLimits(workers=1, chunk_max=64)) as workers,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(admission, workers)
        while not workers.queued_checks:
            await trio.lowlevel.checkpoint()
        assert await workers.verify(urgent, Urgency.BLOCK) == due
        order.append("block")
    assert order == ["block", "admission"]


async def test_the_queue_is_bounded_and_callers_wait_for_room() -> None:
    packed, due = batch(48)
    highest = 0
    async with open_signature_workers(
        WorkerLimits(workers=1, chunk_max=32, queue_max=100)
    ) as workers:
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                assert await workers.verify(packed) == due

            for _ in range(8):
                nursery.start_soon(ask)
            while workers.counters.checks < 8 * 48 or workers.queued_checks:
                highest = max(highest, workers.queued_checks)
                await trio.sleep(0.0005)
        large, large_due = batch(320)
        assert await workers.verify(large) == large_due
    assert 48 <= highest <= 100


async def test_callers_outside_are_freed_when_the_workers_close() -> None:
    raised: list[BaseException] = []

    async def ask(workers: SignatureWorkers) -> None:
        with pytest.raises(trio.ClosedResourceError) as caught:
            await workers.verify(batch(4_000)[0])
        raised.append(caught.value)

    async with (
        trio.open_nursery() as nursery,
        open_signature_workers(WorkerLimits(workers=1)) as workers,
    ):
        nursery.start_soon(ask, workers)
        while not workers.queued_checks:
            await trio.lowlevel.checkpoint()
    assert len(raised) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"workers": 65}, "0 <= workers <= 64 and 1 <= chunk_max <= 4096"),
        ({"chunk_max": 4_097}, "0 <= workers <= 64 and 1 <= chunk_max <= 4096"),
        ({"queue_max": 255}, "queue_max >= chunk_max and answer_timeout_s > 0"),
    ],
)
def test_limits_are_checked(changed: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        WorkerLimits(**changed)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_count_out_of_step_ends_the_worker_program() -> None:
    program = ROOT / "p2p_seq/node/signature_worker.py"
    finished = subprocess.run(
        [sys.executable, "-I", str(program)],
        input=(4_097).to_bytes(4, "big"),
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr == b"signature worker: a request of 4097 checks is out of step\n"


def test_workers_die_with_a_killed_parent() -> None:
    program = """
        import os, signal, trio
        from p2p_seq.node.workers import WorkerLimits, open_signature_workers

        async def main():
            async with open_signature_workers(WorkerLimits(workers=2)) as workers:
                while len(workers.process_ids) < 2:
                    await trio.sleep(0.01)
                print(*workers.process_ids, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        trio.run(main)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == -signal.SIGKILL
    worker_ids = [int(word) for word in finished.stdout.split()]
    assert len(worker_ids) == 2

    give_up = time.monotonic() + 5
    while any(process_is_running(worker) for worker in worker_ids):
        assert time.monotonic() < give_up, "the workers outlive their node"
        time.sleep(0.01)


def test_the_worker_program_imports_nothing_of_this_package() -> None:
    check = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='worker');"
        "banned = {'p2p_seq', 'trio', 'libp2p'};"
        "print(sorted(banned.intersection(name.split('.')[0] for name in sys.modules)))"
    )
    program = ROOT / "p2p_seq/node/signature_worker.py"
    finished = subprocess.run(
        [sys.executable, "-I", "-c", check, str(program)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert finished.stdout == "[]\n"
