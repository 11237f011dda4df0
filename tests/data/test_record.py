"""data/record.py: a game that runs by itself, watched and played, and games that wait."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces as gs

from metabonk.data.episode import EpisodeStore
from metabonk.data.record import Plan, Session, Watching, header_of, open_recorders, run
from metabonk.data.recovery import recover
from metabonk.errors import ConfigError
from metabonk.protocols import BatchGame, Captured
from metabonk.records import ACTION_LAYOUT, Action
from metabonk.spaces import ActionLayout

MS = 1_000_000
LAYOUT = ActionLayout.of(gs.Dict({"turn": gs.Box(-1.0, 1.0, (1,)), "fire": gs.Discrete(2)}))


class Counting:
    """A game whose observation is its tick; one step in seven is asked too early and changes
    nothing."""

    name, num_envs, snapshots, action_layout = "counting", 1, False, LAYOUT
    observation_space = gs.Dict({"tick": gs.Box(0, 1e9, (1,), np.float32)})

    def __init__(self, length: int = 50) -> None:
        self.length = length
        self.tick = self.seen = 0
        self.given: list[Any] = []

    def reset_into(self, observation: Mapping[str, Any], seeds: Sequence[int]) -> None:
        observation["tick"][:] = self.tick

    def step_into(self, actions: Any, observation: Any, *flags: Any) -> None:
        reward, terminated, truncated, is_reset = flags
        self.given.append(actions.copy())
        self.seen += 1
        was_over = bool(terminated[0])
        again = self.seen % 7 == 0 and not was_over
        self.tick += not again
        at = self.tick % (self.length + 1)
        terminated[0] = not again and at == self.length
        is_reset[0] = was_over
        truncated[0] = False
        reward[0] = 0.0 if again or was_over else 1.0
        observation["tick"][:] = self.tick

    def episode_info(self) -> dict[str, Any]:
        return {}

    def clone_state(self) -> bytes:
        raise NotImplementedError

    def restore_state(self, state: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Running(Counting):
    """It goes on by itself at 60 Hz, seen now early and now late and sometimes twice.

    Somebody plays it with the tick as `turn`, and says so on every tick but each tenth.
    """

    def capture_ns(self) -> Any:
        random = np.random.default_rng(self.tick)  # the same for the same capture
        jitter = int(random.uniform(-0.2, 0.2) * 1e9 / 60)
        return np.array([10**15 + round(self.tick * 1e9 / 60) + jitter])

    def inputs(self) -> Any:
        unknown = self.tick % 10 == 9
        return np.array([[np.nan, np.nan] if unknown else [self.tick, np.nan]], np.float32)


class Waiting(Counting):
    """It waits for its actions; every second tick costs no game time, the others 50 ms."""

    frame_rate = picture_rate = 20.0
    observation_space = gs.Dict({"dt": gs.Box(0.0, 1.0, (1,), np.float32)})

    def reset_into(self, observation: Mapping[str, Any], seeds: Sequence[int]) -> None:
        observation["dt"][:] = 0.0

    def step_into(self, actions: Any, observation: Any, *flags: Any) -> None:
        super().step_into(actions, {"tick": np.zeros((1, 1))}, *flags)
        observation["dt"][:] = 0.0 if self.tick % 2 else 0.05

    def render(self, index: int) -> Any:
        return np.zeros((2, 2, 3), np.uint8)

    def pictures(self, index: int, row: Any) -> Any:
        return [self.render(index)]


class Idle:
    def reset(self, num_envs: int) -> None:
        return None

    def act(self, observation: Any, state: None, is_first: Any) -> tuple[Any, None]:
        return np.zeros((1, 2), np.float32), None


def record(game: Any, directory: Path, plan: Plan, policy: Any = None) -> tuple[Any, EpisodeStore]:
    header = header_of(game, plan, seed=0, actor="human")
    made = open_recorders(
        directory, header, 1, formats=("episodes",), live=isinstance(game, Captured), full="wait"
    )
    player = policy or Watching(game.action_layout.columns)
    result = run(Session(game, player, made, plan, [0]), lambda: False)
    return result, EpisodeStore(directory / "episodes")


def test_the_fake_is_what_it_stands_for() -> None:
    assert isinstance(Running(), BatchGame)
    assert isinstance(Running(), Captured)


def test_a_running_game_is_watched(tmp_path: Path) -> None:
    """Every capture once, with what whoever plays did, who is sent nothing."""
    game = Running()
    result, store = record(game, tmp_path, Plan(hz=60.0, episodes=3, watched=True))
    episodes = list(store)
    assert [len(e) for e in episodes[:2]] == [50, 50]
    assert result.sampled.repeated > 10
    assert result.sampled.empty == 0
    for episode in episodes:
        ticks = episode.observation["tick"][:, 0].astype(int)
        np.testing.assert_array_equal(np.diff(ticks), 1)
        known = ticks[:-1] % 10 != 9
        np.testing.assert_array_equal(episode.action[known, 0], ticks[:-1][known])
        assert not episode.action[~known].any()
    assert result.unknown > 0
    assert all(np.isnan(rows).all() for rows in game.given)


def test_a_running_game_is_recorded_slower(tmp_path: Path) -> None:
    result, store = record(Running(10**6), tmp_path, Plan(hz=10.0, seconds=20.0, watched=True))
    (key,) = store.entries(complete=False)
    episode = store.read(*key)
    times = episode.extra["capture_ns"]
    assert abs(len(episode) - 200) <= 1
    assert np.diff(times).min() > 60 * MS
    assert abs(float(episode.reward.sum()) - result.seconds * 60) <= 8
    assert result.sampled.decisions > 1200


def test_a_policy_plays_a_running_game(tmp_path: Path) -> None:
    class Turning:
        def reset(self, num_envs: int) -> int:
            return 0

        def act(self, observation: Any, state: int, is_first: Any) -> tuple[Any, int]:
            return np.array([[state, 0.0]], np.float32), state + 1

    game = Running(10**6)
    _, store = record(game, tmp_path, Plan(seconds=1.0), Turning())
    episode = store.read(*store.entries(complete=False)[0])
    sent = [float(rows[0, 0]) for rows in game.given]
    assert set(episode.action[:, 0].tolist()) <= set(sent)
    assert episode.action[0, 0] == 0.0


def test_menus_take_time_too(tmp_path: Path) -> None:
    """Where no game time passes a decision counts as usual, or a menu would make no rows."""
    game = Waiting(10**6)
    result, store = record(game, tmp_path, Plan(hz=10.0, seconds=5.0, frames=True), Idle())
    assert result.rows == 50
    assert result.sampled.decisions == 100
    assert store.read(*store.entries(complete=False)[0]).extra["frame"].shape == (50, 2, 2, 3)


KILLED = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_record import *
class Timely(Running):
    def step_into(self, *arguments):
        time.sleep(1 / 60)
        super().step_into(*arguments)
        print(self.seen, flush=True)
record(Timely(int(sys.argv[3])), Path(sys.argv[1]), Plan(hz=float(sys.argv[2]), watched=True))
"""


def killed_after(place: Path, seconds: float, hz: float, length: int) -> int:
    """Decisions of a recording in real time, 60 a second, that is killed after so long."""
    command = [sys.executable, "-c", KILLED, str(place), str(hz), str(length)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline()]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said.append(child.stdout.readline())
        child.kill()
        said += child.stdout.readlines()
    return int([line for line in said if line.endswith("\n")][-1])


@pytest.mark.parametrize(
    ("hz", "length"), [(0.2, 10**6), (0.2, 70), (1.0, 10**6)], ids=["seldom", "episodes", "often"]
)
def test_a_kill_loses_less_than_a_second_however_seldom_rows_come(
    tmp_path: Path, hz: float, length: int
) -> None:
    decided = killed_after(tmp_path, 3.0, hz, length)
    (left,) = tmp_path.glob("journal-at-hand")
    assert recover(tmp_path) > 0
    assert not left.exists()
    store = EpisodeStore(tmp_path / "episodes")
    episodes = [store.read(*key) for key in store.entries(complete=False)]
    # Between two episodes nothing is decided.
    kept = sum(int(e.extra["decisions"].sum()) for e in episodes)
    assert kept > 0.6 * decided
    assert kept >= decided - decided // length - 60
    assert recover(tmp_path) == 0
    for at, episode in enumerate(episodes):
        ticked = episode.observation["tick"][:, 0].astype(int)
        assert ticked[0] == at * (length + 1)
        assert (np.diff(ticked) > 0).all()


def test_a_game_without_time_or_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hz: counting has no time"):
        header_of(Counting(), Plan(hz=10.0), seed=0, actor="x")
    with pytest.raises(ConfigError, match="counting is played by nobody else"):
        record(Counting(), tmp_path / "a", Plan(watched=True))
    with pytest.raises(ConfigError, match="counting shows no frames"):
        record(Running(), tmp_path / "b", Plan(frames=True, episodes=1, watched=True))
    header = header_of(Running(), Plan(), seed=0, actor="x")
    with pytest.raises(ConfigError, match="when-full: 'maybe'"):
        open_recorders(tmp_path, header, 1, formats=("episodes",), live=True, full="maybe")


def test_games_that_cannot_wait_drop(tmp_path: Path) -> None:
    header = header_of(Running(), Plan(), seed=0, actor="x")
    for live, full, drops in ((True, "auto", True), (False, "auto", False), (True, "wait", False)):
        (made,) = open_recorders(
            tmp_path / f"{live}{full}", header, 1, formats=("episodes",), live=live, full=full
        )
        assert made._drop == drops
        made.close()


def test_an_unknown_input_is_no_click(tmp_path: Path) -> None:
    class Silent(Running):
        """It says that somebody moves, and nothing of the rest."""

        action_layout = ACTION_LAYOUT

        def inputs(self) -> Any:
            row = np.full((1, ACTION_LAYOUT.columns), np.nan, np.float32)
            row[0, 0] = 0.5
            return row

    _, store = record(Silent(10**6), tmp_path, Plan(seconds=0.5, watched=True))
    for row in store.read(*store.entries(complete=False)[0]).action:
        assert Action.from_row(row) == Action(move=(0.5, 0.0))
