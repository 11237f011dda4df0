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
