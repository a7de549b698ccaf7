"""The nouns that every room shares: types, codec, tags, parameters, messages, errors.

Nothing here does I/O. Everything that is signed, hashed, proven or posted to Bitcoin is spelt here
once (PROTOCOL.md, conventions).
"""
