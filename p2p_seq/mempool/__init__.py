"""Transactions on their way into a block: admission, fee and nonce order, limits.

`core.py` holds the rules and is pure; `service.py` brings submissions and peers' batches to it.
"""
