"""How a testnet is shown: a live table on a terminal, plain lines elsewhere. Pure.

Everything fits into 80 columns: ids are cut to what tells them apart, and only the reason of a
refused deposit may need a second line.
"""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from p2p_seq.api.types import NodeStatus
from p2p_seq.wallet.amounts import format_amount
from testnet.watch import LISTED_MAX, View

SHORT_ID: Final = 16
SHORT_KEY: Final = 8


def render(view: View) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_nodes(view)]
    if view.settlements:
        parts.append(Text(""))
        parts.append(_settlements(view))
    if view.deposits or view.withdrawals:
        parts.append(Text(""))
        parts.append(_pegs(view))
    silent = [name for name, status in sorted(view.nodes.items()) if status is None]
    warnings = _warnings(view)
    if silent or warnings:
        parts.append(Text(""))
        parts += [Text(f"{name} does not answer", style="red") for name in silent]
        parts += [Text(f"warning: {line}", style="yellow") for line in warnings]
    return Group(*parts)


def _number(value: object) -> Text:
    return Text("-" if value is None else str(value))


def _table(title: str, left: Sequence[str], columns: Sequence[str]) -> Table:
    """Narrow: one blank between columns and no lines."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table


def _nodes(view: View) -> Table:
    columns = (
        *("node", "height", "epoch", "leader", "final ms", "origin", "bitcoin"),
        *("settled", "queue", "peers", "state"),
    )
    table = _table(f"Bitcoin at height {view.bitcoin_height}", ("node", "leader"), columns)
    for name, status in sorted(view.nodes.items()):
        if status is None:
            table.add_row(Text(name, style="red"), *["-"] * (len(columns) - 1))
            continue
        table.add_row(
            Text(name, style="bold" if status.is_ready else "dim"),
            _number(status.height),
            _number(status.epoch),
            Text((status.leader or "-")[:SHORT_KEY]),
            _number(status.finality_ms),
            _number(status.origin.height),
            _number(status.bitcoin_height),
            _number(status.settled_epoch),
            _number(status.mempool.count),
            _number(status.peers),
            Text(status.state_root[:SHORT_KEY]),
        )
    return table


def _settlements(view: View) -> Table:
    columns = ("epoch", "Bitcoin transaction")
    table = _table("last settlements", columns[1:], columns)
    for epoch, txid in view.settlements[-LISTED_MAX:]:
        table.add_row(str(epoch), Text(txid))
    return table


def _pegs(view: View) -> Table:
    columns = ("way", "id", "amount", "settlement", "state")
    table = _table("pegs", ("way", "id", "settlement", "state"), columns)
    for deposit in list(view.deposits.values())[-LISTED_MAX:]:
        table.add_row(
            *("in", Text(_short(deposit.outpoint)), format_amount(deposit.amount_sats)),
            *(_cut(deposit.settlement), Text(f"{deposit.state} {deposit.why}".strip())),
        )
    for payout in list(view.withdrawals.values())[-LISTED_MAX:]:
        table.add_row(
            *("out", str(payout.id), format_amount(payout.amount_sats)),
            *(_cut(payout.settlement), Text(payout.state)),
        )
    return table


def _cut(txid: str | None) -> Text:
    return Text("-" if txid is None else f"{txid[:SHORT_ID]}…")


def _short(outpoint: str) -> str:
    txid, _, vout = outpoint.partition(":")
    return f"{txid[:SHORT_ID]}…:{vout}"


def _warnings(view: View) -> list[str]:
    return [
        f"{name}: {warning}"
        for name, status in sorted(view.nodes.items())
        if status is not None
        for warning in status.warnings
    ]


def summary_line(view: View) -> str:
    """One line for logs: what changed most is first."""
    answering: list[NodeStatus] = [status for status in view.nodes.values() if status is not None]
    if not answering:
        return f"bitcoin {view.bitcoin_height}, no sequencer answers"
    best = max(answering, key=lambda status: status.height)
    heights = " ".join(
        f"{name} {'-' if status is None else status.height}"
        for name, status in sorted(view.nodes.items())
    )
    latency = "-" if best.finality_ms is None else f"{best.finality_ms:g} ms"
    return (
        f"{heights} | epoch {best.epoch} settled {best.settled_epoch} | finality {latency} | "
        f"bitcoin {view.bitcoin_height} | deposits {len(view.deposits)} "
        f"withdrawals {len(view.withdrawals)}"
    )
