"""Signing and broadcasting settlements: the trio shell.

When a seal with a plan is final, every member of the generations that hold the plan's inputs
rebuilds the transaction from finalised state and signs the fee versions that are due. Signatures
travel as shares; whoever has enough of them assembles the transaction and hands it to Bitcoin,
again and again until one version is buried. Nothing is believed: a share counts when its signatures
verify over what this node built itself (PROTOCOL.md sections 2 and 7).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

import trio

from p2p_seq.bitcoin.watcher import BitcoinSource, Watcher
from p2p_seq.network.types import Channel, Network, PeerId, PenaltyReason, RequestProtocol
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.codec import Reader, Writer
from p2p_seq.protocol.errors import RemoteError
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.types import (
    Epoch,
    Hash32,
    Height,
    SatsPerKvb,
    Signature,
    XOnlyKey,
    display_id,
)
from p2p_seq.settlement.bridge import BridgeState
from p2p_seq.settlement.plan import PLAN_ITEMS_MAX
from p2p_seq.settlement.transactions import Settlement
from p2p_seq.storage.chain_store import ChainStore

log = room_logger("settlement")

VERSION_STEP_BLOCKS: Final = 3
"""Version b may be signed 3b origin blocks after its seal's origin."""

REPEAT_SECONDS: Final = 3.0
"""Shares and transactions are said again so often until the settlement is buried."""

SHARES_MAX: Final = 100 * 33
"""Shares of one settlement: keys times versions."""

PULL_TIMEOUT_S: Final = 3.0

FEE_TARGET_BLOCKS: Final = 6
"""Confirmation target of the feerate that a seal proposes."""


class ShareReason(StrEnum):
    """Why a share is refused."""

    SIGNATURE = "share-signature"
    """Its signatures are not good for the inputs of its key."""


class VaultSigner(Protocol):
    """The signer, as far as settlements need it."""

    def vault_keys(self) -> frozenset[XOnlyKey]: ...

    def sign_vault(self, key: XOnlyKey, messages: list[Hash32]) -> tuple[Signature, ...]: ...


class FinalisedPeg(Protocol):
    """What the service reads of the chain: always the finalised tip."""

    @property
    def bridge(self) -> BridgeState: ...

    @property
    def origin_height(self) -> Height: ...

    def origin_is_orphaned(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Share:
    """One key's signatures over its inputs of one version."""

    epoch: Epoch
    """Last epoch of the settlement: names the plan."""
    version: int
    key: XOnlyKey
    signatures: tuple[Signature, ...]
    """In the order of `Settlement.inputs_of(key)`."""

    def write(self, writer: Writer) -> Writer:
        writer.u64(self.epoch).u8(self.version).hash32(self.key)
        return writer.sequence(
            self.signatures, PLAN_ITEMS_MAX + 1, lambda w, item: w.fixed(item, 64)
        )

    def encode(self) -> bytes:
        return self.write(Writer()).bytes()

    @classmethod
    def read(cls, reader: Reader) -> "Share":
        return cls(
            Epoch(reader.u64()),
            reader.u8(0, 32),
            reader.xonly(),
            reader.sequence(PLAN_ITEMS_MAX + 1, Reader.signature),
        )

    @classmethod
    def decode(cls, encoded: bytes) -> "Share":
        """Strict inverse of `encode`. Raises CodecError."""
        reader = Reader(encoded)
        share = cls.read(reader)
        reader.finish()
        return share


def due_versions(bridge: BridgeState, params: Params, origin: Height) -> tuple[Settlement, ...]:
    """The fee versions that may be signed at this finalised origin."""
    if bridge.in_flight is None:
        return ()
    passed = max(0, origin - bridge.in_flight.border)
    return bridge.versions(params)[: passed // VERSION_STEP_BLOCKS + 1]


class SettlementService:
    """Signs for the own vault keys; collects, assembles and rebroadcasts for everybody."""

    def __init__(
        self,
        peg: FinalisedPeg,
        params: Params,
        store: ChainStore,
        network: Network,
        signer: VaultSigner,
        bitcoin: BitcoinSource,
        watcher: Watcher,
    ) -> None:
        self._peg = peg
        self._params = params
        self._store = store
        self._network = network
        self._signer = signer
        self._bitcoin = bitcoin
        self._watcher = watcher
        self._epoch: Epoch | None = None
        self._shares: dict[tuple[int, XOnlyKey], Share] = {}
        self._complete: dict[int, bytes] = {}
        self._wake = trio.Event()
        self.feerate = SatsPerKvb(params.feerate_minimum * 1_000)
        """What the next seal should propose; bounded by the protocol where it is used."""
        self.last_refusal: str | None = None
        """Bitcoin's words for the last settlement that it refused, for the status."""

    def finalised(self) -> None:
        """The finalised tip moved."""
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        self._network.serve(RequestProtocol.SETTLEMENT, self._serve)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_shares)
            nursery.start_soon(self._estimate)
            while True:
                await self._work()
                with trio.move_on_after(REPEAT_SECONDS):
                    await self._wake.wait()
                self._wake = trio.Event()

    async def _work(self) -> None:
        bridge = self._peg.bridge
        if bridge.in_flight is None:
            self._follow(None)
            return
        self._follow(bridge.in_flight.plan.last_epoch)
        if self._peg.origin_is_orphaned():
            log.critical("settlement_frozen", why="the finalised origin left the best chain")
            return
        for settlement in due_versions(bridge, self._params, self._peg.origin_height):
            self._sign(settlement)
            self._assemble(settlement)
        for share in self._own_shares():
            self._network.broadcast(Channel.SETTLEMENT, share.encode())
        if not self._complete:
            await self._pull()
        await self._broadcast()

    def _follow(self, epoch: Epoch | None) -> None:
        """Forget an older settlement; load what the store has of this one."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._shares.clear()
        self._complete.clear()
        if epoch is not None:
            for _, _, encoded in self._store.shares(epoch):
                share = Share.decode(encoded)
                self._shares[share.version, share.key] = share
            self._complete.update(self._store.settlements(epoch))

    def _sign(self, settlement: Settlement) -> None:
        for key in self._signer.vault_keys():
            inputs = settlement.inputs_of(key)
            if not inputs or (settlement.version, key) in self._shares:
                continue
            messages = settlement.messages()
            signatures = self._signer.sign_vault(key, [messages[index] for index in inputs])
            share = Share(settlement.plan.last_epoch, settlement.version, key, signatures)
            self._keep(share)
            log.info(
                "settlement_signed",
                epoch=share.epoch,
                version=share.version,
                txid=display_id(settlement.txid),
            )

    def _keep(self, share: Share) -> None:
        self._store.write_share(share.epoch, share.version, share.key, share.encode())
        self._shares[share.version, share.key] = share

    def _own_shares(self) -> list[Share]:
        own = self._signer.vault_keys()
        return [share for share in self._shares.values() if share.key in own]

    def _assemble(self, settlement: Settlement) -> None:
        if settlement.version in self._complete:
            return
        collected = {
            share.key: dict(zip(settlement.inputs_of(share.key), share.signatures, strict=True))
            for (version, _), share in self._shares.items()
            if version == settlement.version
        }
        transaction = settlement.assemble(collected)
        if transaction is None:
            return
        encoded = transaction.serialize()
        self._store.write_settlement(settlement.plan.last_epoch, settlement.version, encoded)
        self._complete[settlement.version] = encoded
        log.info(
            "settlement_complete",
            epoch=settlement.plan.last_epoch,
            version=settlement.version,
            txid=display_id(settlement.txid),
        )

    async def _is_mined(self) -> bool:
        """Whether the best chain has spent the vault coin: the settlement waits for burial."""
        vault = self._peg.bridge.vault
        try:
            coin = await self._bitcoin.call("gettxout", display_id(vault.txid), vault.vout, False)
        except (RemoteError, OSError):
            return False
        return coin is None

    async def _broadcast(self) -> None:
        """Hand the highest complete version to Bitcoin; older ones may be buried all the same."""
        if not self._complete or await self._is_mined():
            return
        encoded = self._complete[max(self._complete)]
        try:
            # Default limits of a node would refuse what the protocol's own fee cap allows (R7).
            await self._bitcoin.call("sendrawtransaction", encoded.hex(), 0)
            self.last_refusal = None
        except (RemoteError, OSError) as error:
            if "already" not in str(error):
                self.last_refusal = str(error)
                log.info("settlement_not_taken", why=str(error))

    def _take(self, share: Share) -> bool:
        """Keep a share that is good for the settlement in flight. Raises RemoteError."""
        bridge = self._peg.bridge
        if bridge.in_flight is None or share.epoch != bridge.in_flight.plan.last_epoch:
            return False
        self._follow(share.epoch)
        versions = bridge.versions(self._params)
        if share.version >= len(versions) or (share.version, share.key) in self._shares:
            return False
        settlement = versions[share.version]
        inputs = settlement.inputs_of(share.key)
        if len(inputs) != len(share.signatures) or not settlement.has_valid_signatures(
            share.key, dict(zip(inputs, share.signatures, strict=True))
        ):
            raise RemoteError(ShareReason.SIGNATURE, share.key.hex())
        self._keep(share)
        return True

    async def _read_shares(self) -> None:
        async for received in self._network.inbox(Channel.SETTLEMENT):
            try:
                if self._take(Share.decode(received.payload)):
                    self._wake.set()
            except RemoteError as error:
                log.info("share_refused", peer=received.peer, why=str(error))
                self._network.penalize(received.peer, PenaltyReason.INVALID_MESSAGE)
            await trio.lowlevel.checkpoint()

    async def _serve(self, peer: PeerId, request: bytes) -> bytes:
        """Every share of the settlement in flight."""
        reader = Reader(request)
        epoch = reader.u64()
        reader.finish()
        shares = list(self._shares.values()) if epoch == self._epoch else []
        writer = Writer()
        writer.sequence(shares[:SHARES_MAX], SHARES_MAX, lambda w, s: s.write(w))
        return writer.bytes()

    async def _pull(self) -> None:
        """Ask peers for shares that were lost on the way."""
        if self._epoch is None:
            return
        request = Writer().u64(self._epoch).bytes()
        for status in self._network.peers():
            if not status.connected:
                continue
            try:
                answer = await self._network.request(
                    status.peer, RequestProtocol.SETTLEMENT, request, PULL_TIMEOUT_S
                )
                self._take_all(answer)
            except RemoteError as error:
                log.debug("share_pull_failed", peer=status.peer, why=str(error))

    def _take_all(self, answer: bytes) -> None:
        reader = Reader(answer)
        shares: Iterable[Share] = reader.sequence(SHARES_MAX, Share.read)
        reader.finish()
        for share in shares:
            if self._take(share):
                self._wake.set()

    async def _estimate(self) -> None:
        """Keep the feerate that the next seal proposes near the market's."""
        while True:
            try:
                answer = await self._bitcoin.call("estimatesmartfee", FEE_TARGET_BLOCKS)
                rate = answer.get("feerate") if isinstance(answer, dict) else None
                if isinstance(rate, (Decimal, int)) and rate > 0:
                    self.feerate = SatsPerKvb(min(2**32 - 1, int(Decimal(rate) * 100_000_000)))
            except (RemoteError, OSError) as error:
                log.debug("no_fee_estimate", why=str(error))
            await trio.sleep(30)
