"""The genesis ceremony of a local testnet, automatic: every founder's part, in its order.

PROTOCOL.md section 5, genesis. On a real network each founder does its own steps on its own machine
and the messages travel; here one process holds all the keystores, and nothing else is different:
the same bundles, the same pre-signatures checked on the engine, the same genesis file.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2p_seq.bitcoin.address import encode_address
from p2p_seq.bitcoin.coins import find_coins
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction, TxOut
from p2p_seq.bitcoin.wallet import build_payment
from p2p_seq.bitcoin.watcher import BitcoinSource
from p2p_seq.protocol.blocks import Origin
from p2p_seq.protocol.genesis import Draft, Genesis, SignedGenesis, founder_message
from p2p_seq.protocol.params import Params
from p2p_seq.protocol.sets import weigh
from p2p_seq.protocol.stakes import Bundle, CommitteeEntry, StakeRecord
from p2p_seq.protocol.types import (
    Epoch,
    Hash32,
    Height,
    OutPoint,
    Sats,
    SatsPerKvb,
    parse_display_id,
)
from p2p_seq.settlement.scripts import vault_output
from p2p_seq.signer import schnorr
from p2p_seq.signer.keystore import Keystore, StakeSecrets
from p2p_seq.signer.registration import CosignOffer, make_bundle, offer, presign, presign_owner
from p2p_seq.signer.signer import create_stake
from p2p_seq.signer.spending import sign_payment
from p2p_seq.staking.registration import check_genesis, check_record, renewal_range
from p2p_seq.staking.registry import Registry
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.transactions import (
    PreSignatures,
    build_refund,
    build_stake,
    check_refund,
)

FEERATE: Final = SatsPerKvb(2_000)
"""What the testnet's own transactions pay."""

FAUCET_BLOCKS: Final = 150
"""Regtest halves its subsidy every 150 blocks, so the faucet mines the first ones (pitfall R16)."""

STAKE_RESERVE: Final = Sats(100_000)
"""Beside the bond: F, the fee and change."""


@dataclass(frozen=True)
class Founder:
    """One sequencer-to-be."""

    home: Path
    keystore: Keystore


class Faucet:
    """Pays from the coins that the testnet mined for itself."""

    def __init__(self, bitcoin: BitcoinSource, secret: bytes) -> None:
        self._bitcoin = bitcoin
        self._secret = secret
        self.script = key_path_script(schnorr.public_key(secret))
        self.address = encode_address(self.script, "regtest")

    async def mine(self, blocks: int) -> None:
        await self._bitcoin.call("generatetoaddress", blocks, self.address)

    async def pay(self, outputs: Sequence[TxOut]) -> Transaction:
        """Pay from mature coins; the transaction waits in the mempool. Raises RemoteError."""
        coins = await find_coins(self._bitcoin, self.script)
        unsigned = build_payment(coins, outputs, self.script, FEERATE)
        transaction = sign_payment(unsigned, [self._secret])
        await self._bitcoin.call("sendrawtransaction", transaction.serialize().hex())
        return transaction


async def hold_ceremony(
    bitcoin: BitcoinSource,
    faucet: Faucet,
    params: Params,
    founders: Sequence[Founder],
    bond: Sats,
    vault_value: Sats,
) -> SignedGenesis:
    """Make the stakes and the vault coin, and the genesis file that names them."""
    await faucet.mine(max(0, FAUCET_BLOCKS - await _height(bitcoin)))
    wallets = [key_path_script(schnorr.public_key(f.keystore.wallet_secret)) for f in founders]
    await faucet.pay([TxOut(bond + STAKE_RESERVE, script) for script in wallets])
    await faucet.mine(1)
    anchor_height = Height(await _height(bitcoin) + 1 + params.burial_depth)
    draft = Draft(params, anchor_height, Hash32(secrets.token_bytes(32)))
    stakes = [create_stake(founder.home, founder.keystore, 0) for founder in founders]
    first, last = renewal_range(draft, Epoch(0))
    bundles = [make_bundle(params.network, draft.draft_id, stake, first, last) for stake in stakes]
    records = []
    for index, founder in enumerate(founders):
        records.append(await _register(bitcoin, draft, founder, index, stakes, bundles, bond))
    vault = await _pay_vault(faucet, draft, records, vault_value)
    await faucet.mine(max(0, anchor_height - await _height(bitcoin)))
    genesis = Genesis(
        draft, await _origin(bitcoin, anchor_height), tuple(records), vault, vault_value
    )
    message = founder_message(genesis)
    signatures = tuple(schnorr.sign(stake.consensus, message) for stake in stakes)
    signed = SignedGenesis(genesis, signatures)
    check_genesis(signed)
    return signed


async def fund_renewals(faucet: Faucet, founders: Sequence[Founder], bond: Sats) -> None:
    """Put a further bond into each wallet: a renewal needs it before the old one is refunded."""
    wallets = [key_path_script(schnorr.public_key(f.keystore.wallet_secret)) for f in founders]
    await faucet.pay([TxOut(bond + STAKE_RESERVE, script) for script in wallets])


async def _register(
    bitcoin: BitcoinSource,
    draft: Draft,
    founder: Founder,
    index: int,
    stakes: Sequence[StakeSecrets],
    bundles: Sequence[Bundle],
    bond: Sats,
) -> StakeRecord:
    """One founder's stake, co-signed by all the others, checked, and broadcast."""
    params, network = draft.params, draft.params.network
    bundle, own = bundles[index], stakes[index]
    bundle_hash = bundle.digest(network)
    fresh = {n: secrets.token_bytes(32) for n in range(len(stakes)) if n != index}
    offers: dict[int, CosignOffer] = {
        n: offer(network, draft.draft_id, bundle_hash, stakes[n].consensus, secret)
        for n, secret in fresh.items()
    }
    terms = StakeTerms(
        owner=bundle.keys.owner,
        consensus=bundle.keys.consensus,
        committee=tuple(item.cosign_key for item in offers.values()),
        refund_height=params.refund_height(draft.anchor_height, bundle.last_epoch),
        value=bond,
        burn=params.burn_amount(bond),
    )
    script = key_path_script(schnorr.public_key(founder.keystore.wallet_secret))
    coins = await find_coins(bitcoin, script)
    unsigned = build_stake(network, terms, bundle_hash, coins, script, FEERATE)
    stake = sign_payment(unsigned, [founder.keystore.wallet_secret])
    presigned = {n: presign(terms, stake.txid, secret) for n, secret in fresh.items()}
    record = StakeRecord(
        bundle,
        stake.txid,
        bond,
        tuple(
            CommitteeEntry(o.member, o.cosign_key, o.statement, *presigned[n])
            for n, o in offers.items()
        ),
        presign_owner(terms, stake.txid, own.owner),
    )
    check_record(record, draft)
    _check_own_refund(record, terms, own, script)
    await bitcoin.call("sendrawtransaction", stake.serialize().hex())
    return record


def _check_own_refund(
    record: StakeRecord, terms: StakeTerms, own: StakeSecrets, destination: bytes
) -> None:
    """The owner broadcasts only a stake whose way back works on the engine (pitfall R3)."""
    refund = build_refund(terms, record.txid, PreSignatures.of_record(record), destination, FEERATE)
    bond_message, connector_message = refund.messages()
    check_refund(
        refund,
        schnorr.sign(own.owner, bond_message),
        schnorr.sign(own.owner, connector_message),
    )


async def _pay_vault(
    faucet: Faucet, draft: Draft, records: Sequence[StakeRecord], value: Sats
) -> OutPoint:
    """The genesis vault coin, paid to generation 0."""
    members = weigh(
        [(record.consensus_key, record.value) for record in records], draft.params.set_maximum
    )
    registry = Registry(draft, {record.consensus_key: record for record in records})
    output = vault_output(registry.generation(0, members))
    transaction = await faucet.pay([TxOut(value, output.script)])
    return transaction.outpoint(0)


async def _height(bitcoin: BitcoinSource) -> int:
    return int(str(await bitcoin.call("getblockcount")))


async def _origin(bitcoin: BitcoinSource, height: Height) -> Origin:
    block_hash = str(await bitcoin.call("getblockhash", height))
    header: Any = await bitcoin.call("getblockheader", block_hash, True)
    return Origin(height, parse_display_id(block_hash), int(header["mediantime"]))
