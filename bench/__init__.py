"""Benchmarks behind docs/performance.md. Run one with `python -m bench.submit`, all with `python -m bench`.

Headrace and a reference run on the same machine with the same servers and client, in alternating rounds, so
that other load on the machine affects both. Nothing in this package is a test.
"""
