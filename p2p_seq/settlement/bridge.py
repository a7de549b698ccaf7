"""The peg as a pure function of finalised blocks: vault coin, generations, deposits, settlements.

A `BridgeState` belongs to an L2 block. It changes in two ways: the block's origin advances over
Bitcoin blocks (`advance`), and a seal plans a settlement (`apply_seal`). Nothing here reads a tip,
a clock or a disk, so every node that executes the same blocks has the same bridge (PROTOCOL.md
sections 2, 4 and 6).

Order at a seal: the plan uses the state after the seal's parent; then the seal is applied, and then
its own origin advance, whose records are the first transition of the next epoch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from p2p_seq.bitcoin.scan import L1Block, RelevantTransaction
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import LocalError
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.seals import SealedEpoch
from p2p_seq.protocol.sets import SequencerSet
from p2p_seq.protocol.tags import BitcoinTag
from p2p_seq.protocol.types import Epoch, Hash32, Height, OutPoint, Sats, SatsPerKvb
from p2p_seq.settlement.fees import feerate_of_version
from p2p_seq.settlement.generation import VaultGeneration
from p2p_seq.settlement.plan import (
    COVERED_EPOCHS_MAX,
    PlannedDeposit,
    SettledEpoch,
    SettledFacts,
    SettlementPlan,
    commitment,
)
from p2p_seq.settlement.scripts import deposits_in
from p2p_seq.settlement.transactions import (
    Settlement,
    SettlementContext,
    build_settlement,
    version_of,
)

PLAN_BYTES_MAX: Final = 250_000
GENERATIONS_MAX: Final = 1_024
"""Generations that a state remembers: the active one and those whose deposits may still be
swept.
"""

DEPOSITS_MAX: Final = 1_000_000
"""Unswept deposits that a state remembers."""


class VaultBrokenError(LocalError):
    """The vault coin was spent by something that is no settlement: the chain of commitments ends.

    No rule of the ledger can go on from here; the node stops voting and says so (PROTOCOL.md
    sections 2 and 8).
    """


@dataclass(frozen=True, slots=True)
class PendingDeposit:
    """A deposit output that Bitcoin holds and no settlement has swept."""

    deposit: PlannedDeposit
    height: Height
    """Bitcoin height of its confirmation."""


@dataclass(frozen=True, slots=True)
class VaultEra:
    """A vault generation and when it became the active one."""

    generation: VaultGeneration
    activation: Height
    """Height of the settlement that paid the vault coin to it; G for generation 0."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The one settlement that is planned and not yet buried."""

    plan: SettlementPlan
    border: Height
    """Origin height of the planning seal."""
    state_root: Hash32
    commitment: Hash32


@dataclass(frozen=True, slots=True)
class BookedSettlement:
    """A settlement that Bitcoin buried: what the ledger books for it."""

    txid: Hash32
    plan: SettlementPlan
    version: int
    fee: Sats
    vault_value: Sats
    feerate: SatsPerKvb
    height: Height


@dataclass(frozen=True, slots=True)
class BridgeState:
    """The peg after some block."""

    vault: OutPoint
    """The last buried vault coin."""
    vault_value: Sats
    settled_through: int
    """Last COMMITTED epoch; -1 before the first settlement."""
    settled_border: Height
    """Height at which that settlement was buried; G before the first."""
    last_rate: SatsPerKvb
    """Feerate of the last buried settlement; f_min before the first."""
    eras: tuple[VaultEra, ...]
    """By generation number; the last one is active."""
    deposits: tuple[PendingDeposit, ...]
    """In order of (height, transaction index, vout)."""
    unsettled: tuple[tuple[Epoch, Hash32], ...]
    """Sealed epochs after `settled_through` with their statements."""
    in_flight: InFlight | None = None

    @property
    def active(self) -> VaultGeneration:
        return self.eras[-1].generation

    @property
    def generations(self) -> Mapping[int, VaultGeneration]:
        return {era.generation.number: era.generation for era in self.eras}

    def context(self, params: Params) -> SettlementContext:
        """What building a settlement needs besides the plan."""
        return SettlementContext(params.network, self.generations, params.deposit_timeout)

    def versions(self, params: Params) -> tuple[Settlement, ...]:
        """Every fee version of the settlement in flight, in order; empty when there is none."""
        if self.in_flight is None:
            return ()
        return _versions(params.network, params.deposit_timeout, self.eras, self.in_flight)

    def encode(self) -> bytes:
        writer = Writer().outpoint(self.vault).u64(self.vault_value).u64(self.settled_through + 1)
        writer.u32(self.settled_border).u32(self.last_rate)
        writer.sequence(
            self.eras, GENERATIONS_MAX, lambda w, e: e.generation.write(w).u32(e.activation)
        )
        writer.sequence(self.deposits, DEPOSITS_MAX, lambda w, d: d.deposit.write(w).u32(d.height))
        writer.sequence(self.unsettled, COVERED_EPOCHS_MAX, lambda w, e: w.u64(e[0]).hash32(e[1]))
        writer.u8(self.in_flight is not None)
        if self.in_flight is not None:
            self.in_flight.plan.write(writer).u32(self.in_flight.border)
            writer.hash32(self.in_flight.state_root).hash32(self.in_flight.commitment)
        return writer.bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "BridgeState":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        vault, value = reader.outpoint(), Sats(reader.u64())
        settled, border = reader.u64() - 1, Height(reader.u32())
        rate = SatsPerKvb(reader.u32())
        eras = reader.sequence(
            GENERATIONS_MAX, lambda r: VaultEra(VaultGeneration.read(r), Height(r.u32()))
        )
        deposits = reader.sequence(
            DEPOSITS_MAX, lambda r: PendingDeposit(PlannedDeposit.read(r), Height(r.u32()))
        )
        unsettled = reader.sequence(COVERED_EPOCHS_MAX, lambda r: (Epoch(r.u64()), reader.hash32()))
        in_flight = None
        if reader.u8(0, 1):
            plan = SettlementPlan.read(reader)
            in_flight = InFlight(plan, Height(reader.u32()), reader.hash32(), reader.hash32())
        reader.finish()
        return cls(vault, value, settled, border, rate, eras, deposits, unsettled, in_flight)


@lru_cache(maxsize=16)
def _versions(
    network: str, deposit_timeout: int, eras: tuple[VaultEra, ...], in_flight: InFlight
) -> tuple[Settlement, ...]:
    generations = {era.generation.number: era.generation for era in eras}
    context = SettlementContext(network, generations, deposit_timeout)
    return tuple(
        build_settlement(
            context, in_flight.plan, version, in_flight.state_root, in_flight.commitment
        )
        for version in range(in_flight.plan.maximum_version + 1)
    )


def genesis_bridge(
    params: Params, anchor: Height, vault: OutPoint, value: Sats, generation: VaultGeneration
) -> BridgeState:
    """The peg at genesis: the founders' coin, held by generation 0."""
    return BridgeState(
        vault=vault,
        vault_value=value,
        settled_through=-1,
        settled_border=anchor,
        last_rate=SatsPerKvb(params.feerate_minimum * 1_000),
        eras=(VaultEra(generation, anchor),),
        deposits=(),
        unsettled=(),
    )


def apply_seal(
    state: BridgeState, params: Params, sealed: SealedEpoch, next_set: SequencerSet
) -> BridgeState:
    """The bridge after a seal: its epoch waits for settlement, and its plan is in flight."""
    unsettled = (*state.unsettled, (sealed.epoch, sealed.statement(params.network)))
    state = replace(state, unsettled=unsettled)
    if not sealed.body.plan:
        return state
    plan = SettlementPlan.decode(sealed.body.plan)
    successor = plan.hand_over or state.generations[plan.generation]
    facts = SettledFacts(
        epochs=tuple(SettledEpoch(statement) for _, statement in unsettled),
        next_set=next_set.digest(params.network),
        generation=successor.digest(params.network),
    )
    in_flight = InFlight(
        plan, sealed.border, sealed.state_root, commitment(params.network, plan, facts)
    )
    return replace(state, in_flight=in_flight)


def advance(
    state: BridgeState, params: Params, blocks: Iterable[L1Block]
) -> tuple[BridgeState, BookedSettlement | None]:
    """The bridge after an origin advance over `blocks` (ascending heights), and what was settled.

    At most one settlement can be in the blocks: the next one is planned only when it is buried.
    Raises VaultBrokenError.
    """
    booked: BookedSettlement | None = None
    for block in blocks:
        for item in block.relevant:
            if state.vault in item.spends:
                booked = _match_settlement(state, params, item, block.height)
                state = _book(state, booked)
            elif item.spends:
                state = _drop_spent(state, item)
            if item.announces is BitcoinTag.DEPOSIT:
                state = _add_deposits(state, params, item, block.height)
        state = _forget_stale(state, params, block.height)
    return state, booked


def _match_settlement(
    state: BridgeState, params: Params, item: RelevantTransaction, height: Height
) -> BookedSettlement:
    settlement = version_of(state.versions(params), item.transaction)
    if settlement is None or state.in_flight is None:
        raise VaultBrokenError(
            f"the vault coin {state.vault} was spent at height {height} by a transaction that is"
            " no planned settlement"
        )
    plan = state.in_flight.plan
    rate = feerate_of_version(plan.base_feerate, plan.maximum_feerate, settlement.version)
    return BookedSettlement(
        settlement.txid,
        plan,
        settlement.version,
        settlement.fee,
        settlement.vault_value,
        rate,
        height,
    )


def _book(state: BridgeState, booked: BookedSettlement) -> BridgeState:
    plan = booked.plan
    swept = {item.outpoint for item in plan.deposits}
    eras = state.eras
    if plan.hand_over is not None:
        eras = (*eras, VaultEra(plan.hand_over, booked.height))
    return replace(
        state,
        vault=OutPoint(booked.txid, 0),
        vault_value=booked.vault_value,
        settled_through=int(plan.last_epoch),
        settled_border=booked.height,
        last_rate=booked.feerate,
        eras=eras,
        deposits=tuple(d for d in state.deposits if d.deposit.outpoint not in swept),
        unsettled=tuple(entry for entry in state.unsettled if entry[0] > plan.last_epoch),
        in_flight=None,
    )


def _drop_spent(state: BridgeState, item: RelevantTransaction) -> BridgeState:
    """Deposits that left by their timeout leaf; a plan that wanted one of them is void."""
    spent = set(item.spends)
    deposits = tuple(d for d in state.deposits if d.deposit.outpoint not in spent)
    in_flight = state.in_flight
    if in_flight and any(d.outpoint in spent for d in in_flight.plan.deposits):
        in_flight = None
    return replace(state, deposits=deposits, in_flight=in_flight)


def _add_deposits(
    state: BridgeState, params: Params, item: RelevantTransaction, height: Height
) -> BridgeState:
    found = deposits_in(params.network, item.transaction, state.generations, params.deposit_timeout)
    new = tuple(
        PendingDeposit(
            PlannedDeposit(
                item.transaction.outpoint(deposit.vout),
                deposit.value,
                deposit.request.recipient,
                deposit.request.user_key,
                deposit.request.generation,
            ),
            height,
        )
        for deposit in found
        if deposit.value >= params.deposit_minimum
        and _is_sweepable(state, params, deposit.request.generation, height)
    )
    return replace(state, deposits=state.deposits + new)


def _is_sweepable(state: BridgeState, params: Params, generation: int, height: Height) -> bool:
    """Whether a deposit to a generation, confirmed at a height, may ever be swept (section 6)."""
    if generation == state.active.number:
        return True
    successor = next((era for era in state.eras if era.generation.number == generation + 1), None)
    return successor is not None and height <= successor.activation + params.sweep_grace


def _forget_stale(state: BridgeState, params: Params, height: Height) -> BridgeState:
    """Drop deposits that are too old to be planned, and generations that nothing needs.

    A deposit in the plan in flight is named there; whether it is swept or taken back is seen by
    the spend of the vault coin or of the deposit, which stays watched.
    """
    deposits = tuple(d for d in state.deposits if has_time_left(params, d.height, height))
    if len(deposits) == len(state.deposits) and len(state.eras) == 1:
        return state
    needed = {d.deposit.generation for d in deposits} | {state.active.number}
    if state.in_flight:
        needed |= {d.generation for d in state.in_flight.plan.deposits}
        needed.add(state.in_flight.plan.generation)
    newest = state.eras[-1].activation
    in_grace = height <= newest + params.sweep_grace + params.deposit_timeout
    eras = tuple(era for era in state.eras if era.generation.number in needed or in_grace)
    return replace(state, deposits=deposits, eras=eras)


def has_time_left(params: Params, confirmed: Height, origin: Height) -> bool:
    """Whether a deposit still has CSV_USER/2 blocks before its depositor may take it back."""
    left = confirmed + params.deposit_timeout - origin
    return 2 * left >= params.deposit_timeout
