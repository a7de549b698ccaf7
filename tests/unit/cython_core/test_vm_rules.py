"""The rules against the machine (trace.md 5): the finder finds something iff re-execution differs.

Honest tables carry no fragment, neither for the finder nor for any pair of rows; every cheat's
verdict is that of an independent re-execution; the first row that differs carries a fragment.
"""

import random
from collections import Counter

import pytest

from cython_core.vm import nibbles
from cython_core.vm.algebra import ReferenceAlgebra
from cython_core.vm.finder import Fragment, find, first_difference, holds, is_valid, padded
from cython_core.vm.machine import run_reference
from cython_core.vm.operations import FIELD, MASK, P256, Op
from cython_core.vm.records import Row
from cython_core.vm.rules import access, initial, ports
from cython_core.vm.semantics import ARITHMETIC_STEPS, BRANCH_STEPS
from cython_core.vm.wide import combine
from tests.unit.cython_core.vm_forgery import ADVERSARIES, statement_of
from tests.unit.cython_core.vm_programs import Guest, random_guest

SEED = 41
SIZE = 8


def honest(seed: int) -> tuple[Guest, list[Row], bytes]:
    guest = random_guest(random.Random(seed), SIZE)
    rows = run_reference(guest.program, guest.inputs, guest.answers)[0]
    return guest, padded(rows, len(rows) + 4), statement_of(rows)


def check_honest(first: int, count: int, pairs: int) -> None:
    rng = random.Random(first)
    for seed in range(first, first + count):
        guest, table, statement = honest(seed)
        assert list(find(guest.program, table, statement)) == []
        assert is_valid(guest.program, table, statement)
        for _ in range(pairs):
            i, j = rng.randrange(1, len(table)), rng.randrange(1, len(table))
            for port in ports(table[i]):
                assert access(i, port, j, table[j]) is None
                assert not initial(guest.program, port)


def check_adversaries(first: int, count: int) -> Counter[str]:
    """Each adversary `count` times; what happened, by name."""
    tally: Counter[str] = Counter()
    for number, adversary in enumerate(ADVERSARIES):
        for turn in range(count):
            seed = first + 1_000_003 * number + turn
            rng = random.Random(seed)
            guest, table, statement = honest(rng.randrange(1 << 30))
            if rng.random() < 0.05:
                statement = bytes([statement[0] ^ 1]) + statement[1:]
            forged = adversary(rng, guest, list(table))
            fragments = list(find(guest.program, forged, statement))
            different = first_difference(guest.program, forged)
            name = f"{adversary.__name__}, seed {seed}"
            assert bool(fragments) != is_valid(guest.program, forged, statement), name
            for fragment in fragments:
                assert holds(guest.program, forged, statement, fragment), (name, fragment)
            if different is not None:
                assert any(fragment.i == different for fragment in fragments), name
            elif fragments:
                assert {fragment.clause for fragment in fragments} == {"v6.statement"}, name
            tally.update({fragment.clause for fragment in fragments})
            tally["fraud" if fragments else "valid"] += 1
    return tally


def test_honest_tables_carry_no_fragment() -> None:
    check_honest(SEED, 60, 60)


def test_cheats_are_found_and_only_cheats() -> None:
    tally = check_adversaries(SEED, 16)
    assert tally["fraud"] > 100
    assert tally["valid"] > 20


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_many_honest_tables() -> None:
    check_honest(10_000, 2_000, 200)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_many_cheats() -> None:
    tally = check_adversaries(10_000, 600)
    print(tally)
    assert len(tally) > 30


def test_a_fragment_for_other_rows_does_not_hold() -> None:
    """Fragments of a cheat, shown against the honest table or with indices moved."""
    guest, table, statement = honest(SEED)
    rng = random.Random(SEED)
    shown = 0
    for _ in range(60):
        forged = ADVERSARIES[0](rng, guest, list(table))
        for fragment in find(guest.program, forged, statement):
            shown += 1
            number = fragment.port
            if number < len(list(ports(table[fragment.i]))):
                assert not holds(guest.program, table, statement, fragment)
            assert not holds(guest.program, forged, statement, fragment._replace(i=0))
            far = fragment._replace(i=len(table))
            assert not holds(guest.program, forged, statement, far)
            late = Fragment(fragment.clause, fragment.i, fragment.i, number)
            assert not holds(guest.program, forged, statement, late)
    assert shown > 40


NUMBERS = (0, 1, 2**32 + 976, 2**32 + 977, P256 - 1, P256, P256 + 1, 2**255, 2**256 - 1)


@pytest.mark.parametrize("op", FIELD)
def test_rules_and_steps_compute_the_same_numbers(op: Op) -> None:
    rng = random.Random(op)
    pairs = [(a, c) for a in NUMBERS for c in NUMBERS]
    pairs += [(rng.getrandbits(256), rng.getrandbits(256)) for _ in range(100)]
    for pair in pairs:
        a, c = ([value >> 32 * place & MASK for place in range(8)] for value in pair)
        assert combine(op, a, c) == nibbles.FIELD[op](nibbles.joined(a), nibbles.joined(c)), pair


def test_a_wrong_hint_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotients that are off, and remainders that are not reduced, do not multiply out."""
    a, c = (nibbles.joined([rng.getrandbits(32) for _ in range(8)])
            for rng in (random.Random(1), random.Random(2)))  # fmt: skip
    for shift in (1, -1):
        forged = lambda x, y, by=shift: (x // y + by, x - (x // y + by) * y)  # noqa: E731
        monkeypatch.setattr(nibbles, "divmod", forged, raising=False)
        for op in FIELD[:-1]:
            with pytest.raises(AssertionError):
                nibbles.FIELD[op](a, c)


CORNERS = (0, 1, 2, 31, 32, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF)


@pytest.mark.parametrize("op", [*ARITHMETIC_STEPS, *BRANCH_STEPS])
def test_rules_and_steps_compute_the_same(op: Op) -> None:
    """Two spellings of each operation: over words, and over nibbles with divisions as hints."""
    rng = random.Random(op)
    operands = [(a, b) for a in CORNERS for b in CORNERS]
    operands += [(rng.getrandbits(32), rng.getrandbits(rng.randrange(1, 33))) for _ in range(200)]
    for a, b in operands:
        x, y = nibbles.digits(a), nibbles.digits(b)
        if op in BRANCH_STEPS:
            assert BRANCH_STEPS[op](ReferenceAlgebra(), a, b) == nibbles.BRANCHES[op](x, y)
        else:
            result = ARITHMETIC_STEPS[op](ReferenceAlgebra(), a, b)
            assert result == nibbles.word(nibbles.ARITHMETIC[op](x, y)), (a, b)
