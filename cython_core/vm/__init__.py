"""The RV32IM machine: programs, runs, committed rows and the rules that rows obey.

operations    numbers and families of operations, and the constants of the machine
records       one row to the byte, narrow and wide
elf, decoder  an ELF file to the decoded program; `program` has its root
algebra       words as the step definitions see them; the reference back end
semantics     what each operation computes, written once over an algebra
machine       the reference machine, which writes rows
_executor     the same machine in C, with and without rows; `run` is its front
rules         V1 to V6, written without the machine; `finder` applies them to committed rows
trace_file    rows on disk

The reference machine is the pure twin of the C machine: tests compare them row by row.
"""
