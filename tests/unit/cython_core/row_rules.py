"""The rules of a table's rows, multiplied out: constraints and interactions as polynomials."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import prod
from typing import Final

from cython_core.air.language import Bus
from cython_core.air.table import MODULUS, Operation, Table
from cython_core.zkvm.buses import ALIGNED, BUSES, CONJUNCTION, PAIR, RANGE

Monomial = tuple[int, ...]
Polynomial = dict[Monomial, int]
"""Coefficients below p, by the columns of each product, ascending."""
Effect = dict[tuple[int, ...], int]
"""What a row puts on buses that are no facts: (bus, elements...) with multiplicities."""

FACT_BUSES: Final = (RANGE, PAIR, CONJUNCTION, ALIGNED)


def combined(a: Polynomial, b: Polynomial, sign: int) -> Polynomial:
    total = dict(a)
    for monomial, coefficient in b.items():
        value = (total.get(monomial, 0) + sign * coefficient) % MODULUS
        if value:
            total[monomial] = value
        else:
            total.pop(monomial, None)
    return total


def multiplied(a: Polynomial, b: Polynomial) -> Polynomial:
    total: Polynomial = {}
    for left, x in a.items():
        for right, y in b.items():
            monomial = tuple(sorted(left + right))
            total[monomial] = (total.get(monomial, 0) + x * y) % MODULUS
    return {monomial: value for monomial, value in total.items() if value}


def reduced(polynomial: Polynomial, known: Mapping[int, int]) -> Polynomial:
    """With the known columns replaced by their values."""
    total: Polynomial = {}
    for monomial, coefficient in polynomial.items():
        left, value = [], coefficient
        for column in monomial:
            if column in known:
                value = value * known[column] % MODULUS
            else:
                left.append(column)
        if value:
            key = tuple(left)
            total[key] = (total.get(key, 0) + value) % MODULUS
    return {monomial: value for monomial, value in total.items() if value}


def value_of(polynomial: Polynomial, cells: Sequence[int]) -> int:
    products = (
        coefficient * prod(cells[column] for column in monomial)
        for monomial, coefficient in polynomial.items()
    )
    return sum(products) % MODULUS


def constant_of(polynomial: Polynomial) -> int | None:
    if not polynomial:
        return 0
    return polynomial.get(()) if len(polynomial) == 1 else None


@dataclass(frozen=True)
class Said:
    """An interaction."""

    times: Polynomial
    bus: Bus
    elements: tuple[Polynomial, ...]

    def reduced(self, known: Mapping[int, int]) -> "Said":
        elements = tuple(reduced(element, known) for element in self.elements)
        return Said(reduced(self.times, known), self.bus, elements)


class Rules:
    """A table's constraints and interactions, multiplied out; facts and effects keep their places
    in the table, so that one can be left out."""

    def __init__(self, table: Table) -> None:
        values: list[Polynomial] = []
        for node in table.nodes:
            match Operation(node.operation):
                case Operation.CONSTANT:
                    values.append({(): node.a} if node.a else {})
                case Operation.MAIN:
                    assert node.b == 0
                    values.append({(node.a,): 1})
                case Operation.MULTIPLY:
                    values.append(multiplied(values[node.a], values[node.b]))
                case Operation.ADD | Operation.SUBTRACT:
                    sign = 1 if node.operation == Operation.ADD else -1
                    values.append(combined(values[node.a], values[node.b], sign))
                case other:
                    raise AssertionError(other)
        self.table = table
        self._known: dict[tuple[tuple[int, int], ...], Rules] = {}
        self.selectors = [
            number for number, name in enumerate(table.labels.main) if name.startswith("is_")
        ]
        self.constraints = [values[node] for node in table.constraints]
        self.facts: dict[int, Said] = {}
        self.effects: dict[int, Said] = {}
        for number, interaction in enumerate(table.interactions):
            said = Said(
                values[interaction.multiplicity],
                BUSES[interaction.bus],
                tuple(values[element] for element in interaction.elements),
            )
            kind = self.facts if said.bus in FACT_BUSES else self.effects
            kind[number] = said

    def of(self, selectors: Mapping[int, int]) -> "Rules":
        """What is left of the rules in rows of one operation."""
        key = tuple(selectors.items())
        if key not in self._known:
            other = copy(self)
            other.constraints = [reduced(rule, selectors) for rule in self.constraints]
            other.facts = {at: said.reduced(selectors) for at, said in self.facts.items()}
            other.effects = {at: said.reduced(selectors) for at, said in self.effects.items()}
            self._known[key] = other
        return self._known[key]

    def taken(self, cells: Sequence[int]) -> list[tuple[str, tuple[int, ...]]]:
        """The facts that a row takes, by the bus."""
        return [
            (said.bus.name, tuple(value_of(element, cells) for element in said.elements))
            for said in self.facts.values()
            if value_of(said.times, cells)
        ]
