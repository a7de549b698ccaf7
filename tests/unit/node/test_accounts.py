"""The mempool's view of accounts reads the leaves that the ledger writes."""

from pathlib import Path

from cython_core.ledger._ledger import NativeLedger
from cython_core.merkle._tree import StateTree
from p2p_seq.ledger.executor import Ledger
from p2p_seq.node.accounts import FinalAccounts
from p2p_seq.protocol.params import load_params
from p2p_seq.protocol.state import Account, LeafKind, ledger_constants
from p2p_seq.protocol.types import ZERO32, Hash32, Sats

PARAMS = Path(__file__).resolve().parents[3] / "configs" / "networks" / "regtest.toml"


def test_balance_and_nonce_are_those_of_the_leaf() -> None:
    key = bytes(range(32))
    name = bytes([LeafKind.ACCOUNT]) + key
    value = Account(Sats(99_999_656), (3 << 32) + 7, 5, 6).encode()
    constants = ledger_constants(load_params(PARAMS), Hash32(bytes(32)))
    root = Hash32(NativeLedger(StateTree(), constants).load(name, value))
    accounts = FinalAccounts(Ledger.restore(constants, [(name, value)], ZERO32, root))
    assert accounts.account(key) == (99_999_656, (3 << 32) + 7)
    assert accounts.account(bytes(32)) is None
