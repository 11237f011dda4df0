"""play/dual.py: System 2's directives on System 1's actions, late ones and none at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metabonk import games
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.vocabulary import Compass, Directive, Hold, Priority, Verb
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.level import Level, parse
from metabonk.games.scripted import RandomPolicy, ScriptedPolicy
from metabonk.play.dual import Dual, DualSettings, states_of
from metabonk.records import GAME_STATE

LEVEL = Level()


class Plans:
    """A planner with a list of answers, the last one for ever; keeps what it was asked."""

    def __init__(self, *answers: Directive | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, Directive | None]] = []

    def plan(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        time = float(np.frombuffer(packed, GAME_STATE)[0]["time"])
        self.asked.append((time, in_force))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def play(policy: Any, steps: int, num: int = 2, level: Level = LEVEL) -> Any:
    """Rows [steps, num, 12] of a policy in the arena; for a made policy or one of the game."""
    game = games.make("arena", num, level=level)
    policy = policy(game) if callable(policy) else policy
    observation = allocate(game.observation_space, num)
    reward = np.zeros(num, np.float32)
    flags = [np.zeros(num, np.bool_) for _ in range(3)]
    game.reset_into(observation, list(range(num)))
    state, first, rows = policy.reset(num), np.ones(num, np.bool_), []
    for _ in range(steps):
        given, state = policy.act(observation, state, first)
        rows.append(given.copy())
        game.step_into(given, observation, reward, *flags)
        first = flags[2].copy()
    game.close()
    return np.stack(rows)


def test_without_directives_system_1_is_what_it_was() -> None:
    silent = Plans(None)
    duals: list[Dual] = []

    def made(game: Any) -> Dual:
        duals.append(Dual(ScriptedPolicy(), silent, states_of(game), level=LEVEL.pack()))
        return duals[0]

    assert np.array_equal(play(made, 100), play(ScriptedPolicy(), 100))
    counts = duals[0].counts
    assert (counts.decisions, counts.directed) == (200, 0)
    assert counts.asked == counts.silent == 2 * 4  # at 0, 2, 4 and 6 of 6.67 seconds


def test_a_directive_takes_the_move_and_leaves_the_rest() -> None:
    def made(game: Any) -> Dual:
        hold = Plans(Directive(Verb.HOLD, seconds=4.0))
        return Dual(RandomPolicy(3, game.action_layout), hold, states_of(game))

    rows, alone = play(made, 60), play(RandomPolicy(3), 60)
    assert not rows[:, :, :2].any()
    assert alone[0, :, :2].any()
    assert np.array_equal(rows[0, :, 2:], alone[0, :, 2:])  # later ones follow other observations


def test_directives_are_carried_out_over_the_game() -> None:
    """East for as long as it is told, and System 1 again afterwards."""
    counts = []

    def made(game: Any) -> Dual:
        east = Plans(Directive(Verb.MOVE, Compass(0), 2.0), None)
        dual = Dual(RandomPolicy(3, game.action_layout), east, states_of(game),
                    settings=DualSettings(every=100.0), level=LEVEL.pack())  # fmt: skip
        counts.append(dual.counts)
        return dual

    play(made, 60, num=1)
    assert counts[0].directed == 30  # 2 s of 15 decisions a second
    assert counts[0].asked == 1


def test_answers_come_late_and_some_too_late() -> None:
    came: list[tuple[int, bool]] = []

    def asked(latency: float, seconds: float) -> Any:
        found: list[Dual] = []

        def made(game: Any) -> Dual:
            plans = Plans(Directive(Verb.HOLD, seconds=seconds))
            settings = DualSettings(every=100.0, latency=latency, urgent=0.0)
            motor = RandomPolicy(3, game.action_layout)
            came.clear()
            found.append(
                Dual(motor, plans, states_of(game), settings=settings,
                     received=lambda *args: came.append(args))
            )  # fmt: skip
            return found[0]

        rows = play(made, 90, num=1)
        still = np.flatnonzero(~rows[:, 0, :2].any(1))
        return found[0].counts, still

    counts, still = asked(latency=1.0, seconds=2.0)
    assert (counts.directed, counts.late) == (15, 0)  # what is left of it
    assert came == [(0, True)]
    assert still[0] == 15
    counts, still = asked(latency=2.0, seconds=2.0)
    assert (counts.directed, counts.late) == (0, 1)
    assert came == [(0, False)]
    assert len(still) == 0


def test_what_is_less_important_waits() -> None:
    found: list[Dual] = []

    def made(game: Any) -> Dual:
        plans = Plans(
            Directive(Verb.HOLD, seconds=4.0, priority=Priority.HIGH),
            Directive(Verb.MOVE, Compass(0), 4.0, Priority.LOW),
        )
        motor = RandomPolicy(3, game.action_layout)
        received = lambda *args: came.append(args)  # noqa: E731
        found.append(Dual(motor, plans, states_of(game), received=received))
        return found[0]

    came: list[tuple[int, bool]] = []
    rows = play(made, 60, num=1)
    assert not rows[:, 0, :2].any()
    assert found[0].counts.refused == 1
    assert came == [(0, True), (0, False)]


def test_the_planner_hears_what_is_in_force_and_low_health_asks_at_once() -> None:
    plans = Plans(Directive(Verb.EXPLORE, Hold(), 4.0))
    told: list[tuple[int, float, Directive]] = []

    def made(game: Any) -> Dual:
        return Dual(ScriptedPolicy(), plans, states_of(game), level=LEVEL.pack(),
                    settings=DualSettings(urgent=2.0),
                    told=lambda *args: told.append(args))  # fmt: skip

    play(made, 60, num=1)
    times = [time for time, _ in plans.asked]
    assert len(times) == 8  # urgent all the time: every half second of four
    assert [force for _, force in plans.asked] == [None] + 7 * [plans.answers[0]]
    assert told == [(0, 0.0, plans.answers[0])]  # once, not at every confirmation


def test_the_planner_hears_of_nothing_that_has_run_out() -> None:
    """Asked in the tick in which a directive ends, before anybody has carried it out."""
    plans = Plans(Directive(Verb.EXPLORE, Hold(), 2.0))

    def made(game: Any) -> Dual:
        settings = DualSettings(every=2.0, urgent=0.0)
        return Dual(ScriptedPolicy(), plans, states_of(game), settings=settings)

    play(made, 100, num=1)
    assert [round(time, 2) for time, _ in plans.asked] == [0.0, 2.0, 4.0, 6.0]
    assert [force for _, force in plans.asked] == [None] * 4


def test_rules_play_whole_runs_and_runs_follow_each_other() -> None:
    level = parse({"time": {"duration": 10.0}})
    found: list[Dual] = []

    def made(game: Any) -> Dual:
        found.append(Dual(ScriptedPolicy(), Strategist(), states_of(game), level=level.pack()))
        return found[-1]

    rows = play(made, 400, level=level)
    assert np.isfinite(rows).all()
    assert np.abs(rows[:, :, :2]).max() <= 1.001
    counts = found[0].counts
    assert counts.directed > 0.5 * counts.decisions
    assert np.array_equal(rows, play(made, 400, level=level))  # and the same again


def test_the_motor_sees_what_it_was_trained_on() -> None:
    """The game's own observation, nothing added: in training nobody gave directives."""

    class Looking(RandomPolicy):
        def act(self, observation: Any, state: Any, is_first: Any) -> Any:
            seen.append(observation)
            return super().act(observation, state, is_first)

    seen: list[Any] = []
    game = games.make("arena", 1)
    observation = allocate(game.observation_space, 1)
    game.reset_into(observation, [1])
    dual = Dual(Looking(0), Plans(Directive(Verb.EXPLORE)), states_of(game))
    dual.act(observation, dual.reset(1), np.ones(1, np.bool_))
    assert seen[0] is observation
    assert set(seen[0]) == set(game.observation_space.spaces)
    game.close()


@pytest.mark.parametrize(
    ("terms", "named"),
    [({"every": 0.0}, "every"), ({"latency": -1.0}, "latency"), ({"urgent": np.nan}, "urgent")],
)
def test_settings_that_cannot_be_are_named(terms: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        DualSettings(**terms)


def test_games_without_states_are_refused() -> None:
    for game in (games.make("grid64/key_door", 1), games.make("arena", 1, latency=0.1)):
        with pytest.raises(ConfigError, match="needs the states"):
            states_of(game)
        game.close()
