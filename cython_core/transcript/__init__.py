"""The transcript of a proof: absorbs what the prover says, yields the challenges that follow.

docs/proofs.md, "Transcript", is its definition. `_reference` is the twin in plain Python that the
Python verifier uses; both pass the same tests. The C functions are the compiled verifier's too.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cython_core.transcript._transcript import (
        GRIND_BITS_MAX,
        LABEL_MAX,
        Stream,
        Transcript,
        available_kernels,
    )

__all__ = ["GRIND_BITS_MAX", "LABEL_MAX", "Stream", "Transcript", "available_kernels"]


def __getattr__(name: str) -> Any:
    """What is compiled comes when it is asked for: the Python verifier runs without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cython_core.transcript import _transcript

    return getattr(_transcript, name)
