"""Searches for all rows of a table that say something else than an honest one: a small solver.

Constraints of a row are polynomials over its cells, facts are ranges of expressions. What the
attacker is given is fixed (`given`); each cell that is left has an interval of integers. A linear
constraint is multiplied by what makes its coefficients small; where its sides can only meet at one
multiple of p, it is an equation of integers, which narrows the intervals (so a sum that p can be
added to is left open, and both are tried). What is still open is split, away from the honest row's
value first. Rows that say the same as the honest one are not followed further.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cython_core.air.table import MODULUS
from cython_core.zkvm.buses import ALIGNED, BUSES, CONJUNCTION, RANGE
from tests.unit.cython_core.row_rules import (
    Effect,
    Polynomial,
    Rules,
    Said,
    combined,
    constant_of,
    reduced,
)

LEFT_OPEN: Final = 4 * MODULUS
"""A linear constraint that can be so wide narrows nothing."""


@dataclass
class Outcome:
    """What a search found."""

    others: list[list[int]] = field(default_factory=list)
    """Cells of rows that say something else, the first found."""
    is_honest_found: bool = False
    is_exhaustive: bool = True
    """Whether nothing was left out: no value that was only sampled, no budget that was used up."""
    nodes: int = 0


class _Open:
    """A point of the search: intervals of the cells, and what is left of the polynomials."""

    __slots__ = ("high", "low", "queue", "rests")

    def __init__(self, low: list[int], high: list[int], rests: list[Polynomial]) -> None:
        self.low = low
        self.high = high
        self.rests = rests
        self.queue: set[int] = set(range(len(rests)))

    def copy(self) -> "_Open":
        other = _Open(self.low[:], self.high[:], self.rests[:])
        other.queue = set()
        return other


class Search:
    """One search; `without_constraint`, `without_fact`: places in the table that are left out."""

    def __init__(
        self,
        rules: Rules,
        honest: Sequence[int],
        given: Iterable[int],
        honest_effect: Effect | None,
        *,
        changed: Mapping[int, int] | None = None,
        demands: Iterable[Polynomial] = (),
        without_constraint: int | None = None,
        without_fact: int | None = None,
        budget: int = 4000,
        seed: int = 0,
    ) -> None:
        self._honest = list(honest)
        self._honest_effect = honest_effect
        self._known = {column: honest[column] for column in given} | dict(changed or {})
        rules = rules.of({column: self._known[column] for column in rules.selectors})
        self._budget = budget
        self._rng = random.Random(seed)
        self._width = rules.table.main_width
        self._low = [0] * self._width
        self._high = [MODULUS - 1] * self._width
        for column, value in self._known.items():
            self._low[column] = self._high[column] = value
        self._rests: list[Polynomial] = []
        self._conjunctions: list[tuple[int, int, int]] = []
        self.outcome = Outcome()
        for number, constraint in enumerate(rules.constraints):
            if number != without_constraint:
                self._rests.append(reduced(constraint, self._known))
        for number, said in rules.facts.items():
            if number != without_fact:
                self._take(said)
        self._rests += [reduced(demand, self._known) for demand in demands]
        self._rule_count = len(self._rests)
        self._effects: list[tuple[int, int, int]] = []
        """Numbers of the bus, and of the first and last polynomial (times, elements)."""
        for said in rules.effects.values():
            first = len(self._rests)
            self._rests += [reduced(p, self._known) for p in (said.times, *said.elements)]
            self._effects.append((BUSES.index(said.bus), first, len(self._rests)))
        self._uses: list[list[int]] = [[] for _ in self._low]
        for number, rest in enumerate(self._rests):
            for column in {column for monomial in rest for column in monomial}:
                self._uses[column].append(number)
        self._meets: list[list[int]] = [[] for _ in self._low]
        for number, triple in enumerate(self._conjunctions):
            for variable in set(triple):
                self._meets[variable].append(-1 - number)

    # Setting up

    def _take(self, said: Said) -> None:
        """A fact, if the row takes it: ranges for its elements."""
        times = constant_of(reduced(said.times, self._known))
        assert times is not None, "what is given decides which facts are taken"
        if times == 0:
            return
        elements = [reduced(element, self._known) for element in said.elements]
        if said.bus is ALIGNED:
            # x = 4 q + place. An x that is 4 c thereby shows that c is the integer q.
            place = self._variable(elements[1])
            self._high[place] = min(self._high[place], 3)
            parts = combined({(self._new(0, 0x3FFF),): 4}, {(place,): 1}, 1)
            self._rests.append(combined(elements[0], parts, -1))
            return
        variables = [self._variable(element) for element in elements]
        limit = 0xFFFF if said.bus is RANGE else 0xFF
        for variable in variables:
            self._high[variable] = min(self._high[variable], limit)
        if said.bus is CONJUNCTION:
            first, second, both = variables
            self._conjunctions.append((first, second, both))

    def _variable(self, element: Polynomial) -> int:
        """A variable that equals the polynomial: a column, or a new one."""
        if len(element) == 1:
            ((monomial, coefficient),) = element.items()
            if len(monomial) == 1 and coefficient == 1:
                return monomial[0]
        value = constant_of(element)
        if value is not None:
            return self._new(value, value)
        variable = self._new(0, MODULUS - 1)
        self._rests.append(combined(element, {(variable,): 1}, -1))
        return variable

    def _new(self, low: int, high: int) -> int:
        self._low.append(low)
        self._high.append(high)
        return len(self._low) - 1

    # The search

    def run(self) -> Outcome:
        start = _Open(self._low, self._high, self._rests)
        if all(low <= high for low, high in zip(start.low, start.high, strict=True)):
            for variable in range(len(start.low)):
                if start.low[variable] == start.high[variable]:
                    self._substitute(start, variable)
            self._follow(start)
        return self.outcome

    def _follow(self, state: _Open) -> bool:
        """True when the search is over."""
        outcome = self.outcome
        waiting = [state]
        while waiting:
            state = waiting.pop()
            outcome.nodes += 1
            if outcome.nodes > self._budget:
                outcome.is_exhaustive = False
                return True
            if not self._propagate(state):
                continue
            effect = self._effect(state)
            if effect is not None and effect == self._honest_effect:
                outcome.is_honest_found = True
                continue
            variable = self._choice(state)
            if variable is None:
                assert effect is not None
                outcome.others.append(state.low[: self._width])
                return True
            waiting += reversed(self._split(state, variable, is_decided=effect is not None))
        return False

    def _effect(self, state: _Open) -> Effect | None:
        """None where it is not decided yet."""
        tuples: Counter[tuple[int, ...]] = Counter()
        for bus, first, last in self._effects:
            times = constant_of(state.rests[first])
            if times is None:
                return None
            if times == 0:
                continue
            elements = []
            for number in range(first + 1, last):
                element = constant_of(state.rests[number])
                if element is None:
                    return None
                elements.append(element)
            tuples[bus, *elements] += times
        return {key: times % MODULUS for key, times in tuples.items() if times % MODULUS}

    def _choice(self, state: _Open) -> int | None:
        """The open variable with the fewest values."""
        best, least = None, MODULUS + 1
        for variable, (low, high) in enumerate(zip(state.low, state.high, strict=True)):
            if low != high and high - low < least:
                best, least = variable, high - low
                if least == 1:
                    break
        return best

    def _split(self, state: _Open, variable: int, *, is_decided: bool) -> list[_Open]:
        low, high = state.low[variable], state.high[variable]
        honest = self._honest[variable] if variable < self._width else low
        if high - low < 4:
            ranges = [(value, value) for value in range(low, high + 1)]
        elif high == MODULUS - 1 and low == 0:
            # Nothing bounds it: values are tried. That decides nothing but what it says itself.
            tried = dict.fromkeys([0, 1, MODULUS - 1, self._rng.randrange(MODULUS), honest])
            ranges = [(value, value) for value in tried]
            self.outcome.is_exhaustive &= is_decided
        else:
            middle = (low + high) // 2
            ranges = [(low, middle), (middle + 1, high)]
        ranges.sort(key=lambda bounds: bounds[0] <= honest <= bounds[1])
        return [self._with(state, variable, bounds) for bounds in ranges]

    def _with(self, state: _Open, variable: int, bounds: tuple[int, int]) -> _Open:
        other = state.copy()
        other.low[variable], other.high[variable] = bounds
        self._changed(other, variable)
        return other

    # What follows from what

    def _changed(self, state: _Open, variable: int) -> None:
        if state.low[variable] == state.high[variable]:
            self._substitute(state, variable)
        else:
            state.queue.update(n for n in self._uses[variable] if n < self._rule_count)

    def _substitute(self, state: _Open, variable: int) -> None:
        known = {variable: state.low[variable]}
        state.queue.update(self._meets[variable])
        for number in self._uses[variable]:
            state.rests[number] = reduced(state.rests[number], known)
            if number < self._rule_count:
                state.queue.add(number)

    def _propagate(self, state: _Open) -> bool:
        """False when nothing satisfies what is left."""
        while state.queue:
            number = state.queue.pop()
            if number < 0:
                is_possible = self._meet(state, *self._conjunctions[-1 - number])
            else:
                is_possible = number >= self._rule_count or self._narrow(state, state.rests[number])
            if not is_possible:
                return False
        return True

    def _narrow(self, state: _Open, rest: Polynomial) -> bool:
        if not rest:
            return True
        if len(rest) == 1 and () in rest:
            return False
        degree = max(map(len, rest))
        if degree == 1:
            return self._narrow_linear(state, rest)
        if degree == 2 and len(rest) <= 2:
            return self._narrow_square(state, rest)
        return True

    def _narrow_square(self, state: _Open, rest: Polynomial) -> bool:
        """x^2 = x: a bit."""
        for monomial, coefficient in rest.items():
            if len(monomial) == 2 and monomial[0] == monomial[1]:
                other = rest.get(monomial[:1], 0)
                if len(rest) == 2 and (coefficient + other) % MODULUS == 0:
                    return self._limit(state, monomial[0], 0, 1)
        return True

    def _limit(self, state: _Open, variable: int, low: int, high: int) -> bool:
        low, high = max(low, state.low[variable]), min(high, state.high[variable])
        if low > high:
            return False
        if (low, high) != (state.low[variable], state.high[variable]):
            state.low[variable], state.high[variable] = low, high
            self._changed(state, variable)
        return True

    def _meet(self, state: _Open, first: int, second: int, both: int) -> bool:
        """A conjunction, once its operands are known."""
        if any(state.low[variable] != state.high[variable] for variable in (first, second)):
            return True
        value = state.low[first] & state.low[second]
        return self._limit(state, both, value, value)

    def _narrow_linear(self, state: _Open, rest: Polynomial) -> bool:
        terms = [(monomial[0], value) for monomial, value in rest.items() if monomial]
        constant = rest.get((), 0)
        if len(terms) == 1:
            variable, coefficient = terms[0]
            value = -constant * pow(coefficient, -1, MODULUS) % MODULUS
            return self._limit(state, variable, value, value)
        low, high = state.low, state.high
        widths = [high[variable] - low[variable] for variable, _ in terms]
        best: list[int] = []
        least, constant_best = LEFT_OPEN, 0
        for _, divisor in terms:
            factor = pow(divisor, -1, MODULUS)
            small = [_centred(value * factor) for _, value in terms]
            span = sum(abs(c) * width for c, width in zip(small, widths, strict=True))
            if span < least:
                best, least, constant_best = small, span, constant * factor % MODULUS
        if not best:
            return True
        ends = [
            (c * low[v], c * high[v]) if c > 0 else (c * high[v], c * low[v])
            for c, (v, _) in zip(best, terms, strict=True)
        ]
        bottom = sum(end[0] for end in ends) + constant_best
        top = sum(end[1] for end in ends) + constant_best
        multiple = -(-bottom // MODULUS) * MODULUS
        if multiple > top:
            return False
        if multiple + MODULUS <= top:
            return True
        for coefficient, (variable, _), (least_term, greatest_term) in zip(
            best, terms, ends, strict=True
        ):
            lower = multiple - (top - greatest_term)
            upper = multiple - (bottom - least_term)
            if coefficient < 0:
                lower, upper = -upper, -lower
            size = abs(coefficient)
            if not self._limit(state, variable, -(-lower // size), upper // size):
                return False
        return True


def _centred(value: int) -> int:
    value %= MODULUS
    return value - MODULUS if value > MODULUS // 2 else value
