"""Joining, renewal and refund: the trio shell.

Four jobs, on every sequencer. As a *member* it answers joiners (`signer/cosigner.py` decides). As a
*leader* it keeps finished records until a block takes them. As an *operator* it renews its own
stake in time and takes the bonds of old ones back after T.

A renewal is a sequence of steps with one durable point, the backup file: before it nothing exists
on Bitcoin and everything may be begun again with fresh co-signing keys; after it the same stake is
broadcast and its record is said again until a block has it, also after a restart (PROTOCOL.md
section 5, steps 2 to 8).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

import trio

from p2p_seq.bitcoin.coins import find_coins
from p2p_seq.bitcoin.keys import is_xonly_key, verify
from p2p_seq.bitcoin.scan import L1Block
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction
from p2p_seq.bitcoin.watcher import BitcoinSource, Watcher
from p2p_seq.network.identity import peer_id_of_xonly
from p2p_seq.network.types import (
    Channel,
    Network,
    PeerId,
    PenaltyReason,
    Received,
    RequestProtocol,
)
from p2p_seq.observability.logs import room_logger
from p2p_seq.protocol.errors import CodecError, CodecReason, RemoteError
from p2p_seq.protocol.stakes import Bundle, StakeRecord
from p2p_seq.protocol.types import (
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    XOnlyKey,
    display_id,
)
from p2p_seq.signer import schnorr
from p2p_seq.signer.cosigner import Cosigner
from p2p_seq.signer.keystore import StakeSecrets
from p2p_seq.signer.registration import make_bundle, presign_owner, sign_refund
from p2p_seq.signer.signer import OperatorSigner
from p2p_seq.signer.spending import sign_payment
from p2p_seq.staking.ceremony import (
    Admission,
    CandidateList,
    RenewalPolicy,
    choose_committee,
    is_renewal_due,
    renewal_start,
)
from p2p_seq.staking.messages import (
    RECORD_BYTES_MAX,
    CosignAnswer,
    CosignRequest,
    Offer,
    OfferRequest,
    decode_request,
)
from p2p_seq.staking.registration import check_record, check_statements, renewal_range
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.stakes_on_bitcoin import StakeOnBitcoin, find_stakes
from p2p_seq.staking.transactions import build_stake, refund_message, slash_message
from p2p_seq.storage.stake_backups import StakeBackup, StakeBackups

log = room_logger("staking")

REQUEST_TIMEOUT_S: Final = 5.0
"""Patience with one member in one step of the ceremony."""

REPEAT_SECONDS: Final = 3.0
"""A record that no block has is said again so often, and a failed ceremony begun again."""

ATTEMPTS_MAX: Final = 3
"""Committees that one ceremony tries; after them it waits and asks everybody again (R2)."""

FEERATE_MINIMUM: Final = SatsPerKvb(2_000)
"""Stakes and refunds pay at least this: they must not get stuck, and are rare."""


class CeremonyReason(StrEnum):
    """Why a ceremony does not go on now."""

    NOT_YOURS = "not-your-bundle"
    """The bundle names another peer than the one that asks."""
    OFFER = "bad-offer"
    """A member's offer is not what was asked for."""
    TOO_FEW = "too-few-cosigners"
    """Those who answered do not weigh more than two thirds."""
    ATTEMPTS = "cosigners-fail"
    """Members offered keys and then did not sign."""
    SIGNATURE = "bad-presignature"
    """A member's signature over slash or refund does not verify."""


@dataclass(frozen=True, slots=True)
class StakingSettings:
    """What the operator configured."""

    policy: RenewalPolicy
    bond: Sats
    """Value of the next bond; 0: the same as the present one's."""


class RegistrationView(Protocol):
    """What the service reads of the chain: always the finalised tip."""

    def admission(self) -> Admission: ...

    def stake_feerate(self) -> SatsPerKvb:
        """What a Bitcoin transaction should pay now."""
        ...


@dataclass(frozen=True)
class StakingParts:
    """The rooms that the service works with."""

    network: Network
    signer: OperatorSigner
    cosigner: Cosigner
    bitcoin: BitcoinSource
    watcher: Watcher
    backups: StakeBackups
    crash_point: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OwnStake:
    """One stake of this operator."""

    record: StakeRecord
    transaction: Transaction | None
    """Known for stakes that were made here; a founder's is long on Bitcoin."""
    on_bitcoin: StakeOnBitcoin
    is_registered: bool


class StakingService:
    """Serves joiners, lists candidates, renews and refunds."""

    def __init__(
        self,
        view: RegistrationView,
        parts: StakingParts,
        settings: StakingSettings,
        candidate_ready: Callable[[], None],
    ) -> None:
        self._view = view
        self._parts = parts
        self._settings = settings
        self._candidate_ready = candidate_ready
        self._draft = view.admission().draft
        self._params = self._draft.params
        self._candidates = CandidateList(self._params.network)
        self._backups = {b.record.consensus_key: b for b in parts.backups.read_all()}
        self._wallet_script = key_path_script(schnorr.public_key(parts.signer.wallet_secret()))
        self._wake = trio.Event()
        self._sent: set[Hash32] = set()
        """Own transactions that Bitcoin took since the start; only the first time is news."""
        self.problem: str | None = None
        """Why the own stake is not renewed or refunded, for the status."""

    def candidate(self) -> StakeRecord | None:
        """A record that the next block may take."""
        return self._candidates.next()

    def finalised(self) -> None:
        """The finalised tip moved."""
        self._wake.set()

    def own_stakes(self) -> list[OwnStake]:
        """Registered and prepared stakes of this operator, oldest range first."""
        admission = self._view.admission()
        owner = self._parts.signer.operator
        records = {
            key: record
            for key, record in admission.registry.records.items()
            if record.bundle.keys.owner == owner
        }
        registered = frozenset(records)
        for key, backup in self._backups.items():
            records.setdefault(key, backup.record)
        found = find_stakes(self._draft, records, self._blocks())
        stakes = [
            OwnStake(
                record,
                self._backups[key].transaction if key in self._backups else None,
                found[key],
                key in registered,
            )
            for key, record in records.items()
        ]
        return sorted(stakes, key=lambda stake: stake.record.bundle.first_epoch)

    async def run(self) -> None:
        """Run until cancelled."""
        self._parts.network.serve(RequestProtocol.STAKING, self._serve)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_candidates)
            nursery.start_soon(self._follow_bitcoin)
            while True:
                try:
                    self._note(await self._step())
                except (RemoteError, OSError) as error:
                    self._note(str(error))
                    await trio.sleep(REPEAT_SECONDS)
                with trio.move_on_after(REPEAT_SECONDS):
                    await self._wake.wait()
                self._wake = trio.Event()

    async def _follow_bitcoin(self) -> None:
        while True:
            await self._parts.watcher.wait_changed()
            self._confirm_candidates()
            self._wake.set()

    def _note(self, problem: str | None) -> None:
        """Say what is wrong once, and that it is over."""
        if problem not in (None, self.problem):
            log.warning("staking_waits", why=problem)
        self.problem = problem

    async def _step(self) -> str | None:
        """One look at what the operator's stakes need; Bitcoin's words if it refused something."""
        admission = self._view.admission()
        self._candidates.prune(admission)
        if not self._parts.watcher.reachable:
            return None
        refusals: list[str] = []
        living: list[OwnStake] = []
        for stake in self.own_stakes():
            refused = await self._keep_broadcast(admission, stake)
            if refused is None:
                living.append(stake)
                refused = await self._refund_expired(stake)
            if refused is not None:
                refusals.append(refused)
        await self._register(admission, living)
        return refusals[0] if refusals else None

    def _blocks(self) -> list[L1Block]:
        watcher = self._parts.watcher
        heights = range(watcher.start, watcher.tip_height + 1)
        found = [watcher.block(Height(height)) for height in heights]
        return [block for block in found if block is not None]

    async def _serve(self, peer: PeerId, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        asked = decode_request(request)
        if peer_id_of_xonly(asked.bundle.keys.peer) != peer:
            raise RemoteError(CeremonyReason.NOT_YOURS)
        admission = self._view.admission()
        if isinstance(asked, OfferRequest):
            offer = self._parts.cosigner.offer(asked.bundle, admission)
            log.info("cosign_key_offered", peer=peer, first_epoch=asked.bundle.first_epoch)
            return offer.encode()
        answer = self._parts.cosigner.cosign(asked, admission)
        log.info("stake_cosigned", peer=peer, txid=display_id(asked.txid))
        return answer.encode()

    async def _read_candidates(self) -> None:
        async for received in self._parts.network.inbox(Channel.STAKING):
            try:
                await self._consider(received)
            except RemoteError as error:
                log.info("stake_record_refused", peer=received.peer, why=str(error))
                self._parts.network.penalize(received.peer, PenaltyReason.INVALID_MESSAGE)

    async def _consider(self, received: Received) -> None:
        """Keep a record that blocks may take. Raises RemoteError for one that nobody may send."""
        await trio.lowlevel.checkpoint()
        if len(received.payload) > RECORD_BYTES_MAX:
            raise CodecError(CodecReason.LENGTH, f"{len(received.payload)} bytes")
        record = StakeRecord.decode(received.payload)
        if record in self._candidates:
            return
        try:
            self._view.admission().check_record(record)
        except RemoteError as error:
            # It may have been right when it was sent: a block took it, or the set changed.
            log.debug("stake_record_not_now", peer=received.peer, why=str(error))
            return
        await trio.to_thread.run_sync(check_record, record, self._draft)
        self._add_candidate(record)

    def _add_candidate(self, record: StakeRecord) -> None:
        if record not in self._candidates and self._candidates.add(record):
            log.info("stake_candidate", stake=record.consensus_key.hex()[:16])
            self._confirm_candidates()

    def _confirm_candidates(self) -> None:
        """Note whose stake Bitcoin has confirmed: only they are put into blocks."""
        waiting = self._candidates.unconfirmed()
        if not waiting:
            return
        records = {record.consensus_key: record for record in waiting}
        found = find_stakes(self._draft, records, self._blocks())
        for key, record in records.items():
            if found[key].confirmed is not None:
                self._candidates.confirm(record)
                self._candidate_ready()

    async def _keep_broadcast(self, admission: Admission, stake: OwnStake) -> str | None:
        """Hand an unconfirmed stake to Bitcoin again, never another one in its place (R3a).

        Bitcoin's words when it does not take it: its coins are gone, and the stake with them.
        """
        transaction, record = stake.transaction, stake.record
        if transaction is None or stake.on_bitcoin.confirmed is not None:
            return None
        is_wanted = stake.is_registered and record.bundle.last_epoch >= admission.epoch
        if is_wanted or self._may_enter(admission, record):
            return await self._send(transaction, "stake")
        return None

    async def _send(self, transaction: Transaction, kind: str) -> str | None:
        """Broadcast; Bitcoin's words if it refuses. Raises OSError when it does not answer."""
        try:
            await self._parts.bitcoin.call("sendrawtransaction", transaction.serialize().hex())
        except RemoteError as error:
            if "already" in str(error):
                return None
            return f"Bitcoin refuses the {kind} {display_id(transaction.txid)}: {error}"
        if transaction.txid not in self._sent:
            self._sent.add(transaction.txid)
            log.info("sent_to_bitcoin", kind=kind, txid=display_id(transaction.txid))
        return None

    async def _refund_expired(self, stake: OwnStake) -> str | None:
        """Take a bond back to the wallet when Bitcoin allows it (from height T + 1 on)."""
        record = stake.record
        refund_height = self._params.refund_height(
            self._draft.anchor_height, record.bundle.last_epoch
        )
        signer = self._parts.signer
        is_own = record.consensus_key in signer.consensus_keys()
        is_ripe = self._parts.watcher.tip_height >= refund_height
        if not (is_own and is_ripe and stake.on_bitcoin.is_unspent):
            return None
        if await self._is_spent_in_mempool(record.bond):
            return None
        transaction = sign_refund(
            record,
            self._draft,
            signer.secrets_of(record.consensus_key).owner,
            self._wallet_script,
            self._feerate(),
        )
        return await self._send(transaction, "refund")

    async def _is_spent_in_mempool(self, outpoint: OutPoint) -> bool:
        asked = [{"txid": display_id(outpoint.txid), "vout": outpoint.vout}]
        answer: Any = await self._parts.bitcoin.call("gettxspendingprevout", asked)
        return "spendingtxid" in answer[0]

    def _feerate(self) -> SatsPerKvb:
        return max(FEERATE_MINIMUM, self._view.stake_feerate())

    async def _register(self, admission: Admission, own: list[OwnStake]) -> None:
        """Publish a prepared record, or make the next stake when it is due."""
        for stake in own:
            if not stake.is_registered and self._may_enter(admission, stake.record):
                self._add_candidate(stake.record)
                self._parts.network.broadcast(Channel.STAKING, stake.record.encode())
                return
        registered = [stake for stake in own if stake.is_registered]
        if any(stake.on_bitcoin.slashed is not None for stake in registered):
            return  # a person decides whether an operator that was slashed comes back
        newest = registered[-1].record if registered else None
        newest_end = None if newest is None else newest.bundle.last_epoch
        bond = self._settings.bond or (Sats(0) if newest is None else newest.value)
        policy = self._settings.policy
        if newest_end is None:
            is_due = policy.is_automatic and bond > 0
        else:
            is_due = is_renewal_due(policy, admission.epoch, newest_end)
        if is_due:
            tip = self._parts.watcher.tip_height
            start = renewal_start(self._draft, admission.epoch, tip, newest_end)
            await self._make_stake(start, bond)

    @staticmethod
    def _may_enter(admission: Admission, record: StakeRecord) -> bool:
        try:
            admission.check_record(record)
        except RemoteError:
            return False
        return True

    def _unused_stake(self, admission: Admission) -> tuple[int, StakeSecrets]:
        """Keys of a stake that was never broadcast: left by a ceremony that failed, or new."""
        signer = self._parts.signer
        for number, key in signer.stake_numbers().items():
            if key not in admission.registry.records and key not in self._backups:
                return number, signer.secrets_of(key)
        return signer.add_stake()

    async def _make_stake(self, start: Epoch, bond: Sats) -> None:
        """Hold the ceremony, write the backup, broadcast. Raises RemoteError to try again later."""
        admission = self._view.admission()
        number, secrets = self._unused_stake(admission)
        first, last = renewal_range(self._draft, start)
        bundle = make_bundle(self._params.network, self._draft.draft_id, secrets, first, last)
        log.info("ceremony_begins", stake=number, first_epoch=first, last_epoch=last)
        ceremony = _Ceremony(self._parts, admission, bundle, bond, self._wallet_script)
        record, transaction = await ceremony.hold(secrets, self._feerate())
        await trio.to_thread.run_sync(check_record, record, self._draft)
        # The way back must work before the bond is locked (pitfall R3).
        sign_refund(record, self._draft, secrets.owner, self._wallet_script, self._feerate())
        self._view.admission().check_record(record)
        backup = StakeBackup(
            number,
            record,
            transaction,
            self._params.refund_height(self._draft.anchor_height, last),
        )
        self._parts.crash_point("stake-before-backup")
        self._parts.backups.write(backup)
        self._backups[record.consensus_key] = backup
        self._parts.crash_point("stake-after-backup")
        refused = await self._send(transaction, "stake")
        self._parts.crash_point("stake-after-broadcast")
        bond_name = str(record.bond)
        log.info("stake_made", stake=number, bond=bond_name, first_epoch=first, refused=refused)
        self._wake.set()


class _Ceremony:
    """One attempt to have one bundle's stake co-signed."""

    def __init__(
        self,
        parts: StakingParts,
        admission: Admission,
        bundle: Bundle,
        bond: Sats,
        wallet_script: bytes,
    ) -> None:
        self._parts = parts
        self._admission = admission
        self._draft = admission.draft
        self._network = admission.draft.params.network
        self._bundle = bundle
        self._bond = bond
        self._wallet_script = wallet_script
        self._own = admission.keys_of(bundle.keys.owner)

    async def hold(
        self, secrets: StakeSecrets, feerate: SatsPerKvb
    ) -> tuple[StakeRecord, Transaction]:
        """The complete record and the signed stake transaction. Raises RemoteError."""
        # An empty wallet must not cost the members' keys: size does not depend on the committee.
        await self._build(self._terms(()), feerate)
        failed: set[XOnlyKey] = set()
        for _ in range(ATTEMPTS_MAX):
            offers = await self._collect_offers(failed)
            chosen = choose_committee(self._admission.sets[0], offers, self._own)
            if chosen is None:
                raise RemoteError(CeremonyReason.TOO_FEW, f"{len(offers)} members answered")
            terms = self._terms(chosen)
            transaction = await self._build(terms, feerate)
            request = CosignRequest(self._bundle, transaction.txid, self._bond, chosen)
            answers = await self._collect_signatures(request, terms)
            missing = {offer.member for offer in chosen if offer.member not in answers}
            if not missing:
                entries = tuple(
                    o.entry(answers[o.member].slash, answers[o.member].refund) for o in chosen
                )
                owner = presign_owner(terms, transaction.txid, secrets.owner)
                record = StakeRecord(self._bundle, transaction.txid, self._bond, entries, owner)
                return record, transaction
            failed |= missing
            log.info("ceremony_restarts", failed=len(failed))
        raise RemoteError(CeremonyReason.ATTEMPTS, f"{len(failed)} members")

    def _terms(self, committee: tuple[Offer, ...]) -> StakeTerms:
        params = self._draft.params
        return StakeTerms(
            self._bundle.keys.owner,
            self._bundle.keys.consensus,
            tuple(offer.cosign_key for offer in committee),
            params.refund_height(self._draft.anchor_height, self._bundle.last_epoch),
            self._bond,
            params.burn_amount(self._bond),
        )

    async def _build(self, terms: StakeTerms, feerate: SatsPerKvb) -> Transaction:
        """The signed stake transaction; nobody else sees it before the backup is written."""
        coins = await find_coins(self._parts.bitcoin, self._wallet_script)
        bundle = self._bundle.digest(self._network)
        unsigned = build_stake(self._network, terms, bundle, coins, self._wallet_script, feerate)
        return sign_payment(unsigned, [self._parts.signer.wallet_secret()])

    def _peers(self, members: Mapping[XOnlyKey, object]) -> dict[XOnlyKey, PeerId]:
        records = self._admission.registry.records
        return {key: peer_id_of_xonly(records[key].bundle.keys.peer) for key in members}

    async def _collect_offers(self, failed: set[XOnlyKey]) -> dict[XOnlyKey, Offer]:
        """Fresh keys of everybody who answers, in parallel."""
        members = {
            member.key: None
            for member in self._admission.sets[0].members
            if member.key not in failed and member.key not in self._own
        }
        request = OfferRequest(self._bundle).encode()
        offers: dict[XOnlyKey, Offer] = {}

        def take(member: XOnlyKey, answer: bytes) -> None:
            offer = Offer.decode(answer)
            if offer.member != member or not is_xonly_key(offer.cosign_key):
                raise RemoteError(CeremonyReason.OFFER, member.hex())
            check_statements(self._bundle, [offer.entry()], self._draft)
            offers[member] = offer

        await self._ask_all(self._peers(members), request, take)
        distinct = {offer.cosign_key: offer for offer in offers.values()}
        return {offer.member: offer for offer in distinct.values()}

    async def _collect_signatures(
        self, request: CosignRequest, terms: StakeTerms
    ) -> dict[XOnlyKey, CosignAnswer]:
        """Verified signatures of everybody in the committee who answers, in parallel."""
        keys = {offer.member: offer.cosign_key for offer in request.committee}
        slash = slash_message(terms, request.txid)
        refund = refund_message(terms, request.txid)
        answers: dict[XOnlyKey, CosignAnswer] = {}

        def take(member: XOnlyKey, encoded: bytes) -> None:
            answer = CosignAnswer.decode(encoded)
            good = verify(keys[member], slash, answer.slash) and verify(
                keys[member], refund, answer.refund
            )
            if not good:
                raise RemoteError(CeremonyReason.SIGNATURE, member.hex())
            answers[member] = answer

        await self._ask_all(self._peers(keys), request.encode(), take)
        return answers

    async def _ask_all(
        self,
        peers: Mapping[XOnlyKey, PeerId],
        request: bytes,
        take: Callable[[XOnlyKey, bytes], None],
    ) -> None:
        async with trio.open_nursery() as nursery:
            for member, peer in peers.items():
                nursery.start_soon(self._ask, peer, request, partial(take, member))

    async def _ask(self, peer: PeerId, request: bytes, take: Callable[[bytes], None]) -> None:
        network = self._parts.network
        try:
            answer = await network.request(
                peer, RequestProtocol.STAKING, request, REQUEST_TIMEOUT_S
            )
        except RemoteError as error:
            log.info("member_does_not_answer", peer=peer, why=str(error))
            return
        try:
            take(answer)
        except RemoteError as error:
            log.warning("member_answers_wrongly", peer=peer, why=str(error))
            network.penalize(peer, PenaltyReason.INVALID_MESSAGE)
