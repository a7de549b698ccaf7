"""The discrete-event loop: time, network, faults, and the verdict of a run."""

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2p_seq.consensus.core import Simplex
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.sets import Member, SequencerSet
from p2p_seq.protocol.types import ZERO32, Epoch, Height, View, XOnlyKey
from p2p_seq.sim.adversary import PROCESSES
from p2p_seq.sim.bitcoin import BitcoinView, SimulatedBitcoin
from p2p_seq.sim.blocks import CertificatesMessage, Message, SimulatedBlock, VoteMessage
from p2p_seq.sim.invariants import Invariant, Monitor, Violation
from p2p_seq.sim.node import Crashed, Node
from p2p_seq.sim.scenario import Crash, Scenario

FIRST_HEIGHT = 10
"""Bitcoin height of genesis (G)."""

HEALED_DELAY_MS = (1, 8)
"""Smallest delay and mean of the exponential part after the healing."""

SLOW_MS = 4_000
"""Votes of the slow kind take up to so much longer."""

CHECK_INTERVAL_MS = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    seed: int
    violation: Violation | None
    heights: int
    """Final blocks."""
    epochs: int
    """Epochs that every honest node finished."""
    events: int
    settled_ms: int
    """From the healing until everything was final everywhere."""
    crashes: int
    evidence: int

    def describe(self) -> str:
        """One line, and the command that repeats a failure."""
        if self.violation is None:
            return (
                f"seed {self.seed}: ok, {self.heights} blocks, {self.epochs} epochs,"
                f" {self.events} events, settled {self.settled_ms} ms after the healing"
            )
        again = f"python -m p2p_seq.sim --seeds {self.seed}..{self.seed + 1}"
        return f"seed {self.seed}: FAILED {self.violation}\n  repeat: {again}"


class World:
    """One run of one scenario. `simplex` and `make_set` are replaced by mutants in tests."""

    def __init__(
        self,
        scenario: Scenario,
        simplex: type[Simplex] = Simplex,
        make_set: Callable[[list[Member]], SequencerSet] = SequencerSet.ordered,
        expects_forks: bool = False,
    ) -> None:
        self.scenario = scenario
        self.simplex = simplex
        self.expects_forks = expects_forks
        self.monitor = Monitor()
        self.now = 0
        self.events = 0
        self.crashes = 0
        self.chance = random.Random(f"run {scenario.seed}")
        self.byzantine = dict(scenario.byzantine)
        self.first_height = FIRST_HEIGHT
        self.epoch_blocks = scenario.blocks_per_epoch
        self.keys = [_key(scenario.seed, node) for node in range(scenario.nodes)]
        self.bitcoin = SimulatedBitcoin(FIRST_HEIGHT + scenario.depth)
        view = self.bitcoin.view(0)
        origin_hash = view.hash_at(FIRST_HEIGHT)
        assert origin_hash is not None
        origin = Height(FIRST_HEIGHT)
        self.genesis_block = SimulatedBlock(
            Epoch(0), View(0), ZERO32, 0, origin, origin_hash, False, (), 0
        )
        self.genesis = self.genesis_block.digest()
        self.monitor.chain.append(self.genesis)
        self._make_set = make_set
        self._sets: dict[Epoch, SequencerSet] = {}
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0
        self._injected = 0
        self.processes = [
            [kind(self, identity) for kind in self._kinds(identity)]
            for identity in range(scenario.nodes)
        ]
        self.honest = [
            processes[0]
            for identity, processes in enumerate(self.processes)
            if identity not in self.byzantine
        ]

    def _kinds(self, identity: int) -> tuple[type[Node], ...]:
        behaviour = self.byzantine.get(identity)
        return (Node,) if behaviour is None else PROCESSES[behaviour]

    def members(self, epoch: Epoch) -> SequencerSet:
        """The set of an epoch: the honest members exchange their weights from epoch to epoch."""
        if epoch not in self._sets:
            weights = list(self.scenario.weights)
            honest = [node for node in range(len(weights)) if node not in self.byzantine]
            shuffled = [weights[node] for node in honest]
            random.Random(f"set {self.scenario.seed} {epoch}").shuffle(shuffled)
            for node, weight in zip(honest, shuffled, strict=True):
                weights[node] = weight
            pairs = zip(self.keys, weights, strict=True)
            self._sets[epoch] = self._make_set([Member(key, weight) for key, weight in pairs])
        return self._sets[epoch]

    def bitcoin_view(self, node: int) -> BitcoinView:
        """Best chain of this node's Bitcoin node now."""
        return self.bitcoin.view(self.now - self.scenario.bitcoin_lag_ms[node])

    def after(self, delay_ms: int, node: Node, action: Callable[..., None], *args: Any) -> None:
        """Run an action of a node later, unless it crashes before."""
        self._push(self.now + delay_ms, self._run_on, (node, node.incarnation, action, args))

    def send(self, source: int, target: int, message: Message) -> None:
        """Deliver a message, perhaps late, twice or never. Twins share an address."""
        healed = self.now >= self.scenario.heal_ms
        copies = 1
        if not healed:
            if self.chance.random() * 100 < self.scenario.loss_percent:
                return
            if self.chance.random() * 100 < self.scenario.duplicate_percent:
                copies = 2
        if self._is_cut(source, target):
            return
        least, mean = HEALED_DELAY_MS if healed else self.scenario.delay_ms
        for process in self.processes[target]:
            if len(self.processes[target]) > 1 and self.chance.random() < 0.4:
                continue
            for _ in range(copies):
                delay = least + int(self.chance.expovariate(1 / mean))
                if not healed and self._is_slow(message):
                    delay += self.chance.randrange(SLOW_MS)
                arguments = (process, process.incarnation, process.receive, (source, message))
                self._push(self.now + delay, self._run_on, arguments)

    def _is_slow(self, message: Message) -> bool:
        """Whether the adversary of this seed, who rules the network, holds the message back."""
        if isinstance(message, VoteMessage):
            return message.vote.statement.kind is self.scenario.slow_kind
        if isinstance(message, CertificatesMessage):
            kinds = {certificate.statement.kind for certificate in message.certificates}
            return self.scenario.slow_kind in kinds
        return False

    def _is_cut(self, source: int, target: int) -> bool:
        for partition in self.scenario.partitions:
            if partition.start_ms <= self.now < partition.end_ms:
                sides = partition.sides[source], partition.sides[target]
                if sides[0] != sides[1] and not (partition.one_way and sides == (1, 0)):
                    return True
        return False

    def _push(self, time: int, action: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (time, self._serial, action, args))

    def _run_on(
        self, node: Node, incarnation: int, action: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if not node.is_up or node.incarnation != incarnation:
            return
        try:
            action(*args)
        except Crashed:
            self._die(node, node.down_ms)
        except LocalError as error:
            if node.is_honest:
                raise Violation(Invariant.LOCAL_ERROR, f"node {node.identity}: {error}") from error
            self._die(node, node.down_ms)

    def _die(self, node: Node, down_ms: int) -> None:
        self.crashes += 1
        node.crash()
        until = max(self.now + 1, min(self.now + down_ms, self.scenario.heal_ms))
        self._push(until, self._boot, (node,))

    def _boot(self, node: Node) -> None:
        if not node.is_up:
            try:
                node.boot()
            except Crashed:
                self._die(node, node.down_ms)

    def _crash(self, plan: Crash) -> None:
        node = self.processes[plan.node][0]
        if not node.is_up:
            return
        if plan.persist_point is None:
            self._die(node, plan.down_ms)
        else:
            node.crash_at_point(plan.persist_point, plan.down_ms)

    def _bitcoin_event(self, kind: str, blocks: int) -> None:
        if kind == "mine":
            self.bitcoin.mine(self.now, blocks)
        else:
            self.bitcoin.reorganise(self.now, blocks)
        self._tell_bitcoin()

    def _steady_bitcoin(self) -> None:
        self.bitcoin.mine(self.now, 1)
        self._tell_bitcoin()
        self._push(self.now + self.scenario.block_interval_ms, self._steady_bitcoin, ())

    def _tell_bitcoin(self) -> None:
        for identity, processes in enumerate(self.processes):
            lag = self.scenario.bitcoin_lag_ms[identity]
            for process in processes:
                self.after(lag, process, process.bitcoin_changed)

    def _inject(self, number: int, identity: int) -> None:
        """A user hands a transaction to an honest node that is up, and tries again otherwise."""
        node = self.processes[identity][0]
        if identity in self.byzantine or not node.is_up:
            identity = (identity + 1) % self.scenario.nodes
            self._push(self.now + 50, self._inject, (number, identity))
            return
        self._injected += 1
        self.after(0, node, node.hear_transaction, number)

    def _user_retries(self) -> None:
        """Users whose transaction is not final after the healing hand it to everybody again."""
        for number in range(len(self.scenario.transactions)):
            for node in self.honest:
                if node.is_up:
                    self.after(0, node, node.hear_transaction, number)
        self._push(self.now + 5_000, self._user_retries, ())

    def _plan(self) -> None:
        scenario = self.scenario
        for processes in self.processes:
            for process in processes:
                self._push(0, self._boot, (process,))
        for crash in scenario.crashes:
            self._push(crash.at_ms, self._crash, (crash,))
        for time, kind, blocks in scenario.bitcoin:
            self._push(time, self._bitcoin_event, (kind, blocks))
        self._push(scenario.heal_ms, self._steady_bitcoin, ())
        for number, (time, identity) in enumerate(scenario.transactions):
            self._push(time, self._inject, (number, identity))
        self._push(scenario.heal_ms + 5_000, self._user_retries, ())

    def run(self) -> Outcome:
        """Play the scenario until everything is final or an invariant breaks."""
        violation: Violation | None = None
        settled = 0
        try:
            self._plan()
            settled = self._loop()
        except Violation as broken:
            violation = broken
        return Outcome(
            seed=self.scenario.seed,
            violation=violation,
            heights=len(self.monitor.chain) - 1,
            epochs=min(len(node.disk.seals) for node in self.honest),
            events=self.events,
            settled_ms=settled,
            crashes=self.crashes,
            evidence=len(self.monitor.conflicts),
        )

    def _loop(self) -> int:
        heal = self.scenario.heal_ms
        deadline = heal + self.scenario.bound_ms
        next_check = heal + CHECK_INTERVAL_MS
        while self._heap:
            time, _, action, args = heapq.heappop(self._heap)
            while next_check <= time:
                if self._is_settled():
                    return next_check - heal
                next_check += CHECK_INTERVAL_MS
            if time > deadline:
                break
            self.now = time
            self.events += 1
            action(*args)
        raise Violation(Invariant.STALL, self._describe_stall())

    def _is_settled(self) -> bool:
        """Every transaction, and every Bitcoin block until the healing, is final everywhere."""
        wanted = len(self.scenario.transactions)
        if self._injected < wanted:
            return False
        target = self.bitcoin.view(self.scenario.heal_ms).tip - self.scenario.depth
        for node in self.honest:
            if len(node.final_transactions) < wanted:
                return False
            if node.disk.bodies[node.disk.chain[-1]].origin < target:
                return False
        return True

    def _describe_stall(self) -> str:
        states = [
            f"node {node.identity}: epoch {node.epoch} view {node.core.view}"
            f" final view {node.core.state.certificates.final_view}"
            f" height {len(node.disk.chain) - 1}"
            f" transactions {len(node.final_transactions)}/{len(self.scenario.transactions)}"
            for node in self.honest
        ]
        return "; ".join(states)


def _key(seed: int, node: int) -> XOnlyKey:
    return XOnlyKey(hashlib.sha256(f"key {seed} {node}".encode()).digest())
