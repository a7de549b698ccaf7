"""Runs of the machine (cython_core.vm) as tables of the proof engine.

buses           what tables say to one another
fill, cells     formulas that fill columns; expressions and formulas in one
words           words of 32 bits as limbs, with bounds
row_chip        what all chips of steps share: state, fetch, register ports
algebra         the constraints' back end of the step definitions
families        chips of narrow rows, by families of operations
wide            chips of wide rows
row_chips       both
fill_code       C that fills the chips' tables, written at build time
"""
