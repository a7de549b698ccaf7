"""FRI, the prover's side: that a codeword is near a polynomial of low degree (docs/proofs.md).

Step 7 of the protocol is `prove_fri`; what it returns opens the layers in step 8.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cython_core.air.key import Parameters
from cython_core.commitment import CommitmentTree, commit_matrices, rows_of
from cython_core.field import Matrix
from cython_core.fri._fold import fold, interpolate, regroup
from cython_core.fri.schedule import fold_schedule
from cython_core.transcript import Transcript

EXTENSION_BYTES = 20


@dataclass(frozen=True)
class FriProof:
    """The layers behind what was said."""

    message: bytes
    """Per layer root and nonce, then the final polynomial and the nonce before the queries."""
    domain_log: int
    """Of the codeword."""
    trees: list[CommitmentTree]
    """A layer each; they keep the matrices."""

    def open(self, positions: Iterable[int]) -> bytes:
        """The openings of all layers at positions of the codeword."""
        positions, log = list(positions), self.domain_log
        openings = []
        for tree in self.trees:
            positions, log = rows_of(positions, log, tree.log), tree.log
            openings.append(tree.open_rows(positions, log))
        return b"".join(openings)


def _final_polynomial(codeword: Matrix, final_log: int) -> bytes:
    """Its coefficients. ValueError if there are more: the codeword was of no low degree."""
    encoded = interpolate(codeword).to_bytes()
    length = EXTENSION_BYTES << final_log
    if any(encoded[length:]):
        raise ValueError("the codeword is not that of a polynomial of low degree")
    return encoded[:length]


def prove_fri(
    transcript: Transcript, parameters: Parameters, codeword: Matrix, kernel: str = "auto"
) -> FriProof:
    """Commits to all layers of a codeword and says the final polynomial.

    `codeword` has a row of five columns per point of the evaluation domain, bit-reversed, and is
    2^blowup_log times as long as its polynomial. ValueError if it is not.
    """
    domain_log = codeword.height.bit_length() - 1
    height_log = domain_log - parameters.blowup_log
    if height_log < 0:
        raise ValueError(f"{codeword.height} values leave no polynomial")
    folds = fold_schedule(height_log, parameters.fold_log, parameters.final_log)
    layer = regroup(codeword, folds[0]) if folds else codeword
    parts: list[bytes] = []
    trees: list[CommitmentTree] = []
    for fold_log, next_fold_log in zip(folds, [*folds, 0][1:], strict=True):
        trees.append(commit_matrices([layer], kernel))
        transcript.absorb("layer", trees[-1].root)
        nonce = transcript.grind(parameters.commit_grinding, "layer grind")
        parts += [trees[-1].root, nonce.to_bytes(8, "little")]
        (challenge,) = transcript.squeeze("fold").extensions(1)
        layer = fold(layer, fold_log, challenge, next_fold_log, kernel)
    final = _final_polynomial(layer, min(height_log, parameters.final_log))
    transcript.absorb("final", final)
    nonce = transcript.grind(parameters.query_grinding, "query grind")
    parts += [final, nonce.to_bytes(8, "little")]
    return FriProof(b"".join(parts), domain_log, trees)
