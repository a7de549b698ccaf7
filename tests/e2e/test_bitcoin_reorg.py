"""A reorganisation of Bitcoin that is shallower than D changes nothing on the ledger."""

import threading
from pathlib import Path

import httpx
import pytest

from testnet.state import require_state
from tests.support.testnets import Demo, running_demo, steps_of

pytestmark = pytest.mark.timeout(300)

DEPTH = 1
"""D is 2 on regtest."""

PAUSE_S = 4.0


def bitcoin_call(folder: Path, method: str, *parameters: object) -> object:
    state = require_state(folder)
    user, _, password = Path(state.bitcoin_cookie).read_text(encoding="ascii").partition(":")
    answer = httpx.post(
        state.bitcoin_url,
        json={"id": 1, "method": method, "params": list(parameters)},
        auth=(user, password),
        trust_env=False,
    ).json()
    assert answer["error"] is None, answer
    return answer["result"]


def confirmations(folder: Path, block_hash: str) -> int:
    """Negative for a block that is not on the best chain."""
    header = bitcoin_call(folder, "getblockheader", block_hash)
    assert isinstance(header, dict)
    return int(header["confirmations"])


def keep_reorganising(demo: Demo, replaced: list[str], stop: threading.Event) -> None:
    """Every few seconds the last block is replaced by two empty ones."""
    while not stop.wait(PAUSE_S) and demo.process.poll() is None:
        replaced.append(str(bitcoin_call(demo.folder, "getbestblockhash")))
        bitcoin_call(demo.folder, "p2pseq_reorg", DEPTH, True)


def test_shallow_reorganisations_change_nothing(tmp_path: Path) -> None:
    replaced: list[str] = []
    stop = threading.Event()
    with running_demo(tmp_path) as demo:
        demo.wait_for_line("first block final")
        storm = threading.Thread(target=keep_reorganising, args=(demo, replaced, stop))
        storm.start()
        try:
            demo.wait_for_line("withdrawal is broadcast", 200)
        finally:
            stop.set()
            storm.join()
        gone = [block for block in replaced if confirmations(demo.folder, block) < 0]
        report = demo.wait(200)
    # A block that was mined between the two calls was replaced in place of the noted one.
    assert len(gone) >= 5, f"only {len(gone)} of {len(replaced)} noted blocks were replaced"
    assert steps_of(report, "payout")
