"""Starts sequencer processes that share the cost of loading the program.

Loading takes 2.6 s of CPU a process, most of it libp2p and the API's framework: ten seconds for
four on one core. This process loads once and forks; every child is a process of its own, with its
own session, log and store, and runs `p2pseq start` as if it had been started by hand. A process
that is restarted later is started by hand indeed.

Reads one JSON document from standard input, `[{"arguments", "log", "environment"}, ...]`, prints
the pids in that order as one JSON line, and stays as the children's parent until the last one has
ended.
"""

import gc
import importlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

PROGRAM: Final = (
    "p2p_seq.api.http",
    "p2p_seq.cli.main",
    "p2p_seq.cli.password",
    "p2p_seq.cli.start",
    "p2p_seq.network.libp2p_network",
    "p2p_seq.node.view",
)
"""What a sequencer imports at its start. None of it starts a thread, opens a file or draws chance
that matters: `random` seeds itself anew in a child, secrets come from the system.
"""


def main() -> int:
    for module in PROGRAM:
        importlib.import_module(module)
    jobs: list[dict[str, Any]] = json.load(sys.stdin)
    gc.freeze()  # the collector would copy every shared page in every child
    pids = []
    for job in jobs:
        pid = os.fork()
        if pid == 0:
            _become(job)
        pids.append(pid)
    sys.stdout.write(json.dumps(pids) + "\n")
    sys.stdout.close()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return 0


def _become(job: dict[str, Any]) -> NoReturn:
    """Turn a child into the process that it is to be."""
    from p2p_seq.cli.main import run

    os.setsid()
    log = Path(job["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for target, source in enumerate((nothing, nothing, output)):
        os.dup2(source, target)
    os.environ.update(job["environment"])
    sys.exit(run(job["arguments"]))


if __name__ == "__main__":
    sys.exit(main())
