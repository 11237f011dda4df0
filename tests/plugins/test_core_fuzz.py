"""Mutated bytes into both codecs: they agree on what is a message and on what it says."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from csharp import Peer
from states import whole_state

from metabonk.errors import CorruptError
from metabonk.link import wire
from metabonk.records import Action

STATES, STREAMS = 1500, 600


def mutated(random_: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(random_.randint(1, 5)):
        kind, at = random_.randrange(5), random_.randrange(len(out))
        if kind == 0:
            out[at] = random_.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << random_.randrange(8)
        elif kind == 2 and len(out) > 8:
            del out[at : at + random_.randint(1, 4)]
        elif kind == 3:
            out[at:at] = bytes(random_.randrange(256) for _ in range(random_.randint(1, 4)))
        else:
            out[at : at + 4] = struct.pack("<i", random_.choice([0, 1, -1, 255, 1 << 20, 1 << 30]))
        if not out:
            return b"\0"
    return bytes(out)


def states() -> list[bytes]:
    step = wire.StepResult(0.5, True, False, True, 7, 2, 3.25)
    seen = wire.InputSnapshot((0.5, -1), (0, 0.25), True, False, True, False, (0.5, 0.75))
    announced = wire.Announcement(2, 2, wire.Capability(0x2BF))
    all_trailers = [
        wire.Trailers(),
        wire.Trailers(extra=True),
        wire.Trailers(seen, announced, step, True),
        wire.Trailers(step=step),
    ]
    found = []
    for seed in range(40):
        state = whole_state(seed)
        state.entities = state.entities[: seed % 7]
        state.pickups = state.pickups[: seed % 5]
        found += [wire.encode_state(state, trailers) for trailers in all_trailers]
    return found


def ours(data: bytes) -> bytes | None:
    """Read and written again by our own codec; None where it refuses."""
    try:
        packed, trailers = wire.decode_state(data)
    except CorruptError:
        return None
    return wire.encode_state(packed, trailers)


def without_nan(data: bytes) -> bytes:
    """How a NaN is copied is nobody's promise: its payload may change on the way."""
    words = bytearray(data)
    for at in range(len(words) - 3):
        if words[at + 3] & 0x7F == 0x7F and words[at + 2] & 0x80:
            words[at + 2] = 0xC0
    return bytes(words)


LOST = "\ufffd".encode()  # .NET keeps no bytes that are no UTF-8; ours does


def test_states_mean_the_same_to_both(peer: Peer) -> None:
    random_ = random.Random(11)
    base = states()
    mutants = [mutated(random_, random_.choice(base)) for _ in range(STATES)]
    theirs = peer.transcode("state", mutants)
    refused = 0
    for mutant, told in zip(mutants, theirs, strict=True):
        wanted = ours(mutant)
        if wanted is None:
            refused += 1
            assert isinstance(told, str), mutant.hex()
        else:
            assert isinstance(told, bytes), (told, mutant.hex())
            if LOST in told:
                continue
            assert without_nan(told) == without_nan(wanted), mutant.hex()
    assert STATES // 20 < refused < STATES  # and some were read


def streams(sender: str) -> list[bytes]:
    base = states()[:12]
    if sender == "agent":
        row = Action((0.5, -1), click=(0.25, 0.5))
        first = wire.encode_action(row, version=1, capture=(640, 360))
        v1 = (struct.pack("<i", len(first)) + first) * 3
        v2 = b"".join(
            wire.encode_message(wire.MessageType.ACTION, wire.encode_action(row), sequence=i)
            for i in range(3)
        )
        return [v1, v2, v1 + v2]
    v1 = b"".join(wire.encode_tick(state, b"picture" * (i % 3)) for i, state in enumerate(base))
    v2 = b"".join(
        wire.encode_message(wire.MessageType.STATE, state, sequence=i, time_ns=i)
        for i, state in enumerate(base)
    )
    return [v1, v2, v1 + v2]


@pytest.mark.parametrize("sender", ["game", "agent"])
@pytest.mark.parametrize("protocol", ["auto", "v1", "v2"])
def test_streams_mean_the_same_to_both(peer: Peer, sender: str, protocol: str) -> None:
    random_ = random.Random(12)
    base = streams(sender)
    mutants = [*base, *(mutated(random_, random_.choice(base)) for _ in range(STREAMS))]
    framed = b"".join(struct.pack("<i", len(m)) + m for m in mutants)
    lines = peer.run("decode-many", sender, protocol, "37", data=framed).decode().splitlines()
    assert len(lines) == len(mutants)
    errors = 0
    for mutant, line in zip(mutants, lines, strict=True):
        decoder = wire.Decoder(sender, protocol)  # type: ignore[arg-type]
        wanted = []
        try:
            for at in range(0, len(mutant), 37):
                for m in decoder.feed(mutant[at : at + 37]):
                    numbers = (int(m.type), m.version, m.sequence, m.time_ns)
                    wanted.append(":".join(map(str, (*numbers, f"{zlib.crc32(m.payload):08x}"))))
        except CorruptError:
            wanted.append("error")
            errors += 1
        told = line.split()
        if wanted and wanted[-1] == "error":
            # Ours may have lost what stood in the piece before the fault.
            assert told[-1] == "error", mutant.hex()
            assert told[: len(wanted) - 1] == wanted[:-1]
        elif decoder.buffered > 0 and told and told[-1] == "error":
            assert told[:-1] == wanted  # the other reads a header before it says what is wrong
        else:
            assert told == wanted, mutant.hex()
    assert errors > 0
