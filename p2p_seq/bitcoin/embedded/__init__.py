"""A regtest Bitcoin node in one process: Bitcoin Core's engine with our own disk and RPC.

Theory of operation. `chain.py` keeps every block in an LMDB log and gives it to the engine
(`p2p_seq.bitcoin.engine`), which alone decides what is valid and which chain is best. `index.py`
follows the engine's best chain block by block with coins, transactions, spends and undo records.
`mempool.py` and `policy.py` admit transactions, `miner.py` makes blocks of them, `node.py` joins
these, `methods.py` spells them as Bitcoin Core's JSON-RPC, `server.py` speaks HTTP.

Everything but `server.py` and `__main__.py` is synchronous, and the process has one thread: each
RPC runs to its end before the next begins, so no lock exists and every answer is of one moment.

Deviations from bitcoind: no peer-to-peer network, no wallet, no filters; scripts in the mempool are
run with consensus flags (the engine offers no others), so of bitcoind's policy flags only those
that can be checked on the bytes are enforced (`policy.py` lists them).
"""
