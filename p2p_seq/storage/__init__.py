"""What a node keeps on disk: one LMDB environment whose tables are all declared in `tables.py`.

The signing guard is not here: it has an environment of its own inside `signer/`, so that no other
code can touch it and a restored chain store cannot take it back in time.
"""
