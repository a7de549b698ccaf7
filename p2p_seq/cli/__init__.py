"""`p2pseq`, the command line: one module per group of commands, imported when it is asked for.

Standard output carries the answer, standard error the chatter; `--json` makes the answer JSON. Exit
codes: 0 done, 1 a check failed, 2 wrong usage or configuration, 3 disagreement or something
slashable, 4 the node cannot be reached, 5 the data directory is in use, 130 interrupted.

A new command is a function (or a cyclopts `App`) in a module of this package and one line in
`main.COMMANDS`. Modules import what is heavy (libp2p, httpx, the engine) inside their functions, so
that `p2pseq --help` stays quick.
"""
