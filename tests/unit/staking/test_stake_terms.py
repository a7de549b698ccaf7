"""From the record that the ledger keeps to the terms that the scripts are made of."""

from dataclasses import replace
from pathlib import Path

from p2p_seq.protocol.params import load_params
from p2p_seq.protocol.stakes import Bundle, CommitteeEntry, RegisteredKeys, StakeRecord
from p2p_seq.protocol.types import ZERO32, Epoch, Height, Sats
from p2p_seq.signer.schnorr import sign
from p2p_seq.staking.scripts import StakeTerms
from p2p_seq.staking.transactions import (
    PreSignatures,
    check_presignatures,
    refund_message,
    slash_message,
)
from tests.support.keys import digest, key, secret

PARAMS = load_params(Path(__file__).parents[3] / "configs" / "networks" / "regtest.toml")
ANCHOR = Height(200)
NAMES = ["cosign 0", "cosign 1"]
NONE = sign(secret("owner"), digest("nothing"))


def _record() -> StakeRecord:
    keys = RegisteredKeys(*(key(name) for name in ("owner", "consensus", "vault", "pay", "peer")))
    bundle = Bundle(digest("draft"), 1, keys, Epoch(3), Epoch(9), ZERO32, ZERO32, (NONE,) * 5)
    entries = tuple(CommitteeEntry(key("m"), key(name), NONE, NONE, NONE) for name in NAMES)
    return StakeRecord(bundle, digest("stake txid"), Sats(1_000_000_001), entries, NONE)


def test_terms_follow_from_record_and_parameters() -> None:
    terms = StakeTerms.of_record(_record(), PARAMS, ANCHOR)
    assert terms.refund_height == 200 + 10 * 5 + PARAMS.challenge_window + PARAMS.window_margin
    assert terms.burn == 900_000_000
    assert terms.committee == (key("cosign 0"), key("cosign 1"))
    assert (terms.owner, terms.consensus) == (key("owner"), key("consensus"))
    assert terms.fraud_leaves == ()


def test_a_record_with_its_signatures_passes_the_engine() -> None:
    record = _record()
    terms = StakeTerms.of_record(record, PARAMS, ANCHOR)
    slash = slash_message(terms, record.txid)
    refund = refund_message(terms, record.txid)
    committee = tuple(
        replace(entry, slash=sign(secret(name), slash), refund=sign(secret(name), refund))
        for entry, name in zip(record.committee, NAMES, strict=True)
    )
    signed = replace(record, committee=committee, owner_slash=sign(secret("owner"), slash))
    check_presignatures(terms, record.txid, PreSignatures.of_record(signed))
