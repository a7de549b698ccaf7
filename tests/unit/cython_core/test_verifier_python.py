"""The verifier in plain Python: accepts what the page's prover makes, and nothing near it.

Every claim here is put to the compiled verifier too, and both must give the same reason.
"""

import json
import random
import struct
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from cython_core.air.key import key_digest
from cython_core.air.table import MODULUS, PublicInteraction
from cython_core.stark.errors import Reason
from tests.support.proof_claims import Claim, claim_of
from tests.support.reference_air import decode as decode_reference_key
from tests.support.reference_systems import cases
from tests.vectors.make_proofs import FILE, vectors

ROOT = Path(__file__).resolve().parents[3]
NAMES = [f"{number}-{case.name}" for number, case in enumerate(cases())]


ONE_ROW_BYTES = 621
"""Of the proof of one row: its query nonce is known to stand at 405."""


@cache
def proven(number: int) -> Claim:
    return claim_of(cases()[number])


@pytest.fixture(params=range(len(NAMES)), ids=NAMES)
def claim(request: pytest.FixtureRequest) -> Claim:
    return proven(request.param)


def flipped(proof: bytes, position: int, bits: int = 1) -> bytes:
    return proof[:position] + bytes([proof[position] ^ bits]) + proof[position + 1 :]


def test_accepts_valid_proofs(claim: Claim) -> None:
    assert claim.reason() is None


def test_golden_proofs() -> None:
    """The format of keys and proofs does not change by accident."""
    written = json.loads(FILE.read_text(encoding="utf-8"))
    assert written == vectors()
    for golden in written:
        claim = Claim(
            bytes.fromhex(golden["key"]),
            tuple(golden["publics"]),
            tuple(PublicInteraction(*parts) for parts in golden["interactions"]),
            bytes.fromhex(golden["context"]),
            bytes.fromhex(golden["proof"]),
        )
        assert claim.reason() is None


def test_any_byte_changed(claim: Claim) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    randomness, proof = random.Random(seed), claim.proof
    count = min(len(proof), 120)
    # In the domain of 4 points of a proof of one row, another nonce leads to the same positions.
    nonce = range(405, 413) if len(proof) == ONE_ROW_BYTES else ()
    for position in {*range(64), *randomness.sample(range(len(proof)), count)}.difference(nonce):
        changed = flipped(proof, position, 1 << randomness.randrange(8))
        assert replace(claim, proof=changed).reason() is not None, position


def test_every_byte_of_a_small_proof_changed() -> None:
    claim = proven(1)
    for position in range(len(claim.proof)):
        changed = flipped(claim.proof, position, 1 + position % 255)
        assert replace(claim, proof=changed).reason() is not None, position


def test_every_truncation(claim: Claim) -> None:
    for length in range(0, len(claim.proof), 1 + len(claim.proof) // 80):
        shorter = replace(claim, proof=claim.proof[:length])
        assert shorter.reason() in {Reason.TRUNCATED}, length


def test_something_behind_the_proof(claim: Claim) -> None:
    for extra in (b"\0", b"\xff", bytes(32), claim.proof):
        assert replace(claim, proof=claim.proof + extra).reason() is Reason.TRAILING_BYTES


def test_splices_of_two_proofs() -> None:
    randomness, first = random.Random(7), proven(2)
    other_case = replace(cases()[2], context=b"somebody else")
    second = replace(first, context=other_case.context, proof=other_case.prove())
    assert second.reason() is None
    for _ in range(25):
        cut = randomness.randrange(44, min(len(first.proof), len(second.proof)))
        spliced = first.proof[:cut] + second.proof[cut:]
        for claim in (first, second):
            if spliced not in {first.proof, second.proof}:
                assert replace(claim, proof=spliced).reason() is not None


def test_elements_that_are_not_canonical() -> None:
    claim = proven(0)
    randomness, seen = random.Random(3), set()
    for _ in range(200):
        at = randomness.randrange(45, len(claim.proof) - 4)
        word = struct.pack("<I", MODULUS + randomness.randrange(1 << 24))
        changed = claim.proof[:at] + word + claim.proof[at + 4 :]
        seen.add(replace(claim, proof=changed).reason())
    assert None not in seen
    assert Reason.NOT_CANONICAL in seen


def test_other_claims() -> None:
    claim = proven(2)
    publics, interactions = claim.publics, claim.interactions
    first = interactions[0]
    more = first._replace(elements=(*first.elements, 0))
    over = first._replace(elements=(MODULUS, *first.elements[1:]))
    moved = first._replace(elements=((first.elements[0] + 1) % MODULUS, *first.elements[1:]))
    for changed, reason in (
        (replace(claim, publics=publics[:-1]), Reason.BAD_PUBLICS),
        (replace(claim, publics=(*publics, 0)), Reason.BAD_PUBLICS),
        (replace(claim, publics=(MODULUS, *publics[1:])), Reason.BAD_PUBLICS),
        (replace(claim, publics=(-1, *publics[1:])), Reason.BAD_PUBLICS),
        (replace(claim, interactions=(first._replace(bus=2),)), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=(first._replace(bus=-1),)), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=(more,)), Reason.BAD_INTERACTIONS),
        (replace(claim, interactions=(over,)), Reason.BAD_INTERACTIONS),
        (
            replace(claim, interactions=(first._replace(multiplicity=-1),)),
            Reason.BAD_INTERACTIONS,
        ),
        (replace(claim, context=bytes(1025)), Reason.BAD_CONTEXT),
        # Bound by the transcript alone: the challenges are others, and the buses do not balance.
        (replace(claim, publics=((publics[0] + 1) % MODULUS, *publics[1:])), None),
        (replace(claim, interactions=interactions[::-1]), None),
        (replace(claim, interactions=interactions[:1]), None),
        (replace(claim, interactions=(moved, *interactions[1:])), None),
        (replace(claim, context=b""), None),
        (replace(claim, context=claim.context + b"\0"), None),
    ):
        found = changed.reason()
        assert found is (reason or Reason.UNBALANCED_BUSES)


def test_the_head_of_the_proof() -> None:
    claim = proven(2)
    proof = claim.proof
    count = len(decode_reference_key(claim.key).tables)
    for position, reason in (
        (0, Reason.BAD_MAGIC),
        (4, Reason.BAD_MAGIC),
        (8, Reason.WRONG_KEY),
        (39, Reason.WRONG_KEY),
        *((40 + table, Reason.BAD_HEIGHT) for table in range(count)),
    ):
        assert replace(claim, proof=flipped(proof, position, 0x80)).reason() is reason


def test_another_key_with_its_digest_put_into_the_proof() -> None:
    claim = proven(0)
    # Fewer queries: the first parameter that a cheat would change.
    assert struct.unpack_from("<I", claim.key, 12) == (5,)
    key = claim.key[:12] + struct.pack("<I", 1) + claim.key[16:]
    assert replace(claim, key=key).reason() is Reason.WRONG_KEY
    proof = claim.proof[:8] + key_digest(key) + claim.proof[40:]
    assert replace(claim, key=key, proof=proof).reason() not in {None, Reason.WRONG_KEY}


def test_keys_that_are_none() -> None:
    claim = proven(2)
    randomness, reasons = random.Random(5), set()
    for _ in range(250):
        key = flipped(claim.key, randomness.randrange(len(claim.key)), 1 << randomness.randrange(8))
        proof = claim.proof[:8] + key_digest(key) + claim.proof[40:]
        reasons.add(replace(claim, key=key, proof=proof).reason())
    assert None not in reasons
    assert Reason.BAD_KEY in reasons
    for length in range(0, len(claim.key), 7):
        assert replace(claim, key=claim.key[:length]).reason() is Reason.BAD_KEY
    assert replace(claim, key=claim.key + b"\0").reason() is Reason.BAD_KEY


def test_random_bytes_are_no_proof() -> None:
    claim, randomness = proven(3), random.Random(11)
    head = claim.proof[:44]
    for _ in range(300):
        noise = randomness.randbytes(randomness.randrange(8_000))
        for proof in (noise, head + noise, head + bytes(len(noise))):
            assert replace(claim, proof=proof).reason() is not None


WITHOUT_EXTENSIONS = """
import sys
from importlib.machinery import ExtensionFileLoader

load = ExtensionFileLoader.create_module
def refuse(loader, spec):
    if spec.name.startswith("cython_core."):
        raise ImportError(f"{spec.name} is compiled")
    return load(loader, spec)
ExtensionFileLoader.create_module = refuse

from cython_core.stark.verifier import verify
from tests.support.reference_systems import fibonacci
case = fibonacci()
verify(case.key, case.publics, [], case.context, case.prove())
print(*sorted(name for name in sys.modules if "prove" in name))
"""


def test_the_verifier_needs_nothing_compiled_and_no_prover() -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTENSIONS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout == "tests.support.reference_prover\n"
