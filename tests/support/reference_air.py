"""Verification keys for tests: built, encoded and decoded from docs/proofs.md alone.

`Air` builds the nodes of one table with operators; `encode` and `decode` are the page's section
"Verification key". No check is made here: tests also want keys that break the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

CONSTANT: Final = 0
MAIN: Final = 1
PREPROCESSED: Final = 2
PERIODIC: Final = 3
PUBLIC: Final = 4
IS_FIRST: Final = 5
IS_LAST: Final = 6
IS_TRANSITION: Final = 7
ADD: Final = 8
SUB: Final = 9
MUL: Final = 10

P: Final = 2**31 - 2**24 + 1


@dataclass(frozen=True)
class Parameters:
    blowup_log: int = 2
    queries: int = 5
    query_grinding: int = 3
    commit_grinding: int = 1
    fold_log: int = 2
    final_log: int = 1
    max_height_log: int = 22


@dataclass(frozen=True)
class Interaction:
    bus: int
    multiplicity: int
    elements: tuple[int, ...]


@dataclass
class Table:
    name: str
    main_width: int
    preprocessed_width: int = 0
    smallest: int = 0
    greatest: int = 22
    periodic: list[tuple[int, ...]] = field(default_factory=list)
    nodes: list[tuple[int, int, int]] = field(default_factory=list)
    constraints: list[int] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    groups: list[tuple[int, ...]] = field(default_factory=list)

    def next_columns(self, operation: int) -> list[int]:
        return sorted({a for op, a, b in self.nodes if op == operation and b == 1})


@dataclass
class Key:
    parameters: Parameters
    buses: list[int]
    public_count: int
    tables: list[Table]
    preprocessed_root: bytes = bytes(32)


class Node:
    """An expression: the number of a node of `air`."""

    def __init__(self, air: "Air", number: int) -> None:
        self.air, self.number = air, number

    def _with(self, operation: int, other: "Node | int", swap: bool = False) -> "Node":
        operands = [self, other if isinstance(other, Node) else self.air.constant(other)]
        first, second = reversed(operands) if swap else operands
        return self.air.node(operation, first.number, second.number)

    def __add__(self, other: "Node | int") -> "Node":
        return self._with(ADD, other)

    def __sub__(self, other: "Node | int") -> "Node":
        return self._with(SUB, other)

    def __mul__(self, other: "Node | int") -> "Node":
        return self._with(MUL, other)

    def __rsub__(self, other: int) -> "Node":
        return self._with(SUB, other, swap=True)

    __radd__, __rmul__ = __add__, __mul__


class Air:
    """One table; the same node is not written twice."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.first = self.node(IS_FIRST)
        self.last = self.node(IS_LAST)
        self.transition = self.node(IS_TRANSITION)

    def node(self, operation: int, a: int = 0, b: int = 0) -> Node:
        spelled = (operation, a, b)
        if spelled not in self.table.nodes:
            self.table.nodes.append(spelled)
        return Node(self, self.table.nodes.index(spelled))

    def constant(self, value: int) -> Node:
        return self.node(CONSTANT, value % P)

    def main(self, column: int, offset: int = 0) -> Node:
        return self.node(MAIN, column, offset)

    def preprocessed(self, column: int, offset: int = 0) -> Node:
        return self.node(PREPROCESSED, column, offset)

    def periodic(self, values: Sequence[int]) -> Node:
        self.table.periodic.append(tuple(values))
        return self.node(PERIODIC, len(self.table.periodic) - 1)

    def public(self, index: int) -> Node:
        return self.node(PUBLIC, index)

    def require(self, *zeros: Node) -> None:
        self.table.constraints += [zero.number for zero in zeros]

    def interact(self, bus: int, multiplicity: Node | int, *elements: Node) -> None:
        if isinstance(multiplicity, int):
            multiplicity = self.constant(multiplicity)
        numbers = tuple(element.number for element in elements)
        self.table.interactions.append(Interaction(bus, multiplicity.number, numbers))

    def group(self, *groups: tuple[int, ...]) -> Table:
        self.table.groups += groups
        return self.table


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def encode_table(table: Table) -> bytes:
    name = table.name.encode()
    parts = [u32(len(name)), name, u32(table.main_width, table.preprocessed_width)]
    parts += [u32(table.smallest, table.greatest), u32(len(table.periodic))]
    parts += [u32(len(values).bit_length() - 1, *values) for values in table.periodic]
    parts += [u32(len(table.nodes)), *(u32(*node) for node in table.nodes)]
    parts += [u32(len(table.constraints), *table.constraints), u32(len(table.interactions))]
    parts += [u32(i.bus, i.multiplicity, *i.elements) for i in table.interactions]
    parts += [u32(len(table.groups)), *(u32(len(group), *group) for group in table.groups)]
    return b"".join(parts)


def encode(key: Key) -> bytes:
    p = key.parameters
    head = b"P2VK" + u32(1, p.blowup_log, p.queries, p.query_grinding, p.commit_grinding)
    head += u32(p.fold_log, p.final_log, p.max_height_log, len(key.buses), *key.buses)
    head += u32(key.public_count, len(key.tables))
    return head + b"".join(map(encode_table, key.tables)) + key.preprocessed_root


class _Reader:
    def __init__(self, encoded: bytes) -> None:
        self.encoded, self.offset = encoded, 0

    def bytes(self, count: int) -> bytes:
        self.offset += count
        assert self.offset <= len(self.encoded)
        return self.encoded[self.offset - count : self.offset]

    def number(self) -> int:
        return int.from_bytes(self.bytes(4), "little")

    def numbers(self, count: int) -> tuple[int, ...]:
        return tuple(self.number() for _ in range(count))


def decode_table(reader: _Reader, buses: Sequence[int]) -> Table:
    name = reader.bytes(reader.number()).decode()
    main_width, preprocessed_width, smallest, greatest = reader.numbers(4)
    table = Table(name, main_width, preprocessed_width, smallest, greatest)
    table.periodic = [reader.numbers(1 << reader.number()) for _ in range(reader.number())]
    for _ in range(reader.number()):
        operation, a, b = reader.numbers(3)
        table.nodes.append((operation, a, b))
    table.constraints = list(reader.numbers(reader.number()))
    for _ in range(reader.number()):
        bus, multiplicity = reader.numbers(2)
        elements = reader.numbers(buses[bus])
        table.interactions.append(Interaction(bus, multiplicity, elements))
    table.groups = [reader.numbers(reader.number()) for _ in range(reader.number())]
    return table


def decode(encoded: bytes) -> Key:
    """Of a key that is known to be good."""
    reader = _Reader(encoded)
    assert reader.bytes(4) == b"P2VK"
    assert reader.number() == 1
    parameters = Parameters(*reader.numbers(7))
    buses = list(reader.numbers(reader.number()))
    public_count, table_count = reader.numbers(2)
    tables = [decode_table(reader, buses) for _ in range(table_count)]
    key = Key(parameters, buses, public_count, tables, reader.bytes(32))
    assert reader.offset == len(encoded)
    return key
