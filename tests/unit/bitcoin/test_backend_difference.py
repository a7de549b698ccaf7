"""Every block that one Bitcoin node makes is a block for the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.rpc import BitcoinRpc
from p2p_seq.bitcoin.script import op_return
from p2p_seq.bitcoin.taproot import TaprootOutput
from p2p_seq.bitcoin.transaction import SEQUENCE_FINAL, Transaction, TxIn, TxOut
from p2p_seq.protocol.types import OutPoint
from tests.support.bitcoind import (
    ANYONE,
    ANYONE_ADDRESS,
    ANYONE_WITNESS,
    CoinPurse,
    NodeProcess,
    mine,
    reorg,
    spend,
    start_bitcoind,
    start_embedded,
)
from tests.support.keys import key

pytestmark = pytest.mark.real_bitcoind


@pytest.fixture
def pair(tmp_path: Path, bitcoind_program: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """The embedded node and a real one, both without blocks."""
    embedded = start_embedded(tmp_path / "embedded")
    try:
        real = start_bitcoind(bitcoind_program, tmp_path / "bitcoind")
        try:
            yield embedded, real
        finally:
            real.stop()
    finally:
        embedded.stop()


async def _copy(source: BitcoinRpc, target: BitcoinRpc) -> None:
    """Give `target` all blocks of `source` that it lacks; it must take each one."""
    heights = range(1, await source.call("getblockcount") + 1)
    hashes = await source.batch([("getblockhash", (height,)) for height in heights])
    known = await target.batch([("getblockheader", (block_hash,)) for block_hash in hashes])
    for block_hash, found in zip(hashes, known, strict=True):
        if isinstance(found, Exception):
            verdict = await target.call("submitblock", await source.call("getblock", block_hash, 0))
            assert verdict in (None, "inconclusive")
    assert await source.call("getbestblockhash") == await target.call("getbestblockhash")


async def _compare(one: BitcoinRpc, other: BitcoinRpc) -> None:
    """Both nodes say the same about the whole chain."""
    height = await one.call("getblockcount")
    for number in range(max(height - 12, 1), height + 1):
        block_hash = await one.call("getblockhash", number)
        views = [await node.call("getblock", block_hash, 2) for node in (one, other)]
        for name in ("height", "mediantime", "chainwork", "size", "strippedsize", "weight", "tx"):
            seen = [_comparable(view[name]) for view in views]
            assert seen[0] == seen[1], (number, name)
        coinbase = views[0]["tx"][0]["txid"]
        proofs = [await node.call("gettxoutproof", [coinbase], block_hash) for node in (one, other)]
        assert proofs[0] == proofs[1]
    descriptors = [f"addr({ANYONE_ADDRESS})"]
    scans = [await node.call("scantxoutset", "start", descriptors) for node in (one, other)]
    assert scans[0]["total_amount"] == scans[1]["total_amount"]
    assert scans[0]["txouts"] == scans[1]["txouts"]


def _comparable(view: object) -> object:
    """bitcoind's JSON without what the embedded node leaves out."""
    if isinstance(view, dict):
        left_out = ("asm", "desc", "coinbase_tx")
        return {name: _comparable(item) for name, item in view.items() if name not in left_out}
    if isinstance(view, list):
        return [_comparable(item) for item in view]
    return view


async def _spend_in_all_forms(client: BitcoinRpc) -> None:
    """Fill blocks with payments, chains, lock times, taproot script paths and raw data."""
    purse = CoinPurse(client)
    leaf = b"\x51"
    output = TaprootOutput.of_scripts([leaf], key("difference"))
    funding = await purse.payment(outputs=[TxOut(70_000, output.script)])
    chained = spend([OutPoint(funding.txid, 1)], funding.outputs[1].value, 3_000)
    data = await purse.payment(outputs=[TxOut(0, op_return(b"d" * 40))])
    for transaction in (funding, chained, data):
        await client.call("sendrawtransaction", transaction.serialize().hex())
    await mine(client, 2)
    script_path = Transaction(
        2,
        (TxIn(OutPoint(funding.txid, 0), b"", 2, (leaf, output.control_block(0))),),
        (TxOut(69_000, ANYONE),),
    )
    await client.call("sendrawtransaction", script_path.serialize().hex())
    outpoint, value = await purse.take()
    height = await client.call("getblockcount")
    locked = Transaction(
        2,
        (TxIn(outpoint, b"", SEQUENCE_FINAL - 1, ANYONE_WITNESS),),
        (TxOut(value - 2_000, ANYONE),),
        height,
    )
    await client.call("sendrawtransaction", locked.serialize().hex())
    await mine(client, 2)


async def test_blocks_of_one_are_blocks_of_the_other(
    pair: tuple[NodeProcess, NodeProcess],
) -> None:
    embedded, real = pair
    async with embedded.client() as one, real.client() as other:
        await mine(one, 120)
        await _spend_in_all_forms(one)
        await _copy(one, other)
        await _compare(one, other)
        await _spend_in_all_forms(other)
        await mine(other, 40)
        await _copy(other, one)
        await _compare(one, other)
        await reorg(embedded, one, 6)
        await _copy(one, other)
        await _compare(one, other)
        block_hash = await one.call("getbestblockhash")
        Block.parse(bytes.fromhex(await other.call("getblock", block_hash, 0)))
