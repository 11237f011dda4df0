"""How pictures move on."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class Flow:
    """Dense optical flow between pictures of one size."""

    def __init__(self, height: int, width: int) -> None:
        """Raises ValueError for sides below 16 or above 4096."""

    def observe(self, before: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, 3), order='C', device='cpu', writable=False)], now: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, 3), order='C', device='cpu', writable=False)]) -> None:
        """
        Finds for every pixel of `now` where it was in `before`, both uint8 [H, W, 3].
        """

    def extrapolate(self, now: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, 3), order='C', device='cpu', writable=False)], steps: float) -> object:
        """
        `now` after the motion went on for `steps` times the time between the two pictures, uint8 [H, W, 3].
        """

    def field(self) -> object:
        """
        What was found: x and y in pixels, float32 [h, w, 2]; at half the size for pictures with sides of 128 or more.
        """
