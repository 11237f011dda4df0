"""The records that every game shares."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def layout() -> dict:
    """{record: (size, {field: (offset, size)})}, in bytes."""

def observe_into(states: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)], observation: dict) -> None:
    """
    Writes the observations of packed states uint8 [N, sizeof(GameState)] into a dict of
    arrays [N, ...]; keys that are left out are skipped. Raises TypeError or ValueError
    that names the array.
    """
