"""The language: what an expression becomes, and every refusal with its whole message."""

from collections.abc import Callable

import pytest

from cython_core import field
from cython_core.air.degrees import Degree, node_degrees
from cython_core.air.language import AirError, Bus, TableBuilder, build_system, powers_sum
from cython_core.air.table import MODULUS, Interaction, Node, Operation
from cython_core.air.weaken import without_constraint, without_interaction
from tests.unit.cython_core.air_cases import BYTES, RESULTS, fibonacci, reader, small_system


@pytest.fixture
def table() -> TableBuilder:
    return TableBuilder("t")


def test_the_modulus_is_that_of_the_field() -> None:
    assert MODULUS == field.P


def test_nodes_come_in_order_and_each_once(table: TableBuilder) -> None:
    a, b = table.main("a"), table.main("b")
    a * b * a  # nothing uses it
    table.require((a + b) * (b + a), "square")
    table.require((a + b) * 5 + b.next, "again")
    built = table.build()
    assert built.nodes == (
        Node(Operation.MAIN, 0, 0),
        Node(Operation.MAIN, 1, 0),
        Node(Operation.ADD, 0, 1),
        Node(Operation.MULTIPLY, 2, 2),
        Node(Operation.CONSTANT, 5),
        Node(Operation.MULTIPLY, 2, 4),
        Node(Operation.MAIN, 1, 1),
        Node(Operation.ADD, 5, 6),
    )
    assert built.constraints == (3, 7)
    assert built.labels.constraints == ("square", "again")
    assert built.main_next == (1,)
    assert built.operands == (built.nodes[0], built.nodes[1], built.nodes[6])


def test_constants_are_folded_and_neutral_operations_are_none(table: TableBuilder) -> None:
    a = table.main("a")
    assert all(
        same.node == a.node for same in (a + 0, 0 + a, a - 0, a * 1, 1 * a, a * (MODULUS + 1))
    )
    zeros = [a * 0, 0 * a, a - a, table.constant(3) * 0, table.constant(7) - 7]
    assert {repr(zero) for zero in zeros} == {"0"}
    assert repr(table.constant(3) * 5 - 16) == str(MODULUS - 1)
    assert repr(-a) == repr(a * -1) == "(0 - a)"
    assert (a + 1 - 1).node != a.node  # no algebra beyond constants


def test_formulas_can_be_read(table: TableBuilder) -> None:
    a, p = table.main("a"), table.preprocessed("p", [0, 1])
    q = table.periodic("q", [2, 3])
    assert repr(a.next * p.next - table.public(1)) == "((a.next * p.next) - public(1))"
    assert repr(table.is_first * q) == "(is_first * q)" or repr(table.is_first * q) == (
        "(q * is_first)"
    )
    assert repr(powers_sum([a] * 9, 2)).count("...") == 1


def test_powers_sum_puts_limbs_together(table: TableBuilder) -> None:
    assert powers_sum([1, 2, 3], 10) == 321
    assert powers_sum([], 2) == 0
    a, b = table.main("a"), table.main("b")
    assert repr(powers_sum([a, b], 256)) == "((b * 256) + a)" or (
        repr(powers_sum([a, b], 256)) == "(a + (b * 256))"
    )


def test_an_expression_has_no_truth_value(table: TableBuilder) -> None:
    message = "an expression has no truth value: its value depends on the row"
    with pytest.raises(TypeError) as caught:
        assert table.main("a")
    assert str(caught.value) == message


def test_degrees_of_rows_and_transitions(table: TableBuilder) -> None:
    a = table.main("a")
    table.require_transition(a * a * a.next, "rule")
    degrees = node_degrees(table.build().nodes)
    assert degrees[-1] == Degree(3, 1)


def _too_high(table: TableBuilder) -> None:
    a = table.main("a")
    table.require(a * a * a * a, "fourth power")


def _too_high_with_selector(table: TableBuilder) -> None:
    a = table.main("a")
    table.require_first(a * a * a, "cube at first")


def _too_many_transitions(table: TableBuilder) -> None:
    table.require_transition(table.is_transition * table.is_transition * table.main("a"), "thrice")


def _same_name(table: TableBuilder) -> None:
    a = table.main("a")
    table.require(a, "rule")
    table.require(a - 1, "rule")


def _no_name(table: TableBuilder) -> None:
    table.require(table.main("a"), "")


def _constant(table: TableBuilder) -> None:
    table.require(table.main("a") * 0, "nothing")


def _other_table(table: TableBuilder) -> None:
    table.require(table.main("a") + TableBuilder("u").main("b"), "mixed")


def _wrong_width(table: TableBuilder) -> None:
    table.send(RESULTS, [table.main("a")])


def _element_degree(table: TableBuilder) -> None:
    a = table.main("a")
    table.send(RESULTS, [a, a * a * a])


def _multiplicity_degree(table: TableBuilder) -> None:
    a = table.main("a")
    table.receive(RESULTS, [a, a], a * a * a, name="take")


def _element_transitions(table: TableBuilder) -> None:
    table.send(RESULTS, [1, table.is_transition * table.is_transition])


def _unknown_bus(table: TableBuilder) -> None:
    table.send(RESULTS, [1, 2])
    table.build([BYTES])


def _columns_twice(table: TableBuilder) -> None:
    table.main("a", 2)
    table.main("a[1]")


def _lengths(table: TableBuilder) -> None:
    table.preprocessed("p", range(4))
    table.preprocessed("q", range(8))


def _period(table: TableBuilder) -> None:
    table.periodic("p", range(3))


def _period_above_height(table: TableBuilder) -> None:
    low = TableBuilder("low", greatest_log=1)
    low.require(low.main("a") * low.periodic("p", range(4)), "rule")
    low.build()


REFUSALS: dict[Callable[[TableBuilder], None], str] = {
    _too_high: "table 't': constraint 'fourth power' has degree 4, at most 3 is possible",
    _too_high_with_selector: (
        "table 't': constraint 'cube at first' has degree 4, at most 3 is possible"
    ),
    _too_many_transitions: (
        "table 't': constraint 'thrice' multiplies 3 times by is_transition, at most 2 is possible"
    ),
    _same_name: "table 't': each constraint has a name of its own: 'rule'",
    _no_name: "table 't': each constraint has a name of its own: ''",
    _constant: "table 't': constraint 'nothing' is the constant 0",
    _other_table: "table 't': b belongs to table 'u'",
    _wrong_width: "table 't': 'send results': 1 elements; bus 'results' has width 2",
    _element_degree: "table 't': 'send results': element 1 has degree 3, at most 2 is possible",
    _multiplicity_degree: (
        "table 't': 'take': the multiplicity has degree 3, at most 2 is possible"
    ),
    _element_transitions: (
        "table 't': 'send results': element 1 multiplies 2 times by is_transition, "
        "at most 1 is possible"
    ),
    _unknown_bus: "table 't': 'send results': bus 'results' is not one of the system's",
    _columns_twice: "table 't': there are two main columns 'a[1]'",
    _lengths: (
        "table 't': preprocessed column 'q': 8 values; it takes one power of two "
        "for all preprocessed columns"
    ),
    _period: "table 't': periodic column 'p': 3 is no power of two",
    _period_above_height: "table 'low': it has a period of 4 rows and at most 2 rows",
}


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda refused: refused.__name__)
def test_refusals(table: TableBuilder, refused: Callable[[TableBuilder], None]) -> None:
    with pytest.raises(AirError) as caught:
        refused(table)
    assert str(caught.value) == REFUSALS[refused]


def test_degree_bounds_themselves_are_allowed(table: TableBuilder) -> None:
    a = table.main("a")
    table.require(a * a * a, "cube")
    table.require_transition(table.is_transition * a * a * a, "two transitions")
    table.send(RESULTS, [a * a, table.is_transition * a], a * a)
    assert len(table.build([RESULTS]).constraints) == 2


def test_public_values_are_numbered_by_the_system() -> None:
    with pytest.raises(AirError) as caught:
        build_system([fibonacci()], [RESULTS], public_count=0)
    assert str(caught.value) == "table 'fibonacci': public value 0 of 0 public values"


def test_a_system_numbers_tables_and_buses() -> None:
    system = build_system([reader(), fibonacci()], [BYTES, RESULTS], public_count=1)
    assert [table.name for table in system.tables] == ["reader", "fibonacci"]
    assert system.bus_widths == (1, 2)
    assert system.bus_name(1) == "results"
    assert system.table_number("fibonacci") == 1
    assert [interaction.bus for interaction in system.table("reader").interactions] == [1, 0, 0, 0]
    assert system.table("reader").labels.interactions == (
        "receive results",
        "send bytes",
        "receive bytes",
        "receive bytes 2",
    )


def test_heights_follow_preprocessed_and_periodic_columns() -> None:
    system = small_system()
    assert [(t.smallest_log, t.greatest_log) for t in system.tables] == [(1, 22), (2, 2)]
    table = TableBuilder("t", smallest_log=1, greatest_log=5)
    table.require(table.main("a") - table.periodic("p", range(8)), "rule")
    built = table.build()
    assert (built.smallest_log, built.greatest_log) == (3, 5)


def test_a_receive_negates_the_multiplicity(table: TableBuilder) -> None:
    a = table.main("a")
    table.receive(BYTES, [a])
    table.receive(BYTES, [a], a)
    built = table.build([BYTES])
    first, second = built.interactions
    assert built.nodes[first.multiplicity] == Node(Operation.CONSTANT, MODULUS - 1)
    assert built.nodes[second.multiplicity].operation == Operation.SUBTRACT


def test_interactions_are_grouped_as_degrees_allow(table: TableBuilder) -> None:
    a = table.main("a")
    bus = Bus("bus", 1)
    table.send(bus, [a], a * a)  # with another of degree 1: 2 + 1
    table.send(bus, [a * a], a)  # alone: its denominator has degree 2
    table.send(bus, [a + 1])
    table.send(bus, [5])
    built = table.build([bus])
    assert built.groups == ((0, 2), (1,), (3,))
    assert built.auxiliary_width == 20


def test_a_table_without_interactions_has_no_auxiliary_columns(table: TableBuilder) -> None:
    table.require(table.main("a"), "rule")
    assert table.build().auxiliary_width == 0


def test_one_rule_can_be_left_out() -> None:
    table = small_system().table("reader")
    fewer = without_constraint(table, 0)
    assert fewer.constraints == table.constraints[1:]
    assert fewer.labels.constraints == ("rows count",)
    fewer = without_interaction(table, 1)
    assert fewer.interactions == (table.interactions[0], *table.interactions[2:])
    assert fewer.labels.interactions == ("receive results", "receive bytes", "receive bytes 2")
    assert sorted(number for group in fewer.groups for number in group) == [0, 1, 2]
    system = small_system().with_table(fewer)
    assert system.table("reader").interactions == fewer.interactions
    assert isinstance(fewer.interactions[0], Interaction)
