"""Headers and proofs of inclusion: what can be known about Bitcoin without its blocks.

Proof of work: a header's hash, read as a little-endian number, is at most its target, and the
target at most the chain's limit (Bitcoin Core `pow.cpp`). Difficulty adjustment is the header
source's affair.

A Merkle proof alone is ambiguous: an inner node is 64 bytes and so may be a transaction. Whoever
mines a 64-byte transaction can make it look like an inner node above a transaction that never
existed, or the other way round. `InclusionProof` therefore carries whole transactions, the proven
one and the coinbase, with paths of equal length: the coinbase fixes the depth of the leaves, and
neither may have 64 bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from p2p_seq.bitcoin.block import Block, BlockHeader
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.bitcoin.wire import BitcoinReason, sha256d
from p2p_seq.protocol.errors import CodecError
from p2p_seq.protocol.types import Hash32

POW_LIMITS: Final = {
    "main": 0xFFFF << 208,
    "signet": 0x377AE << 216,
    "regtest": 0x7FFFFF << 232,
}
"""Easiest target of each chain (`chainparams.cpp`, as compact bits expand), by
`Params.bitcoin_chain`.
"""

MAX_MERKLE_DEPTH: Final = 16
"""A block of 4 M weight units has fewer than 2^16 transactions of 60 bytes or more."""

_AMBIGUOUS_BYTES: Final = 64
"""Two hashes: the size at which a transaction can be read as an inner node."""


def target_of(bits: int) -> int:
    """The target that compact `bits` stand for. Raises CodecError for negative or overflowing
    ones.
    """
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    target = mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)
    if (bits & 0x800000 and mantissa) or target >= 1 << 256:
        raise CodecError(BitcoinReason.PROOF_OF_WORK, f"bits {bits:#010x}")
    return target


def work_of(bits: int) -> int:
    """Expected hashes to find a header with these `bits`: `2^256 / (target + 1)`."""
    return (1 << 256) // (target_of(bits) + 1)


def check_proof_of_work(header: BlockHeader, chain: str) -> None:
    """Raises CodecError unless the header carries the work that its own bits demand."""
    target = target_of(header.bits)
    if not 0 < target <= POW_LIMITS[chain]:
        raise CodecError(BitcoinReason.PROOF_OF_WORK, f"bits {header.bits:#010x} on {chain}")
    if int.from_bytes(header.hash, "little") > target:
        raise CodecError(BitcoinReason.PROOF_OF_WORK, "hash above target")


def check_headers(previous: Hash32, headers: Sequence[BlockHeader], chain: str) -> int:
    """Work of `headers`, which must follow the block `previous` one by one. Raises CodecError."""
    work = 0
    for header in headers:
        if header.previous != previous:
            raise CodecError(BitcoinReason.HEADER_LINK, "a header names another predecessor")
        check_proof_of_work(header, chain)
        work += work_of(header.bits)
        previous = header.hash
    return work


@dataclass(frozen=True)
class InclusionProof:
    """That a transaction is at a position of a block, for who holds the header only."""

    transaction: Transaction
    index: int
    """Position in the block, the coinbase being 0."""
    path: tuple[Hash32, ...]
    """Siblings from the bottom up."""
    coinbase: Transaction
    coinbase_path: tuple[Hash32, ...]


def prove_inclusion(block: Block, index: int) -> InclusionProof:
    """The proof for transaction `index` of a block."""
    ids = [transaction.txid for transaction in block.transactions]
    return InclusionProof(
        block.transactions[index],
        index,
        _merkle_path(ids, index),
        block.transactions[0],
        _merkle_path(ids, 0),
    )


def verify_inclusion(root: Hash32, proof: InclusionProof) -> None:
    """Raises CodecError unless `proof` shows its transaction under a header's Merkle root."""
    depth = len(proof.path)
    if depth > MAX_MERKLE_DEPTH or len(proof.coinbase_path) != depth:
        raise CodecError(BitcoinReason.MERKLE_PROOF, "paths differ in length or are too long")
    if not 0 <= proof.index < 1 << depth:
        raise CodecError(BitcoinReason.MERKLE_PROOF, f"index {proof.index} at depth {depth}")
    if not proof.coinbase.is_coinbase or proof.transaction.is_coinbase != (proof.index == 0):
        raise CodecError(BitcoinReason.MERKLE_PROOF, "the coinbase is transaction 0")
    for transaction in (proof.transaction, proof.coinbase):
        if len(transaction.serialize(include_witness=False)) == _AMBIGUOUS_BYTES:
            raise CodecError(BitcoinReason.MERKLE_PROOF, "64 bytes may be an inner node")
    if _root_of(proof.coinbase.txid, 0, proof.coinbase_path) != root:
        raise CodecError(BitcoinReason.MERKLE_PROOF, "the coinbase's path ends elsewhere")
    if _root_of(proof.transaction.txid, proof.index, proof.path) != root:
        raise CodecError(BitcoinReason.MERKLE_PROOF, "the path ends elsewhere")


def _merkle_path(ids: Sequence[Hash32], index: int) -> tuple[Hash32, ...]:
    if not 0 <= index < len(ids):
        raise ValueError(f"transaction {index} of {len(ids)}")
    level = list(ids)
    path = []
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        path.append(level[index ^ 1])
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        index >>= 1
    return tuple(path)


def _root_of(txid: Hash32, index: int, path: Sequence[Hash32]) -> Hash32:
    node = txid
    for sibling in path:
        node = sha256d(sibling + node if index & 1 else node + sibling)
        index >>= 1
    return node
