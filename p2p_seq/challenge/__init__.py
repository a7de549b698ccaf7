"""Fraud that Bitcoin Script itself judges (docs/ocp.md).

script    the toolkit: an assembler with stack tracking and the gadgets that fraud leaves are made
of"""
