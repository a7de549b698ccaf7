"""FRI's prover in plain Python: the twin of `prover` and its kernels, and as slow as clear.

Written from docs/proofs.md, step 7 of the protocol. A codeword is a list of extension elements in
bit-reversed order.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from cython_core.air.key import Parameters
from cython_core.commitment._reference import CommitmentTree, commit_matrices
from cython_core.commitment.positions import rows_of
from cython_core.field._reference import (
    XZERO,
    Extension,
    P,
    bit_reverse,
    inverse,
    root,
    xadd,
    xmul,
    xscale,
    xsub,
)
from cython_core.fri.schedule import fold_schedule
from cython_core.transcript._reference import Transcript


@dataclass(frozen=True)
class FriProof:
    """The layers behind what was said."""

    message: bytes
    domain_log: int
    trees: list[CommitmentTree]

    def open(self, positions: Iterable[int]) -> bytes:
        """The openings of all layers at positions of the codeword."""
        positions, log = list(positions), self.domain_log
        openings = []
        for tree in self.trees:
            positions, log = rows_of(positions, log, tree.log), tree.log
            openings.append(tree.open_rows(positions, log))
        return b"".join(openings)


def _log(codeword: Sequence[Extension]) -> int:
    return len(codeword).bit_length() - 1


def _point(position: int, log: int) -> int:
    return pow(root(log), bit_reverse(position, log), P)


def layer_rows(codeword: Sequence[Extension], fold_log: int) -> list[list[int]]:
    """Row i: the values at positions i 2^fold_log and on."""
    together = 1 << fold_log
    return [
        list(chain.from_iterable(codeword[start : start + together]))
        for start in range(0, len(codeword), together)
    ]


def fold_by_two(codeword: Sequence[Extension], challenge: Extension) -> list[Extension]:
    """f'(x^2) = (f(x) + f(-x)) / 2 + challenge (f(x) - f(-x)) / (2x)."""
    half, folded = inverse(2), []
    for position in range(0, len(codeword), 2):
        here, opposite = codeword[position], codeword[position + 1]
        even = xscale(xadd(here, opposite), half)
        odd = xscale(xsub(here, opposite), inverse(2 * _point(position, _log(codeword))))
        folded.append(xadd(even, xmul(challenge, odd)))
    return folded


def fold(codeword: Sequence[Extension], fold_log: int, challenge: Extension) -> list[Extension]:
    """`fold_log` folds by two, with the challenge, its square, and so on."""
    folded = list(codeword)
    for _ in range(fold_log):
        folded = fold_by_two(folded, challenge)
        challenge = xmul(challenge, challenge)
    return folded


def interpolate(codeword: Sequence[Extension]) -> list[Extension]:
    """Coefficients in ascending order, as many as there are values."""
    log, scale = _log(codeword), inverse(len(codeword))
    coefficients = []
    for degree in range(len(codeword)):
        total = XZERO
        for position, value in enumerate(codeword):
            total = xadd(total, xscale(value, pow(_point(position, log), -degree, P)))
        coefficients.append(xscale(total, scale))
    return coefficients


def prove_fri(
    transcript: Transcript, parameters: Parameters, codeword: Sequence[Extension]
) -> FriProof:
    """Commits to all layers of a codeword and says the final polynomial."""
    domain_log = _log(codeword)
    height_log = domain_log - parameters.blowup_log
    parts: list[bytes] = []
    trees: list[CommitmentTree] = []
    for fold_log in fold_schedule(height_log, parameters.fold_log, parameters.final_log):
        trees.append(commit_matrices([layer_rows(codeword, fold_log)]))
        transcript.absorb("layer", trees[-1].root)
        nonce = transcript.grind(parameters.commit_grinding, "layer grind")
        parts += [trees[-1].root, nonce.to_bytes(8, "little")]
        (challenge,) = transcript.squeeze("fold").extensions(1)
        codeword = fold(codeword, fold_log, challenge)
    count = 1 << min(height_log, parameters.final_log)
    coefficients = interpolate(codeword)
    if any(coefficient != XZERO for coefficient in coefficients[count:]):
        raise ValueError("the codeword is not that of a polynomial of low degree")
    final = struct.pack(f"<{5 * count}I", *chain.from_iterable(coefficients[:count]))
    transcript.absorb("final", final)
    nonce = transcript.grind(parameters.query_grinding, "query grind")
    parts += [final, nonce.to_bytes(8, "little")]
    return FriProof(b"".join(parts), domain_log, trees)
