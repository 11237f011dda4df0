"""The run behind one line of BonkLink: where it begins, what a decision led to, how it ends.

Knows states, the trailer STEP and menus; does not know the wire (bonklink_line.py) or batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from metabonk.errors import GameError
from metabonk.games.bonklink_line import Line, Tick
from metabonk.games.derived import Derived, End, State, end_of, in_run, menu_of
from metabonk.games.doom_worker import shrink
from metabonk.games.hosted import neutral
from metabonk.games.offer_places import OfferPlaces
from metabonk.protocols import Array, FloatArray
from metabonk.records import ACTION_COLUMNS, GAME_STATE, GameState, Point

# Widgets that begin a run, by the first words of their texts, the best first.
_BEGINNERS = (
    "quick start", "try again", "retry", "restart", "play again", "continue", "start", "play",
)  # fmt: skip
_ENDERS = ("quit", "exit")  # that are tried after everything else
_PRESS_SECONDS = 0.25  # between two presses in menus of a game in real time
_LOOK_SECONDS = 1.0  # of one wait for a run that somebody else begins
_FIRST_FRAME = 2.0  # seconds for a game's first picture, which may come after its first states
_REST = 3  # presses of other widgets before an agreed place is tried
_AGE = 0.5  # seconds of a run from which its clock can be seen to fall


class Run:
    """One game as one environment meets it. owner: who plays; another one that begins takes the
    line over. lost: times that the game went away; skipped: states that nobody read; reconnected:
    connections that were made again within an episode. cut: the episode was left before its end."""

    def __init__(
        self,
        line: Line,
        owner: object,
        derived: Derived,
        frame_skip: int,
        patience: float,
        restart_click: Point,
        places: OfferPlaces,
        watch: bool = False,
    ) -> None:
        self.line = line
        self.state: State = np.zeros(1, GAME_STATE)[0]
        self.frame: Array | None = None
        self.dt = 0.0
        self.capture_ns = 0
        self.inputs: FloatArray = np.full(ACTION_COLUMNS, np.nan, np.float32)
        self.lost = self.skipped = self.reconnected = 0
        self.cut = False
        self._owner = owner
        self._derived = derived
        self._skip = frame_skip
        self._patience = patience
        self._click = restart_click
        self._places = places
        self._placed = False  # widgets of the present state are ours, and choices are clicks
        self._watch = watch
        self._told: State = self.state  # as it came, without widgets of ours
        self._episode = 0
        self._returned = 0.0
        self._owed = False  # a reward that was not told, and that the next return has in it
        self._row: FloatArray | None = None
        self._sent = 0  # number of the action that was sent last, 0 if it could not be
        self._early: Tick | None = None  # of an episode that began before anybody asked for it

    def meet(self) -> None:
        """Waits for the game. Raises GameError that says what is there instead."""
        if self.line.newest is None and self._next(time.monotonic() + self._patience) is None:
            raise GameError(self.line.complaint(self._patience))

    def begin(self, seed: int | None) -> None:
        """The first state of an episode. seed: of a new one, None for the next. Raises GameError
        if the game does not come to it."""
        taken = self.line.owner is not self._owner
        self.line.owner = self._owner
        deadline = time.monotonic() + self._patience
        early, self._early = self._early, None
        if self._watch:
            self._start(self._joined(early, seed is None))
            return
        if seed is None and early is not None and not taken:
            self._start(self.line.newest or early)
            return
        tick = self._fresh(deadline)
        fresh_start = seed is not None or self.cut or taken
        self.cut = False
        if fresh_start and self.line.resets:
            tick = self._anew(tick, seed, deadline)
        elif tick.step is not None and not fresh_start:
            tick = self._onward(tick, deadline)
        self._start(self._through_menus(tick, deadline))

    def act(self, row: FloatArray) -> None:
        """Sends what is to be done; `wait` tells what came of it. NaN only watches."""
        self._row = None if self._watch or np.isnan(row).any() else row
        if self._row is not None and self._placed:
            self._row = self._places.clicked(row, self.state)
        if self.line.owner is self._owner:
            self._send()

    def wait(self) -> tuple[float, bool, bool]:
        """Reward, terminated and truncated of the decision that was sent."""
        if self.line.owner is not self._owner:
            return 0.0, False, True
        before, reward, seen, dt = self.state, 0.0, 0, 0.0
        pressed: FloatArray | None = None  # by the person, earlier in this decision
        deadline = time.monotonic() + self._patience
        while True:
            tick = self._next(deadline)
            if tick is None:
                return self._lose(reward)
            if tick.first:
                if not self._goes_on(tick):
                    self._early = tick
                    return self._lose(reward)
                self.reconnected += 1
                if not self._reached(tick):
                    self._send()
                    if not _same(tick.state, self._told):  # the game went on without it
                        dt, self._owed = dt + tick.dt, True
                    continue
            self.skipped += tick.skipped
            seen += 1 + tick.skipped
            dt += tick.dt
            self._row = None if self._row is None else _held(self._row)
            more, end, cut = self._worth(before, tick)
            reward += more
            self.dt = dt
            if self._early is None:
                self._take(tick, dt)
                pressed = self._press_kept(pressed)
            before = tick.state
            if end is not End.NO or cut:
                return reward, end in (End.DIED, End.WON) and not cut, cut or end is End.LEFT
            if seen >= self._skip:
                return reward, False, False
            self._send()

    def show(self, out: Array) -> None:
        """Writes the present frame uint8 [h, w, 3], shrunk where it is larger. Raises GameError
        where there is none or it is smaller."""
        if self.frame is None:
            self._await_frame()
        assert self.frame is not None
        if self.frame.shape == out.shape:
            out[:] = self.frame
        elif self.frame.shape[0] >= out.shape[0] and self.frame.shape[1] >= out.shape[1]:
            shrink(self.frame, out)
        else:
            raise GameError(
                f"{self.line.place}: frames are {self.frame.shape[0]}x{self.frame.shape[1]}, "
                f"smaller than pixels {out.shape[0]}x{out.shape[1]}: ask for less"
            )

    def _await_frame(self) -> None:
        """Waits for a game's first picture: a GPU gives it back some frames later."""
        deadline = time.monotonic() + min(self._patience, _FIRST_FRAME)
        while self.frame is None:
            tick = self._next(deadline)
            if tick is None or time.monotonic() > deadline:
                raise GameError(
                    f"{self.line.place}: the game shows no frames, but `pixels` were asked for"
                )
            self._owed = self._owed or tick.step is not None
            self._take(tick, tick.dt)

    def _next(self, deadline: float) -> Tick | None:
        return self.line.tick(max(0.0, deadline - time.monotonic()))

    def _fresh(self, deadline: float) -> Tick:
        """The newest state there is, waiting for one where there was none or the line broke."""
        tick = self.line.tick(0.0) or (self.line.newest if self.line.connected else None)
        tick = tick or self._next(deadline)
        if tick is None:
            raise GameError(self.line.complaint(self._patience))
        return tick

    def _joined(self, early: Tick | None, another: bool) -> Tick:
        """A run that somebody else has begun, however long that takes; another: than the last."""
        tick = early or self._fresh(time.monotonic() + self._patience)
        while not in_run(tick.state) or (
            another and tick.step is not None and tick.step.episode == self._episode
        ):
            tick = self._next(time.monotonic() + _LOOK_SECONDS) or tick
        return tick

    def _anew(self, tick: Tick, seed: int | None, deadline: float) -> Tick:
        """An episode of a game that takes RESET. One that says no STEP has nothing to begin anew
        in its menus: they are gone through first. The run that begins there is a new one, and
        RESET only gives it the seed, where one was asked for."""
        if tick.step is not None:
            return self._reset(tick, seed, deadline)
        if not in_run(tick.state):
            tick = self._through_menus(tick, deadline)
            if seed is None:
                return tick
        tick = self._aged(tick, time.monotonic() + self._patience)
        return self._reset(tick, seed, time.monotonic() + self._patience)

    def _aged(self, tick: Tick, deadline: float) -> Tick:
        """A run whose clock can be seen to fall: nothing else tells that RESET was heeded."""
        while True:
            tick = self._through_menus(tick, deadline)
            if float(tick.state["time"]) >= _AGE:
                return tick
            if self.line.stepped:
                self.line.act(neutral())
            now = self._next(deadline)
            if now is None:
                what = f"the clock of the run did not reach {_AGE:g} s"
                raise self._overdue(tick, what, "go on with the run there")
            tick = now

    def _reset(self, tick: Tick, seed: int | None, deadline: float) -> Tick:
        """RESET, said again on a connection that was made meanwhile. Of a game without STEP the
        clock falls, or the run is left and another one begins."""
        episode = tick.step.episode if tick.step else 0
        clock, left = float(tick.state["time"]), False
        self.line.reset(seed)
        while True:
            now = self._next(deadline)
            if now is None:
                remedy = "begin a run there; the game's log says why RESET began none"
                raise self._overdue(tick, "no episode began after RESET", remedy)
            tick = now
            if now.step is not None:
                # Without a seed, an episode that had not begun yet stays as it is.
                begun = now.step.is_first and (seed is None or episode == 0)
                if begun or (episode and now.step.episode != episode):
                    return now
            elif not in_run(now.state):
                left = True
            elif left or float(now.state["time"]) < clock:
                return now
            else:
                clock = float(now.state["time"])
            if now.first:
                self.line.reset(seed)

    def _overdue(self, tick: Tick, what: str, remedy: str) -> GameError:
        """What a wait for a run ended with. tick: the newest there is."""
        if not self.line.connected:
            return GameError(self.line.complaint(self._patience))
        return GameError(
            f"{self.line.place}: {what} within {self._patience:g} seconds; the menu "
            f"{menu_of(tick.state)!r} is open: {remedy}"
        )

    def _onward(self, tick: Tick, deadline: float) -> Tick:
        """Answers until the next episode begins, which a host does by itself or by its menus."""
        episode = self._episode
        return self._press(
            tick, deadline, lambda now: now.step is None or now.step.episode != episode
        )

    def _through_menus(self, tick: Tick, deadline: float) -> Tick:
        return self._press(tick, deadline, lambda now: in_run(now.state))

    def _press(self, tick: Tick, deadline: float, begun: Callable[[Tick], bool]) -> Tick:
        """Presses what begins a run until one has begun, whether states come meanwhile or not."""
        presses = _Presses(self._click)
        while not begun(tick):
            if presses.due():
                self.line.act(presses.row(tick.state))
            elif self.line.stepped:
                self.line.act(neutral())
            tick = self._next(min(deadline, presses.next)) or tick
            if time.monotonic() >= deadline and not begun(tick):
                remedy = "begin one there, or set game.restart_click to where the game does"
                raise self._overdue(tick, "no run began", remedy)
        return tick

    def _start(self, tick: Tick) -> None:
        self._take(tick, 0.0)
        self._owed = False
        if tick.step is not None:
            self._episode = tick.step.episode
            self._returned = tick.step.returned

    def _take(self, tick: Tick, dt: float) -> None:
        self._told = tick.state
        self._placed = self._places.applies(tick.state)
        self.state, self.dt = self._places.shown(tick.state), dt
        self.frame = self.frame if tick.frame is None else tick.frame
        self.capture_ns, self.inputs = tick.capture_ns, tick.inputs

    def _press_kept(self, pressed: FloatArray | None) -> FloatArray | None:
        """The newest click of a decision of several states, which the last of them tells."""
        if self.inputs[10] >= 0.0:
            return self.inputs[10:]
        if pressed is not None:
            self.inputs = self.inputs.copy()
            self.inputs[10:] = pressed
        return pressed

    def _send(self) -> None:
        if self._row is not None:
            self._sent = self.line.act(self._row)

    def _reached(self, tick: Tick) -> bool:
        """Whether the first state of a new connection is what came of the decision; if not, what
        was sent before is gone. A game that numbers what it takes says so. Another one's state is
        new, or it is the one that stood before: a menu that stands still hides a decision then."""
        step = tick.step
        if step is not None and (step.terminated or step.truncated):
            return True
        if self._row is not None and not self._sent:
            return False
        if self._row is None or step is None or step.action_sequence == 0:
            return not _same(tick.state, self._told)
        return step.action_sequence == self._sent

    def _goes_on(self, tick: Tick) -> bool:
        """Whether a new connection shows the run that went on before."""
        if tick.step is not None:
            return tick.step.episode == self._episode
        return end_of(self.state, tick.state) is End.NO and in_run(tick.state)

    def _worth(self, before: State, tick: Tick) -> tuple[float, End, bool]:
        """Reward of the way from `before` to a state, how the run ended there, and whether it was
        cut."""
        step = tick.step
        if step is None:
            end = end_of(before, tick.state)
            if end is End.LEFT and in_run(tick.state):
                self._early = tick
            self._owed = self._episode > 0  # of a game that speaks v1 until it has shaken hands
            if self._owed and end is End.NO:
                return 0.0, end, False
            return self._derived.reward(before, tick.state, end), end, False
        if step.episode != self._episode:  # its last state was overtaken by the next one's first
            self._early = tick
            known = step.reward - (step.returned if math.isfinite(step.returned) else 0.0)
            return known, End.DIED if step.terminated else End.NO, not step.terminated
        missed = tick.skipped > 0 or tick.first or self._owed
        told = math.isfinite(step.returned + self._returned)
        reward = step.returned - self._returned if missed and told else step.reward
        self._returned, self._owed = step.returned, False
        return reward, End.DIED if step.terminated else End.NO, step.truncated

    def _lose(self, reward: float) -> tuple[float, bool, bool]:
        self.lost += 1
        self.cut = True
        self.dt = 0.0
        return reward, False, True


class _Presses:
    """What to press, one after the other, so that a run begins."""

    def __init__(self, click: tuple[float, float]) -> None:
        self._click = click
        self._count = 0
        self.next = 0.0  # when

    def due(self) -> bool:
        return time.monotonic() >= self.next

    def row(self, state: State) -> FloatArray:
        """A choice or a click, then nothing: menus take a press after a moment without one."""
        row = neutral()
        self._count += 1
        self.next = time.monotonic() + _PRESS_SECONDS / 2
        if self._count % 2 == 0:
            return row
        widgets = state["widgets"][: int(state["widget_count"])]
        enabled = [i for i, widget in enumerate(widgets) if widget["enabled"]]
        if not enabled:
            row[10:] = self._click
            return row
        texts = {i: bytes(widgets[i]["text"]).decode("utf-8", "replace").lower() for i in enabled}
        for word in _BEGINNERS:
            for i, text in texts.items():
                if _begins(text, word):
                    row[9] = i + 1
                    return row
        others = [i for i in enabled if not any(_begins(texts[i], word) for word in _ENDERS)]
        tried = others or enabled
        row[9] = tried[(self._count // 2 // _REST) % len(tried)] + 1
        return row


def _begins(text: str, words: str) -> bool:
    """Whether these are a text's first words: a button `Play`, and not one of `Player stats`."""
    return text.startswith(words) and not text[len(words) : len(words) + 1].isalnum()


def _same(one: State, other: State) -> bool:
    """Whether two states are of the same moment: all that they tell but the time since what was
    shown before. What lies beyond the ends of lists tells nothing."""
    a, b = (GameState.unpack(state.tobytes()) for state in (one, other))
    a.dt = b.dt = 0.0
    return a == b


def _held(row: FloatArray) -> FloatArray:
    """The row for the states of a decision after its first: a choice and a click are made once."""
    held = row.copy()
    held[9], held[10:] = 0.0, -1.0
    return held
