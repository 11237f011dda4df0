"""A compiled policy inside the plugin's process decides bit for bit as Python does."""

from __future__ import annotations

import ctypes
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from csharp import Peer, run
from networks import NETWORKS, arena_pilot
from rehearsal import Rehearsal, wait_for
from states import whole_state

from metabonk.link import wire
from metabonk.observations import observe
from metabonk.play import native
from metabonk.play.compiled import CompiledPolicy, compile
from metabonk.records import FieldGroup

LIBRARY = native.library_dir() / native.LIBRARY
HERE = Path(__file__).parent
CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


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


class Library:
    """The library's own functions, as a C program calls them."""

    def __init__(self, path: Path) -> None:
        self.calls = ctypes.CDLL(str(LIBRARY))
        self.calls.metabonk_policy_error.restype = ctypes.c_char_p
        self.policy = ctypes.c_void_p()
        error = ctypes.create_string_buffer(512)
        found = self.calls.metabonk_policy_load(
            bytes(path), ctypes.byref(self.policy), error, ctypes.c_size_t(512)
        )
        assert found == 0, error.value
        self.action = np.zeros(12, np.float32)

    def act(self, at: int | None, size: int, pixels: np.ndarray | None = None) -> str:
        """The text of the error, empty for none."""
        shape = (0, 0) if pixels is None else pixels.shape[:2]
        status = self.calls.metabonk_policy_act(
            self.policy,
            ctypes.c_void_p(at),
            ctypes.c_size_t(size),
            ctypes.c_void_p(None if pixels is None else pixels.ctypes.data),
            shape[1],
            shape[0],
            ctypes.c_void_p(self.action.ctypes.data),
        )
        said: str = self.calls.metabonk_policy_error(self.policy).decode()
        assert (status == 0) == (not said)
        return said

    def close(self) -> None:
        self.calls.metabonk_policy_free(self.policy)


def test_what_an_act_cannot_take_is_refused(tmp_path: Path) -> None:
    policy = compile(arena_pilot(1), batch=1, seed=5)
    policy.save(tmp_path / "policy")
    library = Library(tmp_path / "policy")
    states = np.zeros(16376 + 8, np.uint8)
    states[:16376] = np.frombuffer(whole_state(2).pack(), np.uint8)
    at = states.ctypes.data
    assert at % 8 == 0
    assert "METABONK_STATE_BYTES" in library.act(None, 16376)
    assert "METABONK_STATE_BYTES" in library.act(at, 16375)
    assert "multiple of eight" in library.act(at + 1, 16376)
    assert library.act(at, 16376) == ""
    seen = {k: np.asarray(v)[None] for k, v in observe(whole_state(2)).items()}
    assert library.action.tobytes() == policy.step(seen).tobytes()
    library.close()
    compile(arena_pilot(1), batch=2).save(tmp_path / "two")
    wide = Library(tmp_path / "two")
    assert "batch 1" in wide.act(at, 16376)
    wide.close()
    compile(NETWORKS["mlp"](), batch=1).save(tmp_path / "other")
    other = Library(tmp_path / "other")
    assert "another shape" in other.act(at, 16376)
    other.close()


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


@pytest.fixture(scope="session")
def tally_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, which notes what is loaded and freed."""
    if CC is None:
        pytest.skip("needs a C compiler")
    out = tmp_path_factory.mktemp("tally") / "libtally.so"
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    where = [f"-I{native.include_dir()}", f'-DPOLICY_LIBRARY="{LIBRARY}"']
    linked = ["-Wl,--no-as-needed", LIBRARY, "-ldl", f"-Wl,-rpath,{LIBRARY.parent}"]
    made = run([CC, *strict, *where, HERE / "policy_tally.c", "-o", out, *linked])
    assert made.returncode == 0, made.stderr
    return out


def test_a_policy_goes_with_its_plugin(
    bonklink: Callable[..., Rehearsal],
    tally_library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compile(arena_pilot(1), batch=1, seed=3).save(tmp_path / "policy")
    tally = tmp_path / "tally"
    monkeypatch.setenv("POLICY_TALLY", str(tally))
    settings = f"[Policy]\nLibrary = {tally_library}\nPath = {tmp_path / 'policy'}\n"
    running = bonklink(settings)
    for _ in range(2):
        running.do("reload")
    assert tally.read_text().split() == ["load", "free", "load", "free", "load"]
    running.stop()
    assert tally.read_text().split() == ["load", "free"] * 3
    tally.unlink()
    with socket.socket() as taken:  # a plugin that cannot be lets it go as well
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = bonklink(f"{settings}[Link]\nPort = {taken.getsockname()[1]}\n")
        assert any("set another Port" in line for line in running.log)
        assert tally.read_text().split() == ["load", "free"]
    running.stop()
