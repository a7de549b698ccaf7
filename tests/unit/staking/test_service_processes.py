"""Four sequencer processes live through the end of their stakes: all renew, and nothing stops.

Real processes, real sockets, the embedded Bitcoin node. Blocks are mined when every node has
followed the last one, so that a busy machine makes the test slow, not another one.
"""

from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.node.crash import CRASH_VARIABLE, REGISTRATION_POINTS
from p2p_seq.protocol.types import Epoch, display_id
from p2p_seq.settlement.scripts import DepositRequest, deposit_output
from p2p_seq.signer.schnorr import public_key
from p2p_seq.staking.registry import Registry, founding_set
from testnet.ceremony import Faucet
from tests.support.keys import key
from tests.support.staking_networks import BOND, StakingNetwork, short_params

PARAMS = short_params(
    blocks_per_epoch=4, stake_epochs=8, challenge_window=4, window_margin=4, sweep_grace=12
)
COUNT = 4
PATIENCE_S = 60
DEPOSIT = 3_000_000


class Renewal:
    """The network while time passes."""

    def __init__(self, network: StakingNetwork) -> None:
        assert network.genesis is not None
        self.network = network
        self.genesis = network.genesis.genesis
        self.bitcoin = network.client()
        self.faucet = Faucet(self.bitcoin, network.faucet_secret)
        self.to_crash: set[int] = set()
        """Sequencers that will end once, and are started again."""

    async def statuses(self) -> list[dict[str, Any]]:
        processes = self.network.processes
        dead = [n for n, process in enumerate(processes) if process.poll() is not None]
        for number in dead:
            assert number in self.to_crash, f"sequencer {number} ended"
            self.to_crash.discard(number)
            self.network.start(number)
        found = [await self.network.ask(number, "/v1/status") for number in range(len(processes))]
        return [status for status in found if status is not None]

    async def followed(self, height: int) -> None:
        """Every node has a final block with the deepest origin that a Bitcoin tip allows."""
        origin = height - PARAMS.burial_depth
        with trio.fail_after(PATIENCE_S):
            while True:
                statuses = await self.statuses()
                behind = [s for s in statuses if s["origin"]["height"] < origin]
                if len(statuses) == len(self.network.processes) and not behind:
                    return
                await trio.sleep(0.1)

    async def mine(self) -> int:
        """One block, followed by all; the new height."""
        await self.faucet.mine(1)
        height = int(await self.bitcoin.call("getblockcount"))
        await self.followed(height)
        return height

    async def generation(self) -> int:
        vault = await self.network.ask(0, "/v1/vault")
        return int(vault["generation"])

    async def members(self, epoch: int) -> set[str]:
        report = await self.network.ask(0, f"/v1/epochs/{epoch}")
        return set(report["members"])

    async def deposit_to_first_generation(self) -> str:
        """Pay generation 0, as a wallet would that read the vault just before the hand-over."""
        members = founding_set(self.genesis)
        generation = Registry.of_genesis(self.genesis).generation(0, members)
        user = key("depositor")
        output = deposit_output(generation, user, PARAMS.deposit_timeout)
        note = DepositRequest(0, key("recipient"), user).script(PARAMS.network)
        paid = await self.faucet.pay([TxOut(DEPOSIT, output.script), TxOut(0, note)])
        return f"{display_id(paid.txid)}:0"


@pytest.mark.timeout(400)
async def test_all_sequencers_renew_hand_the_vault_over_and_go_on(tmp_path: Path) -> None:
    network = StakingNetwork(tmp_path, PARAMS, {"renew_epochs": "5"})
    try:
        await network.found(COUNT)
        for number in range(COUNT):
            network.start(number)
        await _live_through(Renewal(network))
    finally:
        network.stop()


async def _live_through(renewal: Renewal) -> None:
    genesis = renewal.genesis
    anchor = genesis.draft.anchor_height
    expiry = PARAMS.refund_height(anchor, Epoch(PARAMS.stake_epochs - 1))
    await renewal.followed(anchor)
    deposit: str | None = None
    height = 0
    while height < expiry + 3 * PARAMS.blocks_per_epoch:
        height = await renewal.mine()
        if deposit is None and await renewal.generation() == 1:
            assert height < expiry, "the old stakes cover the hand-over"
            deposit = await renewal.deposit_to_first_generation()

    founders = {record.consensus_key.hex() for record in genesis.founders}
    first_new = PARAMS.stake_epochs - 2
    assert await renewal.members(first_new - 1) == founders
    renewed = await renewal.members(first_new)
    assert len(renewed) == COUNT
    assert not renewed & founders

    assert deposit is not None
    swept = await renewal.network.ask(0, f"/v1/deposits/{deposit}")
    assert (swept["state"], swept["generation"]) == ("minted", 0)
    account = await renewal.network.ask(0, f"/v1/accounts/{key('recipient').hex()}")
    assert account["balance_sats"] == swept["credited_sats"]

    for number, record in enumerate(genesis.founders):
        bond = [display_id(record.bond.txid), record.bond.vout]
        assert await renewal.bitcoin.call("gettxout", *bond) is None, f"bond {number} is not back"

    statuses = await renewal.statuses()
    common = min(status["height"] for status in statuses)
    blocks = [await renewal.network.ask(n, f"/v1/blocks/{common}") for n in range(COUNT)]
    assert len({block["digest"] for block in blocks}) == 1
    for status in statuses:
        assert status["warnings"] == []
        assert status["settled_epoch"] >= PARAMS.stake_epochs
    for number in range(COUNT):
        made = renewal.network.events(number, "stake_made")
        assert (made[0]["stake"], made[0]["first_epoch"]) == (1, first_new)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("turn", range(len(REGISTRATION_POINTS)))
async def test_sequencers_that_crash_in_the_ceremony_renew_all_the_same(
    tmp_path: Path, turn: int
) -> None:
    """All four die in one renewal, each at another point; the turns give each one every point."""
    network = StakingNetwork(tmp_path, PARAMS, {"renew_epochs": "5"})
    points = [REGISTRATION_POINTS[(turn + n) % len(REGISTRATION_POINTS)] for n in range(COUNT)]
    try:
        await network.found(COUNT)
        for number, point in enumerate(points):
            network.start(number, {CRASH_VARIABLE: f"{point}:1"})
        renewal = Renewal(network)
        renewal.to_crash = set(range(COUNT))
        await renewal.followed(renewal.genesis.draft.anchor_height)
        founders = {record.consensus_key.hex() for record in renewal.genesis.founders}
        for _ in range((PARAMS.stake_epochs + 3) * PARAMS.blocks_per_epoch):
            await renewal.mine()
            # A ceremony that has to begin again waits three seconds of the wall's clock.
            await trio.sleep(0.4)
        assert not renewal.to_crash, "every crash point was passed"
        epoch = (await renewal.statuses())[0]["epoch"]
        members = await renewal.members(epoch)
        assert len(members) == COUNT
        assert not members & founders
        common = min(status["height"] for status in await renewal.statuses())
        blocks = [await network.ask(n, f"/v1/blocks/{common}") for n in range(COUNT)]
        assert len({(block["digest"], block["state_root"]) for block in blocks}) == 1
        for number, point in enumerate(points):
            reached = network.events(number, "crash_point_reached")
            assert [event["point"] for event in reached] == [point]
            made = sorted(path.name for path in _home(network, number).glob("backups/*"))
            assert made[:1] == ["stake-1.json"]
    finally:
        network.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_newcomer_joins_a_running_network(tmp_path: Path) -> None:
    """Its wallet is empty at first: it follows from outside until it can pay for its bond."""
    params = short_params(blocks_per_epoch=4, stake_epochs=40, challenge_window=4, window_margin=4)
    network = StakingNetwork(tmp_path, params, {"renew_epochs": "5"})
    try:
        await network.found(COUNT)
        for number in range(COUNT):
            network.start(number)
        renewal = Renewal(network)
        await renewal.followed(renewal.genesis.draft.anchor_height)
        for _ in range(5):
            await renewal.mine()
        newcomer = network.add_newcomer()
        network.start(newcomer)
        for _ in range(10):
            await renewal.mine()
        assert await network.ask(newcomer, "/v1/vault") is not None
        assert not (_home(network, newcomer) / "backups").exists()
        script = network.wallet_scripts()[newcomer]
        await renewal.faucet.pay([TxOut(BOND + 100_000, script)])
        for _ in range(28):
            await renewal.mine()
            await trio.sleep(0.4)
        key_of_newcomer = public_key(network.founders[newcomer].keystore.stake(0).consensus)
        epoch = (await renewal.statuses())[newcomer]["epoch"]
        members = await renewal.members(epoch)
        assert len(members) == COUNT + 1
        assert key_of_newcomer.hex() in members
    finally:
        network.stop()


def _home(network: StakingNetwork, number: int) -> Path:
    return network.founders[number].home
