"""The verifier in plain Python: docs/proofs.md, "The protocol", in its order.

It is the second of two implementations, for whoever wants to read what a proof's acceptance means,
for machines where nothing is compiled, and as a check on the first. It shares no code with the
compiled verifier or with the prover; it counts with Python's integers and hashes with the `blake3`
package.

Any bytes may be given as proof. What is wrong leads to `InvalidProof`: shapes are checked before
any arithmetic, every length follows from the key, and nothing recurses, so that no other exception
can arise. The time is bounded by the key: a second for a thousand columns and 84 queries.
"""

import struct
from collections.abc import Sequence
from typing import Final

from cython_core.air.key import InvalidKey, VerificationKey, decode_key, key_digest
from cython_core.air.table import PublicInteraction
from cython_core.commitment.reader import Reader
from cython_core.commitment.verify import Rows
from cython_core.commitment.verify import verify as read_rows
from cython_core.field._reference import (
    XONE,
    XZERO,
    Extension,
    P,
    xadd,
    xinverse,
    xmul,
    xpower,
    xscale,
    xsub,
)
from cython_core.stark.deep import DeepQuotient
from cython_core.stark.errors import InvalidProof, Reason
from cython_core.stark.folding import (
    Folding,
    check_folds,
    check_work,
    encode_extensions,
    read_folding,
    read_layers,
)
from cython_core.stark.identity import (
    BusChallenges,
    TableValues,
    combination,
    compose,
    constraint_count,
    point_of,
)
from cython_core.stark.opened import DEGREE, Layout, Source, layout
from cython_core.transcript._reference import Transcript

PROTOCOL: Final = b"p2pseq/stark/v1"
MAGIC: Final = b"P2SP"
VERSION: Final = 1
CONTEXT_BYTES_MAX: Final = 1024


def verify(
    key: bytes,
    publics: Sequence[int],
    interactions: Sequence[PublicInteraction],
    context: bytes,
    proof: bytes,
    recorder: list[tuple[str, bytes]] | None = None,
) -> None:
    """Nothing if the proof is right. Raises InvalidProof.

    `interactions` are what the statement itself puts on the buses. A recorder gets all that goes
    into the transcript, in order.
    """
    try:
        decoded = decode_key(key)
    except InvalidKey as error:
        raise InvalidProof(Reason.BAD_KEY, str(error)) from None
    _check_claim(decoded, publics, interactions, context)
    run = _Run(decoded, key_digest(key), publics, interactions, Reader(proof), recorder)
    run.begin(context)
    run.tables()
    run.buses()
    run.quotient()
    run.out_of_domain()
    run.queries(*run.deep())


def _check_claim(
    key: VerificationKey,
    publics: Sequence[int],
    interactions: Sequence[PublicInteraction],
    context: bytes,
) -> None:
    """What comes from the caller rather than from the prover."""
    system = key.system
    if len(publics) != system.public_count:
        detail = f"{len(publics)} public values, {system.public_count} are due"
        raise InvalidProof(Reason.BAD_PUBLICS, detail)
    if not all(0 <= value < P for value in publics):
        raise InvalidProof(Reason.BAD_PUBLICS, "a public value is not below p")
    for bus, multiplicity, elements in interactions:
        if not 0 <= bus < len(system.bus_widths):
            raise InvalidProof(Reason.BAD_INTERACTIONS, f"there is no bus {bus}")
        if len(elements) != system.bus_widths[bus]:
            raise InvalidProof(Reason.BAD_INTERACTIONS, f"bus {bus} has another width")
        if not all(0 <= value < P for value in (multiplicity, *elements)):
            raise InvalidProof(Reason.BAD_INTERACTIONS, "an element is not below p")
    if len(context) > CONTEXT_BYTES_MAX:
        raise InvalidProof(Reason.BAD_CONTEXT, f"{len(context)} bytes")


class _Run:
    """One verification. The methods are the steps of the protocol and are called in its order."""

    def __init__(
        self,
        key: VerificationKey,
        digest: bytes,
        publics: Sequence[int],
        interactions: Sequence[PublicInteraction],
        reader: Reader,
        recorder: list[tuple[str, bytes]] | None,
    ) -> None:
        self._key = key
        self._digest = digest
        self._publics = publics
        self._interactions = interactions
        self._reader = reader
        self._transcript = Transcript(recorder)
        self._roots = {Source.PREPROCESSED: key.preprocessed_root}
        self._heights: tuple[int, ...] = ()
        self._greatest = 0
        self._layout = Layout({}, [])
        self._challenges = BusChallenges(XZERO, [])
        self._terminals: dict[int, Extension] = {}
        self._coefficients: list[list[Extension]] = []
        self._zeta = XZERO
        self._values: list[Extension] = []

    def begin(self, context: bytes) -> None:
        """Step 1, and the head of the proof."""
        self._read_head()
        absorb = self._transcript.absorb
        absorb("protocol", PROTOCOL)
        absorb("key", self._digest)
        absorb("publics", _words([len(self._publics), *self._publics]))
        words = [len(self._interactions)]
        for bus, multiplicity, elements in self._interactions:
            words += (bus, multiplicity, *elements)
        absorb("interactions", _words(words))
        absorb("context", context)
        absorb("heights", _words([len(self._heights), *self._heights]))

    def _read_head(self) -> None:
        reader, tables = self._reader, self._key.system.tables
        if reader.take(4) != MAGIC:
            raise InvalidProof(Reason.BAD_MAGIC, "this is no proof")
        version = reader.u32()
        if version != VERSION:
            raise InvalidProof(Reason.BAD_MAGIC, f"version {version} is not known")
        if reader.digest() != self._digest:
            raise InvalidProof(Reason.WRONG_KEY)
        self._heights = tuple(reader.take(len(tables)))
        for table, height in zip(tables, self._heights, strict=True):
            if not table.smallest_log <= height <= table.greatest_log:
                raise InvalidProof(Reason.BAD_HEIGHT, f"table {table.name}: 2^{height} rows")
        self._check_multiplicities()
        self._greatest = max(self._heights)
        self._layout = layout(tables, self._heights)

    def _check_multiplicities(self) -> None:
        """So few interactions on a bus that multiplicities cannot sum to p instead of to zero."""
        counts = [0] * len(self._key.system.bus_widths)
        for bus, _, _ in self._interactions:
            counts[bus] += 1
        for table, height in zip(self._key.system.tables, self._heights, strict=True):
            for interaction in table.interactions:
                counts[interaction.bus] += 1 << height
        for bus, count in enumerate(counts):
            if count >= P:
                raise InvalidProof(Reason.TOO_MANY_INTERACTIONS, f"bus {bus}")

    def tables(self) -> None:
        """Step 2."""
        self._absorb_root(Source.MAIN, "main")
        stream = self._transcript.squeeze("logup")
        widest = max(self._key.system.bus_widths, default=0)
        gamma, *alphas = stream.extensions(2 + widest)
        self._challenges = BusChallenges(gamma, alphas)

    def buses(self) -> None:
        """Step 3."""
        with_buses = [
            number for number, table in enumerate(self._key.system.tables) if table.interactions
        ]
        if with_buses:
            commitment = self._reader.digest()
            terminals = self._reader.extensions(len(with_buses))
            self._transcript.absorb("auxiliary", commitment + encode_extensions(terminals))
            self._roots[Source.AUXILIARY] = commitment
            self._terminals = dict(zip(with_buses, terminals, strict=True))
        total = XZERO
        for terminal in self._terminals.values():
            total = xadd(total, terminal)
        for bus, multiplicity, elements in self._interactions:
            denominator = self._challenges.denominator(
                bus, [(element, 0, 0, 0, 0) for element in elements]
            )
            if denominator == XZERO:
                raise InvalidProof(Reason.ZERO_DENOMINATOR, f"bus {bus}")
            total = xadd(total, xscale(xinverse(denominator), multiplicity))
        if total != XZERO:
            raise InvalidProof(Reason.UNBALANCED_BUSES)

    def quotient(self) -> None:
        """Step 4."""
        stream = self._transcript.squeeze("constraints")
        self._coefficients = [
            stream.extensions(constraint_count(table)) for table in self._key.system.tables
        ]
        self._absorb_root(Source.QUOTIENT, "quotient")

    def out_of_domain(self) -> None:
        """Step 5."""
        (self._zeta,) = self._transcript.squeeze("point").extensions(1)
        if xpower(self._zeta, 4 << self._greatest) == XONE:
            raise InvalidProof(Reason.BAD_POINT)
        self._values = self._reader.extensions(self._layout.value_count())
        self._transcript.absorb("values", encode_extensions(self._values))
        self._check_identity()

    def _check_identity(self) -> None:
        """sum_t C_t(zeta_t) = (Q_0 + zeta^N Q_1) (zeta^N - 1)."""
        here, after = self._values_by_matrix()
        total = XZERO
        for number, table in enumerate(self._key.system.tables):
            preprocessed, main, auxiliary = (
                (number, source) for source in (Source.PREPROCESSED, Source.MAIN, Source.AUXILIARY)
            )
            values = TableValues(
                main=here[main],
                main_next=dict(zip(table.main_next, after[main], strict=True)),
                preprocessed=here.get(preprocessed, []),
                preprocessed_next=dict(
                    zip(table.preprocessed_next, after.get(preprocessed, []), strict=True)
                ),
                auxiliary=here.get(auxiliary, []),
                sum_next=after.get(auxiliary, []),
                terminal=self._terminals.get(number, XZERO),
            )
            point = point_of(self._zeta, self._heights[number], self._greatest)
            combined = combination(
                table, point, values, self._publics, self._challenges, self._coefficients[number]
            )
            total = xadd(total, combined)
        columns = here[None, Source.QUOTIENT]
        power = xpower(self._zeta, 1 << self._greatest)
        low, high = compose(columns[:DEGREE]), compose(columns[DEGREE:])
        quotient = xadd(low, xmul(power, high))
        if total != xmul(quotient, xsub(power, XONE)):
            raise InvalidProof(Reason.CONSTRAINTS)

    def _values_by_matrix(
        self,
    ) -> tuple[
        dict[tuple[int | None, Source], list[Extension]],
        dict[tuple[int | None, Source], list[Extension]],
    ]:
        """The opened values by table and commitment: at the point, and at the next row's."""
        here: dict[tuple[int | None, Source], list[Extension]] = {}
        after: dict[tuple[int | None, Source], list[Extension]] = {}
        used = 0
        for block in self._layout.blocks:
            values = self._values[used : used + len(block.columns)]
            (after if block.is_next else here)[block.table, block.source] = values
            used += len(block.columns)
        return here, after

    def deep(self) -> tuple[DeepQuotient, Folding]:
        """Steps 6 and 7."""
        coefficients = self._transcript.squeeze("deep").extensions(len(self._values))
        quotient = DeepQuotient(
            self._layout, self._zeta, self._greatest, self._values, coefficients
        )
        parameters = self._key.parameters
        folding = read_folding(self._reader, self._transcript, parameters, self._greatest)
        check_work(
            self._reader,
            self._transcript,
            parameters.query_grinding,
            "query grind",
            "the query nonce",
        )
        return quotient, folding

    def queries(self, quotient: DeepQuotient, folding: Folding) -> None:
        """Step 8."""
        domain_log = self._greatest + self._key.parameters.blowup_log
        stream = self._transcript.squeeze("queries")
        positions = sorted(set(stream.indices(self._key.parameters.queries, domain_log)))
        rows = self._read_openings(positions, domain_log)
        layer_rows = read_layers(self._reader, folding, positions)
        self._reader.finish()
        values = {position: quotient.at(position, rows) for position in positions}
        check_folds(folding, layer_rows, values)

    def _read_openings(
        self, positions: Sequence[int], domain_log: int
    ) -> dict[tuple[Source, int], Rows]:
        rows: dict[tuple[Source, int], Rows] = {}
        for source, matrices in self._layout.matrices.items():
            if not matrices:
                continue
            shapes = [
                (matrix.log_height + self._key.parameters.blowup_log, matrix.width)
                for matrix in matrices
            ]
            opened = read_rows(self._roots[source], shapes, positions, domain_log, self._reader)
            rows.update(((source, number), found) for number, found in enumerate(opened))
        return rows

    def _absorb_root(self, source: Source, label: str) -> None:
        commitment = self._reader.digest()
        self._roots[source] = commitment
        self._transcript.absorb(label, commitment)


def _words(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)
