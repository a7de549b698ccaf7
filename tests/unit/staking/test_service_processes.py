"""Four sequencer processes live through the end of their stakes: all renew, and nothing stops.

Real processes, real sockets, the embedded Bitcoin node. Blocks are mined when every node has
followed the last one, so that a busy machine makes the test slow, not another one.
"""

from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_seq.bitcoin.transaction import TxOut
from p2p_seq.protocol.types import Epoch, display_id
from p2p_seq.settlement.scripts import DepositRequest, deposit_output
from p2p_seq.staking.registry import Registry, founding_set
from testnet.ceremony import Faucet
from tests.support.keys import key
from tests.support.staking_networks import StakingNetwork, short_params

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

    async def statuses(self) -> list[dict[str, Any]]:
        found = [await self.network.ask(number, "/v1/status") for number in range(COUNT)]
        dead = [n for n, process in enumerate(self.network.processes) if process.poll() is not None]
        assert not dead, f"sequencers {dead} ended"
        return [status for status in found if status is not None]

    async def followed(self, height: int) -> None:
        """Every node has a final block with the deepest origin that a Bitcoin tip allows."""
        origin = height - PARAMS.burial_depth
        with trio.fail_after(PATIENCE_S):
            while True:
                statuses = await self.statuses()
                behind = [s for s in statuses if s["origin"]["height"] < origin]
                if len(statuses) == COUNT and not behind:
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
