"""How a testnet is shown: a live table on a terminal, plain lines elsewhere. Pure."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from p2p_seq.api.types import NodeStatus
from p2p_seq.wallet.amounts import format_amount
from testnet.watch import LISTED_MAX, View

SHORT_ID = 16


def render(view: View) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_nodes(view)]
    if view.settlements:
        parts.append(Text(""))
        parts.append(_settlements(view))
    if view.deposits or view.withdrawals:
        parts.append(Text(""))
        parts.append(_pegs(view))
    warnings = _warnings(view)
    if warnings:
        parts.append(Text(""))
        parts += [Text(f"warning: {line}", style="yellow") for line in warnings]
    return Group(*parts)


def _number(value: object) -> Text:
    return Text("-" if value is None else str(value))


def _nodes(view: View) -> Table:
    table = Table(title=f"Bitcoin at height {view.bitcoin_height}", title_justify="left")
    for column in (
        *("node", "height", "epoch", "leader", "finality ms", "origin", "bitcoin"),
        *("settled epoch", "mempool", "peers", "state root"),
    ):
        table.add_column(column, justify="left" if column in ("node", "leader") else "right")
    for name, status in sorted(view.nodes.items()):
        if status is None:
            table.add_row(Text(name), Text("does not answer", style="red"))
            continue
        table.add_row(
            Text(name, style="bold" if status.is_ready else "dim"),
            _number(status.height),
            _number(status.epoch),
            Text((status.leader or "-")[:8]),
            _number(status.finality_ms),
            _number(status.origin.height),
            _number(status.bitcoin_height),
            _number(status.settled_epoch),
            _number(status.mempool.count),
            _number(status.peers),
            Text(status.state_root[:8]),
        )
    return table


def _settlements(view: View) -> Table:
    table = Table(title="last settlements", title_justify="left")
    table.add_column("epoch", justify="right")
    table.add_column("Bitcoin transaction")
    for epoch, txid in view.settlements[-LISTED_MAX:]:
        table.add_row(str(epoch), Text(txid))
    return table


def _pegs(view: View) -> Table:
    table = Table(title="pegs", title_justify="left")
    for column in ("way", "id", "amount", "state", "Bitcoin transaction"):
        table.add_column(column)
    for deposit in list(view.deposits.values())[-LISTED_MAX:]:
        table.add_row(
            *("in", Text(_short(deposit.outpoint)), format_amount(deposit.amount_sats)),
            *(Text(f"{deposit.state} {deposit.why}".strip()), Text(deposit.settlement or "-")),
        )
    for payout in list(view.withdrawals.values())[-LISTED_MAX:]:
        table.add_row(
            *("out", str(payout.id), format_amount(payout.amount_sats)),
            *(Text(payout.state), Text(payout.settlement or "-")),
        )
    return table


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
