"""The statement "rv32im": a program runs to its end and shows a statement S.

It is about one program: the verification key holds the program table and the image, as the root of
preprocessed columns, so it is derived from the program. What is derived is kept for some programs.
"""

import struct
from collections.abc import Sequence
from typing import Final

from cython_core.air.table import MODULUS, PublicInteraction
from cython_core.stark.parameters import PROVEN
from cython_core.stark.prover import ProvingKey, make_proving_key
from cython_core.stark.statement import Description, LabelledValue
from cython_core.vm.operations import OUT_WORDS
from cython_core.vm.program import DIGEST_BYTES, Program
from cython_core.zkvm.buses import BUSES, OUT, STATE
from cython_core.zkvm.memory_tables import image_edges
from cython_core.zkvm.system import PUBLIC_COUNT, ROOT, STATEMENT, run_system

NAME: Final = "rv32im"
STATEMENT_BYTES: Final = 4 * OUT_WORDS
KEYS_KEPT: Final = 4
ROOT_FORM: Final = struct.Struct(f"<{len(ROOT)}H")
STATEMENT_FORM: Final = struct.Struct(f"<{len(STATEMENT)}H")

assert ROOT_FORM.size == DIGEST_BYTES
assert STATEMENT_FORM.size == STATEMENT_BYTES

_keys: dict[bytes, ProvingKey] = {}
"""By program root, the last used at the end."""


def run_proving_key(program: Program) -> ProvingKey:
    """ValueError for a program of which no run can be proven.

    All that a key is made of follows from the root: zeros at the end of ROM and image, which the
    root does not tell from nothing, are left out.
    """
    key = _keys.pop(program.root, None) or make_proving_key(run_system(program), PROVEN)
    _keys[program.root] = key
    while len(_keys) > KEYS_KEPT:
        del _keys[next(iter(_keys))]
    return key


def run_publics(program: Program, statement: bytes) -> list[int]:
    """The public values. ValueError unless the statement has 32 bytes."""
    if len(statement) != STATEMENT_BYTES:
        raise ValueError(f"a statement has {STATEMENT_BYTES} bytes, not {len(statement)}")
    root, shown = ROOT_FORM.unpack(program.root), STATEMENT_FORM.unpack(statement)
    return [*root, *shown, *image_edges(program)]


class RunStatement:
    """A run of one program."""

    name: Final = NAME

    def __init__(self, program: Program) -> None:
        self._program = program

    def describe(self) -> Description:
        return Description(
            summary=(
                "The program with this root runs to its end and shows this statement, on an input "
                "that the prover knows."
            ),
            proven=(
                (
                    "The prover knows words for IN and bits for SIG with which the machine of "
                    "docs/vm.md, started at the program's entry on its image, comes to HALT."
                ),
                (
                    "In that run OUT shows each of the eight words of the statement exactly once, "
                    "with the public value."
                ),
                "The program is that of the root: its instructions, image and entry.",
            ),
            not_proven=(
                "What IN reads, beyond what the program itself makes of it.",
                "That a signature is valid where SIG answers 1: the answers are free.",
                "What the statement means: that is the program's to say.",
            ),
        )

    def key(self) -> bytes:
        """ValueError for a program of which no run can be proven."""
        return run_proving_key(self._program).encoding

    def public_count(self) -> int:
        return PUBLIC_COUNT

    def statement_of(self, publics: Sequence[int]) -> bytes:
        """S. ValueError for values that are not those of a run of this program."""
        if len(publics) != PUBLIC_COUNT or any(not 0 <= limb < 1 << 16 for limb in publics):
            raise ValueError(f"the public values are {PUBLIC_COUNT} limbs of 16 bits")
        root = ROOT_FORM.pack(*(publics[place] for place in ROOT))
        if root != self._program.root:
            raise ValueError(
                f"it is about the program with root {root.hex()}, not about this one with "
                f"{self._program.root.hex()}"
            )
        statement = STATEMENT_FORM.pack(*(publics[place] for place in STATEMENT))
        if list(publics) != run_publics(self._program, statement):
            raise ValueError("the image's place is not this program's")
        return statement

    def label(self, publics: Sequence[int]) -> list[LabelledValue]:
        statement = self.statement_of(publics)
        return [
            LabelledValue("program root", self._program.root.hex()),
            LabelledValue("statement", statement.hex()),
        ]

    def interactions(self, publics: Sequence[int]) -> list[PublicInteraction]:
        """The first state is sent, and each word of the statement received once."""
        limbs = STATEMENT_FORM.unpack(self.statement_of(publics))
        start = PublicInteraction(BUSES.index(STATE), 1, (1, self._program.entry // 4))
        out, words = BUSES.index(OUT), zip(limbs[::2], limbs[1::2], strict=True)
        return [
            start,
            *(
                PublicInteraction(out, MODULUS - 1, (place, low, high))
                for place, (low, high) in enumerate(words)
            ),
        ]
