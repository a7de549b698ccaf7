"""What `p2pseq testnet ...` does: the launcher in the foreground, and the small commands beside it.

The launcher owns the testnet: when it ends, for whatever reason it can still act on, everything is
stopped. The other commands find the testnet by its state file.
"""

import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from p2p_seq.api.client import ApiError, open_client
from p2p_seq.bitcoin.address import decode_address
from p2p_seq.bitcoin.rpc import RpcLimits
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.protocol.errors import CodecError, OperatorError, RemoteError
from p2p_seq.protocol.types import display_id
from p2p_seq.wallet.amounts import parse_amount
from testnet.acts import DemoReport, check_acts, play
from testnet.launch import (
    FIRST_BLOCK_PATIENCE_S,
    Plan,
    bitcoin_of,
    check_plan,
    describe,
    ended_at_once,
    fund_dev_wallets,
    keep_active,
    mine_by_clock,
    open_faucet,
    put_up,
    take_down,
)
from testnet.layout import BITCOIN, node_name
from testnet.processes import is_running, send, spawn, stop, wait_gone
from testnet.stage import open_clients
from testnet.state import ProcessRecord, change_state, read_state, require_state
from testnet.table import render, summary_line
from testnet.watch import Watch

STARTUP_ACTIVITY_S: Final = 60
"""Bitcoin keeps its quick pace so long after the start."""

LINE_SECONDS: Final = 5.0
"""Between two status lines where no table can be drawn."""

REDRAW_SECONDS: Final = 0.5

LAUNCHER_PATIENCE_S: Final = 60.0
"""`down` waits so long for the launcher to stop everything."""

MINE_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What to do with the network once it is up."""

    plays_demo: bool = False
    acts: tuple[str, ...] = ()
    exits_after: bool = False
    json_file: Path | None = None
    crash_at: tuple[str, ...] = ()
    """`NAME=POINT:N`: set P2PSEQ_CRASH_AT for the first run of that process."""


async def run_up(plan: Plan, options: UpOptions) -> int:
    """The launcher. Returns the exit code: 1 when a demo failed. Raises OperatorError."""
    acts = check_acts(options.acts) if options.plays_demo else []
    crashes = _crashes(options.crash_at, plan.nodes)
    check_plan(plan)
    report = DemoReport(nodes=plan.nodes, preset=plan.preset)
    launcher = _Launcher(plan, acts, crashes, options.exits_after, report)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            work = trio.CancelScope()
            nursery.start_soon(_cancel_on_signal, signals, work)
            try:
                with work:
                    await launcher.run()
            except OperatorError as error:
                report.exit_reason = str(error)
                raise
            finally:
                with trio.CancelScope(shield=True):
                    await take_down(plan.folder, launcher.say)
                if options.json_file is not None:
                    report.write(options.json_file)
            nursery.cancel_scope.cancel()
    launcher.say(f"all stopped; {report.exit_reason}" if acts else "all stopped")
    return 0 if not acts or report.is_successful else 1


async def _cancel_on_signal(signals: Any, work: trio.CancelScope) -> None:
    async for _ in signals:
        work.cancel()


def _crashes(texts: Sequence[str], nodes: int) -> dict[str, str]:
    """Process name -> `POINT:N`. Raises OperatorError."""
    known = {node_name(index) for index in range(nodes)}
    found: dict[str, str] = {}
    for text in texts:
        name, _, point = text.partition("=")
        if name not in known or ":" not in point:
            raise OperatorError(
                f"--crash-at {text!r} is not understood",
                "it is NAME=POINT:N with a sequencer's name",
                "for example seq1=final-before-write:3",
                code=2,
            )
        found[name] = point
    return found


class _Launcher:
    """One run of `up`."""

    def __init__(
        self,
        plan: Plan,
        acts: list[str],
        crashes: dict[str, str],
        exits_after: bool,
        report: DemoReport,
    ) -> None:
        self._plan = plan
        self._acts = acts
        self._crashes = crashes
        self._exits_after = exits_after
        self._report = report
        self._console = Console()
        self._begun = trio.current_time()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    async def run(self) -> None:
        plan, report = self._plan, self._report
        testnet = await put_up(plan, self.say, self._crashes)
        report.chain_id = testnet.genesis.genesis.chain_id.hex()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(testnet.bitcoin)
            urls = [plan.layout.api_url(index) for index in range(plan.nodes)]
            clients = await stack.enter_async_context(open_clients(urls))
            nursery = await stack.enter_async_context(trio.open_nursery())
            if plan.bitcoin_url is not None:
                interval = plan.block_interval
                nursery.start_soon(mine_by_clock, testnet.faucet, interval)
            addresses = await fund_dev_wallets(testnet)
            await keep_active(testnet.bitcoin, STARTUP_ACTIVITY_S)
            await self._wait_first_block(clients)
            report.startup_s = round(trio.current_time() - self._begun, 2)
            with change_state(plan.folder) as state:
                state.is_ready = True
            self.say(f"first block final after {report.startup_s} s")
            for line in describe(testnet, addresses):
                self.say(line)
            watch = Watch(testnet, clients)
            nursery.start_soon(watch.run)
            nursery.start_soon(self._show, watch)
            if self._acts:
                await play(testnet, clients, self._acts, report, self.say)
                verdict = "holds" if report.is_successful else "FAILED"
                self.say(f"demo {verdict}: {report.exit_reason}")
            if not (self._acts and self._exits_after):
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()

    async def _wait_first_block(self, clients: list[Any]) -> None:
        """Raises OperatorError when a process ends, or nothing becomes final in time."""
        with trio.move_on_after(FIRST_BLOCK_PATIENCE_S):
            while True:
                self._check_processes()
                for client in clients:
                    try:
                        if (await client.status()).height > 0:
                            return
                    except ApiError:
                        continue
                await trio.sleep(0.05)
        raise OperatorError(
            "no block became final",
            f"{FIRST_BLOCK_PATIENCE_S:g} s have passed",
            f"see the logs in {self._plan.folder / 'logs'}",
        )

    def _check_processes(self) -> None:
        for record in require_state(self._plan.folder).processes:
            if not is_running(record) and record.name not in self._crashes:
                raise ended_at_once(record)

    async def _show(self, watch: Watch) -> None:
        """A live table on a terminal, else a line now and then."""
        if not self._console.is_terminal:
            while True:
                await trio.sleep(LINE_SECONDS)
                self.say(summary_line(watch.view))
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(render(watch.view), refresh=True)
                await trio.sleep(REDRAW_SECONDS)


async def run_detached(plan: Plan, argv: Sequence[str]) -> int:
    """Start the launcher in the background; return when its first block is final, or it ended."""
    check_plan(plan)
    log = plan.folder.with_name(plan.folder.name + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    arguments = [item for item in argv[1:] if item != "--detach"]
    command = [sys.executable, "-m", "p2p_seq.cli", *_absolute(arguments, plan.folder)]
    record = ProcessRecord("launcher", command, str(log))
    spawn(record, logs_output=True)
    while is_running(record):
        state = read_state(plan.folder)
        if state is not None and state.is_ready and state.launcher.pid == record.pid:
            Console().print(log.read_text(encoding="utf-8"), markup=False, highlight=False)
            return 0
        await trio.sleep(0.1)
    sys.stderr.write(log.read_text(encoding="utf-8"))
    return 1


def _absolute(arguments: list[str], folder: Path) -> list[str]:
    """The child works in another directory."""
    kept: list[str] = []
    skips = False
    for item in arguments:
        if skips or item.startswith("--dir="):
            skips = False
        elif item == "--dir":
            skips = True
        else:
            kept.append(item)
    return [*kept, "--dir", str(folder)]


async def stop_testnet(folder: Path) -> None:
    """`down`: ask the launcher, and stop what it left."""
    state = read_state(folder)
    if state is None:
        return
    launcher = state.launcher
    if is_running(launcher):
        send(launcher, signal.SIGTERM)
        if not await wait_gone([launcher], LAUNCHER_PATIENCE_S):
            send(launcher, signal.SIGKILL)
    await take_down(folder, lambda line: print(line, file=sys.stderr))  # noqa: T201


async def kill_process(folder: Path, name: str, number: signal.Signals) -> None:
    """Raises OperatorError when it does not run."""
    record = require_state(folder).process(name)
    if not is_running(record):
        raise OperatorError(
            f"{name} does not run",
            "it ended before, or the testnet is down",
            f"see `p2pseq testnet status`, or start it with `p2pseq testnet restart {name}`",
        )
    send(record, number)
    await wait_gone([record], 10.0)


async def restart_process(folder: Path, name: str) -> int:
    """Stop it if it runs, start it again; returns its pid. Raises OperatorError."""
    state = require_state(folder)
    record = state.process(name)
    if not is_running(state.launcher):
        raise OperatorError(
            "the testnet is down",
            "its launcher does not run",
            "start it with `p2pseq testnet up`",
            code=4,
        )
    await stop([record])
    with change_state(folder) as changed:
        fresh = changed.process(name)
        spawn(fresh)
        return fresh.pid


async def describe_status(folder: Path) -> dict[str, Any]:
    """What runs and what every node says."""
    state = require_state(folder)
    nodes: list[dict[str, Any]] = []
    for record in state.processes:
        entry: dict[str, Any] = {"name": record.name, "is_running": is_running(record)}
        entry["pid"] = record.pid if entry["is_running"] else None
        if record.name != BITCOIN:
            index = [node_name(i) for i in range(state.nodes)].index(record.name)
            entry["url"] = state.layout.api_url(index)
            entry["status"] = await _node_status(entry["url"])
        nodes.append(entry)
    return {
        "folder": state.folder,
        "preset": state.preset,
        "is_up": is_running(state.launcher),
        "is_ready": state.is_ready,
        "bitcoin_url": state.bitcoin_url,
        "bitcoin_cookie": state.bitcoin_cookie or None,
        "processes": nodes,
    }


async def _node_status(url: str) -> dict[str, Any] | None:
    async with open_client(url, timeout_s=2.0) as client:
        try:
            return asdict(await client.status())
        except ApiError:
            return None


def render_status(answer: dict[str, Any]) -> None:
    table = Table(title=f"{answer['folder']} ({'up' if answer['is_up'] else 'down'})")
    for column in ("process", "pid", "height", "epoch", "origin", "state root", "url"):
        table.add_column(column)
    for entry in answer["processes"]:
        status = entry.get("status") or {}
        origin = (status.get("origin") or {}).get("height", "-")
        table.add_row(
            *(entry["name"], str(entry["pid"] or "-"), str(status.get("height", "-"))),
            *(str(status.get("epoch", "-")), str(origin), status.get("state_root", "-")[:16]),
            entry.get("url", answer["bitcoin_url"]),
        )
    Console().print(table)


async def pay_from_faucet(folder: Path, address: str, amount: str) -> str:
    """Pay and mine; returns the transaction id. Raises OperatorError."""
    state = require_state(folder)
    sats = parse_amount(amount)
    try:
        script = decode_address(address, "regtest")
    except CodecError as error:
        raise OperatorError(
            f"{address[:100]!r} is not a regtest address",
            error.detail,
            "check every character",
            code=2,
        ) from error
    async with bitcoin_of(state, RpcLimits(start_deadline_seconds=5.0)) as bitcoin:
        faucet = open_faucet(state, bitcoin)
        try:
            transaction = await faucet.pay([TxOut(sats, script)])
        except RemoteError as error:
            raise OperatorError(
                "the faucet cannot pay that", str(error), "ask for another amount"
            ) from error
        await faucet.mine(1)
    return display_id(transaction.txid)


async def mine_blocks(folder: Path, blocks: int) -> int:
    """Returns Bitcoin's height. Raises OperatorError."""
    if not 1 <= blocks <= MINE_MAX:
        raise OperatorError(
            f"cannot mine {blocks} blocks", f"1 to {MINE_MAX} at a time", "choose another number", 2
        )
    state = require_state(folder)
    async with bitcoin_of(state, RpcLimits(start_deadline_seconds=5.0)) as bitcoin:
        await open_faucet(state, bitcoin).mine(blocks)
        return int(await bitcoin.call("getblockcount"))
