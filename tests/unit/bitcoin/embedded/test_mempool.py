"""Admission, replacement and eviction in the embedded node's mempool; reorgs; block selection."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded.miner import select, subsidy
from p2p_seq.bitcoin.embedded.node import BlockRefusedError, RegtestNode
from p2p_seq.bitcoin.embedded.policy import Policy, RejectReason, TransactionRefusedError
from p2p_seq.bitcoin.script import op_return
from p2p_seq.bitcoin.taproot import TaprootOutput
from p2p_seq.bitcoin.transaction import SEQUENCE_REPLACEABLE, Transaction, TxIn, TxOut
from p2p_seq.protocol.types import Hash32, OutPoint
from tests.support.bitcoind import ANYONE, ANYONE_WITNESS, spend
from tests.unit.bitcoin.embedded.conftest import Purse, mine_blocks


def refused(node: RegtestNode, transaction: Transaction) -> str:
    """Why the mempool does not take a transaction."""
    entries = dict(node.mempool.entries)
    with pytest.raises(TransactionRefusedError) as refusal:
        node.accept(transaction.serialize())
    assert node.mempool.entries == entries
    return str(refusal.value.reason)


def payment(purse: Purse, fee: int = 2_000, *outputs: TxOut, version: int = 2) -> Transaction:
    outpoint, value = purse.take()
    return spend([outpoint], value, fee, outputs, version=version)


def child(parent: Transaction, fee: int = 2_000, vout: int = 0, version: int = 2) -> Transaction:
    output = parent.outputs[vout]
    return spend([OutPoint(parent.txid, vout)], output.value, fee, version=version)


def test_the_same_transaction_again(purse: Purse) -> None:
    one = payment(purse)
    purse.node.accept(one.serialize())
    other_witness = one.with_witnesses(((b"", b"\x51"),))
    assert refused(purse.node, one) == RejectReason.ALREADY_IN_MEMPOOL
    assert refused(purse.node, other_witness) == RejectReason.SAME_WITHOUT_WITNESS


def test_coinbase_and_small_transactions(purse: Purse) -> None:
    block_hash = purse.node.chain.hash_at(5)
    encoded = purse.node.chain.index.raw_block(block_hash)
    assert encoded is not None
    assert refused(purse.node, Block.parse(encoded).transactions[0]) == RejectReason.COINBASE
    outpoint, value = purse.take()
    small = Transaction(2, (TxIn(outpoint, witness=ANYONE_WITNESS),), (TxOut(value, b"\x6a"),))
    assert len(small.serialize(include_witness=False)) < 65
    assert refused(purse.node, small) == RejectReason.SIZE_SMALL


def test_maturity_opens_at_100(purse: Purse) -> None:
    node = purse.node
    height = node.chain.tip().height
    encoded = node.chain.index.raw_block(node.chain.hash_at(height - 98))
    assert encoded is not None
    coinbase = Block.parse(encoded).transactions[0]
    young = spend([OutPoint(coinbase.txid, 0)], coinbase.outputs[0].value, 2_000)
    assert refused(node, young) == RejectReason.PREMATURE_COINBASE
    mine_blocks(node, 1)
    node.accept(young.serialize())
    mine_blocks(node, 1)
    assert node.chain.index.location(young.txid) is not None


def test_replacement_rules(purse: Purse) -> None:
    node = purse.node
    outpoint, value = purse.take()
    old = spend([outpoint], value, 2_000)
    node.accept(old.serialize())
    grandchild = child(child(old, 9_000), 9_000)
    node.accept(child(old, 9_000).serialize())
    node.accept(grandchild.serialize())
    vsize = old.vsize
    assert refused(node, spend([outpoint], value, 1_999)) == RejectReason.REPLACEMENT_FEE
    just_below = spend([outpoint], value, 20_000 + vsize - 1)
    assert refused(node, just_below) == RejectReason.REPLACEMENT_FEE
    unconfirmed = payment(purse)
    node.accept(unconfirmed.serialize())
    adds = spend(
        [outpoint, OutPoint(unconfirmed.txid, 0)], value + unconfirmed.outputs[0].value, 90_000
    )
    assert refused(node, adds) == RejectReason.REPLACEMENT_ADDS_UNCONFIRMED
    own = spend([outpoint, OutPoint(old.txid, 0)], value + old.outputs[0].value, 90_000)
    assert refused(node, own) == RejectReason.SPENDS_CONFLICT
    enough = spend([outpoint], value, 20_000 + vsize)
    node.accept(enough.serialize())
    assert set(node.mempool.entries) == {unconfirmed.txid, enough.txid}


def test_replacement_of_too_many(open_purse: Callable[[Policy], Purse]) -> None:
    purse = open_purse(Policy(max_chain_transactions=200))
    outpoint, value = purse.take()
    outputs = [TxOut(10_000, ANYONE)] * 100
    parent = spend([outpoint], value, 20_000, outputs)
    purse.node.accept(parent.serialize())
    for vout in range(100):
        purse.node.accept(child(parent, 200, vout).serialize())
    rich = spend([outpoint], value, 10_000_000)
    assert refused(purse.node, rich) == RejectReason.TOO_MANY_REPLACEMENTS


def test_descendant_limit(purse: Purse) -> None:
    outpoint, value = purse.take()
    parent = spend([outpoint], value, 20_000, [TxOut(10_000, ANYONE)] * 25)
    purse.node.accept(parent.serialize())
    for vout in range(24):
        purse.node.accept(child(parent, 200, vout).serialize())
    assert refused(purse.node, child(parent, 200, 24)) == RejectReason.TOO_LONG_CHAIN


def test_version_3_lives_in_pairs(purse: Purse) -> None:
    node = purse.node
    outpoint, value = purse.take()
    parent = spend([outpoint], value, 2_000, [TxOut(50_000, ANYONE)], version=3)
    node.accept(parent.serialize())
    assert refused(node, child(parent)) == RejectReason.TRUC_VIOLATION
    only_child = child(parent, version=3)
    node.accept(only_child.serialize())
    assert refused(node, child(parent, vout=1, version=3)) == RejectReason.TRUC_VIOLATION
    assert refused(node, child(only_child, version=3)) == RejectReason.TRUC_VIOLATION
    plain = payment(purse)
    node.accept(plain.serialize())
    assert refused(node, child(plain, version=3)) == RejectReason.TRUC_VIOLATION
    big_outpoint, big_value = purse.take()
    big = spend([big_outpoint], big_value, 20_000, [TxOut(1_000, ANYONE)] * 240, version=3)
    assert refused(node, big) == RejectReason.TRUC_VIOLATION


def test_package_is_all_or_nothing(purse: Purse) -> None:
    node = purse.node
    parent = payment(purse, 0)
    poor, rich = child(parent, 150), child(parent, 2_000)
    stranger = payment(purse)
    with pytest.raises(TransactionRefusedError, match="min relay fee not met"):
        node.accept_package([parent.serialize(), poor.serialize()])
    assert node.mempool.entries == {}
    with pytest.raises(TransactionRefusedError, match="package-not-child"):
        node.accept_package([stranger.serialize(), rich.serialize()])
    with pytest.raises(TransactionRefusedError, match="max feerate exceeded"):
        node.accept_package([parent.serialize(), rich.serialize()], feerate_limit=5_000)
    node.accept_package([parent.serialize(), rich.serialize()])
    assert list(node.mempool.entries) == [parent.txid, rich.txid]


def test_full_mempool_keeps_what_pays(open_purse: Callable[[Policy], Purse]) -> None:
    purse = open_purse(Policy(max_mempool_bytes=350))
    cheap, middle, rich = (payment(purse, fee) for fee in (500, 2_000, 5_000))
    for transaction in (cheap, middle, rich):
        purse.node.accept(transaction.serialize())
    assert purse.node.mempool.total_bytes <= 350 < 4 * len(cheap.serialize())
    dear = payment(purse, 3_000)
    purse.node.accept(dear.serialize())
    assert set(purse.node.mempool.entries) == {middle.txid, rich.txid, dear.txid}
    with pytest.raises(TransactionRefusedError, match="mempool full"):
        purse.node.accept(payment(purse, 400).serialize())
    assert set(purse.node.mempool.entries) == {middle.txid, rich.txid, dear.txid}


def taproot_spend(purse: Purse, script: bytes, stack: tuple[bytes, ...]) -> Transaction:
    """A confirmed output with one leaf, spent by it."""
    output = TaprootOutput.of_scripts([script])
    funding = payment(purse, 2_000, TxOut(100_000, output.script))
    purse.node.accept(funding.serialize())
    mine_blocks(purse.node, 1)
    witness = (*stack, script, output.control_block(0))
    item = TxIn(OutPoint(funding.txid, 0), b"", SEQUENCE_REPLACEABLE, witness)
    return Transaction(2, (item,), (TxOut(50_000, ANYONE),))


def with_witness(transaction: Transaction, *elements: bytes) -> Transaction:
    return transaction.with_witnesses((elements,))


def test_forms_that_relays_refuse(purse: Purse) -> None:
    node = purse.node
    drop = b"\x75\x51"
    good = taproot_spend(purse, drop, (b"x" * 80,))
    witness = good.inputs[0].witness
    long_item = with_witness(good, b"x" * 81, *witness[1:])
    annex = with_witness(good, *witness, b"\x50annex")
    success = taproot_spend(purse, b"\x50", ())
    outpoint, value = purse.take()

    def paying(*outputs: TxOut) -> Transaction:
        return spend([outpoint], value, 50_000, outputs)

    data = TxOut(0, op_return(b"d" * 80))
    cases = [
        (RejectReason.WITNESS_NONSTANDARD, long_item),
        (RejectReason.WITNESS_NONSTANDARD, annex),
        (RejectReason.WITNESS_NONSTANDARD, success),
        (RejectReason.DATA_CARRIER, paying(TxOut(0, b"\x6a\x4c\x51" + b"d" * 81))),
        (RejectReason.MULTI_OP_RETURN, paying(data, data)),
        (RejectReason.OUTPUT_SCRIPT, paying(TxOut(0, b"\x6a\xac"))),
        (RejectReason.OUTPUT_SCRIPT, paying(TxOut(10_000, b"\xac"))),
        (RejectReason.DUST, paying(TxOut(329, ANYONE))),
        (RejectReason.DUST, paying(TxOut(239, b"\x51\x02\x4e\x73"))),
        (RejectReason.SIZE, paying(*[TxOut(1_000, ANYONE)] * 2_400)),
        (RejectReason.SCRIPT_SIG_NOT_PUSH_ONLY, script_sig(paying(), b"\x76")),
        (
            RejectReason.SCRIPT_SIG_SIZE,
            script_sig(paying(), b"\x4d\x08\x02" + b"x" * 520 + b"\0" * 1_200),
        ),
        (RejectReason.VERSION, replace(paying(), version=0)),
    ]
    for reason, transaction in cases:
        assert refused(node, transaction) == reason
    node.accept(good.serialize())
    node.generate_block([success.serialize()], ANYONE, is_submitted=True)
    assert node.chain.index.location(success.txid) is not None


def script_sig(transaction: Transaction, script: bytes) -> Transaction:
    (item,) = transaction.inputs
    return replace(transaction, inputs=(item._replace(script_sig=script),))


def test_nonstandard_switch(open_purse: Callable[[Policy], Purse]) -> None:
    purse = open_purse(Policy(accept_nonstandard=True))
    outpoint, value = purse.take()
    odd = spend([outpoint], value, 50_000, [TxOut(1, b"\xac"), TxOut(0, b"\x6a" + b"\x02ab" * 99)])
    purse.node.accept(odd.serialize())
    mine_blocks(purse.node, 1)
    assert purse.node.chain.index.location(odd.txid) is not None


def test_signature_operations_are_counted(open_purse: Callable[[Policy], Purse]) -> None:
    purse = open_purse(Policy(accept_nonstandard=True))
    outpoint, value = purse.take()
    heavy = spend([outpoint], value, 100_000, [TxOut(1_000, b"\xae" * 501)])
    assert refused(purse.node, heavy) == RejectReason.TOO_MANY_SIGOPS
    # Four of these are more than a block may have, so one must wait.
    for _ in range(4):
        purse.node.accept(payment(purse, 100_000, TxOut(1_000, b"\xae" * 300)).serialize())
    mine_blocks(purse.node, 1)
    assert len(purse.node.mempool.entries) == 1
    mine_blocks(purse.node, 1)
    assert len(purse.node.mempool.entries) == 0


def test_confirmed_rival_removes_the_whole_family(purse: Purse) -> None:
    node = purse.node
    outpoint, value = purse.take()
    mine = spend([outpoint], value, 2_000)
    node.accept(mine.serialize())
    node.accept(child(mine).serialize())
    rival = spend([outpoint], value, 1_500)
    node.generate_block([rival.serialize()], ANYONE, is_submitted=True)
    assert node.mempool.entries == {}
    assert refused(node, mine) == RejectReason.MISSING_INPUTS


def test_reorg_drops_what_is_no_longer_possible(purse: Purse) -> None:
    node = purse.node
    outpoint, value = purse.take()
    node.accept(spend([outpoint], value, 2_000).serialize())
    mine_blocks(node, 2)
    height = node.chain.tip().height
    locked = spend(*_coin(purse), 2_000, lock_time=height)
    node.accept(locked.serialize())
    mine_blocks(node, 1)
    node.reorg(3, is_empty=True, reward_script=ANYONE)
    assert locked.txid in node.mempool.entries
    assert len(node.mempool.entries) == 2
    assert node.mempool.entries[locked.txid].parents == set()
    mine_blocks(node, 1)
    assert node.mempool.entries == {}


def _coin(purse: Purse) -> tuple[list[OutPoint], int]:
    outpoint, value = purse.take()
    return [outpoint], value


def test_chain_of_a_disconnected_block_is_admitted_in_order(purse: Purse) -> None:
    node = purse.node
    first = payment(purse)
    second, third = child(first), child(child(first))
    for transaction in (first, second):
        node.accept(transaction.serialize())
    mine_blocks(node, 1)
    node.accept(third.serialize())
    node.reorg(1, is_empty=True, reward_script=ANYONE)
    assert list(node.mempool.entries) == [first.txid, second.txid, third.txid]
    assert node.mempool.entries[third.txid].parents == {second.txid}
    assert node.mempool.entries[first.txid].children == {second.txid}


def test_selection_is_by_family_and_fits(purse: Purse) -> None:
    node = purse.node
    heavy = [
        payment(purse, 100_000 + 1_000 * number, *[TxOut(400, ANYONE)] * 2_200)
        for number in range(12)
    ]
    for transaction in heavy:
        node.accept(transaction.serialize())
    poor = payment(purse, 200)
    rescuer = child(poor, 900_000)
    node.accept(poor.serialize())
    node.accept(rescuer.serialize())
    chosen = [entry.txid for entry in select(node.mempool)]
    assert sum(node.mempool.entries[txid].transaction.weight for txid in chosen) <= 3_992_000
    assert chosen.index(poor.txid) < chosen.index(rescuer.txid)
    left = [item.txid for item in heavy if item.txid not in chosen]
    assert left == [item.txid for item in heavy[: len(left)]]
    assert 0 < len(left) < len(heavy)
    mine_blocks(node, 1)
    assert set(node.mempool.entries) == set(left)
    mine_blocks(node, 1)
    assert node.mempool.entries == {}


def test_invalid_own_block_is_told(purse: Purse) -> None:
    node = purse.node
    outpoint, value = purse.take()
    inflating = spend([outpoint], value, -1)
    before = node.chain.tip()
    with pytest.raises(BlockRefusedError, match="bad-txns-in-belowout"):
        node.generate_block([inflating.serialize()], ANYONE, is_submitted=True)
    with pytest.raises(TransactionRefusedError):
        node.generate_block([Hash32(b"\7" * 32)], ANYONE, is_submitted=True)
    assert node.chain.tip() == before
    assert node.mempool.coin(outpoint) is not None


def test_subsidy_halves_every_150_blocks() -> None:
    assert [subsidy(height) for height in (1, 149, 150, 299, 300)] == [
        5_000_000_000,
        5_000_000_000,
        2_500_000_000,
        2_500_000_000,
        1_250_000_000,
    ]
    assert subsidy(150 * 64) == 0
