"""A room: an open door and the dealers who come to it, for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import zmq
from peers import HANG

from metabonk.cognition.broker.door import Door

HERE = "tcp://127.0.0.1:*"


class Room:
    """An open door that keeps what comes, and dealers before it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.came: list[tuple[bytes, list[bytes], str]] = []
        self.context = zmq.Context(1)
        door.open(lambda *message: self.came.append(message))

    def dealer(self, identity: bytes = b"", endpoint: str = "", high_water: int = 1000):  # type: ignore[no-untyped-def]
        made = self.context.socket(zmq.DEALER)
        made.linger = 0
        made.sndhwm = made.rcvhwm = high_water
        if identity:
            made.setsockopt(zmq.IDENTITY, identity)
        self.connect = lambda: made.connect(endpoint or self.door.endpoints[0])
        return made

    async def messages(self, count: int) -> list[tuple[bytes, list[bytes], str]]:
        end = time.monotonic() + HANG
        while len(self.came) < count:
            assert time.monotonic() < end, f"{len(self.came)} of {count}"
            await asyncio.sleep(0.002)
        return self.came


def in_room(body: Callable[[Room], Awaitable[None]], door: Door) -> None:
    async def run() -> None:
        room = Room(door)
        try:
            await body(room)
        finally:
            door.close(0)
            door.close(0)
            room.context.destroy(linger=0)

    asyncio.run(run())


async def heard(dealer, seconds: float = HANG) -> list[bytes] | None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if dealer.poll(0):
            return dealer.recv_multipart()
        await asyncio.sleep(0.002)
    return None
