"""Parsing of Bitcoin blocks, and building and signing of what the network writes on Bitcoin."""

import hashlib

from p2p_seq.bitcoin.block import Block, BlockHeader, merkle_root
from p2p_seq.bitcoin.taproot import TaprootOutput, leaf_hash
from p2p_seq.bitcoin.transaction import Transaction, TxIn, TxOut
from p2p_seq.protocol.types import ZERO32, Hash32, OutPoint
from tests.bench.harness import Benchmark, Better, Figure, best_of

BLOCK_TRANSACTIONS = 2_000
"""About what a full block of Bitcoin holds."""

TREE_LEAVES = 20_000


def _digest(number: int) -> Hash32:
    return Hash32(hashlib.sha256(b"bench %d" % number).digest())


def _block() -> bytes:
    """Two key-path inputs and two P2TR outputs each: 624 kB."""
    transactions = []
    for number in range(BLOCK_TRANSACTIONS):
        signature = _digest(number) * 2
        inputs = tuple(TxIn(OutPoint(_digest(number), i), witness=(signature,)) for i in range(2))
        script = b"\x51\x20" + _digest(number)
        transactions.append(Transaction(2, inputs, (TxOut(1_000, script), TxOut(2_000, script))))
    root, _ = merkle_root([item.txid for item in transactions])
    return Block(BlockHeader(1, ZERO32, root, 1, 0x207FFFFF, 0), tuple(transactions)).serialize()


def measure_parsing() -> list[Figure]:
    encoded = _block()
    milliseconds = best_of(7, lambda: Block.parse(encoded)) * 1_000
    return [Figure("bitcoin.parse.block2000", "ms", milliseconds, 60, Better.LOWER)]


def measure_tree() -> list[Figure]:
    """A taproot output over many leaves of 1 kB, hashed one at a time."""

    def build() -> bytes:
        leaves = (leaf_hash(number.to_bytes(4, "big") * 250) for number in range(TREE_LEAVES))
        output = TaprootOutput(tuple(leaves))
        return output.script + output.control_block(TREE_LEAVES - 1)

    rate = TREE_LEAVES / best_of(3, build)
    return [Figure("bitcoin.taproot.leaves", "leaves/s", rate, None, Better.HIGHER)]


BENCHMARKS = [
    Benchmark("bitcoin.parse", measure_parsing),
    Benchmark("bitcoin.taproot", measure_tree),
]
