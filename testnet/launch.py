"""Puts a testnet up and takes it down.

Everything that takes long runs side by side: the sequencer processes are started before the
ceremony and load their modules while it is held, then find the genesis file. Bitcoin's clock runs
by itself; for the start two blocks are mined at once, so that the first origin can advance.
"""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from p2p_seq.bitcoin.address import encode_address
from p2p_seq.bitcoin.rpc import BitcoinRpc, BitcoinRpcError, RpcLimits
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.node.config import network_file, render_toml
from p2p_seq.node.crash import CRASH_VARIABLE
from p2p_seq.protocol.errors import OperatorError
from p2p_seq.protocol.genesis import SignedGenesis
from p2p_seq.protocol.params import Params, load_params
from p2p_seq.protocol.types import Sats
from p2p_seq.signer import schnorr
from p2p_seq.signer.keystore import create_keystore, open_keystore
from p2p_seq.wallet.file import create_wallet
from testnet.ceremony import Faucet, Founder, fund_renewals, hold_ceremony
from testnet.layout import BITCOIN, DEV_WALLETS, NODES_MAX, PORTS_USED, Layout, node_name
from testnet.processes import Template, is_running, spawn, start_time, stop
from testnet.state import (
    LOCK_NAME,
    STATE_NAME,
    ProcessRecord,
    TestnetState,
    change_state,
    read_state,
    require_state,
    write_state,
)

BOND: Final = Sats(10 * 100_000_000)
"""Stake of a testnet sequencer: the peg cap must hold the demo's deposit (PROTOCOL.md 1)."""

VAULT_VALUE: Final = Sats(10_000_000)
"""Genesis vault coin: the initial fee pool."""

DEV_WALLET_VALUE: Final = Sats(5 * 100_000_000)

GENESIS_PATIENCE_S: Final = 120
"""A sequencer process waits so long for the ceremony's end."""

FIRST_BLOCK_PATIENCE_S: Final = 60.0

FAUCET_RESERVE_BLOCKS: Final = 101
"""On a foreign regtest chain: coins of the first of these are mature after the last."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to put up."""

    folder: Path
    nodes: int
    port_base: int
    block_interval: float
    preset: str
    bitcoin_url: str | None
    """A bitcoind on regtest, `http://user:password@host:port`; None: the embedded node."""

    @property
    def layout(self) -> Layout:
        return Layout(self.folder, self.port_base)


@dataclass(frozen=True, slots=True)
class Testnet:
    """A running testnet, in the process that started it."""

    plan: Plan
    params: Params
    genesis: SignedGenesis
    bitcoin: BitcoinRpc
    faucet: Faucet

    @property
    def layout(self) -> Layout:
        return self.plan.layout


def check_plan(plan: Plan) -> None:
    """Raises OperatorError for a plan that cannot work, before anything is touched."""
    if not 1 <= plan.nodes <= NODES_MAX:
        raise OperatorError(
            f"a testnet of {plan.nodes} sequencers is not possible",
            f"it has between 1 and {NODES_MAX}",
            "choose another -n",
            code=2,
        )
    if not 1024 <= plan.port_base <= 65_535 - PORTS_USED:
        raise OperatorError(
            f"the ports from {plan.port_base} on cannot be used",
            f"{PORTS_USED} ports between 1024 and 65535 are needed",
            "choose another --port-base",
            code=2,
        )
    if not 0.05 <= plan.block_interval <= 3_600:
        raise OperatorError(
            f"cannot mine every {plan.block_interval} s",
            "the interval is not between 0.05 s and an hour",
            "choose another --block-interval",
            code=2,
        )
    _check_folder(plan.folder)
    for port in plan.layout.ports(plan.nodes, plan.bitcoin_url is None):
        _probe(port)


def _check_folder(folder: Path) -> None:
    """A folder is ours, or empty, or not there."""
    state = read_state(folder)
    if state is not None:
        alive = [item for item in (state.launcher, *state.processes) if is_running(item)]
        if alive:
            raise OperatorError(
                f"a testnet runs in {folder}",
                ", ".join(f"{item.name} is process {item.pid}" for item in alive),
                "stop it with `p2pseq testnet down`, or choose another --dir",
                code=5,
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OperatorError(
            f"{folder} is not a testnet's folder",
            "it has other content",
            "choose another --dir",
            code=2,
        )


def _probe(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OperatorError(
                f"port {port} is busy",
                "another process listens there" if error.errno == 98 else str(error),
                "stop that process, or choose another --port-base",
                code=5,
            ) from error


def _fresh_folder(plan: Plan) -> None:
    """An empty folder with a lock file; what an earlier testnet left is removed."""
    if plan.folder.exists():
        shutil.rmtree(plan.folder)
    plan.folder.mkdir(parents=True, mode=0o700)
    (plan.folder / LOCK_NAME).touch()


async def put_up(plan: Plan, say: Say, crashes: Mapping[str, str] | None = None) -> Testnet:
    """Start everything and return when the genesis file is there. Raises OperatorError.

    `crashes`: process name -> persist point at which its first run dies (`node/crash.py`).

    Call `take_down` whatever happens after it began: also when this fails half-way.
    """
    check_plan(plan)
    params = load_params(network_file(plan.preset))
    if params.bitcoin_chain != "regtest":
        raise OperatorError(
            f"the preset {plan.preset!r} is not for a testnet",
            f"it is over Bitcoin's {params.bitcoin_chain}",
            "choose --preset regtest or ordering",
            code=2,
        )
    _fresh_folder(plan)
    layout = plan.layout
    template = Template()
    try:
        faucet_keys = create_wallet(layout.faucet_file, params.network, params.bitcoin_chain, None)
        state = _first_state(plan)
        write_state(state)
        if plan.bitcoin_url is None:
            spawn(state.process(BITCOIN))
            write_state(state)
        founders = [Founder(layout.home(i), _make_home(plan, params, i)) for i in range(plan.nodes)]
        _write_configs(plan, founders)
        bitcoin = BitcoinRpc(plan.bitcoin_url or layout.bitcoin_url, cookie_of(plan))
        faucet = Faucet(bitcoin, faucet_keys.bitcoin)
        environments = {name: {CRASH_VARIABLE: point} for name, point in (crashes or {}).items()}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_start_sequencers, template, plan, environments, say)
            founded = trio.CancelScope()
            if plan.bitcoin_url is None:
                nursery.start_soon(fail_when_ended, state.process(BITCOIN), founded)
            genesis = await _found(bitcoin, faucet, params, founders)
            founded.cancel()
    finally:
        template.abandon()
    return Testnet(plan, params, genesis, bitcoin, faucet)


def ended_at_once(record: ProcessRecord) -> OperatorError:
    """The error for a process that is needed and gone, in its own last words."""
    lines = Path(record.log).read_text(encoding="utf-8", errors="replace").splitlines()
    return OperatorError(
        f"{record.name} ended at once",
        " ".join(line.strip() for line in lines[-3:]) or "it said nothing",
        f"see {record.log}",
    )


async def fail_when_ended(record: ProcessRecord, founded: trio.CancelScope) -> None:
    """Raises OperatorError when a process ends before the network is founded."""
    with founded:
        while is_running(record):  # noqa: ASYNC110 - a process has no event to wait for
            await trio.sleep(0.1)
        raise ended_at_once(record)


async def _start_sequencers(
    template: Template, plan: Plan, environments: Mapping[str, Mapping[str, str]], say: Say
) -> None:
    state = require_state(plan.folder)
    records = [record for record in state.processes if record.name != BITCOIN]
    await template.spawn(records, environments)
    with change_state(plan.folder) as changed:
        for record in records:
            fresh = changed.process(record.name)
            fresh.pid, fresh.started = record.pid, record.started
    say(f"started {plan.nodes} sequencers")


async def _found(
    bitcoin: BitcoinRpc, faucet: Faucet, params: Params, founders: list[Founder]
) -> SignedGenesis:
    """Hold the ceremony and put the genesis file into every home."""
    await _check_bitcoin(bitcoin, faucet)
    genesis = await hold_ceremony(bitcoin, faucet, params, founders, BOND, VAULT_VALUE)
    for founder in founders:
        draft = founder.home / "genesis.json.draft"
        draft.write_text(genesis.to_json(), encoding="utf-8")
        os.replace(draft, founder.home / "genesis.json")
    await fund_renewals(faucet, founders, BOND)
    # The anchor is the tip now; D more blocks make the next one an eligible origin.
    await faucet.mine(params.burial_depth)
    return genesis


def cookie_of(plan: Plan) -> Path | None:
    return plan.layout.cookie if plan.bitcoin_url is None else None


def _first_state(plan: Plan) -> TestnetState:
    layout = plan.layout
    launcher = ProcessRecord("launcher", [], "", os.getpid(), start_time(os.getpid()))
    processes = [
        ProcessRecord(
            node_name(index),
            [
                *(sys.executable, "-m", "p2p_seq.cli", "start"),
                *("--home", str(layout.home(index)), "--wait-genesis", str(GENESIS_PATIENCE_S)),
            ],
            str(layout.log(node_name(index))),
        )
        for index in range(plan.nodes)
    ]
    if plan.bitcoin_url is None:
        interval = ("--block-interval", str(plan.block_interval))
        processes.append(
            ProcessRecord(
                BITCOIN,
                [
                    *(sys.executable, "-m", "p2p_seq.bitcoin.embedded"),
                    *("--datadir", str(layout.bitcoin_folder)),
                    *("--port", str(layout.bitcoin_port), *interval),
                    *("--idle-interval", str(5 * plan.block_interval)),
                ],
                str(layout.log(BITCOIN)),
            )
        )
    return TestnetState(
        folder=str(plan.folder),
        port_base=plan.port_base,
        nodes=plan.nodes,
        preset=plan.preset,
        bitcoin_url=plan.bitcoin_url or layout.bitcoin_url,
        bitcoin_cookie=str(cookie_of(plan) or ""),
        launcher=launcher,
        processes=processes,
    )


def _make_home(plan: Plan, params: Params, index: int) -> Any:
    home = plan.layout.home(index)
    home.mkdir(mode=0o700)
    return create_keystore(home / "keystore.json", params.network, None, params.bitcoin_chain)


def _write_configs(plan: Plan, founders: list[Founder]) -> None:
    layout = plan.layout
    addresses = [
        f"/ip4/127.0.0.1/tcp/{layout.peer_port(index)}/p2p/"
        + peer_id_of_xonly(founder.keystore.stake(0).public().peer)
        for index, founder in enumerate(founders)
    ]
    for index, founder in enumerate(founders):
        settings = {
            "node.role": "sequencer",
            "node.network": plan.preset,
            "network.listen": f"/ip4/127.0.0.1/tcp/{layout.peer_port(index)}",
            "network.bootstrap": [a for n, a in enumerate(addresses) if n != index],
            "api.listen": f"127.0.0.1:{layout.api_port(index)}",
            "bitcoin.poll_ms": 200,
            "log.format": "json",
            **_bitcoin_settings(plan),
        }
        (founder.home / "config.toml").write_text(render_toml(settings), encoding="utf-8")


def _bitcoin_settings(plan: Plan) -> dict[str, str]:
    if plan.bitcoin_url is None:
        return {
            "bitcoin.rpc_url": plan.layout.bitcoin_url,
            "bitcoin.cookie_file": str(plan.layout.cookie),
        }
    before, separator, place = plan.bitcoin_url.rpartition("@")
    if not separator:
        return {"bitcoin.rpc_url": plan.bitcoin_url}
    scheme, _, login = before.partition("://")
    user, _, password = login.partition(":")
    return {
        "bitcoin.rpc_url": f"{scheme}://{place}",
        "bitcoin.user": user,
        "bitcoin.password": password,
    }


async def _check_bitcoin(bitcoin: BitcoinRpc, faucet: Faucet) -> None:
    """Wait until Bitcoin answers; a foreign chain must be regtest and pay our faucet first."""
    about: Any = await bitcoin.call("getblockchaininfo")
    if about["chain"] != "regtest":
        raise OperatorError(
            f"Bitcoin is on the chain {about['chain']!r}",
            "a testnet mines its own money, which only regtest allows",
            "start bitcoind with -regtest, or leave --bitcoin out",
            code=2,
        )
    if int(about["blocks"]) >= FAUCET_RESERVE_BLOCKS:
        await faucet.mine(FAUCET_RESERVE_BLOCKS)


async def fund_dev_wallets(testnet: Testnet) -> dict[str, str]:
    """Make the dev wallets and pay them in one transaction. Returns addresses by name."""
    outputs, addresses = [], {}
    params = testnet.params
    for name in DEV_WALLETS:
        path = testnet.layout.wallet(name)
        keys = create_wallet(path, params.network, params.bitcoin_chain, None)
        script = key_path_script(schnorr.public_key(keys.bitcoin))
        addresses[name] = encode_address(script, params.bitcoin_chain)
        outputs.append(TxOut(DEV_WALLET_VALUE, script))
    await testnet.faucet.pay(outputs)
    await testnet.faucet.mine(1)
    return addresses


async def keep_active(bitcoin: BitcoinRpc, seconds: int) -> None:
    """Let the embedded node mine at its quick interval; a bitcoind has no such call."""
    try:
        await bitcoin.call("p2pseq_activity", seconds)
    except BitcoinRpcError as error:
        if error.code != -32_601:  # method not found
            raise


async def mine_by_clock(faucet: Faucet, seconds: float) -> None:
    """For a bitcoind, which does not mine by itself."""
    while True:
        await trio.sleep(seconds)
        await faucet.mine(1)


async def take_down(folder: Path, say: Say) -> None:
    """Stop whatever the state file names: sequencers first, Bitcoin last. Idempotent."""
    if not (folder / STATE_NAME).exists():
        return
    with change_state(folder) as state:
        records = state.processes
    sequencers = [record for record in records if record.name != BITCOIN]
    killed = await stop(sequencers)
    killed += await stop([record for record in records if record.name == BITCOIN])
    for name in killed:
        say(f"{name} did not stop by itself and was killed")
    with change_state(folder) as state:
        state.is_ready = False
        for record in state.processes:
            record.pid = record.started = 0
        state.launcher.pid = 0


def open_faucet(state: TestnetState, bitcoin: BitcoinRpc) -> Faucet:
    """The faucet of a testnet that another process started."""
    network = load_params(network_file(state.preset)).network
    keystore = open_keystore(state.layout.faucet_file, network, None, "regtest")
    return Faucet(bitcoin, keystore.wallet_secret)


def bitcoin_of(state: TestnetState, limits: RpcLimits | None = None) -> BitcoinRpc:
    cookie = Path(state.bitcoin_cookie) if state.bitcoin_cookie else None
    return BitcoinRpc(state.bitcoin_url, cookie, limits)


def describe(testnet: Testnet, addresses: dict[str, str]) -> list[str]:
    """What a person needs to use the testnet."""
    layout, plan = testnet.layout, testnet.plan
    lines = [f"{node_name(i):<8} {layout.api_url(i)}/v1/status" for i in range(plan.nodes)]
    where = plan.bitcoin_url or f"{layout.bitcoin_url}  cookie {layout.cookie}"
    lines.append(f"{BITCOIN:<8} {where}")
    lines.append("dev wallets, REGTEST ONLY, their secrets are in plain files:")
    for name, address in addresses.items():
        lines.append(f"{name:<8} {address}  {layout.wallet(name)}")
    return lines


def genesis_of(home: Path) -> SignedGenesis:
    path = home / "genesis.json"
    return SignedGenesis.from_json(path.read_text(encoding="utf-8"), str(path))
