"""Kernels of networks on the processor."""

from collections.abc import Sequence


def dense_kernels() -> str:
    """Name of the loops in use, avx2 or avx512; empty where there are none."""

class DenseEngine:
    """
    tanh of linear layers on threads of its own. Arguments are addresses of contiguous float32 that the caller has checked.
    """

    def __init__(self, threads: int) -> None: ...

    def forward(self, rows: int, outputs: int, bias: int, inputs: Sequence[tuple[int, int, int]], y: int) -> None:
        """inputs: (x, weight, width) each."""

    def backward(self, rows: int, outputs: int, y: int, dy: int, inputs: Sequence[tuple[int, int, int]], d_bias: int, gradients: Sequence[tuple[int, int]]) -> None:
        """gradients: (d_x or 0, d_weight) each."""

def spread_radar(batch: int, things: int, features: int, rows: int, mask: int, rings: Sequence[float], reach: float, out: int) -> None:
    """
    Sums over sectors and rings; addresses of contiguous float32, of uint8 for the mask.
    """

def vq_kernels() -> str:
    """Name of the loops in use: portable, avx2 or avx512."""

class VqEngine:
    """
    Nearest codes on threads of its own. Arguments are addresses of contiguous float32 and int64 that the caller has checked.
    """

    def __init__(self, threads: int) -> None: ...

    def lookup(self, x: int, rows: int, codes: int, count: int, width: int, dot: bool, index: int, quantized: int) -> None:
        """
        quantized: 0 where nobody asks. Raises ValueError for numbers that are not finite; nothing is written then.
        """

    def accumulate(self, x: int, index: int, rows: int, count: int, width: int, counts: int, sums: int) -> None:
        """
        Raises ValueError for an index that is no code's; nothing is written then.
        """

class VqPlan:
    """A lookup bound to its memory."""

    def __init__(self, engine: VqEngine, x: int, rows: int, codes: int, count: int, width: int, dot: bool, index: int, quantized: int) -> None: ...

    def repack(self) -> None:
        """Reads the codes again."""

    def step(self) -> None:
        """Looks all rows up."""
