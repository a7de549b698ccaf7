"""Every table of the chain store: its key, its value and who writes it. Nobody else knows table
names.

Keys are big-endian, so that LMDB's order is the order of numbers.
"""

from enum import StrEnum, unique
from typing import Final

SCHEMA_VERSION: Final = 1
"""Version of the layouts below; a store of another version is refused."""


@unique
class Table(StrEnum):
    """A named LMDB database."""

    META = "meta"
    """name -> value: schema version, chain id, finalised tip, anything of which there is one."""
    BLOCKS = "blocks"
    """block digest 32 -> encoded block: proposals that were voted for, and everything final."""
    FINAL = "final"
    """L2 height u64 -> block digest 32 | state root after the block 32."""
    CERTIFICATES = "certificates"
    """L2 height u64 -> encoded finality certificate of that block; ancestors have none of their
    own.
    """
    SEALS = "seals"
    """epoch u64 -> encoded `SealedEpoch`."""
    LEAVES = "leaves"
    """leaf name 33 -> value 64: the state after the finalised tip. Tree nodes are derived."""
    RECEIPTS = "receipts"
    """L2 height u64 -> receipts of the block."""
    TRANSACTIONS = "transactions"
    """transaction id 32 -> L2 height u64 | index u32."""
    STAKES = "stakes"
    """consensus key 32 -> L2 height of the record u64 | encoded stake record."""
    BRIDGE = "bridge"
    """L2 height u64 -> encoded bridge state after the block (the last few)."""
    SETTLED = "settled"
    """last epoch u64 -> Bitcoin txid 32 | version u32 | L2 height of the record u64."""
    PAYOUTS = "payouts"
    """payout id u64 -> ledger txid 32 | L2 height u64; kept after it is paid."""
    PAID = "paid"
    """payout id u64 -> last epoch of the settlement that paid it u64 | output u32."""
    MINTED = "minted"
    """deposit outpoint 36 -> last epoch of the settlement that swept it u64 | credited u64."""
    SETTLEMENTS = "settlements"
    """epoch u64 | version u32 -> signed settlement transaction."""
    SHARES = "shares"
    """epoch u64 | version u32 | vault key 32 -> signatures of one signer, one per input."""
    BITCOIN = "bitcoin"
    """Bitcoin height u32 -> encoded `L1Block`: what the watcher found in the best chain."""
    COSIGNED = "cosigned"
    """co-signing key 32 -> epoch u64 | request digest 32 | slash 64 | refund 64: what a key of this
    node signed, written before the key is deleted and the signatures leave.
    """
    CONSENSUS = "consensus"
    """epoch u64 | record tag u8 | view u64 | vote kind u8 -> durable record of an instance."""
