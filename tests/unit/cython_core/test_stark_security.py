"""The security calculator: published numbers again, and enough bits for everything that ships."""

import pytest

from cython_core.air.key import decode_key
from cython_core.air.table import MODULUS
from cython_core.chips.statements import STATEMENTS
from cython_core.stark.parameters import (
    MAXIMAL,
    PRESETS,
    PROVEN,
    SECURITY_BITS,
    preset_name,
    security_of,
    shape_of,
)
from cython_core.stark.security import (
    Estimate,
    Instance,
    Shape,
    best_johnson,
    estimate,
    folds_of,
    johnson,
    queries_needed,
    unique_decoding,
)
from cython_core.zkvm.system import sample_system


def instance(**changes: object) -> Instance:
    """KoalaBear^5, blowup 4, 84 queries, grinding 20 and 4, 2^20 rows; changes to that."""
    fields: dict[str, object] = {
        "height_log": 20,
        "blowup_log": 2,
        "queries": 84,
        "query_grinding": 20,
        "commit_grinding": 4,
        "folds": (3,) * 5,
        "interactions": 500,
    }
    return Instance(**{**fields, **changes})  # type: ignore[arg-type]


SOUNDCALC_M = 50
"""Its gap to the Johnson bound is a hundredth of sqrt(rho) in large fields: m = 50."""


@pytest.mark.parametrize(
    ("changes", "multiplicity", "published"),
    [
        ({}, SOUNDCALC_M, 102),
        ({"blowup_log": 3, "queries": 55, "commit_grinding": 6, "batch_grinding": 4}, 50, 101),
        ({"blowup_log": 4, "queries": 41, "commit_grinding": 8, "batch_grinding": 6}, 50, 101),
        # In smaller fields its gap is rho / 20: m = sqrt(rho) / (2 rho / 20), rounded down.
        (
            {
                "extension_degree": 4,
                "blowup_log": 1,
                "query_grinding": 16,
                "commit_grinding": 0,
            },
            14,
            53,
        ),
    ],
)
def test_johnson_bound_as_published(
    changes: dict[str, object], multiplicity: int, published: int
) -> None:
    system = instance(**changes)
    assert int(estimate(system, johnson(system, multiplicity)).bits) == published
    assert best_johnson(system).bits >= published


@pytest.mark.parametrize(
    ("changes", "published"),
    [
        ({}, 77),
        (
            {
                "extension_degree": 4,
                "blowup_log": 1,
                "query_grinding": 16,
                "commit_grinding": 0,
            },
            50,
        ),
        (
            {
                "extension_degree": 4,
                "blowup_log": 1,
                "queries": 193,
                "query_grinding": 20,
                "interactions": 0,
                "commit_grinding": 6,
                "batch_grinding": 16,
            },
            100,
        ),
    ],
)
def test_unique_decoding_as_published(changes: dict[str, object], published: int) -> None:
    system = instance(**changes)
    assert abs(estimate(system, unique_decoding(system)).bits - published) < 1


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("height_log", range(MAXIMAL.height_log + 1))
def test_every_set_that_ships_has_its_bits_at_every_height(name: str, height_log: int) -> None:
    shape = Shape(
        height_log, MAXIMAL.columns, MAXIMAL.constraints, MAXIMAL.interactions, MAXIMAL.degree
    )
    found = security_of(PRESETS[name], shape)
    assert found.bits >= SECURITY_BITS
    # Not only each round: all errors together.
    assert found.johnson.sum_bits >= SECURITY_BITS
    assert found.unique.bits >= 70


def test_runs_of_the_machine_have_their_bits_with_all_tables_at_their_greatest_height() -> None:
    system = sample_system()
    heights = [table.greatest_log for table in system.tables]
    assert security_of(PROVEN, shape_of(system, heights)).bits >= SECURITY_BITS
    # Multiplicities of a bus cannot wrap even then.
    for bus in range(len(system.bus_widths)):
        count = sum(
            1 << height
            for table, height in zip(system.tables, heights, strict=True)
            for interaction in table.interactions
            if interaction.bus == bus
        )
        assert count < MODULUS, system.bus_name(bus)


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_has_its_bits_at_its_greatest_height(name: str) -> None:
    key = decode_key(STATEMENTS[name].key())
    assert preset_name(key.parameters) is not None
    heights = [table.greatest_log for table in key.system.tables]
    assert security_of(key.parameters, shape_of(key.system, heights)).bits >= SECURITY_BITS


def test_the_set_in_use_is_the_one_of_the_page() -> None:
    assert PRESETS["proven"] == PROVEN
    assert (PROVEN.blowup_log, PROVEN.queries, PROVEN.query_grinding) == (2, 84, 20)
    assert (PROVEN.commit_grinding, PROVEN.fold_log, PROVEN.final_log) == (4, 3, 5)
    assert PROVEN.max_height_log == MAXIMAL.height_log == 22
    assert preset_name(PROVEN) == "proven"


@pytest.mark.parametrize(
    ("weaker", "term"),
    [
        ({"queries": 80}, "queries"),
        ({"query_grinding": 10}, "queries"),
        ({"extension_degree": 4}, "DEEP batching"),
    ],
)
def test_each_weakness_shows_in_its_term(weaker: dict[str, object], term: str) -> None:
    system = instance(**weaker)
    found = estimate(system, johnson(system, 46))
    assert found.bits < best_johnson(instance()).bits
    assert min(found.terms, key=lambda one: one.bits).name == term


def test_commit_grinding_counts_in_each_fold_and_nowhere_else() -> None:
    with_work, without = (
        estimate(system, johnson(system, 46))
        for system in (instance(), instance(commit_grinding=0))
    )
    for first, second in zip(with_work.terms, without.terms, strict=True):
        gained = 4 if first.name.startswith("fold") else 0
        assert first.bits == pytest.approx(second.bits + gained)


def test_one_query_more_than_needed_is_enough() -> None:
    system = instance(query_grinding=0, queries=queries_needed(82, 2, 46))
    bits = _term(estimate(system, johnson(system, 46)), "queries")
    assert 82 <= bits < 83


def _term(found: Estimate, name: str) -> float:
    (bits,) = (term.bits for term in found.terms if term.name == name)
    return bits


def test_folds() -> None:
    assert folds_of(22, 3, 5) == (3, 3, 3, 3, 3, 2)
    assert folds_of(5, 3, 5) == ()
    with pytest.raises(ValueError, match="a fold is at least by two"):
        folds_of(5, 0, 0)


def test_small_multiplicities_are_outside_of_the_theorem() -> None:
    with pytest.raises(ValueError, match="m is at least 3"):
        johnson(instance(), 2)


def test_label_and_table() -> None:
    found = security_of(PROVEN)
    assert found.label() == (
        "102 bits proven (random-oracle model; Johnson bound, ePrint 2025/2055), "
        "76 in unique decoding"
    )
    lines = found.table()
    assert lines[0].split() == ["term", "unique", "Johnson", "source"]
    assert [line for line in lines if line.startswith("weakest round")] == [
        "weakest round           77.0    102.4  Johnson bound, m = 37"
    ]
