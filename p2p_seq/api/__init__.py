"""The read and submit API over HTTP, and its client.

Nothing here decides anything: `NodeView` (`api/types.py`) answers from finalised state, the mempool
judges submissions.
"""
