"""The peg: vault generations, deposits, the settlement transaction, what it commits to and what it
costs.
"""
