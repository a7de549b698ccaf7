"""The demo: named acts over a running testnet, and the check at the end that nothing was fudged."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from p2p_seq.api.client import ApiClient, ApiError
from p2p_seq.api.types import NodeStatus
from p2p_seq.epochs.recompute import Recomputed, RecomputeError, recompute
from p2p_seq.protocol.errors import OperatorError
from testnet.launch import Testnet
from testnet.layout import node_name
from testnet.peg_act import play_peg
from testnet.stage import ActFailedError, ActReport, Stage, require

ACTS: Final[dict[str, Callable[[Stage], Awaitable[None]]]] = {"peg": play_peg}
"""In the order in which `--demo` alone plays them."""

AGREEMENT_PATIENCE_S: Final = 90.0
"""Within so long every node must be up and have caught up with the others."""


@dataclass(slots=True)
class DemoReport:
    """What `--json` writes."""

    exit_reason: str = "interrupted"
    is_successful: bool = False
    nodes: int = 0
    preset: str = ""
    chain_id: str = ""
    startup_s: float | None = None
    """From the command to the first finalised block."""
    duration_s: float | None = None
    acts: list[ActReport] = field(default_factory=list)
    agreement: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def check_acts(names: Sequence[str]) -> list[str]:
    """The acts to play; all for an empty list. Raises OperatorError for an unknown one."""
    for name in names:
        if name not in ACTS:
            raise OperatorError(
                f"the demo has no act {name!r}",
                f"it has: {', '.join(ACTS)}",
                "name one of them, or none to play all",
                code=2,
            )
    return list(names) or list(ACTS)


async def play(
    testnet: Testnet,
    clients: list[ApiClient],
    names: Sequence[str],
    report: DemoReport,
    say: Callable[[str], None],
) -> None:
    """Play the acts and check the agreement of all nodes. Fills `report`; never raises for a demo
    that failed.
    """
    begun = trio.current_time()
    try:
        for name in names:
            say(f"act {name}")
            stage = Stage(testnet, clients, ActReport(name), say)
            report.acts.append(stage.report)
            await ACTS[name](stage)
        report.agreement = await check_agreement(testnet, clients, say)
        report.exit_reason, report.is_successful = "all acts played, all checks held", True
    except (ActFailedError, RecomputeError, OperatorError) as error:
        report.exit_reason = str(error)
    except BaseExceptionGroup as group:
        known = group.split((ActFailedError, RecomputeError, OperatorError))
        if known[1] is not None:
            raise
        report.exit_reason = "; ".join(str(error) for error in _leaves(group))
    report.duration_s = round(trio.current_time() - begun, 3)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def check_agreement(
    testnet: Testnet, clients: list[ApiClient], say: Callable[[str], None]
) -> dict[str, Any]:
    """All nodes have one chain, and re-execution from genesis gives every state of it.

    Raises ActFailedError, RecomputeError.
    """
    height = await _common_height(clients)
    genesis = testnet.genesis.genesis
    walked: list[Recomputed] = []
    for index in range(len(clients)):
        home = testnet.layout.home(index)
        walked.append(await trio.to_thread.run_sync(recompute, home, genesis))
    lowest = min(found.height for found in walked)
    require(lowest >= height, "a node has lost finalised blocks")
    roots = {found.roots[lowest] for found in walked}
    require(len(roots) == 1, f"the nodes disagree about the state at height {lowest}")
    prefixes = {tuple(found.roots[: lowest + 1]) for found in walked}
    require(len(prefixes) == 1, "the nodes disagree about an earlier state")
    seals = min((found.seals for found in walked), key=len)
    for found in walked:
        require(found.seals[: len(seals)] == seals, "the nodes disagree about a seal")
    root = roots.pop()
    say(
        f"{len(walked)} nodes agree at height {lowest}: state {root[:16]}…, "
        f"{walked[0].transactions} transactions re-executed, supply held in {lowest + 1} states"
    )
    return {
        "height": lowest,
        "state_root": root,
        "nodes": {
            node_name(index): {
                "height": found.height,
                "state_root_at_height": found.roots[lowest],
                "transactions": found.transactions,
                "certificates": found.certificates,
                "program_runs": found.batches,
                "states_with_supply_checked": len(found.roots),
            }
            for index, found in enumerate(walked)
        },
        "seals": [asdict(seal) for seal in seals],
    }


async def _common_height(clients: list[ApiClient]) -> int:
    """A height that every node has reached. Raises ActFailedError when one stays away."""
    statuses: list[NodeStatus | None] = []
    goal: int | None = None
    with trio.move_on_after(AGREEMENT_PATIENCE_S):
        while True:
            statuses = [await _status(client) for client in clients]
            heights = [status.height for status in statuses if status is not None]
            if goal is None and heights:
                goal = max(heights)
            if goal is not None and len(heights) == len(clients) and min(heights) >= goal:
                return goal
            await trio.sleep(0.2)
    shown = [None if status is None else status.height for status in statuses]
    raise ActFailedError(f"not every node reached height {goal}: {shown}")


async def _status(client: ApiClient) -> NodeStatus | None:
    try:
        return await client.status()
    except ApiError:
        return None
