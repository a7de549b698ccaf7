"""Run seeds: `python -m p2p_seq.sim --seeds A..B [--stop]`. Exit code 1 if any seed fails."""

import argparse
import sys
import time
from collections import Counter

from p2p_seq.sim.scenario import make_scenario
from p2p_seq.sim.world import World


def parse_range(text: str) -> range:
    """`A..B` (B excluded) or one number."""
    first, dots, last = text.partition("..")
    return range(int(first), int(last) if dots else int(first) + 1)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m p2p_seq.sim", description=__doc__)
    parser.add_argument("--seeds", type=parse_range, required=True, help="A..B, B excluded")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    parser.add_argument("--verbose", action="store_true", help="one line for every seed")
    chosen = parser.parse_args(arguments)
    started = time.monotonic()
    totals: Counter[str] = Counter()
    slowest = 0
    for seed in chosen.seeds:
        outcome = World(make_scenario(seed)).run()
        totals["seeds"] += 1
        totals["failed"] += outcome.violation is not None
        totals["blocks"] += outcome.heights
        totals["epochs"] += outcome.epochs
        totals["events"] += outcome.events
        totals["crashes"] += outcome.crashes
        totals["evidence"] += outcome.evidence
        slowest = max(slowest, outcome.settled_ms)
        if outcome.violation is not None or chosen.verbose:
            sys.stdout.write(outcome.describe() + "\n")
            sys.stdout.flush()
        if outcome.violation is not None and chosen.stop:
            break
    seconds = time.monotonic() - started
    counted = ", ".join(f"{count} {name}" for name, count in totals.items())
    sys.stdout.write(
        f"{counted}; slowest settled {slowest} ms after the healing; {seconds:.1f} s\n"
    )
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
