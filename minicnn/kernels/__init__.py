"""The hot loops: plain functions over the arrays of one shard, compiled by Numba, on one thread.

A kernel trusts its caller: shapes are checked in `minicnn.layers` before it runs, because compiled
code reads and writes out of bounds in silence.
"""
