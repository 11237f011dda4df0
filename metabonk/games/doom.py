"""Doom through ViZDoom: `doom/<scenario>` for every scenario in its wheel.

Knows scenarios, processes and slots; the engine itself is in doom_worker.py. Needs the extra
`games`.

Each environment has a process of its own, which renders at 160x120, shrinks the frame straight
into its slot of shared memory and answers; from there to the caller's arrays it is one copy.
A process that dies or hangs ends its episode as truncated, is counted and started again.

Observations: `pixels` uint8 [h, w, 3]; `variables` float32 [V], the scenario's own game variables
in hundredths; `dt` float32 [1], seconds. The engine renders nothing after an episode's last tic:
the final observation is that of the decision before.

Snapshots are the seed and the actions of the current episode: ViZDoom's own saves diverge when
loaded, a replay does not, and restore_state proves it by a running hash over game variables.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gs

from metabonk.errors import ConfigError, CorruptError, GameError, MissingExtraError
from metabonk.games.batch import EpisodeSums, check_seeds, episode_seed
from metabonk.games.doom_process import DoomProcess
from metabonk.games.doom_worker import SCREEN, TICS_PER_SECOND, Control, Slots, controls_of
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout

DEFAULT_PIXELS = (60, 80)
DEFAULT_SKIP = 4
RESTARTS = 3  # of one process in a row before it is an error
_HEAD = struct.Struct("<8sIII")  # magic, environments, columns, frame skip
# Seed, episode, episode seed, ended, lost, digest, sums, crashes, rows. What was cloned before
# crashes were kept has none of them.
_ENV = struct.Struct("<QQI??QdqqI")
_ENV_1 = struct.Struct("<QQI??QdqI")
_MAGIC, _MAGIC_1 = b"MBDOOM02", b"MBDOOM01"


def make(
    rest: str,
    num_envs: int,
    pixels: tuple[int, int] = DEFAULT_PIXELS,
    frame_skip: int = DEFAULT_SKIP,
    record: str = "",
) -> DoomGame:
    """`num_envs` processes of one scenario; two per processor core keep a machine busy.

    pixels: height and width of frames, 10x10 to 120x160; (60, 80) halves Doom's own exactly.
    frame_skip: tics (1/35 s) per decision, 0 for 4.
    record: folder for the `.lmp` recording of every episode, empty for none; files are named
    <environment>-<seed>-<episode>.lmp, with a number behind where that one is played again.
    """
    height, width = pixels if pixels != (0, 0) else DEFAULT_PIXELS
    if not (10 <= height <= SCREEN[0] and 10 <= width <= SCREEN[1]):
        raise ConfigError(f"pixels: {height}x{width} is not between 10x10 and 120x160")
    if frame_skip < 0:
        raise ConfigError(f"frame_skip: {frame_skip} tics, give at least 1")
    return DoomGame(rest, num_envs, (height, width), frame_skip or DEFAULT_SKIP, record)


def names() -> list[str]:
    """The scenarios in ViZDoom's wheel. Raises MissingExtraError without it."""
    return sorted(p.stem for p in _scenarios().glob("*.cfg") if p.with_suffix(".wad").is_file())


def scenario_path(name: str) -> Path:
    """The scenario's .cfg in ViZDoom's wheel. Raises MissingExtraError or ConfigError."""
    path = _scenarios() / f"{name}.cfg"
    if not path.is_file():
        raise ConfigError(f"game: no scenario {name!r} in ViZDoom; known are {', '.join(names())}")
    return path


def _scenarios() -> Path:
    try:
        import vizdoom
    except ImportError as error:
        raise MissingExtraError("vizdoom", "games", "Doom") from error
    return Path(vizdoom.scenarios_path)


def action_space(controls: Sequence[Control]) -> gs.Dict:
    """Opposite buttons are one choice of three, others of two, delta buttons are continuous."""
    parts: OrderedDict[str, gs.Space[Any]] = OrderedDict()
    for control in controls:
        if control.kind == "delta":
            parts[control.name] = gs.Box(-1.0, 1.0, (1,), np.float32)
        else:
            parts[control.name] = gs.Discrete(1 + len(control.buttons))
    return gs.Dict(parts)


class DoomGame:
    """N engines of one scenario as a BatchGame."""

    snapshots = True

    def __init__(
        self, scenario: str, num_envs: int, pixels: tuple[int, int], frame_skip: int, record: str
    ) -> None:
        path = scenario_path(scenario)
        import vizdoom

        config = vizdoom.DoomGame()
        config.load_config(str(path))
        controls = controls_of([b.name for b in config.get_available_buttons()])
        self.variables = [v.name.lower() for v in config.get_available_game_variables()]
        self.name = f"doom/{scenario}"
        self.num_envs = num_envs
        self.frame_skip = frame_skip
        self.frame_rate = self.picture_rate = TICS_PER_SECOND / frame_skip
        self.action_layout = ActionLayout.of(action_space(controls))
        self.observation_space = gs.Dict(
            {
                "pixels": gs.Box(0, 255, (*pixels, 3), np.uint8),
                "variables": gs.Box(-np.inf, np.inf, (len(self.variables),), np.float32),
                "dt": gs.Box(0.0, 10.0, (1,), np.float32),
            }
        )
        self.crashes = np.zeros(num_envs, np.int64)
        self._record = Path(record).resolve() if record else None
        self._recordings: set[Path] = set()
        self._seeds = np.zeros(num_envs, np.uint64)
        self._episodes = np.zeros(num_envs, np.uint64)
        self._ended: BoolArray = np.zeros(num_envs, np.bool_)
        self._lost: BoolArray = np.zeros(num_envs, np.bool_)  # the engine died in this episode
        self._rows: list[list[bytes]] = [[] for _ in range(num_envs)]  # this episode's actions
        self._sums = EpisodeSums(num_envs)
        slots = Slots(num_envs, len(self.variables), pixels)
        self._memory = os.memfd_create("metabonk-doom")
        self._release = weakref.finalize(self, os.close, self._memory)  # also if nobody closes
        os.truncate(self._memory, slots.size)
        self._slots = slots.map(self._memory)
        spec = {
            "scenario": str(path), "num": num_envs, "pixels": pixels, "frame_skip": frame_skip,
            "variables": [v.upper() for v in self.variables],
        }  # fmt: skip
        self._processes = [
            DoomProcess(self._memory, json.dumps({**spec, "index": i})) for i in range(num_envs)
        ]

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        check_seeds(seeds, self.num_envs)
        self._seeds[:] = [int(s) % 2**64 for s in seeds]
        self._episodes[:] = 0
        self._start(range(self.num_envs))
        self._ended[:] = False
        self._sums.reset()
        self.observe_into(observation)

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        rows = np.ascontiguousarray(actions, np.float32)
        is_reset[:] = self._ended
        playing = np.flatnonzero(~self._ended).tolist()
        for i in playing:
            self._rows[i].append(rows[i].tobytes())
            self._processes[i].send(b"S" + self._rows[i][-1])
        starting = np.flatnonzero(self._ended).tolist()
        self._episodes[starting] += 1
        self._start(starting)
        for i in playing:
            if not self._processes[i].done():
                self._lose(i)
        reward[:] = self._slots["reward"]
        terminated[:] = self._slots["terminated"]
        truncated[:] = self._slots["truncated"]
        np.logical_or(terminated, truncated, out=self._ended)
        self._sums.add(reward, is_reset)
        self.observe_into(observation)

    def observe_into(self, observation: Observation) -> None:
        """Writes the current observations again."""
        for key, array in observation.items():
            if key not in self.observation_space.spaces:
                raise ConfigError(f"observation: {self.name} has no key {key!r}")
            if key == "variables":
                np.multiply(self._slots[key], np.float32(0.01), out=array)
            else:
                np.copyto(array, self._slots[key])

    def clone_state(self) -> bytes:
        head = _HEAD.pack(_MAGIC, self.num_envs, self.action_layout.columns, self.frame_skip)
        parts = [head]
        for i in range(self.num_envs):
            rows = b"" if self._lost[i] else b"".join(self._rows[i])
            parts.append(
                _ENV.pack(
                    int(self._seeds[i]), int(self._episodes[i]), self._episode_seed(i),
                    bool(self._ended[i]), bool(self._lost[i]), int(self._slots["digest"][i]),
                    float(self._sums.returns[i]), int(self._sums.length[i]), int(self.crashes[i]),
                    len(rows),
                )
            )  # fmt: skip
            parts.append(rows)
        return b"".join(parts)

    def restore_state(self, state: bytes) -> None:
        """Plays the cloned episodes again, all at once, and compares their hashes.

        Raises CorruptError, before anything changes, if the state is damaged; GameError if it is
        of another game or a replay diverges.
        """
        here = (self.num_envs, self.action_layout.columns, self.frame_skip)
        heads = [(magic, *here) for magic in (_MAGIC, _MAGIC_1)]
        if len(state) < _HEAD.size or _HEAD.unpack_from(state) not in heads:
            raise GameError(f"state: not of {self.name} with {self.num_envs} environments")
        width, digests = 4 * self.action_layout.columns, []
        for i, (values, rows) in enumerate(self._parse(state)):
            self._seeds[i], self._episodes[i], seed, self._ended[i], self._lost[i] = values[:5]
            digest, self._sums.returns[i], self._sums.length[i], self.crashes[i] = values[5:]
            self._rows[i] = [rows[k : k + width] for k in range(0, len(rows), width)]
            digests.append(digest)
            self._alive(i).send(b"R" + seed.to_bytes(4, "little") + rows)
        for i, digest in enumerate(digests):
            if not self._processes[i].done():
                raise GameError(f"{self.name}: environment {i} died while its episode was replayed")
            if not self._lost[i] and int(self._slots["digest"][i]) != digest:
                raise GameError(f"{self.name}: the replay of environment {i} diverged")

    def episode_info(self) -> Mapping[str, Array]:
        raw = {name: self._slots["variables"][:, i] for i, name in enumerate(self.variables)}
        return {
            **{k: v.copy() for k, v in raw.items()},
            **self._sums.info(),
            "crashes": self.crashes.copy(),
        }

    def render(self, index: int) -> Array:
        """The present frame as Doom drew it, uint8 [120, 160, 3]; the last one seen of an engine
        that died."""
        process = self._processes[index]
        if process.running:
            process.send(b"F")
            process.done()  # a death is told by the next step
        frame: Array = self._slots["screen"][index].copy()
        return frame

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        return [self.render(index)]

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self._release()

    def _parse(self, state: bytes) -> list[tuple[tuple[Any, ...], bytes]]:
        """Each environment's values, up to its crashes, and action rows. Raises CorruptError."""
        at, width = _HEAD.size, 4 * self.action_layout.columns
        former = state.startswith(_MAGIC_1)
        packed = _ENV_1 if former else _ENV
        parts: list[tuple[tuple[Any, ...], bytes]] = []
        for _ in range(self.num_envs):
            if len(state) < at + packed.size:
                raise CorruptError(f"state: ends too early for {self.name}, clone it again")
            *values, size = packed.unpack_from(state, at)
            at += packed.size
            rows = state[at : at + size]
            at += size
            if len(rows) != size or len(rows) % width:
                raise CorruptError(f"state: damaged action rows of {self.name}, clone it again")
            parts.append(((*values, 0) if former else tuple(values), rows))
        if at != len(state):
            raise CorruptError(f"state: {len(state) - at} bytes too many for {self.name}")
        return parts

    def _episode_seed(self, index: int) -> int:
        return episode_seed(int(self._seeds[index]), int(self._episodes[index])) & 0xFFFFFFFF

    def _alive(self, index: int) -> DoomProcess:
        if not self._processes[index].running:
            self._processes[index] = self._processes[index].restarted()
        return self._processes[index]

    def _start(self, indices: Sequence[int]) -> None:
        """Starts a new episode in each, with engines that died started again."""
        waiting = list(indices)
        for _ in range(1 + RESTARTS):
            for i in waiting:
                self._rows[i] = []
                self._lost[i] = False
                seed = self._episode_seed(i).to_bytes(4, "little")
                self._alive(i).send(b"N" + seed + self._recording(i).encode())
            waiting = [i for i in waiting if not self._processes[i].done()]
            if not waiting:
                return
            self.crashes[waiting] += 1
        process = self._processes[waiting[0]]
        raise GameError(f"{self.name}: the engine does not start: {process.complaint()}")

    def _lose(self, index: int) -> None:
        """The engine died in the middle of an episode: truncated, with the last frame seen."""
        self.crashes[index] += 1
        self._lost[index] = True
        self._slots["reward"][index] = 0.0
        self._slots["terminated"][index] = False
        self._slots["truncated"][index] = True

    def _recording(self, index: int) -> str:
        if self._record is None:
            return ""
        self._record.mkdir(parents=True, exist_ok=True)
        episode = f"{index:03d}-{int(self._seeds[index])}-{int(self._episodes[index]):06d}"
        for take in itertools.count():
            path = self._record / (f"{episode}-{take}.lmp" if take else f"{episode}.lmp")
            # An engine writes the file when the episode is over: what was named before may not be
            # there yet.
            if path not in self._recordings and not path.exists():
                break
        self._recordings.add(path)
        return str(path)
