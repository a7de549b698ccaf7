"""Sizes of gadgets and leaves: as recorded, within the goals, as real scripts have them."""

import json
from functools import cache
from typing import Any

import pytest

from tests.unit.challenge.test_merkle import opening
from tests.unit.challenge.test_winternitz import equivocation_leaf
from tests.vectors.make_script_budget import (
    COMPRESSION_GOAL,
    COMPRESSION_PEAK,
    EQUIVOCATION_GOAL,
    LEVEL_REFERENCE,
    PATH,
    budget,
)


@cache
def recorded() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return read


def test_file_is_what_the_toolkit_writes() -> None:
    """After a change of sizes: `python -m tests.vectors.make_script_budget`."""
    assert recorded() == budget()


def test_goals() -> None:
    read = recorded()
    goals, parts = read["goals"], read["parts"]
    assert goals == {
        "compression": COMPRESSION_GOAL,
        "equivocation weight": EQUIVOCATION_GOAL,
        "peak": 990,
    }
    sizes = {name: part["bytes"] for name, part in parts["compression"].items()}
    nodes = [size for name, size in sizes.items() if name.startswith("R=80 16")]
    wide = [size for name, size in sizes.items() if name.startswith("R=112")]
    assert parts["compression"]["R=80 16 bytes out"]["peak"] == COMPRESSION_PEAK
    assert max(nodes + wide) <= COMPRESSION_GOAL, sizes
    assert parts["level"]["R=80"] <= LEVEL_REFERENCE
    weights = read["leaves"]["EQUIV"]["weight"]
    assert weights["4 co-signers"] < EQUIVOCATION_GOAL, weights
    assert weights["22 co-signers"] < EQUIVOCATION_GOAL, weights


def test_every_leaf_fits_the_stack() -> None:
    read = recorded()
    for kind, leaf in read["leaves"].items():
        for row in [leaf] if kind == "EQUIV" else [leaf[name] for name in leaf if "d=" in name]:
            assert row["peak"] <= read["goals"]["peak"], (kind, row)


def test_measured_leaves_are_real_scripts() -> None:
    """The table's sum of parts is a whole leaf, but for items that are fetched from deeper down."""
    leaves = recorded()["leaves"]
    script = opening(6)
    row = leaves["OPENING-N"]["d=6"]
    assert row["script"] == pytest.approx(len(script.script), abs=100)
    assert (row["items"], row["peak"]) == (len(script.names), script.peak)
    row, script = leaves["EQUIV"], equivocation_leaf()
    assert row["script"] == len(script.script)
    assert (row["items"], row["peak"]) == (len(script.names), script.peak)


def test_single_rows_are_standard_at_depth_six() -> None:
    """Below 400,000 weight units relays forward them."""
    leaves = recorded()["leaves"]
    for kind in ("STEP", "STATEMENT"):
        assert leaves[kind]["d=6"]["weight"]["22 co-signers"] < 400_000
