"""The Script toolkit (docs/ocp.md): every gadget is a function that writes into an assembler.

opcodes      the opcodes used and what they do to the stack
assembler    bytes, both stacks with names, the peak
emulator     a plain interpreter, for debugging
tables       sums and XOR of nibbles by look-up
blake3       the compression function
limbs        words of the witness to nibbles, with range checks
winternitz   one-time signatures, equivocation
merkle       leaves and levels of the trace tree
words        32-bit sums and comparisons on nibbles
bitwise      AND, OR, XOR, shifts
"""
