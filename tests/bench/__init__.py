"""Benchmarks: every number of the design is measured here, with the machine printed beside it.

A module `bench_<topic>.py` exposes `BENCHMARKS: list[Benchmark]`; `./dev bench` finds and runs
them. Nothing here asserts a time: a slow machine is a figure, not a failure.
"""
