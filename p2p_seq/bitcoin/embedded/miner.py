"""Blocks for regtest: which transactions, the coinbase, the proof of work. Pure.

Sources: BIP34 (height in the coinbase), BIP141 (witness commitment), Bitcoin Core
`BlockAssembler` (best feerate of a transaction with its ancestors first) and `CRegTestParams`.
"""

import heapq
from collections.abc import Sequence
from typing import Final, NamedTuple

from p2p_seq.bitcoin.block import HEADER_BYTES, Block, BlockHeader, merkle_root
from p2p_seq.bitcoin.embedded.chain import REGTEST_BITS, REGTEST_TARGET
from p2p_seq.bitcoin.embedded.mempool import Entry, Mempool
from p2p_seq.bitcoin.embedded.rules import BLOCK_RESERVED_WEIGHT
from p2p_seq.bitcoin.embedded.sigops import MAX_BLOCK_SIGOPS_COST
from p2p_seq.bitcoin.script import Op, push, push_number
from p2p_seq.bitcoin.transaction import NULL_VOUT, SEQUENCE_FINAL, Transaction, TxIn, TxOut
from p2p_seq.bitcoin.wire import MAX_BLOCK_WEIGHT, sha256d
from p2p_seq.protocol.types import ZERO32, Hash32, OutPoint

HALVING_BLOCKS: Final = 150
"""Regtest halves its subsidy this often, so a faucet has to mine early."""

INITIAL_SUBSIDY: Final = 50 * 100_000_000
"""sat"""

BLOCK_VERSION: Final = 0x20000000
"""BIP9 with no deployment signalled."""

_COMMITMENT_HEADER: Final = b"\xaa\x21\xa9\xed"
_RESERVED_SIGOPS: Final = 400
_MAX_NONCE: Final = 0xFFFFFFFF


class BlockPlan(NamedTuple):
    """Everything that a new block consists of, but for its proof of work."""

    previous: Hash32
    height: int
    time: int
    """Unix seconds, above the previous block's median time past."""
    reward_script: bytes
    extra_nonce: bytes
    """Makes blocks differ that would otherwise be equal: up to 64 bytes."""
    transactions: tuple[Transaction, ...]
    fees: int
    """sat"""


def subsidy(height: int) -> int:
    """New satoshi of a regtest block."""
    halvings = height // HALVING_BLOCKS
    return INITIAL_SUBSIDY >> halvings if halvings < 64 else 0


def select(mempool: Mempool) -> list[Entry]:
    """The best paying transactions that fit into a block, parents before children."""
    budget = MAX_BLOCK_WEIGHT - BLOCK_RESERVED_WEIGHT
    sigops_budget = MAX_BLOCK_SIGOPS_COST - _RESERVED_SIGOPS
    order = {txid: position for position, txid in enumerate(mempool.entries)}
    selected: dict[Hash32, Entry] = {}
    heap = [(_score(mempool, txid, selected), position, txid) for txid, position in order.items()]
    heapq.heapify(heap)
    while heap:
        score, position, txid = heapq.heappop(heap)
        if txid in selected:
            continue
        current = _score(mempool, txid, selected)
        if current != score:
            heapq.heappush(heap, (current, position, txid))
            continue
        package = [item for item in mempool.ancestors([txid]) if item not in selected]
        entries = [mempool.entries[item] for item in sorted(package, key=order.__getitem__)]
        weight = sum(entry.transaction.weight for entry in entries)
        sigops_cost = sum(entry.sigops_cost for entry in entries)
        if weight > budget or sigops_cost > sigops_budget:
            continue
        budget -= weight
        sigops_budget -= sigops_cost
        selected.update((entry.txid, entry) for entry in entries)
        for entry in entries:
            for child in entry.children - selected.keys():
                heapq.heappush(heap, (_score(mempool, child, selected), order[child], child))
    return sorted(selected.values(), key=lambda entry: order[entry.txid])


def _score(mempool: Mempool, txid: Hash32, selected: dict[Hash32, Entry]) -> float:
    """Negated feerate of a transaction with the ancestors that are not in the block yet."""
    entry = mempool.entries[txid]
    if not entry.parents:
        return -entry.fee / entry.vsize
    package = mempool.ancestors([txid]) - selected.keys()
    fee = sum(mempool.entries[item].fee for item in package)
    return -fee / sum(mempool.entries[item].vsize for item in package)


def mine(plan: BlockPlan) -> bytes:
    """The serialised block with a valid proof of work (two tries on average)."""
    coinbase = _coinbase(plan)
    transactions = (coinbase, *plan.transactions)
    root, _ = merkle_root([transaction.txid for transaction in transactions])
    nonce = 0
    header = BlockHeader(BLOCK_VERSION, plan.previous, root, plan.time, REGTEST_BITS, nonce)
    fixed = header.serialize()[: HEADER_BYTES - 4]
    while int.from_bytes(sha256d(fixed + nonce.to_bytes(4, "little")), "little") > REGTEST_TARGET:
        nonce += 1
        assert nonce <= _MAX_NONCE, "half of all hashes are below the target"
    solved = BlockHeader(BLOCK_VERSION, plan.previous, root, plan.time, REGTEST_BITS, nonce)
    return Block(solved, transactions).serialize()


def _coinbase(plan: BlockPlan) -> Transaction:
    # A script of at least two bytes is consensus; the extra nonce also gives it that length.
    script = push_number(plan.height) + push(plan.extra_nonce)
    outputs = [TxOut(subsidy(plan.height) + plan.fees, plan.reward_script)]
    witness: tuple[bytes, ...] = ()
    if any(transaction.has_witness for transaction in plan.transactions):
        witness = (ZERO32,)
        outputs.append(TxOut(0, _witness_commitment(plan.transactions)))
    spend = TxIn(OutPoint(ZERO32, NULL_VOUT), script, SEQUENCE_FINAL, witness)
    return Transaction(2, (spend,), tuple(outputs))


def _witness_commitment(transactions: Sequence[Transaction]) -> bytes:
    """BIP141; the coinbase counts as 32 zero bytes, and so does its reserved value."""
    root, _ = merkle_root([ZERO32, *(transaction.wtxid for transaction in transactions)])
    commitment = sha256d(root + ZERO32)
    return bytes([Op.RETURN]) + push(_COMMITMENT_HEADER + commitment)
