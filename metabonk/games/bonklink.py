"""Games behind BonkLink, as a BatchGame and a Gymnasium environment: the real game with its plugin,
or `metabonk host`.

Knows episodes, observations and rewards of a game that runs by itself; what is spoken on the wire
is a line's (bonklink_line.py). Observations are those of the arena (metabonk/observations.py), with
what the transport does not carry masked, and `pixels` where they are asked for.

Episodes. A game that says where they begin and end, and what each decision was worth (BonkLink's
trailer STEP), is believed; of others both are worked out from states (derived.py), with the reward
terms of `level`. A reset with a seed is sent where the game takes it (v2); elsewhere the run that
goes on is joined. Menus before a run are clicked through: a widget that starts or restarts one,
else the place `restart_click` of the screen. The real game begins a run anew and none from its
menus, so there they come first, and the reset is sent into the run that they begin.

A step acts and waits for the next state, of a game in real time as of one that waits for answers.
What a state that nobody read was worth is not lost where STEP tells the return so far. A row of NaN
acts nothing and watches. A game that goes away or falls silent ends its episode as truncated, is
counted as `lost`, and is waited for at the next step.

One game has one agent: several BatchGames of one process over the same address share the line, and
the one that was reset last plays; the others' episodes end as truncated at their next step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.errors import ConfigError, GameError
from metabonk.games.arena import LevelLike, level_of
from metabonk.games.batch import EpisodeSums, check_seeds
from metabonk.games.batch_env import BatchEnv
from metabonk.games.bonklink_line import Address, Line, lines
from metabonk.games.bonklink_run import Run
from metabonk.games.derived import Derived
from metabonk.games.offer_places import ARENA, RESTART, OfferPlaces, points
from metabonk.link.wire import AxesName, ProtocolName
from metabonk.observations import OBSERVATION_SPACE, observe_into
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.records import ACTION_COLUMNS, ACTION_LAYOUT, GAME_STATE, GameState, Point


def make(
    rest: str,
    num_envs: int,
    host: str = "127.0.0.1",
    port: int = 5555,
    protocol: ProtocolName = "auto",
    use_pipe: bool = False,
    pipe_name: str = "BonkLink",
    token_file: str = "",
    level: LevelLike = None,
    pixels: tuple[int, int] = (0, 0),
    frame_skip: int = 0,
    patience: float = 30.0,
    limit: int = 0,
    restart_click: str | Point = RESTART,
    offer_places: str | Sequence[Point] = ARENA,
    hz: float = 60.0,
    axes: AxesName = "unity",
    visible: bool = False,
    watch: bool = False,
) -> BonkLinkGame:
    """`num_envs` games that run already, on ports that are numbered on from `port`.

    protocol: auto, v1 or v2. use_pipe: over the pipe `pipe_name`, one game only. token_file: holds
    the secret that the game asks for. level: whose reward terms count where the game says nothing
    of rewards. pixels: height and width of the observation `pixels`, (0, 0) for none; larger
    frames are shrunk. frame_skip: states per decision, 0 for one. patience: seconds to wait for a
    game to appear or to answer. limit: decisions after which an episode is cut, 0 for none.
    restart_click: where a run is begun, 0..1 from the top left, if the game names no widgets.
    offer_places: where its offers are then, the arena's unless said otherwise; choices of them
    become clicks there. Either may be text, `x,y x,y`. hz: decisions per second of game time, for
    films. axes: of positions in pure v1, which does not say: "unity", as plugins have them, or
    "ours". visible: frames are kept for `render` though observations have none. watch: somebody
    else plays: nothing is ever sent to the game, and a reset joins the run that goes on, or the
    next one however long it takes to begin.
    """
    if rest:
        raise ConfigError(f"game: bonklink has no variant {rest!r}, give a host and a port")
    if patience <= 0.0 or hz <= 0.0 or limit < 0 or frame_skip < 0:
        raise ConfigError(
            f"patience, hz, limit, frame_skip: {patience:g}, {hz:g}, {limit} and {frame_skip}; the "
            "first two must be above 0, the others at least 0"
        )
    if min(pixels) < 0 or (pixels[0] == 0) != (pixels[1] == 0):
        raise ConfigError(
            f"pixels: {pixels[0]}x{pixels[1]}, give height and width, or 0x0 for none"
        )
    if use_pipe and num_envs > 1:
        raise ConfigError(f"use_pipe: a pipe leads to one game, not to {num_envs}; use ports")
    if port + num_envs - 1 > 65535:
        raise ConfigError(f"port: {num_envs} games from {port} on go beyond 65535")
    click = restart_click if isinstance(restart_click, str) else (restart_click,)
    (restart,) = points("restart_click", click, 1, 1)
    token = _secret(token_file)
    places = [
        Address(host, port + i, pipe_name if use_pipe else "", protocol, token, axes)
        for i in range(num_envs)
    ]
    derived = Derived(level_of(level).reward)
    frames = visible or min(pixels) > 0
    return BonkLinkGame(
        places, derived, pixels, frames, frame_skip or 1, patience, limit, restart,
        points("offer_places", offer_places), hz, watch,
    )  # fmt: skip


class BonkLinkGame:
    """N games behind BonkLink as a BatchGame. All are sent their actions before the first answer
    is waited for."""

    name = "bonklink"
    snapshots = False

    def __init__(
        self,
        places: Sequence[Address],
        derived: Derived,
        pixels: tuple[int, int],
        frames: bool,
        frame_skip: int,
        patience: float,
        limit: int,
        restart_click: Point,
        offer_places: Sequence[Point],
        hz: float,
        watch: bool = False,
    ) -> None:
        self.num_envs = len(places)
        self.frame_rate = self.picture_rate = hz / frame_skip
        self.action_layout = ACTION_LAYOUT
        spaces = dict(OBSERVATION_SPACE.spaces)
        if min(pixels) > 0:
            spaces["pixels"] = gs.Box(0, 255, (*pixels, 3), np.uint8)
        self.observation_space = gs.Dict(spaces)
        self._limit = limit
        self._pixels = pixels
        offers = OfferPlaces(offer_places)
        self._lines: list[Line] = []
        try:
            for place in places:
                self._lines.append(lines.open(place, frames))
            self._runs = [
                Run(line, self, derived, frame_skip, patience, restart_click, offers, watch)
                for line in self._lines
            ]
            for run in self._runs:
                run.meet()
        except BaseException:
            self.close()
            raise
        self._states = np.zeros(self.num_envs, GAME_STATE)
        self._ended: BoolArray = np.zeros(self.num_envs, np.bool_)
        self._sums = EpisodeSums(self.num_envs)

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        check_seeds(seeds, self.num_envs)
        for run, seed in zip(self._runs, seeds, strict=True):
            run.begin(int(seed) % 2**64)
        self._ended[:] = False
        self._sums.reset()
        self._write(observation)

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        is_reset[:] = self._ended
        for run, row, ended in zip(self._runs, actions, self._ended, strict=True):
            if not ended:
                run.act(np.array(row, np.float32))
        for i, run in enumerate(self._runs):
            if self._ended[i]:
                run.begin(None)
                reward[i], terminated[i], truncated[i] = 0.0, False, False
            else:
                reward[i], terminated[i], truncated[i] = run.wait()
        self._sums.add(reward, is_reset)
        if self._limit:
            cut = (self._sums.length >= self._limit) & ~terminated
            truncated |= cut
            for i in np.flatnonzero(cut).tolist():
                self._runs[i].cut = True
        np.logical_or(terminated, truncated, out=self._ended)
        self._write(observation)

    def clone_state(self) -> bytes:
        raise GameError("bonklink: a game in another process has no snapshots")

    def restore_state(self, state: bytes) -> None:
        raise GameError("bonklink: a game in another process has no snapshots")

    def episode_info(self) -> Mapping[str, Array]:
        """Beside `return` and `length`: `score`, `kills`, `level`, `time` of the state, and what
        the line counts: `lost`, `skipped` (states that nobody read), `reconnected`."""
        states = self._states
        told = {
            name: states[name].astype(np.float32 if kind == "f" else np.int64)
            for name, kind in (("score", "f"), ("kills", "i"), ("level", "i"), ("time", "f"))
        }
        counts = {
            name: np.array([getattr(run, name) for run in self._runs], np.int64)
            for name in ("lost", "skipped", "reconnected")
        }
        return {**self._sums.info(), **told, **counts}

    def capture_ns(self) -> npt.NDArray[np.int64]:
        """When the present states were captured, on this process's monotonic clock: by PING and
        PONG over v2, over v1 when they arrived."""
        return np.array([run.capture_ns for run in self._runs], np.int64)

    def inputs(self) -> FloatArray:
        """What the person at the game does, where it says so (HINP): move, look, fire, ability,
        interact and click; the rest of a row is NaN."""
        return np.stack([run.inputs for run in self._runs])

    def game_state(self, index: int) -> GameState:
        """What game `index` told last."""
        return GameState.unpack(self._states[index].tobytes())

    def counters(self, index: int) -> Mapping[str, int]:
        """Everything that the line to game `index` counts."""
        return self._lines[index].counters()

    def render(self, index: int) -> Array:
        frame = self._runs[index].frame
        if frame is None:
            raise GameError(
                f"{self._lines[index].place}: no frame was shown; make it with visible=True"
            )
        return frame

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        return [self.render(index)]

    def close(self) -> None:
        while self._lines:
            lines.close(self._lines.pop())

    def _write(self, observation: Observation) -> None:
        wanted = {key: array for key, array in observation.items() if key != "pixels"}
        for i, run in enumerate(self._runs):
            self._states[i] = run.state
            self._states["dt"][i] = min(max(run.dt, 0.0), 10.0)
            if "pixels" in observation:
                run.show(observation["pixels"][i])
        observe_into(self._states, wanted)


class BonkLinkEnv(BatchEnv):
    """One such game: `gymnasium.make("metabonk/BonkLink-v0", port=5560)`; settings as for
    `make`."""

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        super().__init__(make("", 1, **settings), render_mode)


def watches(row: FloatArray) -> bool:
    """Whether a row is that of somebody who only watches."""
    return math.isnan(float(row[0])) and len(row) == ACTION_COLUMNS


def _secret(path: str) -> str:
    if not path:
        return ""
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token_file: {path} cannot be read: {error}") from error
    if not secret:
        raise ConfigError(f"token_file: {path} is empty, write the secret into it")
    return secret
