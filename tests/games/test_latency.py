"""games/latency.py: actions are late and frames old by what was asked for, the same every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces as gs
from safetensors.numpy import load, save

from metabonk import machine
from metabonk.errors import ConfigError, CorruptError
from metabonk.games.latency import Delayed, Delays, delayed, nothing
from metabonk.protocols import BatchGame, Visible
from metabonk.records import ACTION_LAYOUT, Action
from metabonk.spaces import ActionLayout

LAYOUT = ActionLayout.of(gs.Dict({"move": gs.Box(-1.0, 1e6, (1,)), "fire": gs.Discrete(2)}))
SPACE = gs.Dict({"tick": gs.Box(0, 1e9, (1,), np.float32)})
RATE = 10.0


class Counting:
    """N games whose observation is the tick of their episode, and which note what they are given.

    Environment i has episodes of `lengths[i]` steps.
    """

    name, snapshots, action_layout, observation_space = "counting", True, LAYOUT, SPACE
    frame_rate = picture_rate = RATE

    def __init__(self, lengths: Sequence[int] = (10**9,)) -> None:
        self.num_envs = len(lengths)
        self._lengths = np.array(lengths)
        self.tick = np.zeros(self.num_envs, np.int64)
        self.given: list[Any] = []

    def reset_into(self, observation: Mapping[str, Any], seeds: Sequence[int]) -> None:
        self.tick[:] = 0
        observation["tick"][:, 0] = 0

    def step_into(self, actions: Any, observation: Any, *flags: Any) -> None:
        reward, terminated, truncated, is_reset = flags
        self.given.append(actions.copy())
        is_reset[:] = self.tick == self._lengths
        self.tick = np.where(is_reset, 0, self.tick + 1)
        terminated[:] = self.tick == self._lengths
        truncated[:] = False
        reward[:] = self.tick
        observation["tick"][:, 0] = self.tick

    def clone_state(self) -> bytes:
        return self.tick.tobytes()

    def restore_state(self, state: bytes) -> None:
        self.tick = np.frombuffer(state, np.int64).copy()

    def episode_info(self) -> dict[str, Any]:
        return {}

    def render(self, index: int) -> Any:
        return np.full((1, 1, 3), self.tick[index], np.uint8)

    def pictures(self, index: int, row: Any) -> Any:
        return [row]

    def close(self) -> None:
        pass


class Player:
    """Steps a game with actions that are the numbers of the steps."""

    def __init__(self, game: BatchGame) -> None:
        self.game = game
        num = game.num_envs
        spaces = game.observation_space.spaces.items()
        self.observation = {k: np.zeros((num, *s.shape), s.dtype) for k, s in spaces}
        self.flags = (np.zeros(num, np.float32), *(np.zeros(num, np.bool_) for _ in range(3)))
        self.step = 0
        self.history: list[list[Any]] = []

    def reset(self, seeds: Sequence[int]) -> None:
        self.game.reset_into(self.observation, seeds)

    def play(self, steps: int) -> list[list[Any]]:
        """What was seen after each step: observations, reward and flags."""
        for _ in range(steps):
            rows = np.zeros((self.game.num_envs, self.game.action_layout.columns), np.float32)
            rows[:, 0] = self.step
            self.game.step_into(rows, self.observation, *self.flags)
            self.step += 1
            seen = [*self.observation.values(), *self.flags]
            self.history.append([array.copy() for array in seen])
        return self.history


def test_without_delays_it_is_the_game_itself() -> None:
    game = Counting()
    assert delayed(game, Delays()) is game


def test_it_is_a_game_that_can_be_watched() -> None:
    game = delayed(Counting(), Delays(latency=0.1))
    assert isinstance(game, BatchGame)
    assert isinstance(game, Visible)
    assert (game.name, game.num_envs, game.frame_rate) == ("counting", 1, RATE)


@pytest.mark.parametrize("steps", [1, 2, 7, 49])
def test_a_decision_takes_effect_so_many_steps_later(steps: int) -> None:
    inside = Counting()
    player = Player(delayed(inside, Delays(latency=steps / RATE)))
    player.reset([0])
    player.play(120)
    given = [float(rows[0, 0]) for rows in inside.given]
    assert given == [0.0] * steps + [float(n) for n in range(120 - steps)]
    # The game itself goes on at once: what is seen and earned is not delayed.
    assert [float(h[0][0, 0]) for h in player.history] == [float(n) for n in range(1, 121)]


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_what_is_seen_is_so_many_steps_old(steps: int) -> None:
    inside = Counting()
    player = Player(delayed(inside, Delays(observation=steps / RATE)))
    player.reset([0])
    player.play(60)
    seen = [float(h[0][0, 0]) for h in player.history]
    assert seen == [float(max(0, n - steps)) for n in range(1, 61)]
    assert [float(h[1][0]) for h in player.history] == [float(n) for n in range(1, 61)]  # reward
    assert [float(rows[0, 0]) for rows in inside.given] == [float(n) for n in range(60)]


def test_the_mean_is_what_was_asked_for() -> None:
    inside = Counting((10**9,) * 8)
    player = Player(delayed(inside, Delays(latency=0.15)))  # 1.5 steps
    player.reset(range(8))
    player.play(2000)
    given = np.stack([rows[:, 0] for rows in inside.given])[10:]
    age = np.arange(10, 2000)[:, None] - given
    assert set(np.unique(age)) == {1.0, 2.0}
    assert abs(age.mean() - 1.5) < 0.02
    assert np.corrcoef(age[:, 0], age[:, 1])[0, 1] < 0.1  # every environment has its own


def reference(sent: list[int], delays: list[int], step: int) -> int | None:
    """The newest decision that has arrived, said plainly."""
    arrived = [t for t, d in zip(sent, delays, strict=True) if t + d <= step]
    return max(arrived) if arrived else None


@pytest.mark.parametrize("delays", [Delays(0.2, 0.5), Delays(0.0, 0.35), Delays(0.33, 0.1, 0.25)])
def test_the_newest_that_has_arrived_counts(delays: Delays) -> None:
    """Against lists, with episodes that end and forget what was on its way."""
    lengths = (7, 23, 10**9)
    inside = Counting(lengths)
    game = Delayed(inside, delays)
    player = Player(game)
    player.reset([3, 4, 5])
    drawn: list[Any] = []
    real = game._actions.draw
    game._actions.draw = lambda u: drawn.append(real(u)) or drawn[-1]  # type: ignore[method-assign,func-returns-value]
    history = player.play(300)
    for env in range(3):
        start, held = 0, 0.0
        for step in range(300):
            sent = list(range(start, step + 1))
            newest = reference(sent, [int(drawn[t][env]) for t in sent], step)
            held = held if newest is None else float(newest)
            assert inside.given[step][env, 0] == held
            if history[step][-1][env]:  # is_reset
                start, held = step + 1, 0.0
        ages = np.arange(300) - np.array([rows[env, 0] for rows in inside.given])
        assert len(np.unique(ages[50:])) > 2 or env == 0


def test_an_episode_is_seen_from_its_beginning() -> None:
    player = Player(delayed(Counting((6,)), Delays(observation=0.3)))
    player.reset([0])
    history = player.play(40)
    for step, seen in enumerate(history):
        tick, is_reset = float(seen[0][0, 0]), bool(seen[-1][0])
        assert tick == (0.0 if is_reset else max(0.0, float(seen[1][0]) - 3.0)), step
    ends = [i for i, h in enumerate(history) if h[2][0]]
    assert [i % 7 for i in ends] == [5] * len(ends)  # ends come when they come


def test_the_same_seeds_give_the_same_delays() -> None:
    def given(seeds: list[int]) -> Any:
        inside = Counting((9, 30))
        player = Player(delayed(inside, Delays(0.1, 0.4, 0.1)))
        player.reset(seeds)
        history = player.play(600)  # more than numbers are drawn at once
        return np.stack(inside.given), np.stack([h[0] for h in history])

    once, again, other = given([1, 2]), given([1, 2]), given([1, 3])
    np.testing.assert_array_equal(once[0], again[0])
    np.testing.assert_array_equal(once[1], again[1])
    assert (once[0] != other[0]).any()


GAMES = {
    "arena": {"pixels": (12, 16)},
    "grid64/key_door": {},
    "doom/basic": {"pixels": (30, 40)},
}


@pytest.mark.parametrize("name", GAMES)
def test_a_clone_holds_what_is_on_its_way(name: str) -> None:
    if name.startswith("doom"):
        pytest.importorskip("vizdoom")
    elif not machine.core_built():
        pytest.skip("the native core is not built")
    from metabonk.games import make

    made: list[Player] = []
    for _ in range(2):
        game = make(name, 2, latency=0.2, jitter=0.3, observation_latency=0.15, **GAMES[name])  # type: ignore[arg-type]
        made.append(Player(game))
    first, second = made
    first.reset([5, 6])
    first.play(45)
    state = first.game.clone_state()
    assert first.game.clone_state() == state
    expected = first.play(40)[45:]
    second.reset([1, 2])
    second.play(3)
    second.game.restore_state(state)
    second.step, second.history = 45, []
    for old, new in zip(expected, second.play(40), strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)
    first.game.restore_state(state)  # and back
    first.step, first.history = 45, []
    for old, new in zip(expected, first.play(40), strict=True):
        np.testing.assert_array_equal(old[0], new[0])
    for player in made:
        player.game.close()


@pytest.mark.parametrize("delays", [Delays(0.1, 0.4, 0.1), Delays(observation=0.25)])
def test_an_episode_has_its_delays_whatever_is_played_beside_and_before_it(delays: Delays) -> None:
    """The third environment alone, and with other lengths of the episodes before."""

    def aged(lengths: Sequence[int], seeds: Sequence[int], env: int, episode: int) -> list[Any]:
        """Ages of what an environment was given and saw in one episode."""
        inside = Counting(lengths)
        player = Player(delayed(inside, delays))
        player.reset(seeds)
        found, number = [], 0
        for step, seen in enumerate(player.play(700)):
            number += int(seen[-1][env])
            sent = inside.given[step][env, 0]
            if number == episode and not seen[-1][env]:
                found.append((sent and step - sent, seen[1][env] - seen[0][env, 0]))
        return found

    together = aged((9, 30, 50), [1, 2, 3], 2, 2)
    assert len(set(together)) > 2
    assert aged((50,), [3], 0, 2) == together
    assert aged((7, 8, 300), [5, 6, 3], 2, 0)[:50] == aged((50,), [3], 0, 0)
    assert aged((50,), [4], 0, 2) != together  # the controls: another seed, another episode
    assert aged((50,), [3], 0, 1) != together


def test_a_clone_of_something_else_is_refused() -> None:
    game = delayed(Counting(), Delays(latency=0.3))
    other = delayed(Counting(), Delays(latency=0.6))
    with pytest.raises(CorruptError, match="a clone under other delays"):
        other.restore_state(game.clone_state())
    with pytest.raises(CorruptError, match="no clone of a delayed game"):
        game.restore_state(b"nothing")
    with pytest.raises(CorruptError, match="no clone of a delayed game"):
        game.restore_state(game.clone_state()[:-9])
    former = load(game.clone_state()) | {"key": np.zeros(2, np.uint64)}
    with pytest.raises(CorruptError, match="go on with the version of metabonk that wrote it"):
        game.restore_state(save(former))


def test_pictures_show_the_action_that_arrives() -> None:
    inside = Counting()
    game = Delayed(inside, Delays(latency=0.2))
    player = Player(game)
    player.reset([0])
    for step in range(8):
        player.play(step and 1)
        (shown,) = game.pictures(0, np.array([step, 0.0], np.float32))
        player.step = step
        rows = np.array([[step, 0.0]], np.float32)
        state = game.clone_state()
        game.step_into(rows, player.observation, *player.flags)
        np.testing.assert_array_equal(shown, inside.given[-1][0])
        game.restore_state(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latency": -0.1}, "game.latency: -0.1 s"),
        ({"jitter": 9.0}, "game.jitter: 9 s"),
        ({"observation": float("nan")}, "game.observation_latency: nan s"),
    ],
)
def test_delays_that_are_none(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        delayed(Counting(), Delays(**settings))


def test_games_that_cannot_be_late() -> None:
    class Timeless(Counting):
        frame_rate = 0.0

    class Running(Counting):
        def capture_ns(self) -> Any: ...

        def inputs(self) -> Any: ...

    with pytest.raises(ConfigError, match="has no time to be late in"):
        delayed(Timeless(), Delays(latency=0.1))
    with pytest.raises(ConfigError, match="has a delay of its own"):
        delayed(Running(), Delays(latency=0.1))


def test_nothing_is_done_before_the_first_decision() -> None:
    np.testing.assert_array_equal(nothing("arena", ACTION_LAYOUT), Action().row())
    away = ActionLayout.of(gs.Box(2.0, 3.0, (2,)))
    np.testing.assert_array_equal(nothing("gym/x", away), [2.0, 2.0])
    if machine.core_built():
        from metabonk.games import grid64

        assert nothing("grid64/key_door", grid64.LAYOUT)[0] == -1.0


def balance(latency: float, jitter: float = 0.0, observation: float = 0.0) -> float:
    """Mean steps for which a controller that was made without delay holds CartPole's pole up."""
    from metabonk.games import make

    game = make(
        *("gym/CartPole-v1", 8), latency=latency, jitter=jitter, observation_latency=observation
    )
    player = Player(game)
    player.reset([7] * 8)
    lengths: list[float] = []
    while len(lengths) < 16:
        x, dx, angle, turning = player.observation["observation"].T
        push = 0.1 * x + 0.3 * dx + angle * 3.0 + turning * 0.8 > 0.0
        game.step_into(push[:, None].astype(np.float32), player.observation, *player.flags)
        ended = player.flags[1] | player.flags[2]
        lengths += game.episode_info()["length"][ended].tolist()
    game.close()
    return float(np.mean(lengths))


def test_who_learned_without_delay_loses_under_it() -> None:
    """Deterministic: the same numbers everywhere, so these are no statistics."""
    assert balance(0.0) == 500.0
    late, old, shaken = balance(0.2), balance(0.0, observation=0.2), balance(0.0, jitter=0.4)
    assert late < 150.0
    assert old < 150.0
    assert shaken < 400.0
    assert late <= balance(0.06) <= 500.0
