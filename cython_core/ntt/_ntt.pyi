from cython_core.field._matrix import Matrix

def available_kernels() -> tuple[str, ...]:
    """Names of the kernels that this CPU runs, narrowest first."""

def inverse(matrix: Matrix, kernel: str = "auto") -> None:
    """Values on the subgroup become coefficients in bit-reversed order, in place. ValueError unless
    the height is a power of two of at most 2^24, and for a kernel that this CPU lacks."""

def forward(matrix: Matrix, shift: int = 1, kernel: str = "auto") -> Matrix:
    """Values at shift * g^r in natural order of coefficients in bit-reversed order. ValueError as
    of `inverse`, and for a shift not in [1, p)."""

def forward_blocks(matrix: Matrix, block_log: int, shift: int = 1, kernel: str = "auto") -> Matrix:
    """`forward` of each 2^block_log rows on their own, at most 2^12."""

def reverse_rows(matrix: Matrix) -> Matrix:
    """Row r goes to the bit reversal of r: coefficients in natural order and back."""
