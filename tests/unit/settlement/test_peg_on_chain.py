"""The protocol's transactions on a whole regtest chain.

The engine's script check alone does not know whether a lock time or a relative lock has been
reached, and takes what no relay forwards; the embedded node's mempool and blocks do.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_seq.bitcoin.block import Block
from p2p_seq.bitcoin.embedded.node import MINE_BATCH, RegtestNode
from p2p_seq.bitcoin.embedded.policy import RejectReason, TransactionRefusedError
from p2p_seq.bitcoin.taproot import key_path_script
from p2p_seq.bitcoin.transaction import Transaction, TxOut
from p2p_seq.bitcoin.wallet import Coin, build_payment
from p2p_seq.protocol.types import Height, OutPoint, Sats, SatsPerKvb
from p2p_seq.settlement.plan import PlannedDeposit, SettlementPlan, commitment
from p2p_seq.settlement.scripts import DepositRequest, deposits_in, vault_output
from p2p_seq.settlement.transactions import (
    Settlement,
    build_reclaim,
    build_settlement,
    deposit_outputs,
)
from p2p_seq.signer.schnorr import sign
from p2p_seq.signer.spending import sign_payment
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.transactions import (
    PreSignatures,
    build_refund,
    build_slash,
    build_stake,
    check_presignatures,
    check_refund,
    check_stake,
    refund_message,
    slash_message,
)
from tests.support.keys import digest, key, secret
from tests.support.pegs import (
    CONTEXT,
    GENERATIONS,
    NETWORK,
    STATE_ROOT,
    TIMEOUT,
    facts,
    generation,
    payout,
    plan,
    signatures_by,
    vault_names,
)

RATE = SatsPerKvb(2_000)
MINER = key_path_script(key("miner"))
WALLET = key_path_script(key("wallet"))


class Chain:
    """A regtest node with one funded wallet."""

    def __init__(self, directory: Path) -> None:
        self.node = RegtestNode(directory)
        block_hash = self.node.generate(1, WALLET)[0]
        self.mine(100)
        encoded = self.node.chain.index.raw_block(block_hash)
        assert encoded is not None
        coinbase = Block.parse(encoded).transactions[0]
        self._coin = Coin(coinbase.outpoint(0), coinbase.outputs[0])

    @property
    def height(self) -> int:
        return self.node.chain.tip().height

    def mine(self, count: int) -> None:
        for start in range(0, count, MINE_BATCH):
            self.node.generate(min(MINE_BATCH, count - start), MINER)

    def pay(self, *outputs: TxOut) -> Transaction:
        """Pay from the wallet and mine it; the change is the wallet's next coin."""
        unsigned = build_payment([self._coin], outputs, WALLET, RATE)
        signed = sign_payment(unsigned, [secret("wallet")])
        self.node.accept(signed.serialize())
        self.mine(1)
        last = len(signed.outputs) - 1
        self._coin = Coin(signed.outpoint(last), signed.outputs[last])
        return signed

    def take_coin(self) -> Coin:
        """The wallet's only coin, for a transaction built elsewhere."""
        return self._coin

    def refusal(self, transaction: Transaction) -> RejectReason:
        with pytest.raises(TransactionRefusedError) as caught:
            self.node.accept(transaction.serialize())
        assert isinstance(caught.value.reason, RejectReason)
        return caught.value.reason

    def bury(self, transaction: Transaction) -> None:
        """Relay it and mine it: it must be standard and it must be in the next block."""
        self.node.accept(transaction.serialize())
        self.mine(1)
        assert transaction.txid not in self.node.mempool.entries
        assert self.node.chain.index.coin(transaction.outpoint(0)) is not None


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    opened = Chain(tmp_path / "node")
    yield opened
    opened.node.close()


class PegCase:
    """A vault coin of generation 1 and one buried deposit of the user."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.holder = GENERATIONS[1]
        vault = chain.pay(TxOut(3_000_000, vault_output(self.holder).script))
        self.vault = vault.outpoint(0)
        request = DepositRequest(1, key("account"), key("user"))
        outputs = deposit_outputs(NETWORK, self.holder, request, Sats(100_000_000), TIMEOUT)
        transaction = chain.pay(*outputs)
        self.deposit_height = chain.height
        (found,) = deposits_in(NETWORK, transaction, GENERATIONS, TIMEOUT)
        self.deposit = PlannedDeposit(
            transaction.outpoint(found.vout),
            found.value,
            request.recipient,
            request.user_key,
            request.generation,
        )

    def settle(self, wanted: SettlementPlan, version: int = 0) -> Settlement:
        bound = commitment(NETWORK, wanted, facts())
        return build_settlement(CONTEXT, wanted, version, STATE_ROOT, bound)

    def first_plan(self) -> SettlementPlan:
        base = plan((self.deposit,), (payout(1, 1_000_000),), vault_value=3_000_000)
        return replace(base, vault=self.vault)

    def signed(self, settlement: Settlement) -> Transaction:
        signed = settlement.assemble(
            signatures_by(settlement, vault_names(1, 4)[1:] + vault_names(2, 3))
        )
        assert signed is not None
        return signed

    def reclaimed(self) -> Transaction:
        reclaim = build_reclaim(
            self.holder,
            key("user"),
            TIMEOUT,
            self.deposit.outpoint,
            self.deposit.value,
            WALLET,
            RATE,
        )
        return reclaim.complete(sign(secret("user"), reclaim.message))


def test_deposit_settlement_payout_and_hand_over(chain: Chain) -> None:
    case = PegCase(chain)
    first = case.settle(case.first_plan())
    chain.bury(case.signed(first))
    paid = chain.node.chain.index.coin(OutPoint(first.txid, 2))
    assert paid is not None
    assert paid.output == TxOut(1_000_000, key_path_script(key("payee 1")))
    successor = generation(2, [5, 3, 2])
    wanted = replace(
        plan(hand_over=successor, vault_value=first.vault_value), vault=OutPoint(first.txid, 0)
    )
    second = case.settle(wanted)
    chain.bury(case.signed(second))
    vault = chain.node.chain.index.coin(OutPoint(second.txid, 0))
    assert vault is not None
    assert vault.output == TxOut(second.vault_value, vault_output(successor).script)
    assert vault.output.value == 103_000_000 - 1_000_000 - first.fee - second.fee


def test_a_higher_version_replaces_a_lower_one_and_one_confirms(chain: Chain) -> None:
    case = PegCase(chain)
    wanted = case.first_plan()
    low, high = case.settle(wanted, 0), case.settle(wanted, 2)
    chain.node.accept(case.signed(low).serialize())
    chain.bury(case.signed(high))
    assert chain.node.chain.index.coin(OutPoint(low.txid, 0)) is None
    assert chain.refusal(case.signed(low)) is RejectReason.MISSING_INPUTS


def test_bitcoin_decides_between_sweep_and_timeout(chain: Chain) -> None:
    case = PegCase(chain)
    reclaimed = case.reclaimed()
    assert chain.refusal(reclaimed) is RejectReason.NON_BIP68_FINAL
    chain.mine(case.deposit_height + TIMEOUT - 2 - chain.height)
    assert chain.refusal(reclaimed) is RejectReason.NON_BIP68_FINAL
    chain.mine(1)
    chain.bury(reclaimed)
    swept = case.signed(case.settle(case.first_plan()))
    assert chain.refusal(swept) is RejectReason.MISSING_INPUTS


def test_a_swept_deposit_cannot_be_reclaimed(chain: Chain) -> None:
    case = PegCase(chain)
    chain.bury(case.signed(case.settle(case.first_plan())))
    chain.mine(70)
    assert chain.refusal(case.reclaimed()) is RejectReason.MISSING_INPUTS


class StakeCase:
    """A confirmed stake of 1 BTC with three co-signers; T is ten blocks ahead."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        names = [f"cosign {i}" for i in range(3)]
        value = Sats(100_000_000)
        self.terms = StakeTerms(
            key("owner"),
            key("consensus"),
            tuple(key(name) for name in names),
            Height(chain.height + 10),
            value,
            Sats(value * 9 // 10),
        )
        coin = chain.take_coin()
        unsigned = build_stake(NETWORK, self.terms, digest("bundle"), [coin], WALLET, RATE)
        self.txid = unsigned.transaction.txid
        slash = slash_message(self.terms, self.txid)
        refund = refund_message(self.terms, self.txid)
        self.presigned = PreSignatures(
            sign(secret("owner"), slash),
            tuple(sign(secret(name), slash) for name in names),
            tuple(sign(secret(name), refund) for name in names),
        )
        check_presignatures(self.terms, self.txid, self.presigned)
        stake = sign_payment(unsigned, [secret("wallet")])
        check_stake(NETWORK, self.terms, digest("bundle"), stake)
        chain.bury(stake)

    def refunded(self) -> Transaction:
        refund = build_refund(self.terms, self.txid, self.presigned, WALLET, RATE)
        return check_refund(refund, *(sign(secret("owner"), item) for item in refund.messages()))

    def slashed(self) -> Transaction:
        slash = build_slash(self.terms, self.txid, self.presigned, MINER, RATE)
        return slash.complete_key_leak(sign(secret("consensus"), slash.key_leak_message))


def test_the_refund_waits_for_its_height(chain: Chain) -> None:
    case = StakeCase(chain)
    refunded = case.refunded()
    assert chain.refusal(refunded) is RejectReason.NON_FINAL
    chain.mine(case.terms.refund_height - 1 - chain.height)
    assert chain.refusal(refunded) is RejectReason.NON_FINAL
    chain.mine(1)
    chain.bury(refunded)
    assert chain.refusal(case.slashed()) is RejectReason.MISSING_INPUTS


def test_a_slash_is_relayed_at_once_and_ends_the_stake(chain: Chain) -> None:
    case = StakeCase(chain)
    slashed = case.slashed()
    chain.bury(slashed)
    burnt = chain.node.chain.index.coin(slashed.outpoint(0))
    assert burnt is not None
    assert burnt.output == case.terms.burn_output
    chain.mine(case.terms.refund_height - chain.height)
    assert chain.refusal(case.refunded()) is RejectReason.MISSING_INPUTS
