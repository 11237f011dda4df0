"""One Doom in one process: obeys commands from a socket, writes into slots of shared memory.

Run as a script by games/doom.py, and imported there for the slots and the meaning of buttons.
Knows ViZDoom and numpy only: as a script it must start in a tenth of a second.

Commands, each one message: a number (u32), which the answer repeats once it is done, and `N` +
seed (u32) + path: a new episode, recorded there if the path is not empty; `S` + row: one decision;
`R` + seed (u32) + rows: a new episode and all its decisions; `F`: the whole frame into its slot.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import mmap
import os
import shutil
import struct
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SCREEN = (120, 160)  # height, width at which Doom renders
TICS_PER_SECOND = 35
DELTA_SCALE = 10.0  # degrees or map units a tic of a delta button at 1
OPPOSITES = (
    ("TURN_LEFT", "TURN_RIGHT"),
    ("MOVE_LEFT", "MOVE_RIGHT"),
    ("MOVE_FORWARD", "MOVE_BACKWARD"),
    ("LOOK_UP", "LOOK_DOWN"),
)


class Control(NamedTuple):
    """One column of an action row and the buttons that it presses.

    kind: `pair` (0 none, 1 the first, 2 the second), `button` (0, 1) or `delta` (-1..1).
    """

    name: str
    kind: str
    buttons: tuple[int, ...]


def controls_of(buttons: Sequence[str]) -> list[Control]:
    """The columns for a scenario's buttons, in their order; opposites share one column."""
    place = {name: i for i, name in enumerate(buttons)}
    controls: list[Control] = []
    for name, i in place.items():
        pair = next((p for p in OPPOSITES if name in p and p[0] in place and p[1] in place), None)
        if pair is None:
            kind = "delta" if name.endswith("_DELTA") else "button"
            controls.append(Control(name.lower(), kind, (i,)))
        elif not any(place[pair[0]] in c.buttons for c in controls):
            label = f"{pair[0]}_{pair[1].removeprefix(pair[0].split('_')[0] + '_')}".lower()
            controls.append(Control(label, "pair", (place[pair[0]], place[pair[1]])))
    return controls


def press(controls: Sequence[Control], count: int, row: Array) -> list[float]:
    """The values of `count` buttons that an action row [columns] stands for."""
    values = [0.0] * count
    for control, value in zip(controls, row.tolist(), strict=True):
        if control.kind == "delta":
            values[control.buttons[0]] = DELTA_SCALE * max(-1.0, min(1.0, value))
        elif value >= 0.5:
            values[control.buttons[min(len(control.buttons), int(value + 0.5)) - 1]] = 1.0
    return values


class Slots:
    """Arrays of all environments over one block of shared memory (an open file descriptor)."""

    def __init__(self, num: int, variables: int, pixels: tuple[int, int]) -> None:
        self.layout: dict[str, tuple[tuple[int, ...], Any]] = {
            "pixels": ((num, *pixels, 3), np.uint8),
            "variables": ((num, variables), np.float32),
            "dt": ((num, 1), np.float32),
            "reward": ((num,), np.float32),
            "terminated": ((num,), np.bool_),
            "truncated": ((num,), np.bool_),
            "digest": ((num,), np.uint64),
            "screen": ((num, *SCREEN, 3), np.uint8),
        }
        self.offsets: dict[str, int] = {}
        self.size = 0
        for key, (shape, dtype) in self.layout.items():
            self.offsets[key] = self.size
            self.size += (int(np.prod(shape)) * np.dtype(dtype).itemsize + 63) // 64 * 64

    def map(self, descriptor: int) -> dict[str, Array]:
        memory = mmap.mmap(descriptor, self.size)
        arrays: dict[str, Array] = {}
        for key, (shape, dtype) in self.layout.items():
            count = int(np.prod(shape))
            flat = np.frombuffer(memory, dtype, count, self.offsets[key])
            arrays[key] = flat.reshape(shape)
        return arrays


@functools.cache
def _taps(large: int, small: int) -> list[Any]:
    """Indices of the first, second, ... pixel that each of `small` averages takes from `large`."""
    size = -(-large // small)
    if large % small == 0:
        return [slice(k, None, size) for k in range(size)]
    first = np.rint((np.arange(small) + 0.5) * large / small - 0.5 * size).astype(np.intp)
    return [np.clip(first + k, 0, large - 1) for k in range(size)]


def shrink(frame: Array, out: Array) -> None:
    """Area average of frame uint8 [H, W, 3] into out uint8 [h, w, 3], h <= H and w <= W.

    Blocks of ceil(H / h) x ceil(W / w) pixels, which overlap where h or w divides unevenly.
    """
    rows = _taps(frame.shape[0], out.shape[0])
    columns = _taps(frame.shape[1], out.shape[1])
    if len(rows) == len(columns) == 1:
        out[:] = frame
        return
    area = len(rows) * len(columns)
    sums = np.full(out.shape, area // 2, np.uint16)  # rounds to nearest
    for r in rows:
        band = frame[r]
        for c in columns:
            sums += band[:, c]
    sums //= area
    out[:] = sums


class Doom:
    """A running engine and the slot that it fills."""

    def __init__(self, spec: dict[str, Any], slots: dict[str, Array]) -> None:
        import vizdoom

        self.variables = [getattr(vizdoom.GameVariable, name) for name in spec["variables"]]
        audited = ("POSITION_X", "POSITION_Y", "ANGLE", "HEALTH", "DAMAGECOUNT", "KILLCOUNT")
        self.audited = [getattr(vizdoom.GameVariable, name) for name in audited]
        self.skip: int = spec["frame_skip"]
        self.slot = {key: array[spec["index"]] for key, array in slots.items() if array.ndim > 1}
        self.scalars = slots
        self.index: int = spec["index"]
        game = vizdoom.DoomGame()
        game.load_config(spec["scenario"])
        game.set_doom_config_path("doom.ini")  # in this process's own folder
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
        game.init()
        self.game = game
        self.buttons = game.get_available_buttons_size()
        self.controls = controls_of([b.name for b in game.get_available_buttons()])
        self.screen: Array = np.zeros((*SCREEN, 3), np.uint8)

    def start(self, seed: int, recording: str = "") -> None:
        self.game.set_seed(seed)
        self.game.new_episode(recording)
        self.scalars["digest"][self.index] = 0
        self._report(0.0, 0)

    def step(self, row: Array) -> None:
        """One decision: `frame_skip` tics with the same buttons; nothing once the episode ended."""
        if self.game.is_episode_finished():
            return
        before = self.game.get_episode_time()
        reward = self.game.make_action(press(self.controls, self.buttons, row), self.skip)
        tics = self.game.get_episode_time() - before
        self._report(reward, tics if tics > 0 else self.skip)

    def replay(self, seed: int, rows: Array) -> None:
        self.start(seed)
        for row in rows:
            self.step(row)

    def _report(self, reward: float, tics: int) -> None:
        """Fills the slot. The last frame of an episode is not rendered: the one before it stays."""
        game, slot, at = self.game, self.slot, self.index
        finished = game.is_episode_finished()
        timeout = finished and game.is_episode_timeout_reached() and not game.is_player_dead()
        if not finished:
            self.screen = game.get_state().screen_buffer
            shrink(self.screen, slot["pixels"])
            slot["variables"][:] = [game.get_game_variable(v) for v in self.variables]
        slot["dt"][0] = tics / TICS_PER_SECOND
        self.scalars["reward"][at] = reward
        self.scalars["terminated"][at] = finished and not timeout
        self.scalars["truncated"][at] = timeout
        seen = [game.get_game_variable(v) for v in self.audited]
        chain = struct.pack(f"<Q{len(seen) + 1}d", int(self.scalars["digest"][at]), reward, *seen)
        digest = hashlib.blake2b(chain, digest_size=8).digest()
        self.scalars["digest"][at] = int.from_bytes(digest, "little")


def engine_instance() -> str:
    """The id of the engine that this process started, which names its shared memory, or empty."""
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            for child in (task / "children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if b"+viz_instance_id" in words:
                    return words[words.index(b"+viz_instance_id") + 1].decode()
    return ""


def serve(connection: Connection, doom: Doom) -> None:
    """Obeys until the other end closes: EOFError, or ConnectionError if it was killed meanwhile."""
    columns = len(doom.controls)
    while True:
        message = connection.recv_bytes()
        number, command, message = message[:4], message[4:5], message[5:]
        if command == b"S":
            doom.step(np.frombuffer(message, np.float32))
        elif command == b"N":
            doom.start(int.from_bytes(message[:4], "little"), message[4:].decode())
        elif command == b"R":
            rows = np.frombuffer(message, np.float32, offset=4).reshape(-1, columns)
            doom.replay(int.from_bytes(message[:4], "little"), rows)
        elif command == b"F":
            doom.slot["screen"][:] = doom.screen
        else:
            raise ValueError(f"unknown command {command!r}")
        connection.send_bytes(number)


def main(socket: int, memory: int, text: str, folder: str) -> None:
    for descriptor in (socket, memory):  # an engine that outlives this process must not hold them
        os.set_inheritable(descriptor, False)
    spec = json.loads(text)
    slots = Slots(spec["num"], len(spec["variables"]), tuple(spec["pixels"]))
    doom = Doom(spec, slots.map(memory))
    gone = contextlib.suppress(EOFError, ConnectionError)  # the parent; the engine is still closed
    with gone, Connection(socket) as connection:
        connection.send_bytes(engine_instance().encode())
        serve(connection, doom)
    doom.game.close()
    shutil.rmtree(folder, ignore_errors=True)  # the parent may be dead


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
