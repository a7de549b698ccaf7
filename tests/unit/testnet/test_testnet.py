"""The launcher's parts that need no network: layout, state file, processes, checks, logs."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import trio

from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.types import Hash32, Sats
from p2p_seq.wallet.orders import LedgerChain
from testnet.command import UpOptions, run_up
from testnet.launch import Plan, check_plan, fail_when_ended, take_down
from testnet.layout import NODES_MAX, Layout
from testnet.logs import print_logs
from testnet.processes import is_running, send, spawn, start_time, stop, wait_gone
from testnet.state import (
    ProcessRecord,
    change_state,
    read_state,
    require_state,
    write_state,
)
from testnet.state import (
    TestnetState as State,
)
from testnet.traffic import derive_accounts, ring_transfers


def plan(folder: Path, **changes: object) -> Plan:
    values: dict[str, object] = {
        "folder": folder,
        "nodes": 4,
        "port_base": 41_000,
        "block_interval": 2.0,
        "preset": "regtest",
        "bitcoin_url": None,
    }
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def state(folder: Path) -> State:
    launcher = ProcessRecord("launcher", [], "")
    node = ProcessRecord("seq0", [sys.executable, "-c", ""], str(folder / "logs" / "seq0.log"))
    made = State(str(folder), 9_500, 1, "regtest", "http://x", "", launcher, [node])
    (folder / "testnet.lock").touch()
    write_state(made)
    return made


def sleeper(folder: Path, code: str = "import time; time.sleep(60)") -> ProcessRecord:
    return ProcessRecord("sleeper", [sys.executable, "-c", code], str(folder / "sleeper.log"))


def test_no_two_things_share_a_port() -> None:
    ports = Layout(Path("x"), 9_500).ports(NODES_MAX, with_bitcoin=True)
    assert len(ports) == len(set(ports)) == 2 * NODES_MAX + 1
    assert Layout(Path("x"), 9_500).api_port(0) == 9_545


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"nodes": 0}, "a testnet of 0 sequencers is not possible"),
        ({"nodes": 33}, "a testnet of 33 sequencers is not possible"),
        ({"port_base": 80}, "the ports from 80 on cannot be used"),
        ({"port_base": 65_500}, "the ports from 65500 on cannot be used"),
        ({"block_interval": 0.0}, "cannot mine every 0.0 s"),
    ],
)
def test_plans_that_cannot_work(tmp_path: Path, changes: dict[str, object], what: str) -> None:
    with pytest.raises(OperatorError) as caught:
        check_plan(plan(tmp_path / "net", **changes))
    assert (caught.value.what, caught.value.code) == (what, 2)


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(OperatorError) as caught:
        check_plan(plan(tmp_path))
    assert caught.value.what == f"{tmp_path} is not a testnet's folder"
    assert (tmp_path / "thesis.txt").exists()


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(OperatorError) as caught:
            check_plan(plan(tmp_path / "net", port_base=port - 1))
    assert (caught.value.what, caught.value.code) == (f"port {port} is busy", 5)


async def test_an_unknown_act_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="the demo has no act 'pig'"):
        await run_up(plan(tmp_path / "net"), UpOptions(plays_demo=True, acts=("pig",)))
    with pytest.raises(OperatorError, match="--crash-at 'seq9=x:1' is not understood"):
        await run_up(plan(tmp_path / "net"), UpOptions(crash_at=("seq9=x:1",)))
    assert not (tmp_path / "net").exists()


def test_the_state_file_reads_back(tmp_path: Path) -> None:
    made = state(tmp_path)
    assert read_state(tmp_path) == made
    with change_state(tmp_path) as changed:
        changed.is_ready = True
    assert require_state(tmp_path).is_ready
    with pytest.raises(OperatorError) as caught:
        made.process("seq7")
    assert (caught.value.why, caught.value.do) == ("it has seq0", "name one of them")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}'])
def test_a_damaged_state_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "testnet.json").write_text(text, encoding="utf-8")
    with pytest.raises(OperatorError, match="cannot read the testnet's state"):
        read_state(tmp_path)


def test_no_testnet_is_said_to_be_none(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    with pytest.raises(OperatorError, match="there is no testnet in"):
        require_state(tmp_path)


async def test_processes_are_stopped_and_reaped(tmp_path: Path) -> None:
    record = sleeper(tmp_path)
    spawn(record)
    assert is_running(record)
    assert record.started == start_time(record.pid) > 0
    assert await stop([record]) == []
    assert not is_running(record)
    assert await stop([record]) == [], "stopping again is no error"


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    record = sleeper(tmp_path, code)
    spawn(record)
    with trio.fail_after(10):
        while not ready.exists():  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert await stop([record], patience_s=0.2) == ["sleeper"]
    assert not is_running(record)


async def test_a_reused_pid_is_not_signalled() -> None:
    """The record names this very test process's pid with another start time."""
    record = ProcessRecord("gone", [], "", os.getpid(), start_time(os.getpid()) - 1)
    assert not is_running(record)
    send(record, signal.SIGKILL)
    assert await wait_gone([record], 0.1)


async def test_taking_down_what_is_down_is_no_error(tmp_path: Path) -> None:
    said: list[str] = []
    await take_down(tmp_path / "never", said.append)
    state(tmp_path)
    await take_down(tmp_path, said.append)
    await take_down(tmp_path, said.append)
    assert said == []


async def test_logs_are_merged_by_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = state(tmp_path)
    made.processes.append(ProcessRecord("seq1", [], str(tmp_path / "logs" / "seq1.log")))
    write_state(made)
    (tmp_path / "logs").mkdir()
    for name, seconds in (("seq0", (1, 4)), ("seq1", (2, 3))):
        lines = [
            json.dumps({"event": f"e{s}", "timestamp": f"2026-01-01T00:00:0{s}.000Z", "n": s})
            for s in seconds
        ]
        path = tmp_path / "logs" / f"{name}.log"
        path.write_text("\n".join([*lines, "no json", "cut sho"]), encoding="utf-8")
    await print_logs(tmp_path, [], follow=False)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(line[1], line[2]) for line in shown] == [
        *(("seq0", "e1"), ("seq1", "e2"), ("seq1", "e3"), ("seq1", "no")),
        *(("seq0", "e4"), ("seq0", "no")),
    ]
    with pytest.raises(OperatorError, match="no process 'seq5'"):
        await print_logs(tmp_path, ["seq5"], follow=False)


def test_ring_transfers_return_what_they_send() -> None:
    accounts = derive_accounts(LedgerChain("regtest", Hash32(bytes(32))), b"seed", 5)
    signed = ring_transfers(accounts, [7] * 5, 3, Sats(10), Sats(1_000))
    assert len({item.txid for item in signed}) == 15
    orders = [item.encoded for item in signed]
    senders = [order[2:34] for order in orders]
    recipients = [order[50:82] for order in orders]
    assert sorted(senders) == sorted(recipients)
    assert all(sender != recipient for sender, recipient in zip(senders, recipients, strict=True))


async def test_a_bitcoin_node_that_cannot_start_is_reported_in_its_own_words(
    tmp_path: Path,
) -> None:
    """As when another program takes its port between the check and the start."""
    record = sleeper(tmp_path, "import sys; sys.exit('error: port 1 is busy\\n  do: wait')")
    spawn(record)
    with trio.fail_after(10), pytest.raises(OperatorError) as caught:
        await fail_when_ended(record, trio.CancelScope())
    assert (caught.value.what, caught.value.why, caught.value.do) == (
        "sleeper ended at once",
        "error: port 1 is busy do: wait",
        f"see {record.log}",
    )


async def test_a_process_that_lives_until_the_end_of_the_start_is_watched_no_more(
    tmp_path: Path,
) -> None:
    record, founded = sleeper(tmp_path), trio.CancelScope()
    spawn(record)
    try:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_when_ended, record, founded)
                await trio.sleep(0.2)
                founded.cancel()
    finally:
        await stop([record])
