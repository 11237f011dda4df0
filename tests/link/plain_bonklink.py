"""BonkLink in plain Python, straight from docs/bonklink.md: what the codec is held against.

Slow, without limits, and written with `struct` alone, so that it shares no mistake with csrc/link.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def get(self, format: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + format, self.data, self.at)
        self.at += struct.calcsize("<" + format)
        return values

    def one(self, format: str) -> Any:
        return self.get(format)[0]

    def string(self) -> str:
        size = shift = 0
        while True:
            group = self.one("B")
            size |= (group & 0x7F) << shift
            shift += 7
            if not group & 0x80:
                break
        text = self.data[self.at : self.at + size]
        assert len(text) == size
        self.at += size
        return text.decode()


def string(text: str) -> bytes:
    data, size, head = text.encode(), len(text.encode()), b""
    while size >= 0x80:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + data


@dataclass
class Plain:
    """A state as the tables of docs/bonklink.md have it."""

    position: tuple[float, ...] = (0.0, 0.0, 0.0)
    velocity: tuple[float, ...] = (0.0, 0.0, 0.0)
    health: float = 0.0
    max_health: float = 0.0
    time: float = 0.0
    playing: bool = False
    paused: bool = False
    enemies: list[tuple[float, ...]] = field(default_factory=list)
    menu: str = ""
    options: list[str] = field(default_factory=list)
    input: tuple[Any, ...] | None = None
    trailers: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)


def read_state(data: bytes) -> Plain:
    r, s = Reader(data), Plain()
    s.position, s.velocity = r.get("3f"), r.get("3f")
    s.health, s.max_health, s.time = r.get("3f")
    s.playing, s.paused = (bool(x) for x in r.get("2B"))
    s.enemies = [r.get("4f") for _ in range(r.one("i"))]
    s.menu = r.string()
    s.options = [r.string() for _ in range(r.one("i"))]
    if data[r.at : r.at + 4] == b"HINP":
        r.at += 4
        assert r.one("i") == 1
        s.input = r.get("4f4B2f")
    while len(data) - r.at >= 12:
        tag, version, size = r.get("4sii")
        s.trailers[tag] = (version, data[r.at : r.at + size])
        r.at += size
    return s


def write_state(s: Plain) -> bytes:
    data = struct.pack("<9f2Bi", *s.position, *s.velocity, s.health, s.max_health, s.time,
                       s.playing, s.paused, len(s.enemies))  # fmt: skip
    data += b"".join(struct.pack("<4f", *enemy) for enemy in s.enemies)
    data += string(s.menu) + struct.pack("<i", len(s.options))
    data += b"".join(string(option) for option in s.options)
    if s.input is not None:
        data += b"HINP" + struct.pack("<i4f4B2f", 1, *s.input)
    for tag, (version, payload) in s.trailers.items():
        data += tag + struct.pack("<ii", version, len(payload)) + payload
    return data


def read_extra(data: bytes) -> dict[str, Any]:
    """MBX2, version 1."""
    r = Reader(data)
    names = (
        "fields", "fixed", "zero", "run_seed", "time", "dt", "yaw", "shield", "xp", "xp_next",
        "gold", "score", "kills", "level", "grounded", "tier", "character",
    )  # fmt: skip
    found: dict[str, Any] = dict(zip(names, r.get("IHHQd7fIHBBB"), strict=True))
    assert r.get("3B") == (0, 0, 0)
    found["weapons"] = [r.get("BB") for _ in range(8)]
    found["tomes"] = [r.get("BB") for _ in range(8)]
    assert r.at == found["fixed"] == 96
    rows = {
        "enemies": "IBBH4f", "pickups": "IB3B4f", "widgets": "4fBBH48s",
        "offers": "5B3B" + "BBHf" * 4 + "48s",
    }  # fmt: skip
    for name, format in rows.items():
        count, stride = r.get("HH")
        assert stride == struct.calcsize("<" + format), name
        found[name] = [r.get(format) for _ in range(count)]
    assert r.at == len(data)
    return found


def tick(state: bytes, frame: bytes = b"") -> bytes:
    """What a v1 game sends."""
    return struct.pack("<i", len(state)) + state + struct.pack("<i", len(frame)) + frame


def raw_frame(width: int, height: int, channels: int, rows: bytes) -> bytes:
    """rows: the bottom one first."""
    return b"MBRF" + struct.pack("<iii", width, height, channels) + rows


def action(move: tuple[float, float], aim: tuple[float, float], buttons: tuple[int, int, int],
           click: tuple[int, int] | None = None) -> bytes:  # fmt: skip
    """What a v1 agent sends. buttons: fire, ability, interact."""
    data = struct.pack("<4f4B", *move, *aim, *buttons, click is not None)
    data += b"" if click is None else struct.pack("<ii", *click)
    return struct.pack("<i", len(data)) + data


def message(type: int, payload: bytes = b"", sequence: int = 0, time_ns: int = 0) -> bytes:
    """v2."""
    return b"BNK2" + struct.pack("<HHIQQ", 2, type, len(payload), sequence, time_ns) + payload


def hello(capabilities: int = 0x3FF, token: str = "", ring: str = "", name: str = "plain",
          versions: tuple[int, int] = (2, 2), machine: int = 0) -> bytes:  # fmt: skip
    head = struct.pack("<HHIIIHHHHQQ", *versions, capabilities, 262144, 4194304, 0, 0, 0, 0,
                       machine, 0)  # fmt: skip
    return head + string(token) + string(ring) + string(name)
