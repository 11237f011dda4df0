"""A game in C# at the other end of a link: what Peer.cs says of itself, and what it shows."""

from __future__ import annotations

import subprocess

import numpy as np
from csharp import HANG

from metabonk.link.bonklink import Tick
from metabonk.records import Slot, StatChange


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def finish(process: subprocess.Popen[str]) -> dict[str, int]:
    out, err = process.communicate("stop\n", timeout=HANG)
    assert process.returncode == 0, err
    words = out.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def check(tick: Tick) -> None:
    state = tick.state
    assert state.menu == "Gameplay"
    assert (state.health, state.max_health, state.time) == (75, 100, state.kills / 64)
    assert len(state.entities) == state.kills % 5
    assert state.widgets[0].text == "Bogen für Anfänger"
    assert state.offers[0].changes == [StatChange(5, True, 0.25)]
    assert state.weapons[0] == Slot(1, 2)
    assert tick.trailers.input is not None
    assert tick.trailers.input.fire
    if tick.pixels is not None:
        n = tick.frame_sequence if tick.version == 0 else None
        assert tick.pixels.shape == (24, 32, 3)
        first = int(tick.pixels[-1, 0, 0])
        assert n is None or first == (n * 31) % 256
        drawn = (first + np.arange(32 * 24 * 3) * 7).astype(np.uint8)
        assert (tick.pixels == drawn.reshape(24, 32, 3)[::-1]).all()
