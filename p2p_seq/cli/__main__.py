"""`python -m p2p_seq.cli`."""

from p2p_seq.cli.main import main

main()
