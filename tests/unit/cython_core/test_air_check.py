"""The checker accepts honest traces, and names what is wrong with others."""

from collections.abc import Callable

import pytest

from cython_core import field
from cython_core.air.check import Violation, check
from cython_core.air.language import Bus, TableBuilder, build_system
from cython_core.air.table import MODULUS, PublicInteraction, System
from tests.unit.cython_core.air_cases import (
    RESULTS,
    fibonacci,
    fibonacci_trace,
    honest_traces,
    small_system,
)


def violation(
    system: System,
    traces: list[list[list[int]]],
    publics: tuple[int, ...] = (1,),
    public_interactions: tuple[PublicInteraction, ...] = (),
) -> Violation:
    with pytest.raises(Violation) as caught:
        check(system, traces, publics, public_interactions)
    return caught.value


def changed(table: int, column: int, row: int, value: int) -> list[list[list[int]]]:
    traces = honest_traces()
    traces[table][column][row] = value
    return traces


def test_honest_traces_satisfy() -> None:
    check(small_system(), honest_traces(), [1])


def test_matrices_are_traces() -> None:
    matrices = [field.Matrix.from_columns(trace) for trace in honest_traces()]
    check(small_system(), matrices, [1])


def test_public_interactions_balance() -> None:
    system = build_system([fibonacci()], [RESULTS], 1)
    taken = PublicInteraction(0, MODULUS - 1, (5, 8))
    check(system, [fibonacci_trace()], [1], [taken])
    caught = violation(system, [fibonacci_trace()], (1,), (taken, taken))
    assert str(caught) == (
        "bus 'results': (5, 8) is left with -1 (the statement -1; the statement -1; "
        "table 'fibonacci', 'send results', row 4: +1)"
    )


def test_a_constraint_is_named_with_what_it_read() -> None:
    caught = violation(small_system(), changed(0, 1, 7, 9))
    assert str(caught).endswith("not 0, with a = 13, b = 21, b.next = 9")
    assert str(caught).startswith(
        "table 'fibonacci', row 6: constraint 'b is the sum of the two before it' is "
    )
    assert (caught.table, caught.row) == ("fibonacci", 6)
    assert caught.rule == "b is the sum of the two before it"
    caught = violation(small_system(), honest_traces(), (2,))
    assert str(caught).endswith("not 0, with a = 1, PUBLIC 0 = 2")
    assert (caught.row, caught.rule) == (0, "a starts as the statement says")


def test_the_first_row_that_fails_is_reported() -> None:
    traces = honest_traces()
    traces[0][2][2] = 7
    traces[0][0][6] = 0
    assert violation(small_system(), traces).row == 2


def test_selectors_speak_of_their_rows() -> None:
    """A column of ones breaks each rule in exactly the rows that it speaks of."""
    rows = {"first": [0], "last": [3], "transition": [0, 1, 2]}
    for kind, wrong in rows.items():
        table = TableBuilder("t")
        getattr(table, f"require_{kind}")(table.main("a"), kind)
        system = build_system([table])
        for row in range(4):
            trace = [[int(other == row) for other in range(4)]]
            if row in wrong:
                assert violation(system, [trace], ()).row == row
            else:
                check(system, [trace])


def test_a_selector_is_no_multiplicity() -> None:
    """is_first is the height in the first row: a send by it is seen that many times."""
    bus = Bus("bus", 1)
    table = TableBuilder("t")
    table.send(bus, [table.main("a")], table.is_first)
    system = build_system([table], [bus])
    check(system, [[[7, 0, 0, 0]]], [], [PublicInteraction(0, MODULUS - 4, (7,))])
    caught = violation(system, [[[7, 0, 0, 0]]], (), (PublicInteraction(0, MODULUS - 1, (7,)),))
    assert str(caught) == (
        "bus 'bus': (7,) is left with +3 (the statement -1; table 't', 'send bus', row 0: +4)"
    )


def test_a_tuple_without_partner_is_named() -> None:
    caught = violation(small_system(), changed(1, 2, 2, 1))
    assert str(caught) == (
        "bus 'results': (0, 0) is left with -1 (table 'reader', 'receive results', row 2: -1)"
    )


def test_many_contributors_are_cut_short() -> None:
    bus = Bus("bus", 1)
    table = TableBuilder("t")
    table.send(bus, [table.main("a")], name="all")
    caught = violation(build_system([table], [bus]), [[[7] * 8]], ())
    rows = "; ".join(f"table 't', 'all', row {row}: +1" for row in range(6))
    assert str(caught) == f"bus 'bus': (7,) is left with +8 ({rows}; and 2 more)"


def test_tall_traces_are_checked_in_blocks() -> None:
    """The rows next to the seams of blocks, and the wrap, among them."""
    table = TableBuilder("counter")
    a = table.main("a")
    table.require_transition(a.next - a - 1, "counts")
    system = build_system([table])
    column = list(range(2048))
    check(system, [[column]])
    for row in (0, 511, 512, 1023, 2047):
        wrong = column[:]
        wrong[row] += 1
        assert violation(system, [[wrong]], ()).row == max(row - 1, 0)


SHAPES: dict[str, tuple[Callable[[], list[list[list[int]]]], str]] = {
    "tables": (lambda: honest_traces()[:1], "1 traces; the system has 2 tables"),
    "columns": (
        lambda: [honest_traces()[0][:2], honest_traces()[1]],
        "table 'fibonacci': 2 columns, not 3",
    ),
    "ragged": (
        lambda: [[[1, 1], [1, 2], [0]], honest_traces()[1]],
        "table 'fibonacci': column 2 has 1 rows, the first has 2",
    ),
    "odd": (
        lambda: [[[1] * 3] * 3, honest_traces()[1]],
        "table 'fibonacci': 3 rows, not a power of two from 2 to 4194304",
    ),
    "low": (
        lambda: [[[1]] * 3, honest_traces()[1]],
        "table 'fibonacci': 1 rows, not a power of two from 2 to 4194304",
    ),
    "empty": (
        lambda: [[[]] * 3, honest_traces()[1]],
        "table 'fibonacci': 0 rows, not a power of two from 2 to 4194304",
    ),
    "preprocessed height": (
        lambda: [honest_traces()[0], [[0] * 8] * 3],
        "table 'reader': 8 rows, not a power of two from 4 to 4",
    ),
    "value": (
        lambda: changed(0, 1, 3, MODULUS),
        "table 'fibonacci': column 1 has a value that is not 0 to p - 1",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_traces_have_the_shape_of_their_tables(name: str) -> None:
    make, message = SHAPES[name]
    assert str(violation(small_system(), make())) == message


def test_public_values_are_counted() -> None:
    message = "2 public values; the system has 1"
    assert str(violation(small_system(), honest_traces(), (1, 2))) == message
