"""What the next seal settles, at the borders of its rules: the peg cap, and how long to wait."""

from dataclasses import replace

import pytest

from p2p_seq.protocol.params import Params
from p2p_seq.protocol.types import Epoch, Hash32, Height, OutPoint, Sats, SatsPerKvb, XOnlyKey
from p2p_seq.settlement.bridge import (
    BridgeState,
    PendingDeposit,
    genesis_bridge,
)
from p2p_seq.settlement.plan import SettlementPlan
from p2p_seq.settlement.planning import PlanInputs, peg_cap, plan_settlement
from tests.support.keys import digest
from tests.support.networks import PARAMS
from tests.support.pegs import GENERATIONS, deposit

ANCHOR = Height(100)
ORIGIN = Height(120)
VAULT_VALUE = Sats(2_000_000)
RATE = SatsPerKvb(1_000)

BOND = Sats(1_000_000_000)
LIGHTEST = 2
"""Members of generation 0 (weights 40, 30, 20, 10) that reach 67 with the least stake: two."""

CAP = LIGHTEST * BOND * 90 // 200


def bonds(**changed: int) -> dict[XOnlyKey, Sats]:
    """An equal bond behind each vault key; `m<position>` names another one."""
    keys = [member.key for member in GENERATIONS[0].members]
    found = dict.fromkeys(keys, BOND)
    return found | {keys[int(name[1:])]: Sats(value) for name, value in changed.items()}


def state(*values: int) -> BridgeState:
    """Genesis with deposits that are waiting, oldest first."""
    vault = OutPoint(Hash32(digest("vault")), 0)
    fresh = genesis_bridge(PARAMS, ANCHOR, vault, VAULT_VALUE, GENERATIONS[0])
    waiting = tuple(
        PendingDeposit(deposit(f"{number}", value, holder=0), ORIGIN)
        for number, value in enumerate(values)
    )
    return replace(fresh, deposits=waiting)


def planned(
    bridge: BridgeState,
    behind: dict[XOnlyKey, Sats],
    epoch: int = 0,
    params: Params = PARAMS,
) -> SettlementPlan | None:
    inputs = PlanInputs(
        epoch=Epoch(epoch),
        origin=ORIGIN,
        anchor=ANCHOR,
        fee_pool=VAULT_VALUE,
        payouts=(),
        bonds=behind,
        hand_over=None,
    )
    return plan_settlement(params, bridge, inputs, RATE)


def swept(*values: int, behind: dict[XOnlyKey, Sats] | None = None) -> list[int]:
    plan = planned(state(*values), bonds() if behind is None else behind)
    return [] if plan is None else [item.value for item in plan.deposits]


def test_the_cap_is_half_of_what_burns_of_the_lightest_coalition() -> None:
    assert peg_cap(PARAMS, GENERATIONS[0], bonds()) == CAP
    assert peg_cap(PARAMS, GENERATIONS[0], bonds(m0=0)) == BOND * 90 // 200


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ((CAP - VAULT_VALUE,), (CAP - VAULT_VALUE,)),
        ((CAP - VAULT_VALUE + 1,), ()),
        # The sum counts, in the order of Bitcoin; one that is too large bars no smaller one.
        ((CAP - VAULT_VALUE - 100_000, 100_000), (CAP - VAULT_VALUE - 100_000, 100_000)),
        ((CAP - VAULT_VALUE - 100_000, 100_001), (CAP - VAULT_VALUE - 100_000,)),
        (
            (CAP - VAULT_VALUE - 100_000, 100_001, 60_000),
            (CAP - VAULT_VALUE - 100_000, 60_000),
        ),
    ],
)
def test_deposits_fill_the_vault_exactly_to_the_cap(
    values: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    assert swept(*values) == list(taken)
    plan = planned(state(*values), bonds())
    assert plan is not None
    assert VAULT_VALUE + sum(item.value for item in plan.deposits) <= CAP


def test_a_bond_that_was_spent_carries_no_deposit() -> None:
    """Above a cap that has shrunk nothing new comes in; what is there stays."""
    assert swept(200_000_000) == [200_000_000]
    assert swept(200_000_000, behind=bonds(m0=0, m1=0)) == []
    without = bonds()
    del without[GENERATIONS[0].members[1].key]
    assert swept(BOND * 90 // 200 - VAULT_VALUE + 1, behind=without) == []
    assert swept(BOND * 90 // 200 - VAULT_VALUE, behind=without) == [BOND * 90 // 200 - VAULT_VALUE]


IDLE = 3


def test_an_idle_vault_waits_and_then_settles_all_epochs_at_once() -> None:
    params = replace(PARAMS, idle_epochs=IDLE)
    for epoch in range(IDLE - 1):
        assert planned(state(), bonds(), epoch, params) is None
    plan = planned(state(), bonds(), IDLE - 1, params)
    assert plan is not None
    assert (plan.first_epoch, plan.last_epoch) == (0, IDLE - 1)
    again = replace(state(), settled_through=IDLE - 1)
    for epoch in range(IDLE, 2 * IDLE - 1):
        assert planned(again, bonds(), epoch, params) is None
    plan = planned(again, bonds(), 2 * IDLE - 1, params)
    assert plan is not None
    assert (plan.first_epoch, plan.last_epoch) == (IDLE, 2 * IDLE - 1)


def test_content_waits_for_nothing() -> None:
    params = replace(PARAMS, idle_epochs=IDLE)
    plan = planned(state(100_000), bonds(), 0, params)
    assert plan is not None
    assert (plan.first_epoch, plan.last_epoch, len(plan.deposits)) == (0, 0, 1)


def test_a_deposit_above_the_cap_is_no_content() -> None:
    """It may wait until its timeout: an idle vault is not settled again and again for it."""
    params = replace(PARAMS, idle_epochs=IDLE)
    assert planned(state(CAP), bonds(), 0, params) is None
