"""The origin rule: proposer and voter agree, and no burst of Bitcoin blocks stalls it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.consensus.origin import (
    OriginRules,
    OriginVerdict,
    is_origin_work,
    judge_origin,
    propose_origin,
)
from p2p_seq.protocol.types import Height

RULES = OriginRules(depth=2, step=16, border=Height(105))


def judge(proposed: int, parent: int = 100, tip: int = 104, seal: bool = False, best: bool = True):
    return judge_origin(RULES, Height(parent), Height(proposed), seal, Height(tip), best)


@pytest.mark.parametrize(
    ("proposed", "tip", "verdict"),
    [
        (99, 104, OriginVerdict.INVALID_RANGE),
        (100, 104, OriginVerdict.VALID),
        (103, 104, OriginVerdict.VALID),
        (104, 104, OriginVerdict.WAIT),
        (104, 105, OriginVerdict.VALID),
        (106, 120, OriginVerdict.INVALID_RANGE),
    ],
)
def test_burial(proposed: int, tip: int, verdict: OriginVerdict) -> None:
    assert judge(proposed, tip=tip) is verdict


def test_another_branch_waits() -> None:
    assert judge(102, best=False) is OriginVerdict.WAIT


def test_the_seal_stands_exactly_on_the_border() -> None:
    assert judge(105, tip=110, seal=True) is OriginVerdict.VALID
    assert judge(105, tip=110, seal=False) is OriginVerdict.INVALID_RANGE
    assert judge(104, tip=106, seal=True) is OriginVerdict.INVALID_RANGE


def test_a_step_is_bounded() -> None:
    far = OriginRules(2, 16, Height(1_000))
    arguments = (False, Height(300), True)
    assert judge_origin(far, Height(100), Height(116), *arguments) is OriginVerdict.VALID
    assert judge_origin(far, Height(100), Height(117), *arguments) is OriginVerdict.INVALID_RANGE


def test_lag_is_refused_only_above_its_bound_and_only_when_the_block_does_not_follow() -> None:
    far = OriginRules(2, 16, Height(1_000))
    tip = Height(100 + 8 + 1)  # the deepest eligible block is D + 6 above the parent's
    assert judge_origin(far, Height(100), Height(100), False, tip, True) is OriginVerdict.VALID
    tip = Height(tip + 1)
    assert judge_origin(far, Height(100), Height(100), False, tip, True) is (
        OriginVerdict.INVALID_LAG
    )
    assert judge_origin(far, Height(100), Height(108), False, tip, True) is OriginVerdict.VALID


def test_the_proposer_keeps_a_margin_of_one_block() -> None:
    assert propose_origin(RULES, Height(100), Height(103)) == 101
    assert propose_origin(RULES, Height(100), Height(101)) == 100
    assert not is_origin_work(RULES, Height(100), Height(102))
    assert is_origin_work(RULES, Height(100), Height(103))


@given(
    depth=st.integers(1, 12),
    step=st.integers(1, 20),
    parent=st.integers(0, 500),
    to_border=st.integers(1, 60),
    ahead=st.integers(-3, 400),
    skew=st.integers(0, 1),
)
def test_what_a_proposer_names_a_voter_at_most_one_block_apart_accepts(
    depth: int, step: int, parent: int, to_border: int, ahead: int, skew: int
) -> None:
    rules = OriginRules(depth, step, Height(parent + to_border))
    tip = Height(max(parent + depth - 1, parent + ahead))
    proposed = propose_origin(rules, Height(parent), tip)
    voter = Height(tip + skew)
    if rules.lags(Height(parent), voter) != rules.lags(Height(parent), tip):
        return  # the voter just crossed the bound; the next proposer sees it too
    is_seal = proposed == rules.border
    verdict = judge_origin(rules, Height(parent), proposed, is_seal, voter, True)
    assert verdict is OriginVerdict.VALID


@pytest.mark.parametrize("step", [1, 4, 16])
def test_a_hundred_blocks_at_once_are_crossed(step: int) -> None:
    parent, border, tip = Height(100), Height(105), Height(204)
    for _ in range(250):
        rules = OriginRules(2, step, border)
        proposed = propose_origin(rules, parent, tip)
        if proposed == parent:
            break
        is_seal = proposed == border
        assert judge_origin(rules, parent, proposed, is_seal, tip, True) is OriginVerdict.VALID
        parent = proposed
        border = Height(border + 5) if is_seal else border
    assert parent >= tip - 2
