"""The verification key: what a proof is checked against, as bytes (docs/proofs.md).

Decoding is strict: every count has a limit, every number its range, the rules of degree and of
groups hold, and encoding what was decoded gives the same bytes. The Python verifier works from the
decoded key only.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cython_core.air.rules import (
    BLOWUP_LOG,
    BUS_WIDTH_MAX,
    BUSES_MAX,
    CONSTRAINTS_MAX,
    FINAL_LOG_MAX,
    FOLD_LOG_MAX,
    GRINDING_MAX,
    HEIGHT_LOG_MAX,
    INTERACTIONS_MAX,
    KEY_BYTES_MAX,
    NAME_BYTES_MAX,
    NODES_MAX,
    PERIOD_LOG_MAX,
    PERIODIC_MAX,
    QUERIES_MAX,
    TABLES_MAX,
    InvalidKey,
    check_system,
    within,
)
from cython_core.air.table import Interaction, Node, System, Table

__all__ = [
    "InvalidKey",
    "Parameters",
    "VerificationKey",
    "decode_key",
    "encode_key",
    "key_digest",
]

MAGIC: Final = b"P2VK"
VERSION: Final = 1
DIGEST_CONTEXT: Final = b"p2pseq/proof/key/v1"
ROOT_BYTES: Final = 32
NO_ROOT: Final = bytes(ROOT_BYTES)
"""Stands for the preprocessed root where no table has preprocessed columns."""


@dataclass(frozen=True)
class Parameters:
    """What decides proof size and soundness; stark/parameters.py has the sets in use."""

    queries: int
    query_grinding: int
    commit_grinding: int
    fold_log: int
    final_log: int
    max_height_log: int = HEIGHT_LOG_MAX
    blowup_log: int = BLOWUP_LOG


@dataclass(frozen=True)
class VerificationKey:
    parameters: Parameters
    system: System
    preprocessed_root: bytes = NO_ROOT

    def encode(self) -> bytes:
        return encode_key(self.system, self.parameters, self.preprocessed_root)

    def digest(self) -> bytes:
        return key_digest(self.encode())


def key_digest(encoding: bytes) -> bytes:
    """digest(key) of docs/proofs.md."""
    import blake3  # not at the top: the build imports this room before packages are installed

    return blake3.blake3(encoding, key=blake3.blake3(DIGEST_CONTEXT).digest()).digest()


def encode_key(system: System, parameters: Parameters, preprocessed_root: bytes = NO_ROOT) -> bytes:
    """The key's bytes. InvalidKey for a system that decode_key would refuse."""
    _check_parameters(parameters)
    check_system(system, parameters.max_height_log)
    _check_root(system, preprocessed_root)
    words: list[int] = [
        VERSION,
        parameters.blowup_log,
        parameters.queries,
        parameters.query_grinding,
        parameters.commit_grinding,
        parameters.fold_log,
        parameters.final_log,
        parameters.max_height_log,
        len(system.bus_widths),
        *system.bus_widths,
        system.public_count,
        len(system.tables),
    ]
    tables = b"".join(_encode_table(table) for table in system.tables)
    return MAGIC + _pack(words) + tables + preprocessed_root


def _encode_table(table: Table) -> bytes:
    words = [
        table.main_width,
        table.preprocessed_width,
        table.smallest_log,
        table.greatest_log,
        len(table.periodic),
    ]
    for column in table.periodic:
        words += (len(column).bit_length() - 1, *column)
    words.append(len(table.nodes))
    for node in table.nodes:
        words += node
    words += (len(table.constraints), *table.constraints, len(table.interactions))
    for bus, multiplicity, elements in table.interactions:
        words += (bus, multiplicity, *elements)
    words.append(len(table.groups))
    for group in table.groups:
        words += (len(group), *group)
    name = table.name.encode("ascii")
    return _pack([len(name)]) + name + _pack(words)


def _pack(words: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def decode_key(encoding: bytes) -> VerificationKey:
    """The key. InvalidKey for bytes that encode_key would not have written."""
    if len(encoding) > KEY_BYTES_MAX:
        raise InvalidKey(f"a key has at most {KEY_BYTES_MAX} bytes, not {len(encoding)}")
    reader = _Reader(encoding)
    if reader.take(len(MAGIC)) != MAGIC:
        raise InvalidKey("this is no verification key")
    version = reader.word()
    if version != VERSION:
        raise InvalidKey(f"key version {version} is not known")
    parameters = _read_parameters(reader)
    _check_parameters(parameters)
    bus_widths = reader.words(reader.count("buses", BUSES_MAX))
    public_count = reader.word()
    tables = tuple(
        _read_table(reader, bus_widths) for _ in range(reader.count("tables", TABLES_MAX, 1))
    )
    system = System(tables, bus_widths, public_count)
    preprocessed_root = reader.take(ROOT_BYTES)
    reader.finish()
    check_system(system, parameters.max_height_log)
    _check_root(system, preprocessed_root)
    return VerificationKey(parameters, system, preprocessed_root)


class _Reader:
    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._position = 0

    def take(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if self._position > len(self._encoding):
            raise InvalidKey(f"the key ends after {len(self._encoding)} bytes")
        return self._encoding[start : self._position]

    def words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.take(4 * count))

    def word(self) -> int:
        return self.words(1)[0]

    def count(self, what: str, greatest: int, least: int = 0) -> int:
        count = self.word()
        within(f"number of {what}", count, least, greatest)
        return count

    def finish(self) -> None:
        if self._position != len(self._encoding):
            raise InvalidKey(f"{len(self._encoding) - self._position} bytes after the key")


def _read_parameters(reader: _Reader) -> Parameters:
    blowup_log, queries, query_grinding, commit_grinding, fold_log, final_log, height_log = (
        reader.words(7)
    )
    return Parameters(
        queries=queries,
        query_grinding=query_grinding,
        commit_grinding=commit_grinding,
        fold_log=fold_log,
        final_log=final_log,
        max_height_log=height_log,
        blowup_log=blowup_log,
    )


def _read_table(reader: _Reader, bus_widths: Sequence[int]) -> Table:
    try:
        name = reader.take(reader.count("bytes of a name", NAME_BYTES_MAX)).decode("ascii")
    except UnicodeDecodeError:
        raise InvalidKey("a table's name is not ASCII") from None
    main_width, preprocessed_width, smallest_log, greatest_log = reader.words(4)
    periodic = tuple(
        reader.words(1 << reader.count("period's bits", PERIOD_LOG_MAX))
        for _ in range(reader.count("periodic columns", PERIODIC_MAX))
    )
    node_words = reader.words(3 * reader.count("nodes", NODES_MAX))
    constraints = reader.words(reader.count("constraints", CONSTRAINTS_MAX))
    interactions = tuple(
        _read_interaction(reader, bus_widths)
        for _ in range(reader.count("interactions", INTERACTIONS_MAX))
    )
    groups = tuple(
        reader.words(reader.count("interactions", INTERACTIONS_MAX))
        for _ in range(reader.count("groups", INTERACTIONS_MAX))
    )
    return Table(
        name=name,
        main_width=main_width,
        preprocessed_width=preprocessed_width,
        smallest_log=smallest_log,
        greatest_log=greatest_log,
        periodic=periodic,
        nodes=tuple(map(Node._make, zip(*[iter(node_words)] * 3, strict=True))),
        constraints=constraints,
        interactions=interactions,
        groups=groups,
    )


def _read_interaction(reader: _Reader, bus_widths: Sequence[int]) -> Interaction:
    bus, multiplicity = reader.words(2)
    if bus >= len(bus_widths):
        raise InvalidKey(f"there is no bus {bus}")
    within("width of a bus", bus_widths[bus], 1, BUS_WIDTH_MAX)
    return Interaction(bus, multiplicity, reader.words(bus_widths[bus]))


def _check_parameters(parameters: Parameters) -> None:
    within("blowup log", parameters.blowup_log, BLOWUP_LOG, BLOWUP_LOG)
    within("number of queries", parameters.queries, 1, QUERIES_MAX)
    within("query grinding", parameters.query_grinding, 0, GRINDING_MAX)
    within("commit grinding", parameters.commit_grinding, 0, GRINDING_MAX)
    within("fold log", parameters.fold_log, 1, FOLD_LOG_MAX)
    within("final log", parameters.final_log, 0, FINAL_LOG_MAX)
    within("greatest height log", parameters.max_height_log, 0, HEIGHT_LOG_MAX)


def _check_root(system: System, root: bytes) -> None:
    if len(root) != ROOT_BYTES:
        raise InvalidKey(f"a root has {ROOT_BYTES} bytes, not {len(root)}")
    has_preprocessed = any(table.preprocessed_width for table in system.tables)
    if has_preprocessed == (root == NO_ROOT):
        raise InvalidKey(
            "a preprocessed root goes with preprocessed columns, and with nothing else"
        )
