"""Signature checks off the trio thread, in worker processes.

A BIP340 check costs 50 to 80 microseconds of CPU. The binding releases the interpreter lock for
each call and takes it back, so that threads which check in bulk fight the trio thread for it at
every signature; processes do not. Requests travel over the worker's standard input and output in
a protocol of four bytes of header (`node/signature_worker.py`): for a batch of a hundred that is
13 kB there and 100 bytes back, and nothing is pickled.

Rules:
- fewer than `inline_below` checks are done here: the way to a worker costs more than they do;
- a batch is cut into chunks, evenly over the workers, so that none holds a worker for long and a
  cancelled caller's chunks that have not started are dropped;
- `Urgency.BLOCK` overtakes `Urgency.ADMISSION`: a vote waits for the former;
- at most `queue_max` checks wait; a caller beyond that waits for room (backpressure, not an
  error);
- a worker that dies, answers nonsense or does not answer in `answer_timeout_s` is killed and
  replaced, and its chunk is tried again. A chunk that is on its way when `ATTEMPTS_MAX` workers
  in a row die is given up with `SignatureWorkerError`: then the machine is broken, not the batch.
"""

import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from subprocess import PIPE
from typing import Final

import trio

from p2p_seq.node.signature_worker import TRIPLE_BYTES, TRIPLES_MAX, check_triples
from p2p_seq.protocol.errors import LocalError

ATTEMPTS_MAX: Final = 5
"""Workers that one chunk may see die before it is given up."""

RESTART_PAUSE_S: Final = 0.05
"""Pause before a replacement starts, times the number of deaths in a row."""


class Urgency(IntEnum):
    """Whose turn is first; smaller first."""

    BLOCK = 0
    """A proposal that waits for this node's vote."""
    ADMISSION = 1
    """Transactions on their way into the mempool."""


class SignatureWorkerError(LocalError):
    """Workers do not stay alive: out of memory, a limit on processes, a broken installation."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How many, how much at once, how long."""

    workers: int = 1
    """Processes. With 0 everything is checked on the trio thread (tools and small tests)."""
    inline_below: int = 16
    """Checks; smaller batches are done on the trio thread."""
    chunk_max: int = 256
    """Checks in one request, about 15 ms of a worker."""
    queue_max: int = 65_536
    """Checks that wait or run at once; callers beyond it wait."""
    answer_timeout_s: float = 20.0
    """Seconds after which a worker that does not answer is killed."""

    def __post_init__(self) -> None:
        if not (0 <= self.workers <= 64 and 1 <= self.chunk_max <= TRIPLES_MAX):
            raise ValueError("0 <= workers <= 64 and 1 <= chunk_max <= 4096")
        if self.queue_max < self.chunk_max or self.answer_timeout_s <= 0:
            raise ValueError("queue_max >= chunk_max and answer_timeout_s > 0")


@dataclass(slots=True, eq=False)
class _Chunk:
    triples: bytes
    finished: trio.Event = field(default_factory=trio.Event)
    verdicts: bytes | None = None
    attempts: int = 0
    is_abandoned: bool = False

    @property
    def count(self) -> int:
        return len(self.triples) // TRIPLE_BYTES


@dataclass(slots=True)
class WorkerCounters:
    """What `/metrics` shows."""

    checks: int = 0
    inline_checks: int = 0
    restarts: int = 0


class SignatureWorkers:
    """Open it with `open_signature_workers`; `verify` may be called by any number of tasks."""

    def __init__(self, limits: WorkerLimits) -> None:
        self.limits = limits
        self.counters = WorkerCounters()
        self._queues: dict[Urgency, deque[_Chunk]] = {urgency: deque() for urgency in Urgency}
        self._queued_checks = 0
        self._wake = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._processes: dict[int, trio.Process] = {}
        self._awaited: set[_Chunk] = set()
        self._is_closed = False

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Ids of the living workers."""
        return tuple(process.pid for process in self._processes.values())

    @property
    def queued_checks(self) -> int:
        """Checks that wait or run."""
        return self._queued_checks

    async def verify(self, triples: bytes, urgency: Urgency = Urgency.ADMISSION) -> bytes:
        """One byte 0 or 1 for each packed `(public key 32, message 32, signature 64)`.

        Raises ValueError on a length that is no multiple of 128, SignatureWorkerError when no
        worker stays alive, trio.ClosedResourceError when the workers are (or are being) closed.
        """
        count, rest = divmod(len(triples), TRIPLE_BYTES)
        if rest:
            raise ValueError(
                f"{len(triples)} bytes are not a number of {TRIPLE_BYTES}-byte triples"
            )
        self.counters.checks += count
        if self.limits.workers == 0 or count < self.limits.inline_below:
            self.counters.inline_checks += count
            await trio.lowlevel.checkpoint()
            return check_triples(triples)
        # One wave at a time, so that a batch larger than the queue passes in pieces.
        wave = max(1, self.limits.queue_max // 2) * TRIPLE_BYTES
        verdicts = [
            await self._verify_wave(triples[start : start + wave], urgency)
            for start in range(0, len(triples), wave)
        ]
        return b"".join(verdicts)

    async def _verify_wave(self, triples: bytes, urgency: Urgency) -> bytes:
        count = len(triples) // TRIPLE_BYTES
        while self._queued_checks and self._queued_checks + count > self.limits.queue_max:
            await self._room.park()
        if self._is_closed:
            raise trio.ClosedResourceError("the signature workers are closed")
        share = -(-count // self.limits.workers)
        step = min(share, self.limits.chunk_max) * TRIPLE_BYTES
        chunks = [_Chunk(triples[at : at + step]) for at in range(0, len(triples), step)]
        self._queues[urgency].extend(chunks)
        self._awaited.update(chunks)
        self._queued_checks += count
        self._wake.unpark(count=len(chunks))
        try:
            for chunk in chunks:
                await chunk.finished.wait()
        finally:
            for chunk in chunks:
                chunk.is_abandoned = True
            self._awaited.difference_update(chunks)
            self._queued_checks -= count
            self._room.unpark_all()
        return b"".join(self._verdicts_of(chunk) for chunk in chunks)

    def _verdicts_of(self, chunk: _Chunk) -> bytes:
        if chunk.verdicts is None and self._is_closed:
            raise trio.ClosedResourceError("the signature workers were closed")
        if chunk.verdicts is None:
            raise SignatureWorkerError(f"{chunk.attempts} signature workers died one after another")
        return chunk.verdicts

    def close(self) -> None:
        """Free every waiting caller with ClosedResourceError; called when the block of workers
        ends.
        """
        self._is_closed = True
        for chunk in self._awaited:
            chunk.finished.set()
        self._room.unpark_all()

    async def _next_chunk(self) -> _Chunk:
        while True:
            for urgency in Urgency:
                queue = self._queues[urgency]
                while queue:
                    chunk = queue.popleft()
                    if not chunk.is_abandoned:
                        return chunk
            await self._wake.park()

    async def run_worker(self, slot: int) -> None:
        """Keep worker `slot` alive and busy, until cancelled. Raises SignatureWorkerError when the
        machine starts no process any more.
        """
        deaths_in_a_row = 0
        while True:
            try:
                async with _worker_process() as process:
                    self._processes[slot] = process
                    try:
                        while await self._serve_chunk(process, await self._next_chunk()):
                            deaths_in_a_row = 0
                    finally:
                        del self._processes[slot]
            except OSError as error:
                if deaths_in_a_row >= ATTEMPTS_MAX:
                    raise SignatureWorkerError(f"no signature worker starts: {error}") from error
            deaths_in_a_row += 1
            self.counters.restarts += 1
            await trio.sleep(RESTART_PAUSE_S * min(deaths_in_a_row, 20))

    async def _serve_chunk(self, process: trio.Process, chunk: _Chunk) -> bool:
        """Have `process` answer `chunk`. False when it has to be replaced."""
        answer = None
        with trio.move_on_after(self.limits.answer_timeout_s):
            answer = await _ask(process, chunk)
        if answer is not None:
            chunk.verdicts = answer
            chunk.finished.set()
            return True
        chunk.attempts += 1
        if chunk.attempts >= ATTEMPTS_MAX:
            chunk.finished.set()
        else:
            self._queues[Urgency.BLOCK].appendleft(chunk)
            self._wake.unpark()
        return False


async def _ask(process: trio.Process, chunk: _Chunk) -> bytes | None:
    """Send a request and read its answer. None when the worker died or answers nonsense."""
    assert process.stdin is not None
    assert process.stdout is not None
    answer = bytearray()
    try:
        await process.stdin.send_all(chunk.count.to_bytes(4, "big") + chunk.triples)
        while len(answer) < chunk.count:
            part = await process.stdout.receive_some(chunk.count - len(answer))
            if not part:
                return None
            answer += part
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return None
    # Two bytes that are neither 0 nor 1 mean that the stream is not what this protocol says.
    return bytes(answer) if not answer.strip(b"\x00\x01") else None


@asynccontextmanager
async def _worker_process() -> AsyncIterator[trio.Process]:
    """A running worker; dead and reaped on the way out, whatever happens inside."""
    program = Path(__file__).with_name("signature_worker.py")
    process = await trio.lowlevel.open_process(
        [sys.executable, "-I", str(program)], stdin=PIPE, stdout=PIPE
    )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            # SIGKILL also ends a stopped process, and a worker holds nothing that could be lost.
            process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()


@asynccontextmanager
async def open_signature_workers(
    limits: WorkerLimits | None = None,
) -> AsyncIterator[SignatureWorkers]:
    """Start the workers; they end with the block. Nobody waits for their start (some 60 ms)."""
    workers = SignatureWorkers(limits or WorkerLimits())
    async with trio.open_nursery() as nursery:
        for slot in range(workers.limits.workers):
            nursery.start_soon(workers.run_worker, slot, name=f"signature-worker-{slot}")
        try:
            yield workers
        finally:
            workers.close()
        nursery.cancel_scope.cancel()
