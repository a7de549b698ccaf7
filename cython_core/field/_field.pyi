"""Elements as they lie in memory: Montgomery form, a * 2^32 mod p, 4 bytes little-endian each."""

from typing import Final

ONE: Final[int]
"""2^32 mod p, as C knows it; so the others."""
R2: Final[int]
MU: Final[int]
P: Final[int]

def available_kernels() -> tuple[str, ...]:
    """Names of the kernels that this CPU runs, narrowest first."""

def add(left: bytes, right: bytes, kernel: str) -> bytes:
    """Element by element, with the lanes of a kernel. ValueError unless both have one length, a
    multiple of 16 elements, and all are below p; and for a kernel that this CPU lacks."""

def subtract(left: bytes, right: bytes, kernel: str) -> bytes: ...
def multiply(left: bytes, right: bytes, kernel: str) -> bytes: ...
def multiply_repeatedly(left: bytes, right: bytes, kernel: str, times: int) -> bytes:
    """left * right^times: what the rate of multiplication is measured with."""

def to_montgomery(value: int) -> int:
    """Of any integer of 32 bits."""

def to_plain(element: int) -> int: ...
def power(base: int, exponent: int) -> int: ...
def inverse(element: int) -> int:
    """Zero for zero."""

def root(log: int) -> int: ...
def extension_add(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Five coefficients each. ValueError for another number of them or one not below p."""

def extension_subtract(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]: ...
def extension_multiply(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]: ...
def extension_power(base: tuple[int, ...], exponent: int) -> tuple[int, ...]: ...
def extension_inverse(element: tuple[int, ...]) -> tuple[int, ...]:
    """Zero for zero."""
