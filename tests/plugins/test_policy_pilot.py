"""A compiled policy inside the plugin's process decides bit for bit as Python does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from csharp import Peer
from networks import arena_pilot
from rehearsal import Rehearsal, wait_for
from states import whole_state

from metabonk.link import wire
from metabonk.observations import observe
from metabonk.play import native
from metabonk.play.compiled import CompiledPolicy, compile
from metabonk.records import FieldGroup

LIBRARY = native.library_dir() / native.LIBRARY


def decided(policy: CompiledPolicy, count: int) -> tuple[bytes, bytes]:
    """What is sent to the peer, and the rows that it should answer."""
    sent, rows = b"", b""
    for seed in range(count):
        state = whole_state(seed)
        state.fields = FieldGroup.EVERYTHING
        raw = wire.encode_state(state)
        sent += struct.pack("<i", len(raw)) + raw
        seen = {name: np.asarray(value)[None] for name, value in observe(state).items()}
        rows += policy.step(seen).tobytes()
    return sent, rows


def test_it_decides_as_python_does(peer: Peer, tmp_path: Path) -> None:
    policy = compile(arena_pilot(1), "int8", batch=1, seed=21)
    policy.save(tmp_path / "policy")
    sent, rows = decided(policy, 30)
    assert peer.run("policy", LIBRARY, tmp_path / "policy", data=sent) == rows
    # The control: another policy decides otherwise.
    compile(arena_pilot(2), "int8", batch=1, seed=22).save(tmp_path / "other")
    assert peer.run("policy", LIBRARY, tmp_path / "other", data=sent) != rows


def test_what_cannot_be_played_by_is_said(peer: Peer, tmp_path: Path) -> None:
    compile(arena_pilot(1), batch=2).save(tmp_path / "two")
    assert "compile it with batch=1" in peer.fail("policy", LIBRARY, tmp_path / "two")
    assert "there is no such library" in peer.fail("policy", tmp_path / "no.so", tmp_path / "two")
    (tmp_path / "no.so").write_text("no library")
    assert "cannot be loaded here" in peer.fail("policy", tmp_path / "no.so", tmp_path / "two")
    assert str(tmp_path / "none") in peer.fail("policy", LIBRARY, tmp_path / "none")


@pytest.mark.parametrize("uploads", ["true", "false"])
def test_the_plugin_plays_by_itself(
    bonklink: Callable[..., Rehearsal], tmp_path: Path, uploads: str
) -> None:
    compile(arena_pilot(1), batch=1, seed=3).save(tmp_path / "policy")
    running = bonklink(
        f"[Policy]\nLibrary = {LIBRARY}\nPath = {tmp_path / 'policy'}\n"
        f"[Control]\nBlockUploads = {uploads}\n"
    )

    def acted() -> bool | None:
        shown = running.show()
        turned = shown["yaw"] != 0 or shown["jumps"] > 0 or shown["tried"] > 0
        return True if turned else None

    if uploads == "true":
        wait_for(acted)
        assert running.told("score") == "uploaded 0 stored 0"
    else:
        running.do("show")
        assert acted() is None  # uploads could not be kept back, so nobody plays
        assert running.told("score") == "uploaded 1 stored 1"
    running.stop()
