"""Bitcoin nodes for the contract tests: each is started once per test module."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from p2p_seq.bitcoin.rpc import BitcoinRpc
from tests.support.bitcoind import (
    CoinPurse,
    NodeProcess,
    find_bitcoind,
    mine,
    start_bitcoind,
    start_embedded,
)

WALLET_BLOCKS = 130
"""Enough mature coins for all tests of a module, before regtest's first halving."""


@pytest.fixture(scope="session")
def bitcoind_program() -> Path:
    """A real bitcoind; skips with the reason when there is none."""
    program, why_not = find_bitcoind()
    if program is None:
        pytest.skip(why_not)
    return program


def _with_coins(node: NodeProcess) -> NodeProcess:
    async def prepare() -> None:
        async with node.client() as client:
            await mine(client, WALLET_BLOCKS)

    trio.run(prepare)
    return node


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("bitcoind", marks=pytest.mark.real_bitcoind)],
)
def bitcoin_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """A node with mature coins of anyone's, of each kind in turn."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        node = start_embedded(directory)
    else:
        node = start_bitcoind(request.getfixturevalue("bitcoind_program"), directory)
    try:
        yield _with_coins(node)
    finally:
        node.stop()


@pytest.fixture
async def client(bitcoin_node: NodeProcess) -> AsyncIterator[BitcoinRpc]:
    async with bitcoin_node.client() as client:
        yield client


@pytest.fixture
async def purse(client: BitcoinRpc) -> CoinPurse:
    """Coins to spend; the mempool is empty, whatever earlier tests have left in it."""
    if await client.call("getrawmempool"):
        await mine(client)
    return CoinPurse(client)
