"""KoalaBear, the field of the proofs, its extension of degree 5, and matrices of its elements.

C code includes `field/kb31.h` (one element), `field/kb31_lanes.h` (vectors of 1, 8 or 16) and links
the C files of `field/sources.txt`; Cython code does `from cython_core.field._matrix cimport Matrix`
and works on its cells. In memory elements are in Montgomery form; every function seen from Python
takes and gives plain values below `P`. `_reference` is the arithmetic in plain Python: the twin
that the kernels are tested against and what the Python verifier counts with.
"""

from typing import TYPE_CHECKING, Any

from cython_core.field._reference import GENERATOR, TWO_ADICITY, P, bit_reverse, root

if TYPE_CHECKING:
    from cython_core.field._matrix import PANEL, Matrix

__all__ = [
    "GENERATOR",
    "PANEL",
    "TWO_ADICITY",
    "Matrix",
    "P",
    "bit_reverse",
    "root",
]


def __getattr__(name: str) -> Any:
    """What is compiled comes when it is asked for: the Python verifier runs without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cython_core.field import _matrix

    return getattr(_matrix, name)
