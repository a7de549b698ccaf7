"""A user's wallet: coins on Bitcoin, an account on the ledger, and the two ways between them.

`amounts`, `orders` and `deposits` are pure; `file` keeps secrets and the journal of deposits on
disk; `service` talks to Bitcoin and to a node's API.
"""
