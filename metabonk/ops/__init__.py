"""The seam to native code: one file per operation, with its formula, reference and backends.

Knows torch, the native core's kernels and device kernels; does not know networks, games or losses.
METABONK_CPU counts from here on, in programs that are not ours too.
"""

from metabonk import environment

if environment.caps_processor():  # before an op chooses its kernels
    from metabonk.config import cap_cpu

    cap_cpu()
