"""The draft that founders agree on, and the genesis file that they sign.

`draft_id = H_draft(draft)` binds everything that is made before the stakes exist; `chain_id =
H_genesis(genesis without founder signatures)` is in everything that is signed on the ledger
(PROTOCOL.md, conventions and section 5). The file is JSON around the canonical bytes, so that a
person can read what it names, but only the bytes count.
"""

import json
from dataclasses import dataclass
from typing import Final

from p2p_seq.protocol.blocks import Block, BlockKind, Body, Header, Origin
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import OperatorError, RemoteError
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.records import encode_records, genesis_epoch_record
from p2p_seq.protocol.stakes import COMMITTEE_MAX, StakeRecord
from p2p_seq.protocol.tags import Tag, tagged_hash
from p2p_seq.protocol.types import (
    ZERO32,
    BlockHeight,
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    Signature,
    View,
    XOnlyKey,
    display_id,
)

GENESIS_BYTES_MAX: Final = 8_000_000
"""Bytes of a genesis file: 100 founders with 99 co-signers each, in hexadecimal, with room."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What founders agree on before any stake exists."""

    params: Params
    anchor_height: Height
    """G: epoch 0 starts at this Bitcoin height."""
    nonce: Hash32
    """Random: two networks with equal parameters differ."""

    def write(self, writer: Writer) -> Writer:
        encoded = self.params.encode()
        return writer.var_bytes(encoded, 4_096).u32(self.anchor_height).hash32(self.nonce)

    @classmethod
    def read(cls, reader: Reader) -> "Draft":
        params_reader = Reader(reader.var_bytes(4_096))
        params = Params.read(params_reader)
        params_reader.finish()
        return cls(params, Height(reader.u32()), reader.hash32())

    @property
    def draft_id(self) -> Hash32:
        return tagged_hash(self.params.network, Tag.DRAFT, self.write(Writer()).bytes())


@dataclass(frozen=True, slots=True)
class Genesis:
    """Everything that a node needs to start a network's history."""

    draft: Draft
    anchor: Origin
    """The Bitcoin block at height G."""
    founders: tuple[StakeRecord, ...]
    """In set order is not required: election orders them."""
    vault: OutPoint
    """The genesis vault coin, paid to generation 0."""
    vault_value: Sats
    """The initial fee pool."""
    allocation: tuple[tuple[XOnlyKey, int], ...] = ()
    """Governance tokens at genesis: (account, amount)."""

    @property
    def params(self) -> Params:
        return self.draft.params

    @property
    def network(self) -> str:
        return self.draft.params.network

    def encode(self) -> bytes:
        writer = Writer()
        self.draft.write(writer)
        self.anchor.write(writer)
        writer.sequence(self.founders, COMMITTEE_MAX, lambda w, founder: founder.write(w))
        writer.outpoint(self.vault).u64(self.vault_value)
        writer.sequence(self.allocation, 10_000, lambda w, entry: w.hash32(entry[0]).u64(entry[1]))
        return writer.bytes()

    @classmethod
    def decode(cls, encoded: bytes) -> "Genesis":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        genesis = cls(
            Draft.read(reader),
            Origin.read(reader),
            reader.sequence(COMMITTEE_MAX, StakeRecord.read),
            reader.outpoint(),
            Sats(reader.u64()),
            reader.sequence(10_000, lambda r: (r.xonly(), r.u64())),
        )
        reader.finish()
        return genesis

    @property
    def chain_id(self) -> Hash32:
        return tagged_hash(self.network, Tag.GENESIS, self.encode())

    def block(self) -> Block:
        """The block of height 0: parent of epoch 0's first block, in no set's votes.

        Its only record opens epoch 0; its parent is the state that `GenesisState` describes.
        """
        body = Body(records=encode_records([genesis_epoch_record()]))
        header = Header(
            kind=BlockKind.GENESIS,
            epoch=Epoch(0),
            view=View(0),
            height=BlockHeight(0),
            parent=ZERO32,
            origin=self.anchor,
            body_digest=body.body_digest(self.network),
            records_digest=body.records_digest(self.network),
            seal_digest=ZERO32,
            state_root=ZERO32,
            leader=0,
        )
        return Block(header, body)


@dataclass(frozen=True, slots=True)
class SignedGenesis:
    """A genesis and the founders' signatures by their consensus keys over `founder_message`."""

    genesis: Genesis
    signatures: tuple[Signature, ...]
    """One a founder, in the order of `Genesis.founders`."""

    def to_json(self) -> str:
        """The genesis file: readable names beside the bytes that count."""
        genesis = self.genesis
        return json.dumps(
            {
                "network": genesis.network,
                "chain_id": genesis.chain_id.hex(),
                "anchor": {
                    "height": genesis.anchor.height,
                    "hash": display_id(genesis.anchor.hash),
                },
                "vault": {"outpoint": str(genesis.vault), "value_sat": genesis.vault_value},
                "founders": [
                    {
                        "operator": founder.bundle.keys.owner.hex(),
                        "consensus_key": founder.consensus_key.hex(),
                        "stake": str(founder.bond),
                        "value_sat": founder.value,
                    }
                    for founder in genesis.founders
                ],
                "genesis": genesis.encode().hex(),
                "founder_signatures": [signature.hex() for signature in self.signatures],
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str, source: str) -> "SignedGenesis":
        """Parse a genesis file; signatures are checked by `p2p_seq.staking`. Raises
        OperatorError.
        """
        try:
            table = json.loads(text)
            genesis = Genesis.decode(bytes.fromhex(table["genesis"]))
            signatures = tuple(
                Signature(bytes.fromhex(item)) for item in table["founder_signatures"]
            )
            stated = bytes.fromhex(table["chain_id"])
        except (ValueError, KeyError, TypeError, RemoteError) as error:
            raise OperatorError(
                f"{source} is not a genesis file",
                f"{type(error).__name__}: {error}",
                "fetch the file again from a founder",
                code=2,
            ) from error
        if stated != genesis.chain_id:
            raise OperatorError(
                f"{source} contradicts itself",
                f"it states chain id {stated.hex()} but its bytes hash to {genesis.chain_id.hex()}",
                "do not use it; fetch the file again from a founder",
                code=3,
            )
        return cls(genesis, signatures)


def founder_message(genesis: Genesis) -> Hash32:
    """What each founder signs with its consensus key."""
    return tagged_hash(genesis.network, Tag.FOUNDER, genesis.chain_id)
