"""A table as a program: straight-line instructions over places (air/tape.h).

Only what the outputs need is computed. A value stays in the place of the output that it is, or in a
slot that is free again after its last use, so that a table of thousands of nodes runs in a scratch
memory that fits into the first cache.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from cython_core.air.table import ARITHMETIC, MODULUS, SCALARS, Node, Operation, Table

DIGEST_CONTEXT: Final = b"p2pseq/air/program/v1"


class Code(IntEnum):
    """`enum air_operation` of air/tape.h."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    ADD_SCALAR = 3
    SUBTRACT_FROM = 4
    SCALE = 5
    DOUBLE_ADD = 6
    COPY = 7
    FILL = 8


TAKES_SCALAR: Final = frozenset({Code.ADD_SCALAR, Code.SUBTRACT_FROM, Code.SCALE, Code.FILL})
"""Codes whose b is a scalar; the b of the others is a value."""
TAKES_ONE: Final = frozenset({Code.COPY})
TAKES_NONE: Final = frozenset({Code.FILL})


class Step(NamedTuple):
    """An instruction over values that are still without a place."""

    code: Code
    value: int
    """Number of what it computes: a node, or a number above all nodes for an extra value."""
    a: int
    b: int

    def inputs(self) -> tuple[int, ...]:
        """The values it reads."""
        if self.code in TAKES_NONE:
            return ()
        if self.code in TAKES_ONE or self.code in TAKES_SCALAR:
            return (self.a,)
        return (self.a, self.b)


@dataclass(frozen=True)
class Listing:
    """What an interpreter or a code generator needs of a table."""

    table: Table
    steps: tuple[Step, ...]
    constants: tuple[int, ...]
    """Plain values; scalar numbers from len(constants) on are public values."""
    public_count: int
    """Public values that are read: those below this number."""

    @cached_property
    def operand_numbers(self) -> dict[int, int]:
        """Nodes that are operands, and which operand each is."""
        numbers = {node: number for number, node in enumerate(self.table.operands)}
        return {
            index: numbers[node] for index, node in enumerate(self.table.nodes) if node in numbers
        }

    @cached_property
    def homes(self) -> dict[int, int]:
        """Values that are outputs, and the first output that each is."""
        homes: dict[int, int] = {}
        for output, node in enumerate(self.table.outputs):
            if node not in self.operand_numbers:
                homes.setdefault(node, output)
        return homes

    @property
    def copies(self) -> Iterator[tuple[int, int]]:
        """Outputs that no step leaves in their place, and the value that each is."""
        for output, node in enumerate(self.table.outputs):
            if self.homes.get(node) != output:
                yield output, node


def program_digest(table: Table) -> bytes:
    """Names what a program computes: the nodes and which of them are the outputs."""
    words = [len(table.nodes), len(table.outputs), *table.outputs]
    for node in table.nodes:
        words += node
    return sha256(DIGEST_CONTEXT + struct.pack(f"<{len(words)}I", *words)).digest()


@lru_cache(maxsize=256)
def assembled(table: Table) -> "tuple[Listing, Tape]":
    """Kept, since every proof asks for the programs of the same tables."""
    listing = compile_table(table)
    return listing, assemble(listing)


def compile_table(table: Table) -> Listing:
    """Steps for everything that the outputs need, in the order of the nodes."""
    return _Compiler(table).compile()


class _Compiler:
    def __init__(self, table: Table) -> None:
        self._nodes = table.nodes
        self._table = table
        self._needed = _needed(table.nodes, table.outputs)
        self._doubled = self._doubled_summands()
        self._steps: list[Step] = []
        self._constants: dict[int, int] = {}
        self._filled: set[int] = set()

    def compile(self) -> Listing:
        for index in self._needed:
            node = self._nodes[index]
            if node.operation in ARITHMETIC and index not in self._doubled:
                self._operation(index, node)
        for output in self._table.outputs:
            if self._is_scalar(output):
                self._fill(output)
        publics = [
            self._nodes[index].a
            for index in self._needed
            if self._nodes[index].operation == Operation.PUBLIC
        ]
        return Listing(
            table=self._table,
            steps=tuple(map(self._with_scalar_number, self._steps)),
            constants=tuple(self._constants),
            public_count=max(publics, default=-1) + 1,
        )

    def _doubled_summands(self) -> dict[int, int]:
        """Nodes 2 * x that only serve one sum, and their x: the sum is then one instruction."""
        uses = dict.fromkeys(self._table.outputs, 2)
        summands: set[int] = set()
        for index in self._needed:
            node = self._nodes[index]
            if node.operation in ARITHMETIC:
                for operand in {node.a, node.b}:
                    uses[operand] = uses.get(operand, 0) + 1
                if node.operation == Operation.ADD and node.a != node.b:
                    summands |= {node.a, node.b}
        candidates = {index: self._halved(self._nodes[index]) for index in summands}
        return {i: x for i, x in candidates.items() if x is not None and uses[i] == 1}

    def _halved(self, node: Node) -> int | None:
        """The x of 2 * x or x + x."""
        if node.operation == Operation.ADD and node.a == node.b and not self._is_scalar(node.a):
            return node.a
        if node.operation == Operation.MULTIPLY:
            for scalar, other in ((node.a, node.b), (node.b, node.a)):
                if self._nodes[scalar] == _TWO and not self._is_scalar(other):
                    return other
        return None

    def _is_scalar(self, index: int) -> bool:
        return self._nodes[index].operation in SCALARS

    def _operation(self, index: int, node: Node) -> None:
        if node.operation == Operation.ADD and not self._doubled.keys().isdisjoint(node[1:]):
            self._double_add(index, node.a, node.b)
        elif (half := self._halved(node)) is not None:
            self._steps.append(Step(Code.ADD, index, half, half))
        elif self._is_scalar(node.a) or self._is_scalar(node.b):
            self._with_scalar(index, node)
        else:
            self._steps.append(Step(_CODES[node.operation], index, node.a, node.b))

    def _double_add(self, index: int, a: int, b: int) -> None:
        if a not in self._doubled:
            a, b = b, a
        if self._is_scalar(b):
            self._fill(b)
        elif b in self._doubled:
            self._steps.append(Step(Code.ADD, b, self._doubled[b], self._doubled[b]))
        self._steps.append(Step(Code.DOUBLE_ADD, index, self._doubled[a], b))

    def _with_scalar(self, index: int, node: Node) -> None:
        a, b = node.a, node.b
        if self._is_scalar(a) and self._is_scalar(b):
            self._fill(a)
        elif self._is_scalar(a):
            a, b = b, a
            if node.operation == Operation.SUBTRACT:
                self._steps.append(Step(Code.SUBTRACT_FROM, index, a, self._scalar(b)))
                return
        if node.operation == Operation.MULTIPLY:
            self._steps.append(Step(Code.SCALE, index, a, self._scalar(b)))
        elif node.operation == Operation.ADD:
            self._steps.append(Step(Code.ADD_SCALAR, index, a, self._scalar(b)))
        elif self._nodes[b].operation == Operation.CONSTANT:
            negated = self._constant(-self._nodes[b].a % MODULUS)
            self._steps.append(Step(Code.ADD_SCALAR, index, a, negated))
        else:
            self._fill(b)
            self._steps.append(Step(Code.SUBTRACT, index, a, b))

    def _fill(self, index: int) -> None:
        """Makes a scalar node a value for each row."""
        if index not in self._filled:
            self._filled.add(index)
            self._steps.append(Step(Code.FILL, index, 0, self._scalar(index)))

    def _scalar(self, index: int) -> int:
        """Of a constant its number; of a public value, until all constants are known, below 0."""
        node = self._nodes[index]
        return self._constant(node.a) if node.operation == Operation.CONSTANT else -1 - node.a

    def _constant(self, value: int) -> int:
        return self._constants.setdefault(value, len(self._constants))

    def _with_scalar_number(self, step: Step) -> Step:
        if step.code in TAKES_SCALAR and step.b < 0:
            return step._replace(b=len(self._constants) - 1 - step.b)
        return step


_TWO: Final = Node(Operation.CONSTANT, 2)
_CODES: Final[dict[int, Code]] = {
    Operation.ADD: Code.ADD,
    Operation.SUBTRACT: Code.SUBTRACT,
    Operation.MULTIPLY: Code.MULTIPLY,
}


def _needed(nodes: Sequence[Node], outputs: Sequence[int]) -> list[int]:
    """Nodes that the outputs depend on, ascending."""
    needed = set(outputs)
    for index in range(len(nodes) - 1, -1, -1):
        if index in needed and nodes[index].operation in ARITHMETIC:
            needed |= {nodes[index].a, nodes[index].b}
    return sorted(needed)


@dataclass(frozen=True)
class Tape:
    """A program whose values have places (air/tape.h), for the interpreter."""

    instructions: tuple[tuple[int, int, int, int], ...]
    """Code, target, a, b."""
    slot_count: int


def assemble(program: Listing) -> Tape:
    """Gives each value a place: the outputs come first, then the operands, then the slots."""
    outputs = len(program.table.outputs)
    first_slot = outputs + len(program.table.operands)
    last_use = {
        value: position for position, step in enumerate(program.steps) for value in step.inputs()
    }
    places = {
        **{value: outputs + number for value, number in program.operand_numbers.items()},
        **program.homes,
    }
    free: list[int] = []
    slot_count = 0
    instructions: list[tuple[int, int, int, int]] = []
    for position, step in enumerate(program.steps):
        inputs = [places[value] for value in step.inputs()]
        ended = {value for value in step.inputs() if last_use[value] == position}
        free.extend(sorted(places[value] for value in ended if places[value] >= first_slot))
        if step.value not in places:
            if not free:
                free.append(first_slot + slot_count)
                slot_count += 1
            places[step.value] = free.pop()
        a = inputs[0] if inputs else 0
        b = inputs[1] if len(inputs) > 1 else step.b
        instructions.append((step.code, places[step.value], a, b))
    for output, value in program.copies:
        instructions.append((Code.COPY, output, places[value], 0))
    return Tape(tuple(instructions), slot_count)
