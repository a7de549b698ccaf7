"""Field, polynomials, hashes, transcript and commitments of docs/proofs.md, slow and plain.

Written from the page alone, for tests: it shares no code with `cython_core`, so that agreement
means something. Extension elements are tuples of five integers below P.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from blake3 import blake3

P: Final = 2**31 - 2**24 + 1
GENERATOR: Final = 3
DEGREE: Final = 5

Item = TypeVar("Item")
Ext = tuple[int, ...]
Row = list[int]
Matrix = list[Row]
"""Rows of base field elements."""

ZERO: Final[Ext] = (0,) * DEGREE
ONE: Final[Ext] = (1, 0, 0, 0, 0)


def root(log: int) -> int:
    return pow(GENERATOR, (P - 1) >> log, P)


def base(value: int) -> Ext:
    return (value % P, 0, 0, 0, 0)


def xadd(a: Ext, b: Ext) -> Ext:
    return tuple((x + y) % P for x, y in zip(a, b, strict=True))


def xsub(a: Ext, b: Ext) -> Ext:
    return tuple((x - y) % P for x, y in zip(a, b, strict=True))


def xmul(a: Ext, b: Ext) -> Ext:
    product = [0] * 9
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    for power in range(8, 4, -1):  # X^power = X^(power-5) - X^(power-3)
        product[power - 5] += product[power]
        product[power - 3] -= product[power]
    return tuple(x % P for x in product[:DEGREE])


def xpower(a: Ext, exponent: int) -> Ext:
    power = ONE
    for bit in bin(exponent)[2:]:
        power = xmul(power, power)
        if bit == "1":
            power = xmul(power, a)
    return power


def xinverse(a: Ext) -> Ext:
    """Linear algebra: the matrix of multiplication by `a`, solved for one."""
    powers_of_x = [tuple(int(i == j) for i in range(DEGREE)) for j in range(DEGREE)]
    columns = [xmul(a, power) for power in powers_of_x]
    rows = [[column[i] for column in columns] + [int(i == 0)] for i in range(DEGREE)]
    for i in range(DEGREE):
        pivot = next(r for r in range(i, DEGREE) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        scale = pow(rows[i][i], -1, P)
        rows[i] = [x * scale % P for x in rows[i]]
        for r in range(DEGREE):
            if r != i:
                factor = rows[r][i]
                rows[r] = [(x - factor * y) % P for x, y in zip(rows[r], rows[i], strict=True)]
    return tuple(row[DEGREE] for row in rows)


def evaluate_on_subgroup(coefficients: Sequence[int], log: int) -> list[int]:
    """Values at g_log^0, g_log^1, ...; fewer coefficients than points are filled with zeros."""
    padded = list(coefficients) + [0] * ((1 << log) - len(coefficients))
    if log == 0:
        return padded
    even, odd = (evaluate_on_subgroup(padded[part::2], log - 1) for part in (0, 1))
    half, generator, point = 1 << (log - 1), root(log), 1
    values = [0] * (1 << log)
    for i in range(half):
        twisted = point * odd[i]
        values[i], values[i + half] = (even[i] + twisted) % P, (even[i] - twisted) % P
        point = point * generator % P
    return values


def interpolate(values: Sequence[int]) -> list[int]:
    """Coefficients of the polynomial with these values on the subgroup of this length."""
    log = len(values).bit_length() - 1
    scale = pow(len(values), -1, P)
    twice = evaluate_on_subgroup(values, log)
    return [twice[-i % len(values)] * scale % P for i in range(len(values))]


def evaluate(coefficients: Sequence[int], x: Ext) -> Ext:
    value = ZERO
    for coefficient in reversed(coefficients):
        value = xadd(xmul(value, x), base(coefficient))
    return value


def reversed_bits(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2) if bits else 0


def bit_reversed(items: Sequence[Item]) -> list[Item]:
    bits = len(items).bit_length() - 1
    return [items[reversed_bits(i, bits)] for i in range(len(items))]


def domain_key(name: str) -> bytes:
    return blake3(f"p2pseq/proof/{name}/v1".encode()).digest()


def b3(name: str, message: bytes, length: int = 32) -> bytes:
    return blake3(message, key=domain_key(name)).digest(length)


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def ext_bytes(*elements: Ext) -> bytes:
    return b"".join(u32(*element) for element in elements)


class Stream:
    """What a squeeze gives."""

    def __init__(self, seed: bytes) -> None:
        self.seed, self.offset = seed, 0

    def word(self) -> int:
        self.offset += 4
        stream = b3("squeeze", self.seed, self.offset)
        return int.from_bytes(stream[-4:], "little")

    def element(self) -> int:
        while (value := self.word() & 0x7FFFFFFF) >= P:
            pass
        return value

    def extension(self) -> Ext:
        return tuple(self.element() for _ in range(DEGREE))

    def extensions(self, count: int) -> list[Ext]:
        return [self.extension() for _ in range(count)]


class Transcript:
    """`record` has all that was absorbed, in order."""

    def __init__(self) -> None:
        self.state = bytes(32)
        self.record: list[tuple[str, bytes]] = []

    def absorb(self, label: str, message: bytes) -> None:
        self.record.append((label, message))
        head = self.state + u32(len(label)) + label.encode()
        self.state = b3("transcript", head + len(message).to_bytes(8, "little") + message)

    def squeeze(self, label: str) -> Stream:
        seed = self.state + label.encode().ljust(24, b"\0")
        self.state = b3("transcript", seed)
        return Stream(seed)

    def grind(self, bits: int, label: str) -> int:
        nonce = 0
        while not self.is_ground(bits, nonce):
            nonce += 1
        self.absorb(label, nonce.to_bytes(8, "little"))
        return nonce

    def is_ground(self, bits: int, nonce: int) -> bool:
        work = b3("grind", self.state + nonce.to_bytes(8, "little"))
        return int.from_bytes(work, "little") % (1 << bits) == 0


class Commitment:
    """To matrices of rows that stand in bit-reversed order already."""

    def __init__(self, matrices: Sequence[Matrix]) -> None:
        self.matrices = matrices
        self.log = max(len(matrix) for matrix in matrices).bit_length() - 1
        self.levels: dict[int, list[bytes]] = {}
        for level in range(self.log, -1, -1):
            self.levels[level] = [self._node(level, j) for j in range(1 << level)]
        self.root = self.levels[0][0]

    def _node(self, level: int, j: int) -> bytes:
        row = b""
        for matrix in self.matrices:
            if len(matrix) == 1 << level:
                row += u32(*matrix[j], *[0] * (-len(matrix[j]) % 16))
        if level == self.log:
            return b3("row", row)
        above = self.levels[level + 1]
        node = b3("node", above[2 * j] + above[2 * j + 1])
        return b3("inject", node + b3("row", row)) if row else node

    def open(self, positions: Sequence[int], domain_log: int) -> bytes:
        wanted = sorted({position >> (domain_log - self.log) for position in positions})
        opening = b""
        for matrix in self.matrices:
            level = len(matrix).bit_length() - 1
            for j in sorted({position >> (self.log - level) for position in wanted}):
                opening += u32(*matrix[j])
        for level in range(self.log, 0, -1):
            for position in wanted:
                if position ^ 1 not in wanted:
                    opening += self.levels[level][position ^ 1]
            wanted = sorted({position >> 1 for position in wanted})
        return opening


def extended(columns: Sequence[Sequence[int]], blowup_log: int) -> Matrix:
    """The columns' low-degree extensions (given their coefficients), as rows, bit-reversed."""
    log = len(columns[0]).bit_length() - 1 + blowup_log
    values = [bit_reversed(evaluate_on_subgroup(column, log)) for column in columns]
    return [list(row) for row in zip(*values, strict=True)]
