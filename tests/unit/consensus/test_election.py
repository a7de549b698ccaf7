"""Election from buried stakes and finalised records."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2p_seq.consensus.election import (
    Stake,
    elect,
    epoch_seed,
    is_eligible,
    seed_height,
    snapshot_height,
)
from p2p_seq.protocol.params import load_params
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import Epoch, Height, OutPoint, Sats, XOnlyKey
from tests.support.cores import digest

PARAMS = load_params(Path("configs/networks/regtest.toml"))
ANCHOR = Height(1_000)
EPOCH = Epoch(10)
START = 1_000 + 10 * PARAMS.blocks_per_epoch
SNAPSHOT = START - 2 * PARAMS.burial_depth
WINDOW_END = START + PARAMS.blocks_per_epoch + PARAMS.challenge_window + PARAMS.window_margin


def stake(name: str, **changes: object) -> Stake:
    made = Stake(
        bond=OutPoint(digest(f"txid {name}"), 0),
        owner=XOnlyKey(digest(f"owner {name}")),
        consensus=XOnlyKey(digest(f"consensus {name}")),
        value=Sats(10 * 100_000_000),
        confirmed=Height(900),
        position=1,
        spent=None,
        first_epoch=Epoch(0),
        last_epoch=Epoch(255),
        refund=Height(10_000),
        recorded=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "eligible"),
    [
        ({}, True),
        ({"confirmed": SNAPSHOT}, True),
        ({"confirmed": SNAPSHOT + 1}, False),
        ({"spent": SNAPSHOT}, False),
        ({"spent": SNAPSHOT + 1}, True),
        ({"first_epoch": 10}, True),
        ({"first_epoch": 11}, False),
        ({"last_epoch": 10}, True),
        ({"last_epoch": 9}, False),
        ({"refund": WINDOW_END}, True),
        ({"refund": WINDOW_END - 1}, False),
        ({"value": PARAMS.stake_minimum}, True),
        ({"value": PARAMS.stake_minimum - 1}, False),
        ({"recorded": False}, False),
        ({"has_page": False}, False),
        ({"barred": True}, False),
    ],
)
def test_eligibility(changes: dict[str, object], eligible: bool) -> None:
    assert is_eligible(stake("a", **changes), PARAMS, ANCHOR, EPOCH) is eligible


def test_heights_of_an_epoch() -> None:
    assert snapshot_height(PARAMS, ANCHOR, EPOCH) == SNAPSHOT
    assert seed_height(PARAMS, ANCHOR, EPOCH) == START - PARAMS.burial_depth
    assert snapshot_height(PARAMS, ANCHOR, Epoch(0)) == ANCHOR
    shallow = replace(PARAMS, burial_depth=6)
    assert snapshot_height(shallow, ANCHOR, Epoch(1)) == ANCHOR


def test_founders_of_epoch_zero_need_no_page() -> None:
    founder = stake("a", confirmed=ANCHOR, has_page=False)
    assert is_eligible(founder, PARAMS, ANCHOR, Epoch(0))


def test_the_latest_stake_of_an_operator_serves() -> None:
    owner = XOnlyKey(digest("owner"))
    old = stake("old", owner=owner, confirmed=Height(800))
    new = stake("new", owner=owner, confirmed=Height(801))
    future = stake("future", owner=owner, confirmed=Height(802), first_epoch=Epoch(99))
    same_block = stake("same", owner=owner, confirmed=Height(801), position=0)
    elected = elect([old, new, future, same_block], PARAMS, ANCHOR, EPOCH)
    assert elected is not None
    assert elected.stakes == (new,)


def test_a_key_that_two_operators_register_stays_with_the_first() -> None:
    key = XOnlyKey(digest("key"))
    first = stake("a", consensus=key, confirmed=Height(800))
    thief = stake("b", consensus=key, confirmed=Height(801))
    elected = elect([thief, first], PARAMS, ANCHOR, EPOCH)
    assert elected is not None
    assert elected.stakes == (first,)


def test_stakes_stand_in_set_order() -> None:
    stakes = [stake(f"s{number}", value=Sats((number + 1) * 10**8)) for number in range(5)]
    elected = elect(stakes, PARAMS, ANCHOR, EPOCH)
    assert elected is not None
    keys = [member.key for member in elected.members.members]
    assert keys == [chosen.consensus for chosen in elected.stakes]
    assert elect(list(reversed(stakes)), PARAMS, ANCHOR, EPOCH) == elected


def test_too_few_members_elect_nobody() -> None:
    assert elect([], PARAMS, ANCHOR, EPOCH) is None
    larger = replace(PARAMS, set_minimum=2)
    assert elect([stake("a")], larger, ANCHOR, EPOCH) is None


def test_the_seed_takes_everything() -> None:
    arguments = (digest("r"), digest("r-1"), digest("seal"))
    seed = epoch_seed("regtest", *arguments, EPOCH)
    body = b"".join(arguments) + (10).to_bytes(8, "big")
    assert seed == tagged_hash("regtest", Tag.SEED, body)
