"""M(e) and the salt of a trace tree, by words and as pinned."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from p2p_seq.protocol.endorsement import (
    BATCHES_MAX,
    EndorsedBatch,
    endorsed_digest,
    trace_salt,
)
from p2p_seq.protocol.types import Hash32

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "trace_tree.json").read_text())
PINNED = VECTORS["endorsement"]
SEAL = Hash32(bytes.fromhex(PINNED["seal"]))
STATEMENT = Hash32(bytes.fromhex(PINNED["statement"]))
BATCHES = [
    EndorsedBatch(
        Hash32(bytes.fromhex(batch["trace_root"])),
        bytes.fromhex(batch["program_root"]),
        Hash32(bytes.fromhex(batch["statement"])),
    )
    for batch in PINNED["batches"]
]


def test_the_salt_by_words() -> None:
    message = b"p2pseq/regtest/trace-salt/v1" + SEAL + bytes([0, 0, 0, 3])
    assert trace_salt("regtest", SEAL, 3) == blake3(message).digest()[:16]
    assert [trace_salt("regtest", SEAL, n).hex() for n in range(4)] == PINNED["salts"]


def test_salts_differ() -> None:
    salts = {trace_salt("regtest", SEAL, batch) for batch in range(BATCHES_MAX)}
    salts |= {trace_salt("signet", SEAL, 0), trace_salt("regtest", Hash32(bytes(32)), 0)}
    assert len(salts) == BATCHES_MAX + 2


@pytest.mark.parametrize("batch", [-1, BATCHES_MAX])
def test_there_is_no_such_batch(batch: int) -> None:
    with pytest.raises(ValueError, match=f"an epoch has no batch {batch}"):
        trace_salt("regtest", SEAL, batch)


def test_what_is_endorsed_by_words() -> None:
    tag = hashlib.sha256(b"p2pseq/regtest/endorsed/v1").digest()
    words = b"".join(b.trace_root + b.program_root + b.statement for b in BATCHES)
    expected = hashlib.sha256(tag + tag + bytes([0, 0, 0, 2]) + words + STATEMENT).digest()
    assert endorsed_digest("regtest", BATCHES, STATEMENT) == expected
    assert expected.hex() == PINNED["endorsed"]


def test_every_part_is_endorsed() -> None:
    first, second = BATCHES
    other = Hash32(b"\xff" * 32)
    changed = [
        replace(first, trace_root=other),
        replace(first, program_root=b"\xff" * 16),
        replace(first, statement=other),
    ]
    epochs = [[one, second] for one in (first, *changed)]
    epochs += [[second, first], [first], [first, second, second]]
    digests = {endorsed_digest("regtest", batches, STATEMENT) for batches in epochs}
    digests |= {endorsed_digest("regtest", BATCHES, other)}
    digests |= {endorsed_digest("signet", BATCHES, STATEMENT)}
    assert len(digests) == len(epochs) + 2


def test_what_no_epoch_has() -> None:
    with pytest.raises(ValueError, match="an epoch has at least one batch"):
        endorsed_digest("regtest", [], STATEMENT)
    endorsed_digest("regtest", BATCHES[:1] * BATCHES_MAX, STATEMENT)
    with pytest.raises(ValueError, match="list of at most 64 items got 65"):
        endorsed_digest("regtest", BATCHES[:1] * (BATCHES_MAX + 1), STATEMENT)
    short = replace(BATCHES[0], program_root=bytes(15))
    with pytest.raises(ValueError, match="field of 16 bytes got 15"):
        endorsed_digest("regtest", [short], STATEMENT)
