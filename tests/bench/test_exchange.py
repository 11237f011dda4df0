"""bench/exchange.py: what is timed is the frame that was sent, over every transport there is."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import SpawnContext

import numpy as np
import pytest
from metabonk.bench.exchange import SHAPE, Exchange, Frame
from metabonk.bench.peers.exchange import CHANNELS, Copying, iceoryx2, semaphore, spinning

from metabonk.errors import MetabonkError, MissingExtraError


@pytest.mark.parametrize("name", [*CHANNELS, "spinning"])
def test_the_frame_arrives(name: str) -> None:
    try:
        exchange = CHANNELS.get(name, spinning)()
    except MissingExtraError as error:
        pytest.skip(str(error))
    try:
        exchange.prepare()  # raises if another frame comes
        assert exchange.measure() > 0.0
    finally:
        exchange.close()
        exchange.close()  # twice is once


@pytest.mark.parametrize("make", [semaphore, spinning, iceoryx2])
def test_a_frame_in_place_arrives_too(make: Callable[[bool], Exchange]) -> None:
    try:
        exchange = make(True)
    except MissingExtraError as error:
        pytest.skip(str(error))
    try:
        exchange.prepare()
    finally:
        exchange.close()


class Stale(Copying):
    """Hands out a frame that nobody sent."""

    def __init__(self, context: SpawnContext) -> None:
        self._queue = context.Queue(1)

    def send(self, frame: Frame) -> None:
        self._queue.put(0)

    def receive(self) -> Frame:
        self._queue.get(timeout=20.0)
        return np.zeros(SHAPE, np.uint8)

    def close(self) -> None: ...


def test_another_frame_is_noticed() -> None:
    exchange = Exchange(Stale)
    try:
        with pytest.raises(MetabonkError, match="not the one that was sent"):
            exchange.prepare()
    finally:
        exchange.close()
