"""The transcript of a proof: absorbs what the prover says, yields the challenges that follow.

docs/proofs.md, "Transcript", is its definition. `_reference` is the twin in plain Python that the
Python verifier uses; both pass the same tests. The C functions are the compiled verifier's too.
"""

from cython_core.transcript._transcript import (
    GRIND_BITS_MAX,
    LABEL_MAX,
    Stream,
    Transcript,
    available_kernels,
)

__all__ = ["GRIND_BITS_MAX", "LABEL_MAX", "Stream", "Transcript", "available_kernels"]
