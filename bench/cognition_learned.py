"""What is made of System 2's log and of screens, in suite `cognition`: menus of random layouts gone
through by their texts, and a policy distilled from the rules' decisions.

The policy is distilled in the suite: agents rehearse under the rules on the levels that need a
plan, as late as they are judged; the logs are read as `metabonk cognition distil` reads them; then
the student leads, the rules say what they would have done there, and it learns anew from all of it
(DAgger). That is done three times from the beginning, with other rehearsals and other weights to
begin with, and every student plays a third of the rounds. They are judged on other episodes of
those levels than any log is of, which nothing was chosen by either. Their time is compared with
that of a real model server.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metabonk import extras

from .case import Case, Evidence
from .cognition_agent import _Scaled
from .cognition_model import Direct
from .cognition_plans import ENVS, LATENCY, LEVELS, Played, paired, rules
from .meter import Meter, Reading, Timed
from .versus import AbsentError, Contender

LAYOUTS = 200
DECISIONS = 60  # in menus, after which an attempt has failed
REACHED = 0.99  # the goals
SHARE_OF_RULES, SHARE_OF_MODEL = 0.9, 0.01
REHEARSED, CORRECTED = 96, 48  # episodes per level: under the rules, and of every correction
CORRECTIONS = 1
FIRST_SEED = 10_000  # of rehearsals; those of an evaluation are of another kind
STUDENTS = 3
ROUNDS = 2 * STUDENTS
UPDATES = 3000
BETA = 0.0  # the rules are to be met: how lucky an answer was says nothing of what theirs would be


def cases() -> list[Case]:
    menus = Case(
        "cognition",
        f"share of {LAYOUTS} random menus that end in the wanted run",
        "",
        Contender("metabonk", lambda: Reading(lambda: reached(by_texts), warm=0)),
        (
            Contender("0.99", lambda: Reading(lambda: REACHED)),
            Contender("random presses", lambda: Reading(lambda: reached(at_random), warm=0)),
        ),
        rounds=1,
    )
    policies = [
        Case(
            "cognition",
            f"return under a policy distilled from the rules, level {level}",
            "reward",
            Contender("metabonk", functools.partial(Taught, level)),
            (
                Contender("0.9 of the rules'", functools.partial(Part, level, SHARE_OF_RULES)),
                Contender("the rules", functools.partial(Played, level, rules)),
            ),
            rounds=ROUNDS,
            evidence=_beside,
        )
        for level in LEVELS
    ]
    decision = Case(
        "cognition",
        "a decision of the distilled policy",
        "ms",
        Contender("metabonk", decision_ms),
        (Contender("1/100 of a real model's answer", HundredthOfModel),),
        better="lower",
        rounds=3,
    )
    return [menus, *policies, decision]


Presser = Callable[[Any], Callable[[], int]]


def by_texts(layout: Any) -> Callable[[], int]:
    """The choices of the navigator's rules."""
    from metabonk.cognition.menus.goal import Goal
    from metabonk.cognition.menus.menu import MenuRules, Screen

    navigator, goal = MenuRules(), Goal.read(layout.goal)
    return lambda: navigator.press("bench", goal, Screen.of(layout.state)).choice


def at_random(layout: Any) -> Callable[[], int]:
    """Any button that can be pressed."""
    random = np.random.default_rng(0)

    def choose() -> int:
        enabled = [i for i, widget in enumerate(layout.state.widgets, 1) if widget.enabled]
        return int(random.choice(enabled)) if enabled else 0

    return choose


def reached(presser: Presser) -> float:
    """The share of layouts that end in the wanted run."""
    from metabonk.games.menu_layouts import MenuLayout
    from metabonk.records import Action

    count = 0
    for seed in range(LAYOUTS):
        layout = MenuLayout(seed)
        choose = presser(layout)
        for _ in range(DECISIONS):
            if layout.running or layout.trapped:
                break
            layout.step(Action(choice=choose()))
        count += layout.reached
        layout.close()
    return count / LAYOUTS


@functools.cache
def network(number: int = 0) -> Any:
    """A policy distilled from rehearsals of the levels, one for each number; made once per
    process."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise AbsentError(f"torch is not installed: {extras.install('train')}") from error
    from metabonk.learn.system2.versions import FollowNetwork

    with tempfile.TemporaryDirectory(prefix="metabonk-bench-") as folder:
        logs: list[Path] = []
        learned, player = None, None
        for turn in range(1 + CORRECTIONS):
            for place, level in enumerate(LEVELS):
                logs.append(Path(folder, f"{turn}-{level}"))
                seed = FIRST_SEED * (1 + turn + (1 + CORRECTIONS) * number) + ENVS * place
                rehearsed(logs[-1], level, seed, CORRECTED if turn else REHEARSED, player)
            learned = distilled(logs, number)
            player = FollowNetwork(learned)
    return learned


def distilled(logs: list[Path], seed: int) -> Any:
    """What is learned from logs: the rules, as nearly as may be."""
    from metabonk.cognition.log.export import Plan
    from metabonk.cognition.log.rows import Log
    from metabonk.config import DistilConfig
    from metabonk.learn.system2.distil import Distiller, lessons

    config = DistilConfig(updates=UPDATES, beta=BETA)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Log(log)) for log in logs]
        rows = (row for one in opened for row in one.rows())
        data = lessons(rows, Plan(shares=(1.0, 0.0, 0.0)), config.most_rows)
    distiller = Distiller(data, config, seed=seed)
    distiller.train()
    return distiller.module.network()


def rehearsed(log: Path, level: str, seed: int, episodes: int, player: Any = None) -> None:
    """Writes a log of the rules on a level, or of what they say to `player`."""
    from metabonk import games
    from metabonk.games.level import load
    from metabonk.games.scripted import Habits, ScriptedPolicy
    from metabonk.learn.system2.rehearse import Rehearsal, open_log
    from metabonk.play.dual import DualSettings

    made = load(level)
    game = games.make("arena", ENVS, level=made, threads=1)
    motor = ScriptedPolicy(Habits(size=made.terrain.size))
    try:
        with open_log(log) as journal:
            Rehearsal(
                game, motor, journal, level=made.pack(), seed=seed, player=player,
                settings=DualSettings(latency=LATENCY),
            ).run(episodes, seed)  # fmt: skip
    finally:
        game.close()


def students() -> None:
    """Only to name who plans: which of them it is follows from the round."""


class Taught(Played):
    """The students on a level, one after the other. Raises AbsentError where nobody can learn."""

    def __init__(self, level: str) -> None:
        for number in range(STUDENTS):
            network(number)
        super().__init__(level, students)

    def _plans(self) -> Any:
        from metabonk.learn.system2.versions import FollowNetwork

        return FollowNetwork(network(self._round % STUDENTS))


class Part:
    """A part of what agents return under the rules, on the same episodes."""

    def __init__(self, level: str, part: float) -> None:
        self._played, self._part = Played(level, rules), part

    def prepare(self) -> None:
        """Nothing is timed."""

    def measure(self) -> float:
        return self._part * self._played.measure()

    def close(self) -> None:
        self._played.close()


def _beside(ours: Meter, peer: Meter) -> Evidence:
    """The paired difference as a note; the share alone decides."""
    if not isinstance(peer, Played):
        return Evidence(True, "the mean of the same episodes")
    return Evidence(True, paired(ours, peer).note)


def decision_ms() -> Meter:
    """Milliseconds of one decision, features included."""
    from metabonk.cognition.backends import features

    from .cognition_wire import strip

    learned = network()
    _, packed = strip()
    timed = Timed(lambda: learned.decide(features.of(packed)))
    return _Scaled(timed, 1e3)


class HundredthOfModel:
    """Milliseconds: a hundredth of what a real model server takes for an answer."""

    def __init__(self) -> None:
        self._direct = Direct()

    def prepare(self) -> None:
        self._direct.prepare()

    def measure(self) -> float:
        return SHARE_OF_MODEL * self._direct.measure()

    def close(self) -> None:
        self._direct.close()
