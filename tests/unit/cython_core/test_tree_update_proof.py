"""The statement "tree-update" from a real state tree to a verified file, as it is shipped."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cython_core.chips.batch import batch_digest
from cython_core.chips.statements import TREE_UPDATE
from cython_core.chips.tree_batches import TreeBatch, tree_batch
from cython_core.chips.tree_proof import prove_tree_update
from cython_core.chips.tree_trace import tree_update_trace
from cython_core.chips.tree_update import tree_update_meaning
from cython_core.merkle import StateTree
from cython_core.stark import _verify, verifier
from cython_core.stark.codewords import Options
from cython_core.stark.errors import InvalidProof
from cython_core.stark.proof import Proof
from p2p_seq.cli.main import run

Verify = Callable[..., None]
VERIFIERS: dict[str, Verify] = {"compiled": _verify.verify, "python": verifier.verify}
CONTEXT = b"payee"


def updated_tree(chance: random.Random, leaves: int) -> tuple[TreeBatch, bytes, bytes]:
    """A batch with insertions, changes and deletions; the roots before and after."""
    tree = StateTree()
    paths = [chance.randbytes(32) for _ in range(leaves)]
    tree.update(b"".join(paths), chance.randbytes(64 * leaves), b"\1" * leaves)
    changes: dict[bytes, bytes | None] = {path: chance.randbytes(64) for path in paths[:4]}
    changes |= dict.fromkeys(paths[4:7])
    changes |= {chance.randbytes(32): chance.randbytes(64) for _ in range(3)}
    batch, before = tree_batch(tree, changes), tree.root
    ordered = sorted(changes)
    values = b"".join(changes[path] or bytes(64) for path in ordered)
    tree.update(b"".join(ordered), values, bytes(changes[path] is not None for path in ordered))
    return batch, before, tree.root


@pytest.fixture(scope="module")
def proven() -> tuple[Proof, TreeBatch, bytes, bytes]:
    batch, before, after = updated_tree(random.Random(7), 40)
    return prove_tree_update(batch, CONTEXT), batch, before, after


def check(verify: Verify, proof: Proof, context: bytes | None = None) -> None:
    bound = proof.context if context is None else context
    verify(TREE_UPDATE.key(), proof.publics, [], bound, proof.body)


@pytest.mark.parametrize("name", VERIFIERS)
def test_both_verifiers_accept_it(name: str, proven: tuple[Proof, TreeBatch, bytes, bytes]) -> None:
    check(VERIFIERS[name], proven[0])


def test_it_speaks_of_the_roots_of_the_real_tree(
    proven: tuple[Proof, TreeBatch, bytes, bytes],
) -> None:
    proof, batch, before, after = proven
    expected = (before, after, batch_digest(batch.updates))
    assert tree_update_meaning(proof.publics) == expected


@pytest.mark.parametrize("name", VERIFIERS)
def test_no_other_root_digest_or_payee(
    name: str, proven: tuple[Proof, TreeBatch, bytes, bytes]
) -> None:
    proof = proven[0]
    for place in range(0, len(proof.publics), 11):
        publics = list(proof.publics)
        publics[place] ^= 1
        with pytest.raises(InvalidProof):
            check(VERIFIERS[name], replace(proof, publics=tuple(publics)))
    with pytest.raises(InvalidProof):
        check(VERIFIERS[name], proof, b"thief")


def test_a_change_of_any_part_of_the_body_is_refused_by_both(
    proven: tuple[Proof, TreeBatch, bytes, bytes],
) -> None:
    proof, chance = proven[0], random.Random(3)
    for _ in range(12):
        body = bytearray(proof.body)
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        for verify in VERIFIERS.values():
            with pytest.raises(InvalidProof):
                check(verify, replace(proof, body=bytes(body)))


def test_threads_and_memory_do_not_change_the_proof(
    proven: tuple[Proof, TreeBatch, bytes, bytes],
) -> None:
    proof, batch, _, _ = proven
    assert prove_tree_update(batch, CONTEXT, Options(threads=2, codeword_bytes=0)) == proof


def test_the_traces_of_a_batch_are_small() -> None:
    batch, _, _ = updated_tree(random.Random(1), 40)
    heights = [matrix.height for matrix in tree_update_trace(batch.updates, batch.proof).matrices]
    assert max(heights) < 1 << 12


@pytest.mark.parametrize("name", VERIFIERS)
def test_the_command_verifies_the_file(
    name: str,
    proven: tuple[Proof, TreeBatch, bytes, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "update.proof"
    file.write_bytes(proven[0].encode())
    assert run(["proof", "verify", str(file), "--verifier", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith("valid: The batch of leaf updates")
    assert proven[3].hex() in out
    file.write_bytes(file.read_bytes()[:-1])
    assert run(["proof", "verify", str(file), "--verifier", name]) == 1
    assert "proves nothing" in capsys.readouterr().err
