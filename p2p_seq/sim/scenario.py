"""What happens in one seed: members, network, faults, Bitcoin, transactions."""

import random
from dataclasses import dataclass, field
from enum import Enum, unique

from p2p_seq.consensus.timers import TimerConfig
from p2p_seq.protocol.votes import VoteKind


@unique
class Behaviour(Enum):
    """What a Byzantine member does."""

    SILENT = "silent"
    TWINS = "twins"
    """Two honest copies with one key, each heard by a part of the network."""
    EQUIVOCATOR = "equivocator"
    """Two blocks per turn, every vote to everybody, certificates kept back."""
    STRATEGIST = "strategist"
    """Signs N for everything but never two statements in one ZF slot, each to a chosen part (E1).
    """


SIMULATION_TIMERS = TimerConfig(
    leader_ms=1_000,
    advance_ms=1_500,
    require_ms=400,
    cap_ms=8_000,
    standstill_ms=2_000,
    standstill_cap_ms=6_000,
)


@dataclass(frozen=True, slots=True)
class Crash:
    """A node loses everything volatile, at a time or at its k-th named persist point."""

    node: int
    at_ms: int
    persist_point: int | None
    """Counted from `at_ms`; None: at the time itself."""
    down_ms: int


@dataclass(frozen=True, slots=True)
class Partition:
    """From `start_ms` to `end_ms` only nodes with equal `sides` hear each other."""

    start_ms: int
    end_ms: int
    sides: tuple[int, ...]
    one_way: bool
    """Side 0 hears side 1, side 1 does not hear side 0."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One seed's plan. Times in milliseconds."""

    seed: int
    weights: tuple[int, ...]
    byzantine: tuple[tuple[int, Behaviour], ...]
    heal_ms: int
    """From here on the network is good, everybody is up and Bitcoin goes on steadily."""
    bound_ms: int
    """All honest nodes must have finalised everything so long after the healing."""
    delay_ms: tuple[int, int]
    """Smallest delay and mean of the exponential part, before the healing."""
    loss_percent: int
    duplicate_percent: int
    slow_kind: VoteKind | None
    """Votes and certificates of this kind are much slower than others before the healing."""
    crashes: tuple[Crash, ...]
    partitions: tuple[Partition, ...]
    depth: int
    step: int
    blocks_per_epoch: int
    bitcoin: tuple[tuple[int, str, int], ...]
    """(time, "mine" or "reorganise", number of blocks), before the healing."""
    block_interval_ms: int
    """Bitcoin's interval after the healing."""
    bitcoin_lag_ms: tuple[int, ...]
    transactions: tuple[tuple[int, int], ...]
    """(time, node that hears it first)."""
    timers: TimerConfig = field(default=SIMULATION_TIMERS)

    @property
    def nodes(self) -> int:
        return len(self.weights)


def make_scenario(seed: int, allow_byzantine: bool = True) -> Scenario:
    """The plan of a seed; the same seed always makes the same plan."""
    chance = random.Random(f"scenario {seed}")
    weights = _weights(chance)
    heal = chance.randrange(6_000, 30_000)
    depth = chance.randrange(2, 5)
    byzantine = _byzantine(chance, weights) if allow_byzantine else ()
    return Scenario(
        seed=seed,
        weights=weights,
        byzantine=byzantine,
        heal_ms=heal,
        bound_ms=90_000,
        delay_ms=chance.choice([(1, 2), (2, 20), (5, 80), (1, 300)]),
        loss_percent=chance.choice([0, 0, 2, 10, 30]),
        duplicate_percent=chance.choice([0, 5, 20]),
        slow_kind=_slow_kind(chance, byzantine),
        crashes=_crashes(chance, len(weights), heal),
        partitions=_partitions(chance, len(weights), heal),
        depth=depth,
        step=chance.choice([4, 16]),
        blocks_per_epoch=chance.randrange(3, 9),
        bitcoin=_bitcoin(chance, heal, depth),
        block_interval_ms=chance.choice([1_500, 4_000]),
        bitcoin_lag_ms=tuple(chance.choice([0, 50, 500, 2_500]) for _ in weights),
        transactions=tuple(
            sorted(
                (chance.randrange(0, heal + 4_000), chance.randrange(len(weights)))
                for _ in range(chance.choice([0, 3, 12, 40, 40]))
            )
        ),
    )


def _weights(chance: random.Random) -> tuple[int, ...]:
    count = chance.choice([4, 4, 4, 4, 4, 5, 5, 7])
    if chance.random() < 0.5:
        return (1,) * count
    return tuple(chance.randrange(1, 11) for _ in range(count))


def _byzantine(
    chance: random.Random, weights: tuple[int, ...]
) -> tuple[tuple[int, Behaviour], ...]:
    """Mostly one member, as heavy as it may be below a third; of seven sometimes two."""
    order = sorted(range(len(weights)), key=lambda node: -weights[node])
    if chance.random() < 0.3:
        return ()
    chosen: list[int] = []
    for node in order:
        if 3 * sum(weights[other] for other in [*chosen, node]) < sum(weights):
            chosen.append(node)
        if len(chosen) > len(weights) // 5:
            break
    kinds = [*Behaviour, Behaviour.EQUIVOCATOR, Behaviour.STRATEGIST]
    return tuple((node, chance.choice(kinds)) for node in chosen[:2])


def _slow_kind(
    chance: random.Random, byzantine: tuple[tuple[int, Behaviour], ...]
) -> VoteKind | None:
    """Who equivocates profits most when the others do not learn what is final."""
    lies = {Behaviour.EQUIVOCATOR, Behaviour.STRATEGIST} & {kind for _, kind in byzantine}
    if lies and chance.random() < 0.6:
        return VoteKind.FINALIZE
    kinds: list[VoteKind | None] = [None, None, None, *VoteKind]
    return chance.choice(kinds)


def _crashes(chance: random.Random, nodes: int, heal: int) -> tuple[Crash, ...]:
    return tuple(
        Crash(
            node=chance.randrange(nodes),
            at_ms=chance.randrange(100, heal),
            persist_point=chance.choice([None, 1, 2, 3, chance.randrange(1, 40)]),
            down_ms=chance.choice([50, 1_000, 8_000]),
        )
        for _ in range(chance.choice([0, 1, 3, 6]))
    )


def _partitions(chance: random.Random, nodes: int, heal: int) -> tuple[Partition, ...]:
    """A few long cuts, or sides that are dealt anew all the time, about once per view."""
    partitions: list[Partition] = []
    if chance.random() < 0.4:
        start = 0
        period = chance.choice([40, 200, 700])
        while start < heal and len(partitions) < 120:
            end = start + chance.randrange(1, period)
            sides = tuple(int(chance.random() < 0.3) for _ in range(nodes))
            partitions.append(Partition(start, min(end, heal), sides, chance.random() < 0.3))
            start = end
        return tuple(partitions)
    for _ in range(chance.choice([0, 0, 1, 2, 4])):
        start = chance.randrange(0, heal)
        end = min(heal, start + chance.choice([300, 2_000, 10_000]))
        sides = tuple(chance.randrange(2) for _ in range(nodes))
        partitions.append(Partition(start, end, sides, chance.random() < 0.3))
    return tuple(partitions)


def _bitcoin(chance: random.Random, heal: int, depth: int) -> tuple[tuple[int, str, int], ...]:
    """Blocks, stalls, bursts of up to 100 blocks, and reorganisations shallower than D."""
    events = []
    now = 0
    while now < heal:
        kind = chance.random()
        if kind < 0.70:
            events.append((now, "mine", 1))
        elif kind < 0.78:
            events.append((now, "mine", chance.choice([5, 20, 100])))
        elif kind < 0.90:
            events.append((now, "reorganise", chance.randrange(1, depth)))
        now += chance.choice([200, 1_500, 4_000, 15_000])
    return tuple(events)
