"""What the project asks of a Bitcoin node, on the embedded one and on a real bitcoind alike.

The nodes live as long as the module, so tests ask for heights relative to the tip; the fixture
`purse` starts with an empty mempool.
"""

from decimal import Decimal

import pytest
import trio

from p2p_seq.bitcoin.block import Block, BlockHeader
from p2p_seq.bitcoin.rpc import BitcoinRpc, BitcoinRpcError, satoshi
from p2p_seq.bitcoin.script import op_return
from p2p_seq.bitcoin.transaction import SEQUENCE_FINAL, Transaction, TxIn, TxOut
from p2p_seq.protocol.types import OutPoint, display_id, parse_display_id
from tests.support.bitcoind import (
    ANYONE,
    ANYONE_ADDRESS,
    ANYONE_WITNESS,
    CoinPurse,
    NodeProcess,
    mine,
    refusal,
    reorg,
    spend,
)

UNKNOWN = "11" * 32


async def test_chain_information(client: BitcoinRpc) -> None:
    described = await client.call("getblockchaininfo")
    height = await client.call("getblockcount")
    best = await client.call("getbestblockhash")
    assert described["chain"] == "regtest"
    assert (described["blocks"], described["headers"]) == (height, height)
    assert described["bestblockhash"] == best == await client.call("getblockhash", height)
    assert described["bits"] == "207fffff"
    assert int(described["chainwork"], 16) == 2 * (height + 1)
    assert described["initialblockdownload"] is False


async def test_block_in_every_verbosity(client: BitcoinRpc, purse: CoinPurse) -> None:
    payment = await purse.payment()
    await client.call("sendrawtransaction", payment.serialize().hex())
    (block_hash,) = await mine(client)
    block = Block.parse(bytes.fromhex(await client.call("getblock", block_hash, 0)))
    ids = [display_id(transaction.txid) for transaction in block.transactions]
    listed = await client.call("getblock", block_hash)
    decoded = await client.call("getblock", block_hash, 2)
    spent = await client.call("getblock", block_hash, 3)
    assert display_id(block.hash) == block_hash
    assert listed["tx"] == ids
    assert ids[1:] == [display_id(payment.txid)]
    assert listed["size"] == len(block.serialize())
    assert listed["weight"] == 4 * 81 + sum(item.weight for item in block.transactions)
    assert listed["nTx"] == 2
    assert decoded["tx"][1]["fee"] == Decimal("0.00002")
    assert decoded["tx"][1]["hex"] == payment.serialize().hex()
    assert spent["tx"][1]["vin"][0]["prevout"]["scriptPubKey"]["hex"] == ANYONE.hex()
    assert spent["tx"][1]["vin"][0]["prevout"]["generated"] is True


async def test_header_is_given_in_both_forms(client: BitcoinRpc) -> None:
    first, second = await mine(client, 2)
    header = BlockHeader.parse(bytes.fromhex(await client.call("getblockheader", first, False)))
    described = await client.call("getblockheader", first)
    times = [
        (await client.call("getblockheader", previous))["time"]
        for previous in await _last_hashes(client, first, 11)
    ]
    assert display_id(header.hash) == first
    assert described["previousblockhash"] == display_id(header.previous)
    assert described["nextblockhash"] == second
    assert described["confirmations"] == 2
    assert described["time"] == header.time
    assert described["mediantime"] == sorted(times)[5]


async def _last_hashes(client: BitcoinRpc, block_hash: str, count: int) -> list[str]:
    height = (await client.call("getblockheader", block_hash))["height"]
    calls = [("getblockhash", (number,)) for number in range(height - count + 1, height + 1)]
    return await client.batch(calls)


async def test_unknown_blocks_and_transactions(client: BitcoinRpc) -> None:
    height = await client.call("getblockcount")
    assert await refusal(client, "getblock", UNKNOWN) == (-5, "Block not found")
    assert await refusal(client, "getblockheader", UNKNOWN) == (-5, "Block not found")
    assert await refusal(client, "getblockhash", height + 1) == (-8, "Block height out of range")
    assert (await refusal(client, "getrawtransaction", UNKNOWN))[0] == -5
    assert await refusal(client, "getmempoolentry", UNKNOWN) == (-5, "Transaction not in mempool")
    assert await client.call("gettxout", UNKNOWN, 0) is None
    assert (await refusal(client, "getblock", "abc"))[0] == -8
    assert (await refusal(client, "getblockhash", "abc"))[0] in (-1, -3)
    assert (await refusal(client, "getblockhash"))[0] == -1
    assert await refusal(client, "getblockhush", 1) == (-32601, "Method not found")


async def test_transaction_from_mempool_to_block(client: BitcoinRpc, purse: CoinPurse) -> None:
    payment = await purse.payment(fee=2_500)
    txid = await client.call("sendrawtransaction", payment.serialize().hex())
    entry = await client.call("getmempoolentry", txid)
    assert txid == display_id(payment.txid)
    assert await client.call("getrawmempool") == [txid]
    assert entry["vsize"] == payment.vsize
    assert satoshi(entry["fees"]["base"]) == 2_500
    assert await client.call("getrawtransaction", txid) == payment.serialize().hex()
    assert (await client.call("gettxout", txid, 0))["confirmations"] == 0
    assert await client.call("gettxout", txid, 0, False) is None
    assert await client.call("sendrawtransaction", payment.serialize().hex()) == txid
    spent = payment.inputs[0].previous
    named = {"txid": display_id(spent.txid), "vout": spent.vout}
    assert await client.call("gettxspendingprevout", [named]) == [{**named, "spendingtxid": txid}]
    assert await client.call("gettxout", named["txid"], named["vout"]) is None
    (block_hash,) = await mine(client)
    described = await client.call("getrawtransaction", txid, True)
    assert (described["blockhash"], described["confirmations"]) == (block_hash, 1)
    assert (await client.call("gettxout", txid, 0))["confirmations"] == 1
    assert await client.call("gettxspendingprevout", [named]) == [named]
    code, _ = await refusal(client, "sendrawtransaction", payment.serialize().hex())
    assert code == -27


async def test_mempool_refuses_what_a_block_could_not_contain(
    client: BitcoinRpc, purse: CoinPurse
) -> None:
    outpoint, value = await purse.take()
    height = await client.call("getblockcount")
    young_block = await client.call("getblock", await client.call("getblockhash", height - 5), 2)
    young = OutPoint(parse_display_id(young_block["tx"][0]["txid"]), 0)
    young_value = satoshi(young_block["tx"][0]["vout"][0]["value"])
    missing = OutPoint(parse_display_id(UNKNOWN), 0)
    wrong_script = spend([outpoint], value, 2_000)
    wrong_script = wrong_script.with_witnesses(((b"\x52",),))
    twice = spend([outpoint, outpoint], 2 * value, 2_000)
    cases = {
        "bad-txns-inputs-missingorspent": (-25, spend([missing], value, 2_000)),
        "bad-txns-premature-spend-of-coinbase": (-26, spend([young], young_value, 2_000)),
        "bad-txns-in-belowout": (-26, spend([outpoint], value, -1)),
        "bad-txns-inputs-duplicate": (-26, twice),
        "min relay fee not met": (-26, spend([outpoint], value, 1)),
        "non-final": (-26, spend([outpoint], value, 2_000, lock_time=height + 1)),
        "non-BIP68-final": (-26, spend([outpoint], value, 2_000, sequence=400)),
        "script-verify-flag-failed": (-26, wrong_script),
        "dust": (-26, spend([outpoint], value, 2_000, [TxOut(100, ANYONE)])),
        "version": (-26, spend([outpoint], value, 2_000, version=9)),
        "scriptpubkey": (-26, spend([outpoint], value, 2_000, [TxOut(5_000, b"\x51\x51")])),
    }
    for reason, (code, transaction) in cases.items():
        refused = await refusal(client, "sendrawtransaction", transaction.serialize().hex(), 0)
        assert refused[0] == code, (reason, refused)
        assert reason in refused[1]
    assert await client.call("getrawmempool") == []


async def test_lock_times_open_at_the_right_block(client: BitcoinRpc, purse: CoinPurse) -> None:
    outpoint, value = await purse.take()
    height = await client.call("getblockcount")
    absolute = spend([outpoint], value, 2_000, lock_time=height + 1)
    assert (await refusal(client, "sendrawtransaction", absolute.serialize().hex()))[1].startswith(
        "non-final"
    )
    await mine(client)
    await client.call("sendrawtransaction", absolute.serialize().hex())
    await mine(client)
    parent = OutPoint(absolute.txid, 0)
    relative = spend([parent], absolute.outputs[0].value, 2_000, sequence=3)
    await mine(client)
    assert (await refusal(client, "sendrawtransaction", relative.serialize().hex()))[1].startswith(
        "non-BIP68-final"
    )
    await mine(client)
    txid = await client.call("sendrawtransaction", relative.serialize().hex())
    (block_hash,) = await mine(client)
    assert (await client.call("getrawtransaction", txid, True))["blockhash"] == block_hash


async def test_lock_time_by_median_time(client: BitcoinRpc, purse: CoinPurse) -> None:
    median = (await client.call("getblockchaininfo"))["mediantime"]
    outpoint, value = await purse.take()
    late = spend([outpoint], value, 2_000, lock_time=median)
    early = spend([outpoint], value, 2_000, lock_time=median - 1)
    assert (await refusal(client, "sendrawtransaction", late.serialize().hex()))[1].startswith(
        "non-final"
    )
    assert await client.call("sendrawtransaction", early.serialize().hex())


async def test_final_sequence_switches_the_lock_time_off(
    client: BitcoinRpc, purse: CoinPurse
) -> None:
    outpoint, value = await purse.take()
    height = await client.call("getblockcount")
    payment = spend([outpoint], value, 2_000, sequence=SEQUENCE_FINAL, lock_time=height + 100)
    assert await client.call("sendrawtransaction", payment.serialize().hex())


async def test_replacement_pays_for_what_it_replaces(client: BitcoinRpc, purse: CoinPurse) -> None:
    outpoint, value = await purse.take()
    first = spend([outpoint], value, 2_000)
    child = spend([OutPoint(first.txid, 0)], first.outputs[0].value, 3_000)
    for transaction in (first, child):
        await client.call("sendrawtransaction", transaction.serialize().hex())
    too_little = spend([outpoint], value, 5_001)
    refused = await refusal(client, "sendrawtransaction", too_little.serialize().hex())
    assert refused[0] == -26
    assert "insufficient fee" in refused[1]
    replacement = spend([outpoint], value, 5_200)
    txid = await client.call("sendrawtransaction", replacement.serialize().hex())
    assert await client.call("getrawmempool") == [txid]


async def test_admission_can_be_tried(client: BitcoinRpc, purse: CoinPurse) -> None:
    payment = await purse.payment()
    child = spend([OutPoint(payment.txid, 0)], payment.outputs[0].value, 2_000)
    (tried,) = await client.call("testmempoolaccept", [payment.serialize().hex()])
    (orphan,) = await client.call("testmempoolaccept", [child.serialize().hex()])
    both = await client.call(
        "testmempoolaccept", [payment.serialize().hex(), child.serialize().hex()]
    )
    assert (tried["allowed"], tried["vsize"]) == (True, payment.vsize)
    assert tried["txid"] == display_id(payment.txid)
    assert (orphan["allowed"], orphan["reject-reason"]) == (False, "missing-inputs")
    assert [item["allowed"] for item in both] == [True, True]
    assert await client.call("getrawmempool") == []
    assert (await refusal(client, "testmempoolaccept", ["00"]))[0] == -22


async def test_fee_and_burn_limits_of_the_sender(client: BitcoinRpc, purse: CoinPurse) -> None:
    outpoint, value = await purse.take()
    rich = spend([outpoint], value, 5_000_000)
    burning = spend([outpoint], value, 2_000, [TxOut(1_000, op_return(b"x" * 20))])
    assert (await refusal(client, "sendrawtransaction", rich.serialize().hex()))[0] == -25
    assert (await refusal(client, "sendrawtransaction", burning.serialize().hex()))[0] == -25
    assert await client.call("sendrawtransaction", rich.serialize().hex(), 0)


async def test_long_unconfirmed_chains_are_refused(client: BitcoinRpc, purse: CoinPurse) -> None:
    """25 by ancestors before Bitcoin Core 31, 64 by cluster from there on."""
    payment = await purse.payment()
    for accepted in range(66):
        tried = await client.batch([("sendrawtransaction", (payment.serialize().hex(),))])
        if isinstance(tried[0], BitcoinRpcError):
            assert tried[0].code == -26
            assert "too-l" in tried[0].message
            assert accepted >= 25
            break
        payment = spend([OutPoint(payment.txid, 0)], payment.outputs[0].value, 2_000)
    else:
        pytest.fail("no limit of unconfirmed chains")
    await mine(client)
    assert await client.call("sendrawtransaction", payment.serialize().hex())


async def test_op_return_of_80_bytes_is_relayed(client: BitcoinRpc, purse: CoinPurse) -> None:
    payment = await purse.payment(outputs=[TxOut(0, op_return(b"x" * 80))])
    assert await client.call("sendrawtransaction", payment.serialize().hex())


async def test_a_miner_takes_what_relays_refuse(client: BitcoinRpc, purse: CoinPurse) -> None:
    outpoint, value = await purse.take()
    long_script = b"\x6a\x4d\xe8\x03" + b"x" * 1_000
    payment = spend([outpoint], value, 2_000, [TxOut(0, long_script), TxOut(0, long_script)])
    mined = await client.call("generateblock", ANYONE_ADDRESS, [payment.serialize().hex()])
    block = await client.call("getblock", mined["hash"])
    assert block["tx"][1:] == [display_id(payment.txid)]


async def test_package_pays_for_its_parent(client: BitcoinRpc, purse: CoinPurse) -> None:
    anchor = TxOut(240, b"\x51\x02\x4e\x73")
    outpoint, value = await purse.take()
    parent = spend([outpoint], value, 0, [anchor], version=3)
    fee_coin, fee_value = await purse.take()
    child = Transaction(
        3,
        (TxIn(OutPoint(parent.txid, 0)), TxIn(fee_coin, witness=ANYONE_WITNESS)),
        (TxOut(fee_value + 240 - 5_000, ANYONE),),
    )
    refused = await refusal(client, "sendrawtransaction", parent.serialize().hex())
    assert refused[0] == -26
    accepted = await client.call(
        "submitpackage", [parent.serialize().hex(), child.serialize().hex()]
    )
    assert accepted["package_msg"] == "success"
    assert set(accepted["tx-results"]) == {display_id(parent.wtxid), display_id(child.wtxid)}
    (block_hash,) = await mine(client)
    block = await client.call("getblock", block_hash)
    assert set(block["tx"][1:]) == {display_id(parent.txid), display_id(child.txid)}


async def test_proof_of_inclusion(client: BitcoinRpc, purse: CoinPurse) -> None:
    payments = [await purse.payment(fee=2_000 + 100 * number) for number in range(5)]
    for payment in payments:
        await client.call("sendrawtransaction", payment.serialize().hex())
    (block_hash,) = await mine(client)
    wanted = sorted(display_id(payment.txid) for payment in payments[1:3])
    proof = await client.call("gettxoutproof", wanted, block_hash)
    assert proof == await client.call("gettxoutproof", wanted)
    assert sorted(await client.call("verifytxoutproof", proof)) == wanted
    damaged = proof[:-70] + ("0" if proof[-70] != "0" else "1") + proof[-69:]
    assert await client.call("verifytxoutproof", damaged) == []
    code, _ = await refusal(client, "gettxoutproof", [UNKNOWN], block_hash)
    assert code == -5


async def test_submitted_blocks(client: BitcoinRpc) -> None:
    made = await client.call("generateblock", ANYONE_ADDRESS, [], False)
    block = Block.parse(bytes.fromhex(made["hex"]))
    height = await client.call("getblockcount")
    assert await client.call("submitblock", made["hex"]) is None
    assert await client.call("getblockcount") == height + 1
    assert await client.call("submitblock", made["hex"]) == "duplicate"
    assert (await refusal(client, "submitblock", "00"))[0] == -22
    orphan = _solve(block, previous=parse_display_id(UNKNOWN))
    assert await client.call("submitblock", orphan.hex()) == "prev-blk-not-found"
    wrong_height = _solve(block, previous=block.hash)
    assert await client.call("submitblock", wrong_height.hex()) == "bad-cb-height"
    assert await client.call("getblockcount") == height + 1


def _solve(block: Block, previous: bytes) -> bytes:
    """The block on another parent, with a new proof of work."""
    fields = vars(block.header) | {"previous": previous, "time": block.header.time + 1}
    fields = {name: fields[name] for name in BlockHeader.__dataclass_fields__}
    for nonce in range(1_000):
        header = BlockHeader(**{**fields, "nonce": nonce})
        if header.hash[31] < 0x7F:
            return Block(header, block.transactions).serialize()
    raise AssertionError("half of all hashes are below the target")


async def test_block_with_a_bad_spend_is_refused(client: BitcoinRpc, purse: CoinPurse) -> None:
    outpoint, value = await purse.take()
    stolen = spend([outpoint], value, 2_000).with_witnesses(((b"\x52",),))
    before = await client.call("getbestblockhash")
    with pytest.raises(BitcoinRpcError, match="TestBlockValidity failed"):
        await client.call("generateblock", ANYONE_ADDRESS, [stolen.serialize().hex()])
    assert await client.call("getbestblockhash") == before
    (mined,) = await mine(client)
    assert (await client.call("getblockheader", mined))["previousblockhash"] == before


async def test_reorg_returns_transactions_to_the_mempool(
    bitcoin_node: NodeProcess, client: BitcoinRpc, purse: CoinPurse
) -> None:
    payment = await purse.payment()
    txid = await client.call("sendrawtransaction", payment.serialize().hex())
    old_block, _, old_tip = await mine(client, 3)
    height = await client.call("getblockcount")
    await reorg(bitcoin_node, client, 3)
    assert await client.call("getblockcount") == height + 1
    assert (await client.call("getblockheader", old_tip))["confirmations"] == -1
    assert await client.call("getblockhash", height) != old_tip
    assert await client.call("getrawmempool") == [txid]
    assert (await client.call("gettxout", txid, 0))["confirmations"] == 0
    (new_block,) = await mine(client)
    described = await client.call("getrawtransaction", txid, True)
    assert described["blockhash"] == new_block != old_block


async def test_waiting_for_a_block(client: BitcoinRpc, bitcoin_node: NodeProcess) -> None:
    tip = await client.call("getbestblockhash")
    quiet = await client.call("waitfornewblock", 50)
    assert quiet["hash"] == tip
    answers: list[dict[str, object]] = []

    async def wait() -> None:
        answers.append(await client.call("waitfornewblock", 20_000))

    async with trio.open_nursery() as nursery, bitcoin_node.client() as other:
        nursery.start_soon(wait)
        # The request must be at the node before the block; a later tip would not be new to it.
        await trio.sleep(0.2)
        (mined,) = await mine(other)
    assert answers == [{"hash": mined, "height": await client.call("getblockcount")}]


async def test_best_paying_transactions_come_first(client: BitcoinRpc, purse: CoinPurse) -> None:
    poor = await purse.payment(fee=1_000)
    rich = spend([OutPoint(poor.txid, 0)], poor.outputs[0].value, 50_000)
    middle = await purse.payment(fee=5_000)
    for transaction in (middle, poor, rich):
        await client.call("sendrawtransaction", transaction.serialize().hex())
    (block_hash,) = await mine(client)
    order = (await client.call("getblock", block_hash))["tx"][1:]
    assert set(order) == {display_id(item.txid) for item in (middle, poor, rich)}
    assert order.index(display_id(poor.txid)) < order.index(display_id(rich.txid))


async def test_coins_of_a_script(client: BitcoinRpc, purse: CoinPurse) -> None:
    script = b"\x51\x20" + b"\x02" * 32
    payment = await purse.payment(outputs=[TxOut(12_345, script)])
    await client.call("sendrawtransaction", payment.serialize().hex())
    await mine(client)
    found = await client.call("scantxoutset", "start", [f"raw({script.hex()})"])
    assert found["total_amount"] == Decimal("0.00012345")
    (coin,) = found["unspents"]
    assert (coin["txid"], coin["vout"]) == (display_id(payment.txid), 0)
    assert coin["height"] == await client.call("getblockcount")


async def test_fees_indexes_and_network(client: BitcoinRpc) -> None:
    estimate = await client.call("estimatesmartfee", 2)
    assert "errors" in estimate or estimate["feerate"] > 0
    assert (await client.call("getindexinfo"))["txindex"]["synced"] is True
    network = await client.call("getnetworkinfo")
    assert 0 < network["relayfee"] <= Decimal("0.00001")
    tip = await client.call("getbestblockhash")
    code, message = await refusal(client, "getblockfilter", tip)
    assert (code, message) == (-1, "Index is not enabled for filtertype basic")


async def test_batch_keeps_order_and_reports_each_error(client: BitcoinRpc) -> None:
    height = await client.call("getblockcount")
    replies = await client.batch(
        [("getblockcount", ()), ("getblock", (UNKNOWN,)), ("getblockhash", (0,)), ("nonsense", ())]
    )
    assert replies[0] == height
    assert isinstance(replies[1], BitcoinRpcError)
    assert replies[1].code == -5
    assert replies[2] == "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    assert isinstance(replies[3], BitcoinRpcError)
    assert replies[3].code == -32601
