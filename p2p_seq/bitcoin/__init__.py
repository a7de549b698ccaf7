"""Bitcoin as the network sees it: transactions, scripts, keys, headers, the RPC client and the
embedded node.

Only this room speaks to Bitcoin. Its pure files (transaction, script, taproot, sighash, headers,
address, keys, wallet) do no I/O.
"""
