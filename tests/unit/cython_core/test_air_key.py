"""The verification key: bytes there and back, every mutation noticed, every limit one above."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from cython_core.air import rules
from cython_core.air.degrees import DEGREE_CEILING, node_degrees
from cython_core.air.key import (
    InvalidKey,
    Parameters,
    VerificationKey,
    decode_key,
    encode_key,
    key_digest,
)
from cython_core.air.language import TableBuilder, build_system
from cython_core.air.table import MODULUS, Interaction, Node, Operation, System, Table
from tests.support import reference_systems
from tests.unit.cython_core.air_cases import random_table, small_system

PARAMETERS = Parameters(queries=84, query_grinding=20, commit_grinding=4, fold_log=3, final_log=5)
ROOT = bytes(range(32))
DIGEST = "f89397b2e133c5d0f37fd615022da952ca76634f6bd5c60be3aebcd1ba8190ca"


def small_key() -> bytes:
    return encode_key(small_system(), PARAMETERS, ROOT)


def minimal(**changes: object) -> System:
    """One table with the column a, b = 2 and the constraint a - b; with some fields changed."""
    table = Table(
        name="t",
        main_width=1,
        preprocessed_width=0,
        smallest_log=2,
        greatest_log=4,
        periodic=((1, 2, 3, 4),),
        nodes=(Node(Operation.MAIN, 0), Node(Operation.CONSTANT, 2), Node(9, 0, 1)),
        constraints=(2,),
        interactions=(),
        groups=(),
    )
    return System((replace(table, **changes),), (1,), 1)  # type: ignore[arg-type]


def test_a_key_comes_back() -> None:
    system = small_system()
    key = decode_key(small_key())
    assert key == VerificationKey(PARAMETERS, system, ROOT)
    assert key.encode() == small_key()
    assert key.digest() == key_digest(small_key())
    assert key.system.tables[0].labels.constraints == ()
    for derived in ("outputs", "operands", "main_next", "preprocessed_next", "auxiliary_width"):
        for decoded, built in zip(key.system.tables, system.tables, strict=True):
            assert getattr(decoded, derived) == getattr(built, derived)


@pytest.mark.parametrize("seed", range(5))
def test_keys_of_random_tables_come_back(seed: int) -> None:
    system = System((random_table(seed),), (3,), 3)
    encoding = encode_key(system, PARAMETERS, ROOT)
    assert decode_key(encoding).system == system
    assert decode_key(encoding).encode() == encoding


@pytest.mark.parametrize("case", reference_systems.cases(), ids=lambda case: case.name)
def test_keys_that_were_written_from_the_page_alone(case: reference_systems.Case) -> None:
    assert decode_key(case.key).encode() == case.key


def test_the_format_does_not_change_by_itself() -> None:
    key = encode_key(minimal(), PARAMETERS)
    assert len(key) == 185
    assert key_digest(key).hex() == DIGEST
    assert key[:8] == b"P2VK" + struct.pack("<I", 1)


def test_names_of_the_language_are_not_in_the_key() -> None:
    keys = set()
    for name in ("one", "two"):
        table = TableBuilder("t")
        table.require(table.main(name), name)
        keys.add(encode_key(build_system([table]), PARAMETERS))
    assert len(keys) == 1


def test_each_flipped_bit_is_another_key_or_none() -> None:
    key = small_key()
    original = decode_key(key)
    digests = {key_digest(key)}
    accepted = 0
    for bit in range(8 * len(key)):
        mutated = bytearray(key)
        mutated[bit // 8] ^= 1 << bit % 8
        digests.add(key_digest(bytes(mutated)))
        try:
            decoded = decode_key(bytes(mutated))
        except InvalidKey:
            continue
        accepted += 1
        assert decoded != original
        assert decoded.encode() == bytes(mutated)
    assert len(digests) == 8 * len(key) + 1
    assert 0 < accepted < 4 * len(key)


def test_each_word_set_to_something_is_another_key_or_none() -> None:
    key = small_key()
    original = decode_key(key)
    generator = random.Random(5)
    for position in range(len(key) - 3):
        for value in (0, 1, MODULUS - 1, MODULUS, 2**32 - 1, generator.randrange(64)):
            mutated = key[:position] + struct.pack("<I", value) + key[position + 4 :]
            if mutated == key:
                continue
            try:
                decoded = decode_key(mutated)
            except InvalidKey:
                continue
            assert decoded != original
            assert decoded.encode() == mutated


def test_a_key_has_no_other_length() -> None:
    key = small_key()
    for length in range(len(key)):
        with pytest.raises(InvalidKey):
            decode_key(key[:length])
    with pytest.raises(InvalidKey) as caught:
        decode_key(key + b"\0")
    assert str(caught.value) == "1 bytes after the key"
    with pytest.raises(InvalidKey) as caught:
        decode_key(bytes(rules.KEY_BYTES_MAX + 1))
    assert str(caught.value) == "a key has at most 16777216 bytes, not 16777217"


PARAMETER_REFUSALS = {
    "blowup_log": (3, "blowup log is 3, not 2 to 2"),
    "queries": (257, "number of queries is 257, not 1 to 256"),
    "query_grinding": (33, "query grinding is 33, not 0 to 32"),
    "commit_grinding": (33, "commit grinding is 33, not 0 to 32"),
    "fold_log": (5, "fold log is 5, not 1 to 4"),
    "final_log": (11, "final log is 11, not 0 to 10"),
    "max_height_log": (23, "greatest height log is 23, not 0 to 22"),
}


@pytest.mark.parametrize("name", PARAMETER_REFUSALS)
def test_parameters_have_limits(name: str) -> None:
    value, message = PARAMETER_REFUSALS[name]
    with pytest.raises(InvalidKey) as caught:
        encode_key(minimal(), replace(PARAMETERS, **{name: value}))
    assert str(caught.value) == message
    encode_key(minimal(), replace(PARAMETERS, **{name: value - 1}))
    position = 8 + 4 * ["blowup_log", *list(PARAMETER_REFUSALS)[1:]].index(name)
    key = encode_key(minimal(), PARAMETERS)
    with pytest.raises(InvalidKey) as caught:
        decode_key(key[:position] + struct.pack("<I", value) + key[position + 4 :])
    assert str(caught.value) == message


def test_no_queries_prove_nothing() -> None:
    with pytest.raises(InvalidKey) as caught:
        encode_key(minimal(), replace(PARAMETERS, queries=0))
    assert str(caught.value) == "number of queries is 0, not 1 to 256"


def nodes(*changed: Node) -> dict[str, object]:
    return {"nodes": changed, "constraints": (len(changed) - 1,)}


def column_powers(power: int) -> tuple[Node, ...]:
    return (Node(Operation.MAIN, 0), *(Node(10, index, 0) for index in range(power - 1)))


def with_interactions(count: int, groups: object = None) -> dict[str, object]:
    return {
        "interactions": (Interaction(0, 0, (0,)),) * count,
        "groups": groups or tuple((number,) for number in range(count)),
    }


REFUSED: dict[str, tuple[Callable[[], System], str]] = {
    "no name": (lambda: minimal(name=""), "length of the name is 0, not 1 to 64"),
    "long name": (lambda: minimal(name="n" * 65), "length of the name is 65, not 1 to 64"),
    "strange name": (lambda: minimal(name="a\n"), "the name is not of printable ASCII characters"),
    "no column": (lambda: minimal(main_width=0), "main width is 0, not 1 to 4096"),
    "many columns": (lambda: minimal(main_width=4097), "main width is 4097, not 1 to 4096"),
    "many preprocessed": (
        lambda: minimal(preprocessed_width=4097),
        "preprocessed width is 4097, not 0 to 4096",
    ),
    "two heights": (
        lambda: minimal(preprocessed_width=1),
        "preprocessed columns have one height",
    ),
    "high": (lambda: minimal(greatest_log=23), "greatest height log is 23, not 0 to 22"),
    "upside down": (lambda: minimal(smallest_log=5), "smallest height log is 5, not 0 to 4"),
    "many periodic": (
        lambda: minimal(periodic=((1,),) * 257),
        "number of periodic columns is 257, not 0 to 256",
    ),
    "long period": (
        lambda: minimal(periodic=((1,) * 2048,), smallest_log=11, greatest_log=11),
        "log of a period is 11, not 0 to 10",
    ),
    "period above height": (
        lambda: minimal(smallest_log=1),
        "log of a period is 2, not 0 to 1",
    ),
    "odd period": (lambda: minimal(periodic=((1,) * 3,)), "a period of 3 rows is no power of two"),
    "periodic p": (
        lambda: minimal(periodic=((MODULUS,),)),
        f"periodic value is {MODULUS}, not 0 to {MODULUS - 1}",
    ),
    "operation": (lambda: minimal(**nodes(Node(11))), "node 0: operation is 11, not 0 to 10"),
    "constant": (
        lambda: minimal(**nodes(Node(0, MODULUS))),
        f"node 0: a is {MODULUS}, not 0 to {MODULUS - 1}",
    ),
    "constant b": (lambda: minimal(**nodes(Node(0, 1, 1))), "node 0: b is 1, not 0 to 0"),
    "column": (lambda: minimal(**nodes(Node(1, 1))), "node 0: a is 1, not 0 to 0"),
    "offset": (lambda: minimal(**nodes(Node(1, 0, 2))), "node 0: b is 2, not 0 to 1"),
    "no preprocessed": (lambda: minimal(**nodes(Node(2, 0))), "node 0: a is 0, not 0 to -1"),
    "periodic": (lambda: minimal(**nodes(Node(3, 1))), "node 0: a is 1, not 0 to 0"),
    "periodic offset": (lambda: minimal(**nodes(Node(3, 0, 1))), "node 0: b is 1, not 0 to 0"),
    "public": (lambda: minimal(**nodes(Node(4, 1))), "node 0: a is 1, not 0 to 0"),
    "selector": (lambda: minimal(**nodes(Node(5, 1))), "node 0: a is 1, not 0 to 0"),
    "itself": (
        lambda: minimal(**nodes(Node(1), Node(8, 0, 1))),
        "node 1: b is 1, not 0 to 0",
    ),
    "first sum": (lambda: minimal(**nodes(Node(8, 0, 0))), "node 0: a is 0, not 0 to -1"),
    "constraint": (
        lambda: minimal(constraints=(3,)),
        "node of constraint 'number 0' is 3, not 0 to 2",
    ),
    "degree": (
        lambda: minimal(**nodes(*column_powers(4))),
        "constraint 'number 0' has degree 4, at most 3 is possible",
    ),
    "transitions": (
        lambda: minimal(**nodes(Node(7), Node(10, 0, 0), Node(10, 0, 1))),
        "constraint 'number 0' multiplies 3 times by is_transition, at most 2 is possible",
    ),
    "bus": (
        lambda: minimal(interactions=(Interaction(1, 0, (0,)),), groups=((0,),)),
        "bus of interaction 'number 0' is 1, not 0 to 0",
    ),
    "tuple": (
        lambda: minimal(interactions=(Interaction(0, 0, (0, 0)),), groups=((0,),)),
        "width of interaction 'number 0' is 2, not 1 to 1",
    ),
    "element degree": (
        lambda: minimal(
            nodes=column_powers(3), interactions=(Interaction(0, 0, (2,)),), groups=((0,),)
        ),
        "an element of interaction 'number 0' has degree 3, at most 2 is possible",
    ),
    "multiplicity degree": (
        lambda: minimal(
            nodes=column_powers(3), interactions=(Interaction(0, 2, (0,)),), groups=((0,),)
        ),
        "the multiplicity of interaction 'number 0' has degree 3, at most 2 is possible",
    ),
    "group degree": (
        lambda: minimal(**with_interactions(3, ((0, 1, 2),))),
        "the degree of group (0, 1, 2) is above what a constraint can have",
    ),
    "empty group": (lambda: minimal(**with_interactions(1, ((0,), ()))), "a group is empty"),
    "no group": (
        lambda: minimal(**with_interactions(2, ((0,),))),
        "not every interaction is in exactly one group",
    ),
    "two groups": (
        lambda: minimal(**with_interactions(1, ((0,), (0,)))),
        "not every interaction is in exactly one group",
    ),
    "group order": (
        lambda: minimal(**with_interactions(2, ((1, 0),))),
        "number of an interaction of a group is 0, not 2 to 1",
    ),
    "group number": (
        lambda: minimal(**with_interactions(1, ((1,),))),
        "number of an interaction of a group is 1, not 0 to 0",
    ),
    "many nodes": (
        lambda: minimal(nodes=(Node(5),) * (rules.NODES_MAX + 1)),
        "number of nodes is 262145, not 0 to 262144",
    ),
    "many constraints": (
        lambda: minimal(constraints=(0,) * (rules.CONSTRAINTS_MAX + 1)),
        "number of constraints is 65537, not 0 to 65536",
    ),
    "many interactions": (
        lambda: minimal(**with_interactions(rules.INTERACTIONS_MAX + 1)),
        "number of interactions is 4097, not 0 to 4096",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tables_have_rules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words from the encoder and, of bytes that came about anyhow, from the decoder."""
    make, message = REFUSED[name]
    system = make()
    with pytest.raises(InvalidKey) as caught:
        encode_key(system, PARAMETERS)
    assert str(caught.value) == f"table {system.tables[0].name!r}: {message}"
    with monkeypatch.context() as patched:
        patched.setattr("cython_core.air.key.check_system", lambda *_: None)
        root = ROOT if system.tables[0].preprocessed_width else bytes(32)
        encoding = encode_key(system, PARAMETERS, root)
    with pytest.raises(InvalidKey):
        decode_key(encoding)


def test_a_period_has_rows() -> None:
    with pytest.raises(InvalidKey) as caught:
        encode_key(minimal(periodic=((),)), PARAMETERS)
    assert str(caught.value) == "table 't': a period of 0 rows is no power of two"


SYSTEM_REFUSALS: dict[str, tuple[Callable[[], System], str]] = {
    "buses": (
        lambda: replace(minimal(), bus_widths=(1,) * 65),
        "number of buses is 65, not 0 to 64",
    ),
    "wide bus": (
        lambda: replace(minimal(), bus_widths=(65,)),
        "width of a bus is 65, not 1 to 64",
    ),
    "bus of nothing": (
        lambda: replace(minimal(), bus_widths=(0,)),
        "width of a bus is 0, not 1 to 64",
    ),
    "publics": (
        lambda: replace(minimal(), public_count=1025),
        "number of public values is 1025, not 0 to 1024",
    ),
    "no table": (lambda: replace(minimal(), tables=()), "number of tables is 0, not 1 to 64"),
    "tables": (
        lambda: replace(
            minimal(), tables=tuple(replace(minimal().tables[0], name=f"{i}") for i in range(65))
        ),
        "number of tables is 65, not 1 to 64",
    ),
    "one name": (
        lambda: replace(minimal(), tables=minimal().tables * 2),
        "two tables have one name",
    ),
}


@pytest.mark.parametrize("name", SYSTEM_REFUSALS)
def test_systems_have_rules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = SYSTEM_REFUSALS[name]
    with pytest.raises(InvalidKey) as caught:
        encode_key(make(), PARAMETERS)
    assert str(caught.value) == message
    with monkeypatch.context() as patched:
        patched.setattr("cython_core.air.key.check_system", lambda *_: None)
        encoding = encode_key(make(), PARAMETERS)
    with pytest.raises(InvalidKey) as caught:
        decode_key(encoding)
    assert str(caught.value) == message


def test_the_root_goes_with_preprocessed_columns() -> None:
    message = "a preprocessed root goes with preprocessed columns, and with nothing else"
    for system, root in ((minimal(), ROOT), (small_system(), bytes(32))):
        with pytest.raises(InvalidKey) as caught:
            encode_key(system, PARAMETERS, root)
        assert str(caught.value) == message
    with pytest.raises(InvalidKey) as caught:
        decode_key(encode_key(minimal(), PARAMETERS)[:-32] + ROOT)
    assert str(caught.value) == message
    with pytest.raises(InvalidKey) as caught:
        encode_key(small_system(), PARAMETERS, ROOT[1:])
    assert str(caught.value) == "a root has 32 bytes, not 31"


def test_what_is_no_key() -> None:
    key = small_key()
    for encoding, message in (
        (b"P2SP" + key[4:], "this is no verification key"),
        (key[:4] + struct.pack("<I", 2) + key[8:], "key version 2 is not known"),
        (key.replace(b"fibonacci", b"fibonacc\xe9"), "a table's name is not ASCII"),
    ):
        with pytest.raises(InvalidKey) as caught:
            decode_key(encoding)
        assert str(caught.value) == message


def test_degrees_do_not_grow_without_end() -> None:
    """A key that squares a column at every node would have degrees of 2^18 bits."""
    nodes = [Node(Operation.MAIN, 0), Node(Operation.IS_TRANSITION)]
    nodes.append(Node(Operation.MULTIPLY, 0, 1))
    nodes += [Node(Operation.MULTIPLY, place, place) for place in range(2, 4_000)]
    degrees = node_degrees(nodes)
    assert degrees[2 + 15] == (1 << 15, 1 << 15)
    assert set(degrees[2 + 16 :]) == {(DEGREE_CEILING, DEGREE_CEILING)}
