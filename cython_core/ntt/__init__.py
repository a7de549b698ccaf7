"""Number-theoretic transforms of the columns of a Matrix: `inverse`, then `forward` per coset.

    values on the subgroup, natural order  --inverse-->  coefficients, bit-reversed order
    coefficients, bit-reversed order       --forward-->  values at shift * g^r, natural order

C code includes `ntt/ntt.h`, which works on one panel of 16 columns and needs no GIL, and links the
files of `ntt/sources.txt`. `_reference` is the pure-Python twin.
"""

from cython_core.ntt._ntt import available_kernels, forward, forward_blocks, inverse, reverse_rows

__all__ = ["available_kernels", "forward", "forward_blocks", "inverse", "reverse_rows"]
