"""FRI in the verifier: layers, folds, the final polynomial (docs/proofs.md, steps 7 and 8)."""

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from cython_core.air.key import Parameters
from cython_core.commitment.reader import Reader
from cython_core.commitment.verify import Rows
from cython_core.commitment.verify import verify as read_rows
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
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.transcript._reference import Transcript

HALF = inverse(2)


def encode_extensions(elements: Sequence[Extension]) -> bytes:
    """Their coefficients, 20 bytes each."""
    return struct.pack(f"<{5 * len(elements)}I", *chain.from_iterable(elements))


class Layer(NamedTuple):
    """One folding: a matrix whose rows are folded to one value each."""

    root: bytes
    fold_log: int
    log_rows: int
    challenge: Extension


class Folding(NamedTuple):
    """What the prover said in step 7."""

    layers: list[Layer]
    final: list[Extension]
    final_domain_log: int


def read_folding(
    reader: Reader, transcript: Transcript, parameters: Parameters, greatest_log: int
) -> Folding:
    """Step 7, the final polynomial included. Raises InvalidProof."""
    layers: list[Layer] = []
    bound_log = greatest_log
    while bound_log > parameters.final_log:
        fold_log = min(parameters.fold_log, bound_log - parameters.final_log)
        bound_log -= fold_log
        name = f"layer {len(layers) + 1}"
        commitment = reader.digest()
        transcript.absorb("layer", commitment)
        check_work(reader, transcript, parameters.commit_grinding, "layer grind", name)
        (challenge,) = transcript.squeeze("fold").extensions(1)
        layers.append(Layer(commitment, fold_log, bound_log + parameters.blowup_log, challenge))
    final = reader.extensions(1 << bound_log)
    transcript.absorb("final", encode_extensions(final))
    return Folding(layers, final, bound_log + parameters.blowup_log)


def check_work(reader: Reader, transcript: Transcript, bits: int, label: str, what: str) -> None:
    """Read a nonce and absorb it. Raises InvalidProof unless its work was done."""
    nonce = reader.u64()
    if bits == 0 and nonce != 0:
        raise InvalidProof(Reason.NOT_CANONICAL, f"{what}: a nonce without work is 0")
    if not transcript.check_grind(bits, label, nonce):
        is_query = label == "query grind"
        raise InvalidProof(Reason.QUERY_GRINDING if is_query else Reason.LAYER_GRINDING, what)


def read_layers(reader: Reader, folding: Folding, positions: Sequence[int]) -> list[Rows]:
    """The opened rows of each layer, at positions of the domain before the first."""
    rows: list[Rows] = []
    for layer in folding.layers:
        positions = [position >> layer.fold_log for position in positions]
        shape = (layer.log_rows, 5 << layer.fold_log)
        rows += read_rows(layer.root, [shape], positions, layer.log_rows, reader)
    return rows


def check_folds(
    folding: Folding,
    rows: Sequence[Rows],
    values: Mapping[int, Extension],
) -> None:
    """Fold from the values of F at the query positions to the end. Raises InvalidProof."""
    for number, (layer, its_rows) in enumerate(zip(folding.layers, rows, strict=True), 1):
        mask = (1 << layer.fold_log) - 1
        for position, value in values.items():
            start = 5 * (position & mask)
            if its_rows[position >> layer.fold_log][start : start + 5] != value:
                raise InvalidProof(Reason.BAD_FOLD, f"layer {number}, position {position}")
        values = {place: fold_row(layer, place, row) for place, row in its_rows.items()}
    generator = root(folding.final_domain_log)
    for position, value in values.items():
        x = pow(generator, bit_reverse(position, folding.final_domain_log), P)
        if _evaluate(folding.final, x) != value:
            raise InvalidProof(Reason.BAD_FINAL, f"position {position}")


def fold_row(layer: Layer, number: int, row: Sequence[int]) -> Extension:
    """Folds by two until one value is left."""
    values: list[Extension] = list(zip(*(row[part::5] for part in range(5)), strict=True))
    log = layer.log_rows + layer.fold_log
    first, challenge = number << layer.fold_log, layer.challenge
    while len(values) > 1:
        generator = root(log)
        folded = []
        for place in range(0, len(values), 2):
            inverse_x = pow(generator, -bit_reverse(first + place, log), P)
            here, opposite = values[place], values[place + 1]
            even = xscale(xadd(here, opposite), HALF)
            odd = xscale(xsub(here, opposite), HALF * inverse_x % P)
            folded.append(xadd(even, xmul(challenge, odd)))
        values, challenge = folded, xmul(challenge, challenge)
        first, log = first >> 1, log - 1
    return values[0]


def _evaluate(coefficients: Sequence[Extension], x: int) -> Extension:
    total = XZERO
    for coefficient in reversed(coefficients):
        total = xadd(xscale(total, x), coefficient)
    return total
