"""A connection that breaks between a decision's arrival and its answer: the decision is made once,
whether the action was lost on the way or only the answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from metabonk import games, machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from breaking_wire import Break, BreakingWire
from link_hosts import CROWDED, SIZE, hosting
from test_bonklink_equal import SEED, Seen, actions, here

from metabonk.games.arena import level_of
from metabonk.games.bonklink_line import Tick
from metabonk.games.bonklink_run import Run
from metabonk.games.derived import Derived
from metabonk.games.offer_places import OfferPlaces
from metabonk.link.wire import StepResult
from metabonk.protocols import FloatArray
from metabonk.records import GAME_STATE, FieldGroup, GameState

EVERY = 4  # of so many decisions one breaks the connection


def broken(protocol: str, how: Break | None) -> tuple[Seen, int, int, dict[str, Any]]:
    """What an agent sees whose every fourth decision breaks the connection; how often the game
    stepped, how many connections broke, and what the agent counts."""
    breaks = lambda n: how if n % EVERY == 2 else None  # noqa: E731
    stepped: list[object] = []
    with (
        hosting(protocol=protocol, ring=False) as (host, port),
        BreakingWire(port, breaks) as cut,
    ):
        step = host.game.step
        host.game.step = lambda row: stepped.append(row) or step(row)  # type: ignore[method-assign]
        game = games.make(
            "bonklink", 1, port=cut.port, protocol=protocol, level=CROWDED, pixels=SIZE
        )
        try:
            seen = Seen(game, SEED, actions())
            return seen, len(stepped), sum(cut.broken.values()), dict(game.episode_info())
        finally:
            game.close()


@pytest.mark.parametrize("how", ["action lost", "answer lost"])
@pytest.mark.parametrize("protocol", ["v2", "auto"])
def test_a_decision_is_made_once_wherever_the_connection_breaks(protocol: str, how: Break) -> None:
    ours = here(SEED, actions())
    # Menus stand still whatever is decided there: a state does not tell whether it was.
    stood = [a == b for a, b in zip(ours.states, ours.states[1:], strict=False)]
    assert sum(stood) > 10
    whole, decisions, none, _ = broken(protocol, None)
    assert none == 0
    assert whole.differs(ours) == []
    theirs, made, breaks, info = broken(protocol, how)
    assert breaks > 40
    assert made == decisions
    assert info["lost"][0] == 0
    assert info["reconnected"][0] > 30
    assert set(theirs.differs(ours)) <= {"outcomes"}
    for told, mine in zip(theirs.outcomes, ours.outcomes, strict=True):
        assert told[1:] == mine[1:]
        assert math.isclose(told[0], mine[0], abs_tol=1e-4)  # a difference of sums, in float32


class Told:
    """A line that shows ticks as they are told, and numbers what is sent."""

    connected, resets, stepped = True, False, False
    place = "a script"

    def __init__(self, ticks: list[Tick]) -> None:
        self.ticks = ticks
        self.sent: list[FloatArray] = []
        self.asked: list[int | None] = []  # for episodes
        self.owner: object = None
        self.newest: Tick | None = None

    def tick(self, timeout: float) -> Tick | None:
        self.newest = self.ticks.pop(0) if self.ticks else None
        return self.newest

    def act(self, row: FloatArray) -> int:
        self.sent.append(row)
        return len(self.sent)

    def reset(self, seed: int | None) -> None:
        self.asked.append(seed)


def shown(
    x: float,
    taken: int | None,
    first: bool = False,
    returned: float = 0.0,
    ended: bool = False,
    episode: int = 1,
) -> Tick:
    """taken: the newest action that went into it, None for a game that says no STEP."""
    state = GameState(FieldGroup.EVERYTHING, 0.1, position=(x, 0.0, 0.0), playing=True, time=1 + x)
    step = StepResult(0.0, episode > 1, ended, False, taken or 0, episode, returned)
    packed = np.frombuffer(state.pack(), GAME_STATE)[0]
    nobody = np.full(12, np.nan, np.float32)
    return Tick(packed, None if taken is None else step, 0, 0, first, nobody, None)


def run_on(line: Told) -> Run:
    rewards = Derived(level_of(None).reward)
    return Run(line, line, rewards, 1, 5.0, (0.5, 0.5), OfferPlaces(()))  # type: ignore[arg-type]


def played(ticks: list[Tick]) -> tuple[int, float, bool, Run]:
    """One decision after the first of `ticks`: how often it was sent, its reward, whether it ended
    the run."""
    line = Told(ticks)
    run = run_on(line)
    run.begin(None)
    run.act(np.zeros(12, np.float32))
    reward, terminated, _ = run.wait()
    return len(line.sent), reward, terminated, run


def test_a_state_that_stands_still_is_believed_what_it_says_it_took() -> None:
    again, other = shown(1.0, 0), shown(2.0, 2)
    assert played([again, shown(1.0, 1, first=True), other])[0] == 1
    # The control: a game that does not say cannot be told from one that did not hear.
    assert played([shown(1.0, None), shown(1.0, None, first=True), shown(2.0, None)])[0] == 2


def test_a_decision_that_was_lost_is_sent_again_though_the_game_went_on() -> None:
    ticks = [shown(1.0, 4), shown(3.0, 4, first=True, returned=0.5), shown(4.0, 2, returned=0.75)]
    sent, reward, _, run = played(ticks)
    assert sent == 2
    assert reward == 0.75  # of both states
    assert (run.reconnected, run.lost) == (1, 0)
    assert run.dt == pytest.approx(0.2)


def test_a_run_that_ended_meanwhile_has_ended() -> None:
    sent, reward, terminated, _ = played([shown(1.0, 4), shown(3.0, 4, True, -1.0, ended=True)])
    assert (sent, reward, terminated) == (1, -1.0, True)


def test_what_could_not_be_sent_is_sent_when_the_game_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Told, "act", lambda self, row: self.sent.append(row) or 0)
    assert played([shown(1.0, 4), shown(3.0, 4, first=True), shown(4.0, 4)])[0] == 2


@pytest.mark.parametrize(("heard", "asked"), [(True, [5]), (False, [5, 5])])
def test_a_reset_that_was_heard_is_not_said_again(heard: bool, asked: list[int]) -> None:
    begun = shown(0.0, 0, first=heard, episode=2)
    line = Told([shown(1.0, 4), begun] if heard else [shown(1.0, 4), shown(1.0, 4, True), begun])
    line.resets = True
    run = run_on(line)
    run.begin(5)
    assert line.asked == asked
    assert run.line.newest is begun
