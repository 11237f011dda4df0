"""Kernels on a real GPU: right against float64, and how far from the floor, beside their peers.

`scripts/gpu_check` runs it all and writes bench/results; needs torch and Triton, and of this
package what those need. Knows the kernels' cases and the CUDA module; no gate of the processor's
suites.

    device.py    which device, its versions
    clock.py     seconds of a piece of work, cold and warm
    contest.py   which times a case gets: ours, peers, and what has to be compiled
    floors.py    what the device can do at most: bandwidth, products, launches, meetings
    cuda_*.py    cases of the CUDA kernels, as kernels/work has those of Triton
    tick.py      cases of the tick's GPU part as one graph
    peers.py     what a user would otherwise pick
    plain.py     work as plain torch does it, run or compiled; torch_*.py: of every op
    report.py    rows, tables, files; which kernels have not met a GPU yet
"""
