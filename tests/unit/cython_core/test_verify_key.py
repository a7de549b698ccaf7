"""The compiled verifier's reading of keys: every rule and limit, and the same as the decoder's."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from cython_core.air.key import InvalidKey, decode_key
from cython_core.stark import _verify
from cython_core.stark.errors import InvalidProof, Reason
from tests.support import reference_air as air
from tests.support.reference_air import Interaction, Key, Table, decode, encode
from tests.support.reference_field import P, b3, u32
from tests.support.reference_systems import fibonacci, mixed

GOOD = mixed().key


def compiled_refuses(encoded: bytes) -> bool:
    """Whether the compiled verifier says that these bytes are no key."""
    widths = _verify.bus_widths(encoded)
    head = b"P2SP" + u32(1) + b3("key", encoded)
    publics = encoded[40 + 4 * len(widths) : 44 + 4 * len(widths)]
    count = min(int.from_bytes(publics, "little"), 1025)
    with pytest.raises(InvalidProof) as refusal:
        _verify.verify(encoded, [0] * count, [], b"", head)
    is_bad = refusal.value.reason is Reason.BAD_KEY
    assert is_bad or refusal.value.reason is Reason.TRUNCATED
    return is_bad


def decoder_refuses(encoded: bytes) -> bool:
    try:
        decode_key(encoded)
    except InvalidKey:
        return True
    return False


def changed_table(number: int, change: Callable[[Table], object]) -> bytes:
    key = decode(GOOD)
    change(key.tables[number])
    return encode(key)


def changed_key(change: Callable[[Key], object]) -> bytes:
    key = decode(GOOD)
    change(key)
    return encode(key)


def with_nodes(table: Table, *nodes: tuple[int, int, int]) -> int:
    """Appends nodes that may point to one another by negative numbers; returns the last."""
    for operation, a, b in nodes:
        start = len(table.nodes)
        table.nodes.append((operation, a + start if a < 0 else a, b + start if b < 0 else b))
    return len(table.nodes) - 1


COLUMN = (air.MAIN, 0, 0)
SQUARE = (air.MUL, -1, -1)
TRANSITION = (air.IS_TRANSITION, 0, 0)


def require(*nodes: tuple[int, int, int]) -> bytes:
    return changed_table(2, lambda t: t.constraints.append(with_nodes(t, *nodes)))


def interact(multiplicity: int, *elements: int) -> bytes:
    """Table 0 puts one more tuple on bus 0 or 1, in a group of its own."""

    def change(table: Table) -> None:
        bus = 0 if len(elements) == 1 else 1
        table.interactions.append(Interaction(bus, multiplicity, elements))
        table.groups.append((len(table.interactions) - 1,))

    return changed_table(0, change)


def interact_with(*nodes: tuple[int, int, int], is_multiplicity: bool = False) -> bytes:
    def change(table: Table) -> None:
        node = with_nodes(table, *nodes)
        table.interactions.append(Interaction(0, node, (0,)))
        if not is_multiplicity:
            table.interactions[-1] = Interaction(0, 0, (node,))
        table.groups.append((len(table.interactions) - 1,))

    return changed_table(0, change)


def parameters(**changes: int) -> bytes:
    def change(key: Key) -> None:
        key.parameters = replace(key.parameters, **changes)

    return changed_key(change)


def set_on(table: int, **changes: object) -> bytes:
    return changed_table(table, lambda t: [setattr(t, name, v) for name, v in changes.items()])


def set_on_key(**changes: object) -> bytes:
    return changed_key(lambda key: [setattr(key, name, v) for name, v in changes.items()])


KEYS: list[tuple[str, bool, bytes]] = [
    ("the key itself", True, GOOD),
    ("most queries", True, parameters(queries=256)),
    ("too many queries", False, parameters(queries=257)),
    ("no queries", False, parameters(queries=0)),
    ("blowup 2", False, parameters(blowup_log=1)),
    ("blowup 8", False, parameters(blowup_log=3)),
    ("most query grinding", True, parameters(query_grinding=32)),
    ("too much query grinding", False, parameters(query_grinding=33)),
    ("most commit grinding", True, parameters(commit_grinding=32)),
    ("too much commit grinding", False, parameters(commit_grinding=33)),
    ("no folding", False, parameters(fold_log=0)),
    ("most folding", True, parameters(fold_log=4)),
    ("too much folding", False, parameters(fold_log=5)),
    ("longest final polynomial", True, parameters(final_log=10)),
    ("too long a final polynomial", False, parameters(final_log=11)),
    ("greatest height too great", False, parameters(max_height_log=23)),
    ("tables higher than the greatest", False, parameters(max_height_log=21)),
    ("a bus without width", False, set_on_key(buses=[1, 3, 0])),
    ("the widest bus", True, set_on_key(buses=[1, 3, 64])),
    ("too wide a bus", False, set_on_key(buses=[1, 3, 65])),
    ("most buses", True, set_on_key(buses=[1, 3] + [1] * 62)),
    ("too many buses", False, set_on_key(buses=[1, 3] + [1] * 63)),
    ("most publics", True, set_on_key(public_count=1024)),
    ("too many publics", False, set_on_key(public_count=1025)),
    ("a public value that is none", False, set_on_key(public_count=1)),
    ("no tables", False, set_on_key(tables=[], preprocessed_root=bytes(32))),
    ("no root", False, set_on_key(preprocessed_root=bytes(32))),
    ("a root for nothing", False, changed_key(lambda key: key.tables.pop(1))),
    ("two tables of one name", False, set_on(1, name="values")),
    ("no name", False, set_on(1, name="")),
    ("the longest name", True, set_on(1, name="x" * 64)),
    ("too long a name", False, set_on(1, name="x" * 65)),
    ("a name that does not print", False, set_on(1, name="ran\nge")),
    ("no main column", False, set_on(2, main_width=0)),
    ("most columns", True, set_on(2, main_width=4096)),
    ("too many columns", False, set_on(2, main_width=4097)),
    ("too many preprocessed columns", False, set_on(1, preprocessed_width=4097)),
    ("preprocessed columns of two heights", False, set_on(1, smallest=2)),
    ("preprocessed columns of more heights", False, set_on(1, greatest=4)),
    ("least height above the greatest", False, set_on(2, smallest=5, greatest=4)),
    ("a period above the least height", False, set_on(0, smallest=0)),
    ("most periodic columns", True, set_on(0, periodic=[(1, 0)] * 256)),
    ("too many periodic columns", False, set_on(0, periodic=[(1, 0)] * 257)),
    ("the longest period", True, set_on(0, smallest=10, periodic=[(1,) * 1024])),
    ("too long a period", False, set_on(0, smallest=11, periodic=[(1,) * 2048])),
    ("a periodic value above p", False, set_on(0, periodic=[(1, P)])),
    ("a periodic column that is none", False, set_on(0, periodic=[])),
    ("degree 3", True, require(COLUMN, SQUARE, (air.MUL, -1, -2))),
    ("degree 4", False, require(COLUMN, SQUARE, SQUARE)),
    ("degree 3 by a sum", True, require(COLUMN, SQUARE, (air.MUL, -1, -2), (air.ADD, -1, -3))),
    ("degree 2^40", False, require(COLUMN, *[SQUARE] * 40)),
    ("degree 2^300", False, require(COLUMN, *[SQUARE] * 300)),
    ("two transitions", True, require(TRANSITION, SQUARE)),
    ("three transitions", False, require(TRANSITION, SQUARE, (air.MUL, -1, -2))),
    ("no such operation", False, require((11, 0, 0))),
    ("no such column", False, require((air.MAIN, 2, 0))),
    ("the row after the next", False, require((air.MAIN, 0, 2))),
    ("no such preprocessed column", False, require((air.PREPROCESSED, 0, 0))),
    ("no such periodic column", False, require((air.PERIODIC, 0, 0))),
    ("no such public value", False, require((air.PUBLIC, 2, 0))),
    ("a constant of p", False, require((air.CONSTANT, P, 0))),
    ("a constant with b", False, require((air.CONSTANT, 1, 1))),
    ("a periodic column with an offset", False, changed_table(
        0, lambda t: with_nodes(t, (air.PERIODIC, 0, 1)))),
    ("is_first with an operand", False, require((air.IS_FIRST, 1, 0))),
    ("is_last with an operand", False, require((air.IS_LAST, 0, 1))),
    ("is_transition with an operand", False, require((air.IS_TRANSITION, 1, 1))),
    ("a node of itself", False, changed_table(2, lambda t: t.nodes.append(
        (air.ADD, len(t.nodes), 0)))),
    ("a node of a later one", False, changed_table(2, lambda t: t.nodes.append(
        (air.MUL, 0, len(t.nodes) + 1)))),
    ("a constraint of no node", False, changed_table(2, lambda t: t.constraints.append(
        len(t.nodes)))),
    ("one more interaction", True, interact(0, 0)),
    ("a multiplicity of no node", False, interact(10_000, 0)),
    ("an element of no node", False, interact(0, 10_000)),
    ("a tuple of degree 2", True, interact_with(COLUMN, SQUARE)),
    ("a tuple of degree 3", False, interact_with(COLUMN, SQUARE, (air.MUL, -1, -2))),
    ("a tuple with a transition", True, interact_with(TRANSITION)),
    ("a tuple with two transitions", False, interact_with(TRANSITION, SQUARE)),
    ("a multiplicity of degree 2", True, interact_with(COLUMN, SQUARE, is_multiplicity=True)),
    ("a multiplicity of degree 3", False, interact_with(
        COLUMN, SQUARE, (air.MUL, -1, -2), is_multiplicity=True)),
    ("a multiplicity with two transitions", False, interact_with(
        TRANSITION, SQUARE, is_multiplicity=True)),
    ("one group for each", True, set_on(0, groups=[(0,), (1,), (2,)])),
    ("groups in another order", True, set_on(0, groups=[(2,), (0, 1)])),
    ("a group too many", False, set_on(0, groups=[(0, 1), (2,), (2,)])),
    ("an empty group", False, set_on(0, groups=[(0, 1), (2,), ()])),
    ("an interaction without a group", False, set_on(0, groups=[(0, 1)])),
    ("an interaction in two groups", False, set_on(0, groups=[(0, 1), (1, 2)])),
    ("an interaction in two groups, another in none", False, set_on(0, groups=[(0, 1), (1,)])),
    ("an interaction twice in a group", False, set_on(0, groups=[(0, 0), (1,), (2,)])),
    ("a group that descends", False, set_on(0, groups=[(1, 0), (2,)])),
    ("a group of none of them", False, set_on(0, groups=[(0, 3), (1,), (2,)])),
    ("a group of too high a degree", False, set_on(0, groups=[(0, 2), (1,)])),
    ("a group of three", False, set_on(0, groups=[(0, 1, 2)])),
]  # fmt: skip


@pytest.mark.parametrize(("what", "is_good", "key"), KEYS, ids=[name for name, *_ in KEYS])
def test_rules(what: str, is_good: bool, key: bytes) -> None:
    assert compiled_refuses(key) is not is_good
    assert decoder_refuses(key) is not is_good


def test_bus_that_does_not_exist() -> None:
    """The encoder of the tests needs a bus's width, so that one is put in by hand."""
    key = decode(GOOD)
    table = key.tables[3]
    good = air.encode_table(table)
    spelled = u32(2, table.interactions[0].bus, table.interactions[0].multiplicity)
    assert good.count(spelled) == 1
    bad = good.replace(spelled, u32(2, 2, table.interactions[0].multiplicity))
    for refuses in (compiled_refuses, decoder_refuses):
        assert not refuses(GOOD)
        assert refuses(GOOD.replace(good, bad))


def test_truncations_and_additions() -> None:
    for length in range(len(GOOD)):
        assert compiled_refuses(GOOD[:length])
    for more in (b"\0", bytes(4), bytes(32), GOOD):
        assert compiled_refuses(GOOD + more)
    assert compiled_refuses(GOOD + bytes((1 << 24) + 1 - len(GOOD)))


@pytest.mark.parametrize("key", [GOOD, fibonacci().key], ids=["mixed", "fibonacci"])
def test_changed_keys_are_judged_as_by_the_decoder(key: bytes, seed: int) -> None:
    print("seed", seed)
    randomness, refused = random.Random(seed), 0
    for position in range(len(key)):
        mask = 1 << randomness.randrange(8)
        changed = key[:position] + bytes([key[position] ^ mask]) + key[position + 1 :]
        is_refused = compiled_refuses(changed)
        refused += is_refused
        assert is_refused == decoder_refuses(changed), (position, mask)
    assert 0 < refused < len(key)
