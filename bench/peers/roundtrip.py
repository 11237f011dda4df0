"""A state there and an action back, as people write it in Python. Knows asyncio and sockets only.

Both ends speak BonkLink v1 over TCP with TCP_NODELAY, the game in this process and the agent in a
child; neither looks into a state.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

PATIENCE = 30.0
_LENGTH = struct.Struct("<i")
ACTION = _LENGTH.pack(20) + bytes(20)


class Pair:
    """A game here and its agent in another process. agent: run there with the port; play: one
    exchange here, again and again."""

    def __init__(self, agent: Callable[[int], None]) -> None:
        self._agent = agent
        self._child: BaseProcess | None = None

    def start(self, port: int) -> None:
        context = get_context("spawn")  # nothing of this process's threads and sockets
        self._child = context.Process(target=self._agent, args=(port,), daemon=True)
        self._child.start()

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.join()


class AsyncioGame:
    """asyncio streams on both ends."""

    def __init__(self, tick: bytes) -> None:
        self._tick = tick
        self._loop = asyncio.new_event_loop()
        self._pair = Pair(asyncio_agent)
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        met: asyncio.Future[Any] = self._loop.create_future()
        server = await asyncio.start_server(lambda r, w: met.set_result((r, w)), "127.0.0.1", 0)
        self._pair.start(server.sockets[0].getsockname()[1])
        self._reader, self._writer = await asyncio.wait_for(met, PATIENCE)
        _at_once(self._writer.get_extra_info("socket"))
        server.close()

    def exchange(self, count: int) -> None:
        self._loop.run_until_complete(self._exchange(count))

    async def _exchange(self, count: int) -> None:
        for _ in range(count):
            self._writer.write(self._tick)
            size = _LENGTH.unpack(await self._reader.readexactly(4))[0]
            await self._reader.readexactly(size)

    def close(self) -> None:
        self._pair.stop()
        self._writer.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


class SocketGame:
    """Blocking sockets with a buffered reader on both ends."""

    def __init__(self, tick: bytes) -> None:
        self._tick = tick
        self._pair = Pair(socket_agent)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            self._pair.start(listener.getsockname()[1])
            self._socket, _ = listener.accept()
        _at_once(self._socket)
        self._file = self._socket.makefile("rb")

    def exchange(self, count: int) -> None:
        for _ in range(count):
            self._socket.sendall(self._tick)
            self._file.read(_LENGTH.unpack(self._file.read(4))[0])

    def close(self) -> None:
        self._pair.stop()
        self._file.close()
        self._socket.close()


def asyncio_agent(port: int) -> None:
    asyncio.run(_asyncio_agent(port))


async def _asyncio_agent(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _at_once(writer.get_extra_info("socket"))
    while True:
        await reader.readexactly(_LENGTH.unpack(await reader.readexactly(4))[0])
        size = _LENGTH.unpack(await reader.readexactly(4))[0]
        if size:
            await reader.readexactly(size)
        writer.write(ACTION)


def socket_agent(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer, peer.makefile("rb") as file:
        _at_once(peer)
        while True:
            file.read(_LENGTH.unpack(file.read(4))[0])
            if size := _LENGTH.unpack(file.read(4))[0]:
                file.read(size)
            peer.sendall(ACTION)


def _at_once(peer: socket.socket) -> None:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
