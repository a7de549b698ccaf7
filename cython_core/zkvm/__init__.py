"""Runs of the machine (cython_core.vm) as tables of the proof engine.

buses           what tables say to one another
fill, cells     formulas that fill columns; expressions and formulas in one
words           words of 32 bits as limbs, with bounds
row_chip        what all chips of steps share: state, fetch, register ports
algebra         the constraints' back end of the step definitions
families        chips of narrow rows, by families of operations
wide            the chip of B3
wide_numbers    the chips of 256-bit numbers
row_chips       all of these
facts           the table of facts about 16 bits
program_table   the table of the program
memory_tables   first and last contents of memory and registers
system          all tables of one program
fill_code       C that fills the chips' tables, written at build time
run_trace       from a run to all its tables; `_rows` sorts the rows by chip
statement       what a proof of a run says
proof           proofs of runs, from a witness to a file and back
"""
