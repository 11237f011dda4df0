"""A wire between an agent and its game that breaks where a test says: before an action has reached
the game, or after it has and before the answer has come back."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import Literal

from metabonk.link import wire

Break = Literal["action lost", "answer lost"]
_SLICE = 0.05  # seconds of one wait, after which the wire looks whether it is to end


class BreakingWire:
    """A TCP proxy in a thread, from `port` to the game's. breaks: for the n-th action of all
    connections, counted from 1, how the wire breaks at it, None to let it through.

    Actions leave an agent as v2's messages only: a game that announces v2 has none before.
    """

    def __init__(self, game_port: int, breaks: Callable[[int], Break | None]) -> None:
        self._game_port = game_port
        self._breaks = breaks
        self.actions = 0
        self.broken: dict[Break, int] = {"action lost": 0, "answer lost": 0}
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_SLICE)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> BreakingWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                agent, _ = self._listener.accept()
            except TimeoutError:
                continue
            with (
                agent,
                socket.create_connection(("127.0.0.1", self._game_port)) as game,
                contextlib.suppress(ConnectionError),  # either end may leave at any time
            ):
                self._carry(agent, game)

    def _carry(self, agent: socket.socket, game: socket.socket) -> None:
        """One connection, until it breaks or either end ends it."""
        said = wire.Decoder("agent", "v2")
        while not self._over.is_set():
            ready, _, _ = select.select([agent, game], [], [], _SLICE)
            if game in ready:
                data = game.recv(1 << 16)
                if not data:
                    return
                agent.sendall(data)
            if agent in ready:
                data = agent.recv(1 << 16)
                if not data or any(self._breaks_at(m, game) for m in said.feed(data)):
                    return

    def _breaks_at(self, message: wire.Message, game: socket.socket) -> bool:
        """Hands a message on; whether the wire breaks at it."""
        how: Break | None = None
        if message.type == wire.MessageType.ACTION:
            self.actions += 1
            how = self._breaks(self.actions)
        if how != "action lost":
            game.sendall(
                wire.encode_message(
                    message.type,
                    message.payload,
                    sequence=message.sequence,
                    time_ns=message.time_ns,
                )
            )
        if how is None:
            return False
        if how == "answer lost":
            self._await_answer(game)
        self.broken[how] += 1
        return True

    def _await_answer(self, game: socket.socket) -> None:
        """Until the game has answered with a state, which nobody gets to see."""
        heard = wire.Decoder("game", "v2", frame_bytes=64 << 20)
        game.settimeout(30.0)
        while not any(m.type == wire.MessageType.STATE for m in heard.feed(game.recv(1 << 16))):
            pass
