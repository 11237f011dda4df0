"""Suite `link`, BonkLink's bytes: cutting them into messages, reading states, and the way there and
back over TCP.

The first two need no socket. Readers are given the same bytes, 64 KiB at a time as a socket gives
them to ours, all at once to theirs; all of them end with the newest state's bytes. A round trip is
a state from this process to an agent in another and its action back; theirs do not look into the
state, ours reads it into a GameState on the way.
"""

from __future__ import annotations

import functools
from typing import Any

from .case import Case
from .meter import Timed
from .versus import Contender

MESSAGES = 2000
STATE = 512  # bytes
CHUNK = 1 << 16
ENEMIES = 100
EXCHANGES = 50  # per call, so that entering an event loop does not count


def cases() -> list[Case]:
    return [_newest(), _handed_out(), _read_state(), _round_trip()]


def _newest() -> Case:
    return Case(
        "link",
        f"BonkLink v1, states of {STATE} bytes, down to the newest",
        "messages/s",
        Contender("metabonk", lambda: _drain()),
        tuple(_readers()),
    )


def _handed_out() -> Case:
    return Case(
        "link",
        f"BonkLink v1, states of {STATE} bytes, every message to Python",
        "messages/s",
        Contender("metabonk", lambda: _feed()),
        tuple(_readers()),
    )


def _read_state() -> Case:
    return Case(
        "link",
        f"a v1 state with {ENEMIES} enemies into a record",
        "states/s",
        Contender("metabonk", _decode),
        (Contender("struct", _struct),),
    )


def _round_trip() -> Case:
    return Case(
        "link",
        f"a state of about {STATE} bytes over TCP and an action back",
        "round trips/s",
        Contender("metabonk", _ours_there_and_back),
        (
            Contender("asyncio", lambda: _there_and_back("AsyncioGame")),
            Contender("sockets", lambda: _there_and_back("SocketGame")),
        ),
    )


@functools.cache
def _stream() -> bytes:
    tick = STATE.to_bytes(4, "little") + bytes(STATE) + bytes(4)
    return tick * MESSAGES


def _readers() -> list[Contender]:
    from .peers.streams import READERS

    return [
        Contender(name, functools.partial(reader, _stream(), MESSAGES))
        for name, reader in READERS.items()
    ]


def _drain() -> Timed:
    from metabonk.link.wire import Decoder

    decoder, data = Decoder("game", "v1"), memoryview(_stream())

    def run() -> None:
        for at in range(0, len(data), CHUNK):
            decoder.newest_state(data[at : at + CHUNK])

    return Timed(run, MESSAGES)


def _feed() -> Timed:
    from metabonk._core import link

    # Messages as plain tuples: what the core itself hands to Python.
    decoder, data = link.Decoder("game", "v1", 1 << 18, 1 << 22), _buffer(_stream())

    def run() -> None:
        for at in range(0, len(data), CHUNK):
            decoder.feed(data[at : at + CHUNK])

    return Timed(run, MESSAGES)


def _buffer(data: bytes) -> Any:
    import numpy as np

    return np.frombuffer(data, np.uint8)


@functools.cache
def _state(enemies: int) -> bytes:
    from metabonk.link import wire
    from metabonk.records import Entity, GameState

    state = GameState(menu="Gameplay", playing=True)
    state.entities = [Entity(i, position=(float(i), 1.0, 2.0), health=5.0) for i in range(enemies)]
    return wire.encode_state(state, wire.Trailers())


def _decode() -> Timed:
    from metabonk._core import link

    data = _state(ENEMIES)
    return Timed(lambda: link.decode_state(data, "ours"), 1)


def _struct() -> Timed:
    import struct

    data = _state(ENEMIES)
    head, enemy, length = struct.Struct("<9fBBi"), struct.Struct("<4f"), struct.Struct("<i")

    def read() -> Any:
        fields = head.unpack_from(data)
        end = head.size + enemy.size * fields[11]
        enemies = list(enemy.iter_unpack(data[head.size : end]))
        menu = data[end + 1 : end + 1 + data[end]].decode()
        (options,) = length.unpack_from(data, end + 1 + data[end])
        return fields, enemies, menu, options

    return Timed(read, 1)


def _enemies_of(size: int) -> int:
    return (size - len(_state(0))) // 16


def _there_and_back(game: str) -> Timed:
    from .peers import roundtrip

    state = _state(_enemies_of(STATE))
    tick = len(state).to_bytes(4, "little") + state + bytes(4)
    plays = getattr(roundtrip, game)(tick)
    return Timed(lambda: plays.exchange(EXCHANGES), EXCHANGES, close=plays.close)


def _ours_there_and_back() -> Timed:
    import numpy as np

    from metabonk.link.bonklink import Server
    from metabonk.link.wire import decode_state

    from .peers.roundtrip import PATIENCE, Pair

    packed = np.asarray(decode_state(_state(_enemies_of(STATE)))[0])
    pair = Pair(agent)
    server = Server("tcp://127.0.0.1:0", protocol="v1", extra_in_v1=False)
    pair.start(int(server.address.rpartition(":")[2]))
    server.poll(PATIENCE)  # returns when the agent is there
    if not server.connected:
        pair.stop()
        raise RuntimeError("the agent's process did not come")

    def exchange() -> None:
        for _ in range(EXCHANGES):
            server.send(packed)
            if server.poll(PATIENCE) is None:
                raise RuntimeError("the agent has gone")

    def close() -> None:
        pair.stop()
        server.close()

    return Timed(exchange, EXCHANGES, close=close)


def agent(port: int) -> None:
    """Ours, in a process of its own: acts on every state."""
    import numpy as np

    from metabonk.link.bonklink import Client

    row = np.zeros(12, np.float32)
    row[10:] = -1.0
    with Client(f"tcp://127.0.0.1:{port}", protocol="v1") as client:
        while True:
            if client.poll(1.0) is not None:
                client.send(row)
