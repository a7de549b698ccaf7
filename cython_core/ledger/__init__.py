"""The transition program, compiled natively: execution of blocks, parsing in bulk, witness runs."""
