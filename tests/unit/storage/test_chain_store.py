"""Ranges of final blocks stay within what one answer can carry."""

from pathlib import Path

import pytest

from p2p_seq.protocol.blocks import Block, BlockKind, Body, Header, Origin
from p2p_seq.protocol.types import (
    ZERO32,
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    Signature,
    View,
)
from p2p_seq.protocol.votes import Certificate, VoteKind, VoteStatement
from p2p_seq.settlement.bridge import genesis_bridge
from p2p_seq.storage import chain_store
from p2p_seq.storage.chain_store import ChainStore, FinalBlock
from p2p_seq.storage.store import Store
from tests.support.networks import PARAMS
from tests.support.pegs import GENERATIONS

BRIDGE = genesis_bridge(
    PARAMS, Height(9), OutPoint(ZERO32, 0), Sats(5_000), GENERATIONS[0]
).encode()


def final_block(height: int) -> FinalBlock:
    header = Header(
        BlockKind.ORDINARY,
        Epoch(0),
        View(height),
        BlockHeight(height),
        ZERO32,
        Origin(Height(9), ZERO32, 0),
        *(ZERO32,) * 4,
        leader=0,
    )
    digest = Hash32(height.to_bytes(32, "big"))
    encoded = Block(header, Body()).encode()
    return FinalBlock(
        BlockHeight(height),
        digest,
        ZERO32,
        encoded,
        b"",
        b"",
        (),
        b"",
        b"",
        b"",
        BRIDGE,
        None,
        None,
    )


def certificate(height: int) -> Certificate:
    block = Hash32(height.to_bytes(32, "big"))
    statement = VoteStatement(VoteKind.FINALIZE, Epoch(0), View(height), block, ZERO32)
    return Certificate(statement, 1, (0,), (Signature(bytes(64)),))


def test_a_range_ends_with_a_certificate(tmp_path: Path) -> None:
    store = ChainStore(Store.open(tmp_path))
    store.write_final([final_block(height) for height in range(1, 4)], certificate(3))
    store.write_final([final_block(4)], certificate(4))
    blocks, proof = store.final_range(BlockHeight(1), 1, 1)
    assert (len(blocks), proof) == (3, certificate(3).encode())
    blocks, proof = store.final_range(BlockHeight(2), 16, 1 << 20)
    assert (len(blocks), proof) == (3, certificate(4).encode())
    assert store.final_range(BlockHeight(5), 16, 1 << 20) == ([], None)


def test_a_certificate_too_far_away_makes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_store, "RANGE_BLOCKS_HARD", 8)
    store = ChainStore(Store.open(tmp_path))
    store.write_final([final_block(height) for height in range(1, 10)], certificate(9))
    assert store.final_range(BlockHeight(1), 4, 1 << 20) == ([], None)
    assert len(store.final_range(BlockHeight(2), 4, 1 << 20)[0]) == 8


def test_the_seed_of_another_epoch_is_none(tmp_path: Path) -> None:
    store = ChainStore(Store.open(tmp_path))
    assert store.seed(Epoch(0)) is None
    store.write_seed(Epoch(3), Hash32(b"\x05" * 32))
    assert store.seed(Epoch(3)) == b"\x05" * 32
    assert store.seed(Epoch(4)) is None
