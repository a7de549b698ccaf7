"""Four sequencer processes over an embedded Bitcoin node with short stakes, for renewal tests."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.protocol.genesis import SignedGenesis
from p2p_seq.protocol.params import Params, load_params
from p2p_seq.protocol.types import Sats
from p2p_seq.signer.keystore import create_keystore
from p2p_seq.signer.schnorr import public_key
from testnet.ceremony import Faucet, Founder, hold_ceremony
from tests.support.bitcoind import ROOT, NodeProcess, start_embedded
from tests.support.keys import secret

BOND: Final = Sats(10 * 100_000_000)
VAULT_VALUE: Final = Sats(10_000_000)
PRESET: Final = ROOT / "configs" / "networks" / "regtest.toml"


def short_params(**changes: int) -> Params:
    """The regtest preset with other numbers; its name stays, which the keystore wants."""
    return replace(load_params(PRESET), **changes)  # type: ignore[arg-type]


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


class StakingNetwork:
    """Bitcoin, the founders' homes, and their processes."""

    def __init__(self, folder: Path, params: Params, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.params = params
        self.settings = settings
        # Blocks are mined by hand: a busy machine must not let Bitcoin run ahead of the nodes.
        self.bitcoin: NodeProcess = start_embedded(folder / "bitcoin")
        self.faucet_secret = secret("faucet")
        self.founders: list[Founder] = []
        self.genesis: SignedGenesis | None = None
        self.processes: list[subprocess.Popen[bytes]] = []
        self.peer_ports: list[int] = []
        self.api_ports: list[int] = []

    async def found(self, count: int) -> SignedGenesis:
        """Hold the ceremony and write the homes.

        Every wallet gets two further bonds: ranges are so short here that the renewal after the
        next may be due before the first bond came back.
        """
        rpc = self.bitcoin.client()
        for number in range(count):
            home = self.folder / f"sequencer-{number}"
            home.mkdir()
            self.founders.append(
                Founder(home, create_keystore(home / "keystore.json", "regtest", None))
            )
        faucet = Faucet(rpc, self.faucet_secret)
        self.genesis = await hold_ceremony(
            rpc, faucet, self.params, self.founders, BOND, VAULT_VALUE
        )
        further = [TxOut(BOND + 100_000, script) for script in self.wallet_scripts()]
        await faucet.pay(further + further)
        self._write_homes(self.genesis)
        return self.genesis

    def wallet_scripts(self) -> list[bytes]:
        return [key_path_script(public_key(f.keystore.wallet_secret)) for f in self.founders]

    def add_newcomer(self) -> int:
        """The home of an operator without a stake, which wants one; the node's number."""
        assert self.genesis is not None
        home = self.folder / "newcomer"
        home.mkdir()
        self.founders.append(
            Founder(home, create_keystore(home / "keystore.json", "regtest", None))
        )
        for ports, port in zip((self.peer_ports, self.api_ports), free_ports(2), strict=True):
            ports.append(port)
        number = len(self.founders) - 1
        self._write_home(self.genesis, number, {**self.settings, "bond_sats": str(BOND)})
        return number

    def _write_homes(self, genesis: SignedGenesis) -> None:
        count = len(self.founders)
        ports = free_ports(2 * count)
        self.peer_ports, self.api_ports = ports[:count], ports[count:]
        for number in range(count):
            self._write_home(genesis, number, self.settings)

    def _write_home(self, genesis: SignedGenesis, number: int, settings: Mapping[str, str]) -> None:
        peers = [peer_id_of_xonly(f.keystore.stake(0).public().peer) for f in self.founders]
        others = [
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}"
            for index, (port, peer) in enumerate(zip(self.peer_ports, peers, strict=True))
            if index != number
        ]
        home = self.founders[number].home
        staking = "\n".join(f"{key} = {value}" for key, value in settings.items())
        (home / "genesis.json").write_text(genesis.to_json(), encoding="utf-8")
        (home / "config.toml").write_text(
            f"""[node]
role = "sequencer"
signature_workers = 0
[bitcoin]
rpc_url = "{self.bitcoin.url}"
cookie_file = "{self.bitcoin.cookie}"
[network]
listen = "/ip4/127.0.0.1/tcp/{self.peer_ports[number]}"
bootstrap = {json.dumps(others)}
[api]
listen = "127.0.0.1:{self.api_ports[number]}"
[staking]
{staking}
[log]
level = "info"
format = "json"
""",
            encoding="utf-8",
        )

    def start(self, number: int, environment: Mapping[str, str] | None = None) -> None:
        """Start, or start again, one sequencer."""
        home = self.founders[number].home
        command = [sys.executable, "-m", "p2p_seq.cli.main", "start", "--home", str(home)]
        with (home / "log").open("ab") as stream:
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        if number < len(self.processes):
            self.processes[number] = process
        else:
            self.processes.append(process)

    def client(self) -> BitcoinRpc:
        return self.bitcoin.client()

    async def ask(self, number: int, path: str) -> Any:
        """A JSON answer of one node's API; None while it does not answer."""
        url = f"http://127.0.0.1:{self.api_ports[number]}{path}"

        def fetch() -> Any:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return json.load(answer)
            except OSError:
                return None

        return await trio.to_thread.run_sync(fetch)

    def events(self, number: int, name: str) -> Sequence[dict[str, Any]]:
        """Log events of one node by name, oldest first."""
        text = (self.founders[number].home / "log").read_text(encoding="utf-8")
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [item for item in found if item.get("event") == name]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.bitcoin.stop()
