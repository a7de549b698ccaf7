"""The live table: everything is to be read on a terminal of 80 columns."""

from dataclasses import replace

import pytest
from rich.console import Console

from p2p_seq.api.types import DepositState, MempoolReport, WithdrawalState
from testnet.table import render, summary_line
from testnet.watch import View
from tests.unit.api.support import DEPOSIT, ORIGIN, STATUS, WITHDRAWAL

COLUMNS = 80


def shown(view: View, columns: int = COLUMNS) -> list[str]:
    console = Console(width=columns, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(render(view))
    return [line.rstrip() for line in capture.get().splitlines()]


def busy_view() -> View:
    """Numbers as long as they get in a day."""
    status = replace(
        STATUS,
        height=123_456,
        epoch=12_345,
        leader="ab" * 32,
        finality_ms=1234.5,
        origin=replace(ORIGIN, height=100_000),
        bitcoin_height=100_002,
        settled_epoch=12_344,
        mempool=MempoolReport(count=20_000, bytes=1),
        warnings=[],
    )
    swept = replace(DEPOSIT, state=DepositState.MINTED, why="", settlement="cd" * 32)
    paid = replace(WITHDRAWAL, state=WithdrawalState.PAID, settlement="ef" * 32)
    return View(
        nodes={"seq0": status, "seq1": None},
        bitcoin_height=100_002,
        settlements=[(12_343, "01" * 32), (12_344, "23" * 32)],
        deposits={"a": swept, "b": DEPOSIT},
        withdrawals={4: paid},
    )


def test_nothing_is_cut_at_eighty_columns() -> None:
    lines = shown(busy_view())
    assert len(shown(busy_view(), 200)) == len(lines) - 1, "only the long reason is folded"
    assert max(len(line) for line in lines) <= COLUMNS
    assert lines[1].split() == [
        *("node", "height", "epoch", "leader", "final", "ms", "origin", "bitcoin"),
        *("settled", "queue", "peers", "state"),
    ]
    assert lines[2].split() == [
        *("seq0", "123456", "12345", "abababab", "1234.5", "100000", "100002"),
        *("12344", "20000", "3", "5a5a5a5a"),
    ]
    assert any("23" * 32 in line for line in lines)
    assert any("cdcdcdcdcdcdcdcd… minted" in line for line in lines)


def test_a_node_that_is_silent_and_warnings_are_said() -> None:
    view = View(nodes={"seq0": STATUS, "seq1": None}, bitcoin_height=5)
    lines = shown(view)
    assert "seq1 does not answer" in lines
    assert "warning: seq0: one" in lines


@pytest.mark.parametrize(
    ("view", "line"),
    [
        (View(bitcoin_height=7), "bitcoin 7, no sequencer answers"),
        (
            View(nodes={"seq0": STATUS, "seq1": None}, bitcoin_height=122),
            (
                "seq0 7 seq1 - | epoch 2 settled None | finality 41.5 ms | "
                "bitcoin 122 | deposits 0 withdrawals 0"
            ),
        ),
    ],
)
def test_one_line_for_logs(view: View, line: str) -> None:
    assert summary_line(view) == line
