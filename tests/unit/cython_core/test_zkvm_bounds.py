"""What is equal in the field is equal as integers: no constraint is wide enough to meet p.

Each constraint of each operation, multiplied by what makes its coefficients small, is a sum of
cells whose ranges are known. If its greatest and least value are less than p apart, then it is zero
modulo p for one integer only. A product whose carries had 16 bits failed this.
"""

from itertools import product
from math import prod
from typing import Final

import pytest

from cython_core.air.table import MODULUS
from cython_core.vm.operations import Op
from cython_core.zkvm.buses import ALIGNED, CONJUNCTION, PAIR, RANGE
from cython_core.zkvm.families import FAMILY_CHIPS
from cython_core.zkvm.row_chip import RowChip
from tests.unit.cython_core.row_rules import (
    Polynomial,
    Said,
    combined,
    constant_of,
    multiplied,
)
from tests.unit.cython_core.zkvm_cases import TABLES
from tests.unit.cython_core.zkvm_forgery import CLOCKS, places_of, rules_of

Range = tuple[int, int]

PC_LIMIT: Final = 1 << 29
"""Code lies below 2^31 (program_table)."""
CLOCK_LIMIT: Final = 1 << 27
"""There are not as many rows in the tables of all chips together."""
WORDS: Final = ("v1", "v2", "old", "word", "imm", "answer")
"""In range: the program's, and what other rows sent."""
HIGH_BYTE: Final = pow(256, -1, MODULUS)
"""Of a limb less its low byte."""
FLAGS: Final = ("reads_1", "reads_2", "dup", "writes", "alias_1", "alias_2")
"""The program's."""
FREE: Final = {"npc"}
"""Made by their constraint, whatever it comes to; rows see to what they are (program_table)."""
DIFFERS: Final = "equal, or a limb differs"
"""The constraint is one in the field: a difference that is not zero has an inverse."""


def centred(value: int) -> int:
    value %= MODULUS
    return value - MODULUS if value > MODULUS // 2 else value


class Ranges:
    """Of the cells of a row of one operation."""

    def __init__(self, chip: RowChip, op: Op) -> None:
        places = places_of(chip.name)
        selectors = {places[f"is_{other.name.lower()}"]: int(other is op) for other in chip.ops}
        self.names = TABLES[chip.name].labels.main
        self.rules = rules_of(chip.name).of(selectors)
        self.known: dict[int, Range] = {places["pc"]: (0, PC_LIMIT)}
        self.made: dict[int, Polynomial] = {}
        """Columns that facts say are made up of others: two bytes, four times a number."""
        for name, column in places.items():
            if name.endswith((".low", ".high")) and name.split(".")[0] in WORDS:
                self.known[column] = (0, 0xFFFF)
            elif name in (*CLOCKS, "clock"):
                self.known[column] = (0, CLOCK_LIMIT)
            elif name in FLAGS:
                self.known[column] = (0, 1)
        for rule in self.rules.constraints:
            square = next((m for m in rule if len(m) == 2 and m[0] == m[1]), None)
            if square is not None and len(rule) == 2:
                self.known[square[0]] = (0, 1)
        self.equations: list[tuple[str, Polynomial]] = []
        for fact in self.rules.facts.values():
            if constant_of(fact.times) != 0:
                self._take(fact)
        labels = TABLES[chip.name].labels.constraints
        for label, rule in zip(labels, self.rules.constraints, strict=True):
            if rule and not any(m[:1] == m[1:] for m in rule if len(m) == 2):
                self.equations.append((label, rule))
        self.equations = [(label, self._expanded(rule)) for label, rule in self.equations]

    def _take(self, fact: Said) -> None:
        limits = {RANGE: [0xFFFF], PAIR: [0xFF] * 2, CONJUNCTION: [0xFF] * 3, ALIGNED: [0xFFFF, 3]}
        for element, limit in zip(fact.elements, limits[fact.bus], strict=True):
            fresh = -1 - len(self.known)
            if len(element) == 1 and () not in element:
                (((column, *_), coefficient),) = element.items()
                is_whole = fact.bus is ALIGNED and limit > 3 and constant_of(fact.elements[1]) == 0
                if is_whole and coefficient == 1:
                    self.known[fresh] = (0, limit // 4)
                    self.made[column] = {(fresh,): 4}
                    continue
                assert coefficient == 1 or (is_whole and coefficient == 4)
                self.known[column] = (0, limit // coefficient)
            elif len(element) > 1:
                self.known[fresh] = (0, limit)
                if sorted(element.values()) == sorted((HIGH_BYTE, MODULUS - HIGH_BYTE)):
                    signs = {coefficient: column for (column,), coefficient in element.items()}
                    low = signs[MODULUS - HIGH_BYTE]
                    self.made[signs[HIGH_BYTE]] = {(low,): 1, (fresh,): 256}
                else:
                    self.equations.append(
                        (f"a fact of {fact.bus.name}", combined(element, {(fresh,): 1}, -1))
                    )

    def _expanded(self, rule: Polynomial) -> Polynomial:
        """In the cells that others are made up of."""
        total: Polynomial = {}
        for monomial, coefficient in rule.items():
            term: Polynomial = {(): coefficient}
            for column in monomial:
                term = multiplied(term, self.made.get(column, {(column,): 1}))
            total = combined(total, term, 1)
        return total

    def reach(self, terms: Polynomial) -> Range:
        """Least and greatest sum, with the coefficients nearest to zero."""
        low = high = 0
        for monomial, coefficient in terms.items():
            ends = [prod(v) for v in product(*(self.known[column] for column in monomial))]
            both = centred(coefficient) * min(ends), centred(coefficient) * max(ends)
            low, high = low + min(both), high + max(both)
        return low, high

    def narrowest(self, terms: Polynomial) -> int:
        widths = []
        for divisor in set(terms.values()):
            factor = pow(divisor, -1, MODULUS)
            low, high = self.reach({m: c * factor % MODULUS for m, c in terms.items()})
            widths.append(high - low)
        return min(widths)

    def unknown(self, terms: Polynomial) -> set[int]:
        return {column for m in terms for column in m if column not in self.known}

    def define(self) -> None:
        """Cells that equal a sum of others have its range."""
        is_changed = True
        while is_changed:
            is_changed = False
            for _, terms in self.equations:
                unknown = self.unknown(terms)
                own = [m for m in terms if unknown.intersection(m)]
                if len(unknown) == 1 and len(own) == 1 and len(own[0]) == 1:
                    (column,) = own[0]
                    if column >= 0 and self.names[column] in FREE:
                        continue
                    factor = -pow(terms[own[0]], -1, MODULUS)
                    low, high = self.reach(
                        {m: c * factor % MODULUS for m, c in terms.items() if m != own[0]}
                    )
                    assert high - low < MODULUS, self.names[column]
                    self.known[column] = (low, high)
                    is_changed = True


CASES = [(chip, op) for chip in FAMILY_CHIPS for op in chip.ops]


@pytest.mark.parametrize(("chip", "op"), CASES, ids=lambda value: value.name)
def test_no_sum_reaches_p(chip: RowChip, op: Op) -> None:
    ranges = Ranges(chip, op)
    ranges.define()
    for label, terms in ranges.equations:
        if label.endswith(DIFFERS):
            continue
        names = {ranges.names[column] for column in ranges.unknown(terms)}
        if names:
            assert names <= FREE, (label, names)
            continue
        assert ranges.narrowest(terms) < MODULUS, label


def test_carries_of_sixteen_bits_would_reach_p() -> None:
    (chip,) = (chip for chip in FAMILY_CHIPS if chip.name == "multiply")
    ranges = Ranges(chip, Op.MUL)
    ranges.define()
    first = dict(ranges.equations)["all 1: limb 0 of a product"]
    assert ranges.narrowest(first) < MODULUS
    ranges.known[places_of("multiply")["carry.all.0"]] = (0, 0xFFFF)
    assert ranges.narrowest(first) > MODULUS
