"""`gettxoutproof`'s format: a header with the part of the Merkle tree that proves some ids. Pure.

Source: Bitcoin Core `merkleblock.cpp` (`CPartialMerkleTree`), BIP37.
"""

from collections.abc import Sequence, Set
from typing import Final

from p2p_seq.bitcoin.block import HEADER_BYTES, BlockHeader
from p2p_seq.bitcoin.wire import (
    MAX_BLOCK_WEIGHT,
    BitcoinReason,
    read_compact_size,
    sha256d,
    write_compact_size,
)
from p2p_seq.protocol.errors import CodecError, CodecReason
from p2p_seq.protocol.types import Hash32

MAX_TRANSACTIONS: Final = MAX_BLOCK_WEIGHT // 240
"""No block has more (weight of the smallest transaction)."""


def build_proof(header: BlockHeader, txids: Sequence[Hash32], wanted: Set[Hash32]) -> bytes:
    """The proof that the block of `header` with `txids` has all of `wanted`."""
    levels = [list(txids)]
    matches = [[txid in wanted for txid in txids]]
    while len(levels[-1]) > 1:
        below, below_matches = levels[-1], matches[-1]
        pairs = range(0, len(below), 2)
        right = [min(position + 1, len(below) - 1) for position in pairs]
        levels.append([sha256d(below[i] + below[j]) for i, j in zip(pairs, right, strict=True)])
        matches.append(
            [below_matches[i] or below_matches[j] for i, j in zip(pairs, right, strict=True)]
        )
    bits: list[bool] = []
    hashes: list[Hash32] = []

    def descend(level: int, position: int) -> None:
        is_parent = matches[level][position]
        bits.append(is_parent)
        if level == 0 or not is_parent:
            hashes.append(levels[level][position])
            return
        descend(level - 1, 2 * position)
        if 2 * position + 1 < len(levels[level - 1]):
            descend(level - 1, 2 * position + 1)

    descend(len(levels) - 1, 0)
    flags = bytearray((len(bits) + 7) // 8)
    for position, bit in enumerate(bits):
        flags[position // 8] |= bit << position % 8
    return b"".join(
        (
            header.serialize(),
            len(txids).to_bytes(4, "little"),
            write_compact_size(len(hashes)),
            *hashes,
            write_compact_size(len(flags)),
            bytes(flags),
        )
    )


def read_proof(encoded: bytes) -> tuple[BlockHeader, int, list[Hash32]]:
    """Header, number of transactions and proven ids. Raises CodecError unless the proof holds.

    Whether the header is on a chain, and whether that block has this many transactions (a smaller
    tree could pass an inner node for an id), is for the caller to check.
    """
    header = BlockHeader.parse(encoded[:HEADER_BYTES])
    count = int.from_bytes(encoded[HEADER_BYTES : HEADER_BYTES + 4], "little")
    if not 1 <= count <= MAX_TRANSACTIONS:
        raise CodecError(CodecReason.LENGTH, f"{count} transactions")
    hash_count, position = read_compact_size(encoded, HEADER_BYTES + 4)
    if not 1 <= hash_count <= count or position + 32 * hash_count > len(encoded):
        raise CodecError(CodecReason.LENGTH, f"{hash_count} hashes")
    hashes = [
        Hash32(encoded[position + 32 * i : position + 32 * (i + 1)]) for i in range(hash_count)
    ]
    flag_bytes, position = read_compact_size(encoded, position + 32 * hash_count)
    if position + flag_bytes != len(encoded):
        raise CodecError(CodecReason.LENGTH, f"{flag_bytes} flag bytes")
    return header, count, _walk(header, count, hashes, encoded[position:])


def _walk(header: BlockHeader, count: int, hashes: Sequence[Hash32], flags: bytes) -> list[Hash32]:
    used_bits = 0
    used_hashes = 0
    found: list[Hash32] = []
    refusal = CodecError(BitcoinReason.MERKLE_PROOF)

    def width(level: int) -> int:
        return (count + (1 << level) - 1) >> level

    def climb(level: int, position: int) -> Hash32:
        nonlocal used_bits, used_hashes
        if used_bits >= 8 * len(flags):
            raise refusal
        bit = flags[used_bits // 8] >> used_bits % 8 & 1
        used_bits += 1
        if level == 0 or not bit:
            if used_hashes >= len(hashes):
                raise refusal
            node = hashes[used_hashes]
            used_hashes += 1
            if level == 0 and bit:
                found.append(node)
            return node
        left = climb(level - 1, 2 * position)
        right = left
        if 2 * position + 1 < width(level - 1):
            right = climb(level - 1, 2 * position + 1)
            if right == left:
                raise refusal
        return sha256d(left + right)

    height = 0
    while width(height) > 1:
        height += 1
    root = climb(height, 0)
    all_used = used_hashes == len(hashes) and (used_bits + 7) // 8 == len(flags)
    if root != header.merkle_root or not all_used:
        raise refusal
    return found
