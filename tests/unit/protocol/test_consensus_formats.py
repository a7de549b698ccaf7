"""Everything that founders, blocks and seals are made of has one spelling, and keeps it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_seq.protocol.blocks import Block, BlockKind, Body, Header, Origin
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import CodecError, OperatorError, RemoteError
from p2p_seq.protocol.genesis import Draft, Genesis, SignedGenesis
from p2p_seq.protocol.params import Params, load_params, params_from_table
from p2p_seq.protocol.seals import SealBody, SealedEpoch
from p2p_seq.protocol.stakes import Bundle, CommitteeEntry, RegisteredKeys, StakeRecord
from p2p_seq.protocol.types import (
    ZERO32,
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    Signature,
    View,
)
from tests.support.keys import digest, key

NETWORKS = Path("configs/networks")
REGTEST = load_params(NETWORKS / "regtest.toml")
VECTORS = Path("tests/vectors/consensus_formats.json")
SIGNATURE = Signature(bytes(range(64)))


def header() -> Header:
    return Header(
        BlockKind.SEAL,
        Epoch(7),
        View(300),
        BlockHeight(2**33),
        digest("parent"),
        Origin(Height(800_000), digest("origin"), 1_700_000_000),
        digest("body"),
        digest("records"),
        digest("seal"),
        digest("root"),
        31,
    )


def seal_body() -> SealBody:
    members = ((key("a"), 30), (key("b"), 20))
    return SealBody(Epoch(7), members, SatsPerKvb(1_500), b"a plan")


def block() -> Block:
    body = Body(b"records", b"stake", 2, b"transactions", seal_body().encode())
    committed = replace(
        header(),
        body_digest=body.body_digest("regtest"),
        records_digest=body.records_digest("regtest"),
        seal_digest=body.seal_digest("regtest"),
    )
    return Block(committed, body)


def stake_record() -> StakeRecord:
    keys = RegisteredKeys(key("o"), key("c"), key("v"), key("r"), key("p"))
    bundle = Bundle(
        digest("draft"), 1, keys, Epoch(3), Epoch(258), ZERO32, ZERO32, (SIGNATURE,) * 5
    )
    entry = CommitteeEntry(key("m"), key("fresh"), SIGNATURE, SIGNATURE, SIGNATURE)
    return StakeRecord(bundle, digest("stake"), Sats(1_000_000_000), (entry,), SIGNATURE)


def genesis() -> Genesis:
    draft = Draft(REGTEST, Height(154), digest("nonce"))
    origin = Origin(Height(154), digest("anchor"), 1_600_000_000)
    vault = OutPoint(digest("vault"), 1)
    return Genesis(draft, origin, (stake_record(),), vault, Sats(5_000), ((key("holder"), 9),))


def sealed() -> SealedEpoch:
    return SealedEpoch(
        Epoch(7), digest("s"), digest("o"), digest("r"), Height(9), b"proof", seal_body()
    )


def read_header(encoded: bytes) -> Header:
    reader = Reader(encoded)
    found = Header.read(reader)
    reader.finish()
    return found


def read_params(encoded: bytes) -> Params:
    reader = Reader(encoded)
    found = Params.read(reader)
    reader.finish()
    return found


FORMATS: dict[str, tuple[Any, Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "header": (header(), read_header, lambda item: item.encode()),
    "block": (block(), lambda raw: Block.decode(raw, "regtest"), lambda item: item.encode()),
    "seal_body": (seal_body(), SealBody.decode, lambda item: item.encode()),
    "sealed_epoch": (sealed(), SealedEpoch.decode, lambda item: item.encode()),
    "stake_record": (stake_record(), StakeRecord.decode, lambda item: item.encode()),
    "genesis": (genesis(), Genesis.decode, lambda item: item.encode()),
    "params": (REGTEST, read_params, lambda item: item.encode()),
}
REFUSALS = (RemoteError, OperatorError)
names = pytest.mark.parametrize("name", FORMATS)


@names
def test_what_is_written_is_read_back(name: str) -> None:
    value, read, write = FORMATS[name]
    assert read(write(value)) == value


@names
def test_every_truncation_and_extension_is_refused(name: str) -> None:
    value, read, write = FORMATS[name]
    encoded = write(value)
    for length in range(len(encoded)):
        with pytest.raises(REFUSALS):
            read(encoded[:length])
    with pytest.raises(CodecError, match="trailing-bytes"):
        read(encoded + b"\x00")


@names
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_means_something_else(name: str, data: st.DataObject) -> None:
    value, read, write = FORMATS[name]
    encoded = bytearray(write(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = read(bytes(encoded))
    except REFUSALS:
        return
    assert other != value
    assert write(other) == encoded


@names
@given(garbage=st.binary(max_size=600))
def test_garbage_is_refused_or_canonical(name: str, garbage: bytes) -> None:
    _, read, write = FORMATS[name]
    try:
        found = read(garbage)
    except REFUSALS:
        return
    assert write(found) == garbage


def vectors() -> dict[str, str]:
    """What `tests/vectors/consensus_formats.json` holds; a change of it is a change of formats."""
    made = {name: write(value).hex() for name, (value, _, write) in FORMATS.items()}
    made["block_digest"] = header().digest("regtest", digest("chain")).hex()
    made["bundle_digest"] = stake_record().bundle.digest("regtest").hex()
    made["draft_id"] = genesis().draft.draft_id.hex()
    made["chain_id"] = genesis().chain_id.hex()
    made["statement"] = sealed().statement("regtest").hex()
    return made


def test_the_golden_vectors_hold() -> None:
    assert vectors() == json.loads(VECTORS.read_text(encoding="utf-8"))


def test_a_block_commits_to_its_body() -> None:
    whole = block()
    for wrong in (
        replace(whole.body, records=b"other"),
        replace(whole.body, stake_record=b""),
        replace(whole.body, transaction_count=3),
        replace(whole.body, transactions=b""),
        replace(whole.body, seal=replace(seal_body(), epoch=Epoch(8)).encode()),
    ):
        with pytest.raises(CodecError, match="does not commit"):
            Block.decode(Block(whole.header, wrong).encode(), "regtest")
    body = replace(whole.body, seal=b"")
    bare = replace(whole.header, seal_digest=Hash32(ZERO32))
    with pytest.raises(CodecError, match="a seal body belongs to a seal block"):
        Block.decode(Block(bare, body).encode(), "regtest")


@pytest.mark.parametrize("path", sorted(NETWORKS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_holds(path: Path) -> None:
    assert read_params(load_params(path).encode()) == load_params(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"network": "Regtest"}, "network must match"),
        ({"bitcoin_chain": "testnet"}, "bitcoin_chain is unknown"),
        ({"burial_depth": 0}, "burial_depth"),
        ({"blocks_per_epoch": 0}, "blocks_per_epoch"),
        ({"origin_step": 0}, "origin_step"),
        ({"set_maximum": 101}, "set_maximum"),
        ({"set_minimum": 33}, "set_minimum"),
        ({"batches_per_epoch": 0}, "batches_per_epoch"),
        ({"challenger_share_percent": 100}, "challenger_share_percent"),
        ({"stake_minimum": 6_599_999}, "stake_minimum"),
        ({"feerate_minimum": 0}, "feerate_minimum"),
        ({"feerate_minimum": 51}, "feerate_minimum"),
        ({"feerate_maximum": 4_294_968}, "feerate_maximum"),
        ({"enforcement": 2}, "enforcement"),
        ({"deposit_timeout": 4}, "deposit_timeout"),
        ({"deposit_timeout": 65_536}, "deposit_timeout"),
        ({"payout_minimum": 545}, "payout_minimum"),
        ({"deposit_minimum": 1_000}, "deposit_minimum"),
        ({"stake_epochs": 0}, "stake_epochs"),
        ({"challenge_window": -1}, "0..2^48"),
        ({"sweep_grace": 2**48}, "0..2^48"),
    ],
)
def test_parameters_that_contradict_themselves_are_refused(
    change: dict[str, Any], why: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        replace(REGTEST, **change)
    assert why in caught.value.why
    assert caught.value.code == 2


def test_a_preset_names_every_problem() -> None:
    with pytest.raises(OperatorError) as caught:
        params_from_table({"network": 5, "colour": "red"}, "here")
    assert "unknown key 'colour'" in caught.value.why
    assert "'network' must be str, not int" in caught.value.why
    assert "missing key 'burial_depth'" in caught.value.why


def test_a_genesis_file_is_read_back_and_doubted() -> None:
    signed = SignedGenesis(genesis(), (SIGNATURE,))
    text = signed.to_json()
    assert SignedGenesis.from_json(text, "file") == signed
    table = json.loads(text)
    for change in (
        {"genesis": table["genesis"][:-2]},
        {"genesis": "zz"},
        {"genesis": 5},
        {"chain_id": None},
        {"founder_signatures": "none"},
        {"founder_signatures": [7]},
    ):
        with pytest.raises(OperatorError, match="is not a genesis file"):
            SignedGenesis.from_json(json.dumps({**table, **change}), "file")
    for broken in ("", "[]", "{", "null"):
        with pytest.raises(OperatorError, match="is not a genesis file"):
            SignedGenesis.from_json(broken, "file")
    with pytest.raises(OperatorError, match="contradicts itself"):
        SignedGenesis.from_json(json.dumps({**table, "chain_id": "00" * 32}), "file")


def test_the_limits_of_a_body_are_limits() -> None:
    writer = Writer()
    Body(records=bytes(200_000)).write(writer)
    with pytest.raises(ValueError, match="at most 200000 bytes"):
        Body(records=bytes(200_001)).write(Writer())
