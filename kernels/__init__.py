"""Device code: Triton kernels for tile-shaped work, CUDA where Triton does not reach.

Knows torch, Triton and the sizes of tiles; never metabonk, whose ops choose among these kernels and
check what they get. Importing this package loads neither torch nor Triton and needs no driver.

    triton/           one file per family of kernels, with the launches that ops call
    configs/          the tiles of every architecture, with limits that compiled kernels must keep
    tiles.py          reads configs
    architectures.py  what a device can move and compute
    cost.py           bytes and operations of a piece of work, and the least time they take
    cases.py, work/   every kernel with inputs, a reference and its cost: for tests and timing
    compile.py        kernels to machine code without a GPU, and what that code uses
    limits.py         writes what they use as limits into configs
    interpreter.py    repairs of Triton's interpreter, for tests

`python -m metabonk.kernels` prints the compiled kernels; `--floors` the least times; `--limit`
writes limits anew.
"""
