"""The seam to native code: one file per operation, with its formula, reference and backends.

Knows torch, the native core's kernels and device kernels; does not know networks, games or losses.
"""
