"""The game's side of System 2: a client that no game thread ever waits for.

Knows what is done in which turn and what becomes of replies; what is asked is questions.py's, what
is said when dialogue.py's, how frames are shown pictures.py's, what is followed until when
in_force.py's. Does not know games, loops or models.

Everything happens on one thread of the client's own: it looks at the game every 30 ms and when it
asks, keeps the strip, notices what is urgent, encodes, sends, listens and measures what came of
every decision. A game thread does one of two things, and neither waits, encodes or copies:

    client.show(Sight(packed, captured_ns, pixels))     # hands the newest moment over
    directive = client.directive()                      # what is in force now, or None

A native loop does neither: it is looked at through `look`, and directives reach it by `apply`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any

from metabonk.cognition.agent.decision import ClientCounts, Decision
from metabonk.cognition.agent.dialogue import Dialogue
from metabonk.cognition.agent.dialogue_v1 import DialogueV1
from metabonk.cognition.agent.in_force import FRESH, InForce
from metabonk.cognition.agent.line import Line
from metabonk.cognition.agent.menu_watch import MenuWatch, may_click
from metabonk.cognition.agent.next_moment import Moments
from metabonk.cognition.agent.outcomes import Outcomes
from metabonk.cognition.agent.pictures import Pictures
from metabonk.cognition.agent.questions import Questions
from metabonk.cognition.agent.settings import ClientSettings, check
from metabonk.cognition.agent.tally import (
    LOW_HEALTH,
    Ending,
    Sight,
    Triggers,
)
from metabonk.cognition.menus.screens import Debounced, MenuClassifier
from metabonk.cognition.protocol import wire
from metabonk.cognition.question import Press
from metabonk.cognition.vocabulary import Directive, Widget
from metabonk.errors import CorruptError
from metabonk.protocols import Predictor

__all__ = [
    "LOW_HEALTH", "Client", "ClientCounts", "ClientSettings", "Decision", "Ending", "Press",
    "Sight",
]  # fmt: skip

_NS = 1_000_000_000
_FOR_EVER = 2**62  # nanoseconds: after every deadline
_REMEMBERED = 1024  # decisions that are kept for who asks
_PROMPT = _NS // 5  # age of a sight after which its screen may be another one
_PRESS = 3 * _NS // 20  # that a button may take to be pressed: later the screen may be another one


class Client:
    """One agent's client.

    agent: a name, letters, digits and ._:@- . url: tcp://HOST:PORT or ipc://PATH. look: gives the
    newest sight without waiting; by default what was last shown. moments: say when the game's next
    moment is shown, for which regular requests wait; None: they are about what is there. apply:
    puts a directive in force until a moment (monotonic nanoseconds) and says whether it was taken;
    it must not wait. press: the same for a menu's press; mute: keeps the policy's presses off menus
    meanwhile. predictor: of strips; None for real frames only. local: gives a directive where the
    server gives none. dialogue: by default a new one of version `protocol`.

    Raises ConfigError for a name, URL or setting that cannot be used.
    """

    def __init__(
        self,
        agent: str,
        url: str,
        settings: ClientSettings | None = None,
        *,
        look: Callable[[], Sight | None] | None = None,
        moments: Moments | None = None,
        apply: Callable[[Directive, int], bool] | None = None,
        press: Callable[[Press], bool] | None = None,
        mute: Callable[[bool], None] | None = None,
        predictor: Predictor | None = None,
        local: Callable[[Sight], Directive | None] | None = None,
        dialogue: Dialogue | None = None,
    ) -> None:
        self.agent, self.url = agent, url
        self.settings = settings or ClientSettings()
        check(agent, url, self.settings)
        self.counts_ = ClientCounts()
        self.decisions: deque[Decision] = deque(maxlen=_REMEMBERED)
        self._pictures = Pictures(self.settings, predictor, self.counts_)
        self.ring = self._pictures.ring
        self._dialogue = dialogue or _dialogue_of(agent, self.settings)
        self._look = look or self._shown
        self._in_force = InForce(self.counts_, apply, local, self.settings.every)
        self._outcomes, self._triggers = Outcomes(self.settings.outcome_seconds), Triggers()
        self._questions = Questions(
            self.settings, self.counts_, self._dialogue, self._pictures, self._outcomes,
            self._in_force, navigates=lambda: self._navigates, moments=moments,
        )  # fmt: skip
        self._newest: Sight | None = None  # handed over by `show`: one reference, never a queue
        self._sight: Sight | None = None  # the last one that was taken in
        self._seen_ns = self._look_ns = 0  # of the newest sight; when the next look is due
        self._bound_ns = time.monotonic_ns()  # when the server last knew us, or we began
        self._menus = self._menu_watch(press, mute) if self.settings.menus else None
        self._line: Line | None = None
        self._failed = False  # the last request brought no directive
        self._stop = threading.Event()
        # Not kept from ending by it: a program that fails need not know that there is a client.
        self._thread = threading.Thread(target=self._work, name=f"system 2 {agent}", daemon=True)
        self._running: Future[None] | None = None

    # For game threads -----------------------------------------------------------------------

    def show(self, sight: Sight) -> None:
        """Hands over the newest moment; an older one that nobody has seen is replaced. Costs an
        assignment; the sight's arrays belong to the client from now on."""
        self._newest = sight

    def directive(self) -> Directive | None:
        """What is in force now; None if nothing is. Costs a comparison."""
        return self._in_force.current()

    def wish(self, trigger: wire.Trigger = "period") -> None:
        """Asks for a request soon, whatever the period says."""
        self._questions.wish(trigger)

    # For whoever runs it --------------------------------------------------------------------

    def start(self) -> None:
        """Starts the client's thread; the server need not be there yet. Raises RuntimeError if it
        was started before."""
        if self._running is not None:
            raise RuntimeError(f"{self.agent}: the client was started before: make another one")
        self._running = Future()
        self._thread.start()

    def end(self) -> None:
        """Tells the thread to end, and does not wait for it."""
        self._stop.set()

    def stop(self) -> None:
        """Ends the thread, after `linger` seconds at most for what has to be acknowledged. Raises
        what ended it before. Safe to call twice."""
        self._stop.set()
        if self._running is not None:
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Raises what ended the client's thread, if something did."""
        if self._running is not None and self._running.done():
            self._running.result()

    @property
    def connected(self) -> bool:
        """Whether the server knows this agent."""
        return self._dialogue.bound

    @property
    def why(self) -> str:
        """Why the server refuses this agent; empty if it does not."""
        return self._dialogue.why

    @property
    def pictureless(self) -> bool:
        """Whether the server looks at pictures and the game, which is seen, has shown none."""
        asked = self._dialogue.bound and self._dialogue.limits.frames > 0
        seen = self.counts_.sights > 0 and self.ring.counts.frames == 0
        return self.settings.pictures and asked and seen

    @property
    def refusals(self) -> int:
        """Handshakes that the other end broke off: it does not take this agent's key, or speaks
        without keys."""
        return 0 if self._line is None else self._line.refusals

    def counts(self) -> dict[str, Any]:
        """Everything that was counted so far, flat; see ClientCounts, DialogueCounts and
        StripCounts. latency_ms: from capture to reply, smoothed."""
        dialogue = self._dialogue
        return {
            **asdict(self.counts_),
            **asdict(dialogue.counts),
            **{f"strip_{name}": value for name, value in asdict(self.ring.counts).items()},
            "wishes_replaced": dialogue.wishes.replaced,
            "under_way": dialogue.under_way,
            "waiting_outcomes": dialogue.waiting_outcomes,
            "latency_ms": dialogue.latency * 1e3,
            "refusals": self.refusals,
            **({} if self._menus is None else {"menus": asdict(self._menus.counts)}),
        }

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # The thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        assert self._running is not None
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # `check` and `stop` raise it
            self._running.set_exception(error)
        else:
            self._running.set_result(None)

    def _run(self) -> None:
        identity = self.agent if self.settings.protocol == "v1" else ""
        with Line(self.url, identity, self.settings.keys) as line:
            self._line = line
            try:
                while not self._stop.is_set():
                    self._turn(line)
                self._end(line)
            finally:
                self._pictures.close()

    def _turn(self, line: Line) -> None:
        """Everything that is due, a look at the game included; then a wait for what comes.

        What comes in between does not bring a look of its own: a reply and an acknowledgement for
        every request would make it two more.
        """
        now = time.monotonic_ns()
        looked = now >= self._look_ns
        if looked:
            self._see(now)
        self._hear(line)
        now = time.monotonic_ns()
        if self._dialogue.bound:
            self._bound_ns = now
        for decision in self._dialogue.expired(now):
            self._decided(decision)
        self._ask(line, now, looked)
        self._send(line, self._dialogue.due(now))
        if not self._dialogue.bound or self._failed:
            self._in_force.act_locally(self._sight, now)
        soon = self._dialogue.wishes.next_ns - now
        wanted = self._dialogue.bound and self._dialogue.limits.frames > 0
        if wanted and 0 < soon < self.settings.spacing * _NS:
            self._pictures.prepare(handles=self._dialogue.handles)
        moment = self._questions.moment
        due = moment.due(min(self._dialogue.next_ns(now), self._look_ns))
        line.wait(max(due - time.monotonic_ns(), 0) / _NS, moment.fileno)
        if self._dialogue.renew:
            self._dialogue.disconnected()
            line.renew()

    def _shown(self) -> Sight | None:
        return self._newest

    def _see(self, now: int) -> None:
        """Takes in the newest sight, if it is another one; the next look is due after a while."""
        self._look_ns = now + round(self.settings.spacing / 2 * _NS)
        sight = self._look()
        if sight is None or sight.captured_ns <= self._seen_ns:
            return
        self._seen_ns = sight.captured_ns
        try:
            if sight.before is not None:
                self._tallied(sight.before, now)
            record = self._tallied(sight, now)
        except ValueError:
            self.counts_.unread += 1
            return
        if self._sight is not None and sight.run != self._sight.run:
            self.ring.clear()
            self._triggers = Triggers()
            self._in_force.begin()
        pixels = self._pictures.take(sight.pixels, sight.pixels_ns or sight.captured_ns)
        if pixels is not sight.pixels:
            sight = replace(sight, pixels=pixels)
        self._sight = sight
        self.counts_.sights += 1
        for trigger in self._triggers.update(record):
            if self._navigates:
                self._questions.wish(trigger)
            elif trigger != "menu" or self._menus is None:  # else the navigator asks
                self._dialogue.wishes.add(trigger)
        if self._menus is not None and now - sight.captured_ns < _PROMPT:
            try:
                self._menus.look(sight, record)
            except CorruptError:  # its lists are longer than they can be
                self.counts_.unread += 1
        self._report(now)

    def _tallied(self, sight: Sight, now: int) -> Any:
        """Counts a sight in; returns its fields. What was asked about a run that is over by then is
        given up, which is nobody's failure, before its outcome is told."""
        failed = self._failed
        record, parts = self._outcomes.update(sight)
        if parts:
            for decision in self._dialogue.part(now):
                self._decided(decision)
            self._failed = failed
            self._report(now)
        return record

    def _report(self, now: int, *, all: bool = False) -> None:
        """Hands over the outcomes whose seconds are over."""
        for outcome in self._outcomes.over(all=all):
            if self.settings.outcomes:
                self._dialogue.report(outcome, now)

    def _hear(self, line: Line) -> None:
        """Takes what the connection says and what the server sent."""
        for is_there in line.events():
            if is_there:
                self.counts_.connects += 1
                self._dialogue.connected(time.monotonic_ns())
            else:
                self.counts_.disconnects += 1
                self._dialogue.disconnected()
        for parts in line.received():
            for decision in self._dialogue.take(parts, time.monotonic_ns()):
                self._decided(decision)

    def _ask(self, line: Line, now: int, looked: bool) -> None:
        """Sends a request about the newest sight, if one is wanted. looked: that sight is here."""
        if not self._questions.due(now):
            return
        if not looked or self._questions.moment.came:  # it may have come since
            self._see(now)
        parts = self._questions.about(self._sight, now)
        if parts is not None:
            self._send(line, [parts])

    @property
    def _navigates(self) -> bool:
        """Whether the navigator has a menu: what is asked then is its question, and nobody else
        presses."""
        return self._menus is not None and self._menus.active

    def _send(self, line: Line, messages: Sequence[Sequence[wire.Buffer]]) -> None:
        for parts in messages:
            self.counts_.full += not line.send(parts)

    def _decided(self, decision: Decision) -> None:
        """Puts in force what was decided, and remembers what became of the request."""
        self.decisions.append(decision)
        taken, asked = False, self._questions.decided(decision.id)
        if decision.directive is not None:
            taken = self._follow(decision.directive, decision.until_ns, asked)
            self.counts_.applied += taken
            self.counts_.not_taken += not taken
        if decision.question == "menu" and self._menus is not None:
            self._menus.decided(decision)
        elif decision.code != "superseded" or not self._dialogue.under_way:
            # What its own successor overtook is nobody's failure. Nor is what the game refused, as
            # one whose next run has begun: the server did its part. A button that may not, or no
            # longer, be pressed leads nowhere.
            directive = decision.directive
            presses = directive is not None and isinstance(directive.target, Widget)
            self._failed = directive is None or (presses and not taken)
        self._outcomes.decided(decision, taken)

    def _follow(self, directive: Directive, until_ns: int, asked: bytes) -> bool:
        """Puts a directive in force; False if the game does not take it. A button is pressed at
        once or not at all, and only on the very screen that was asked about."""
        if isinstance(directive.target, Widget):
            choice, sight = directive.target.choice, self._sight
            if self._navigates or sight is None:
                return False
            if not may_click(self.settings.goal, asked, sight.packed, choice):
                return False
            until_ns = min(until_ns, time.monotonic_ns() + _PRESS)
        return self._in_force.put(directive, until_ns)

    def _menu_watch(
        self, press: Callable[[Press], bool] | None, mute: Callable[[bool], None] | None
    ) -> MenuWatch:
        def wish() -> bool:
            if time.monotonic_ns() - self._bound_ns > FRESH:  # a server that is away
                return False
            self._questions.about_menus()  # what is wished for beside it must not take its place
            self._dialogue.wishes.add("menu", "menu")
            return True

        return MenuWatch(
            self.settings.menu_goal,
            press=press or (lambda press: False),
            mute=mute or (lambda muted: None),
            wish=wish,
            classifier=Debounced(MenuClassifier.load()),
            followed=self._outcomes.followed,
            offers=self.settings.offers,
        )

    def _end(self, line: Line) -> None:
        """Reports what is left and waits a little for it to be acknowledged.

        Requests under way are given up first: an answer that came after their outcomes were told
        would be followed all the same.
        """
        for decision in self._dialogue.expired(_FOR_EVER):
            self._decided(decision)
        self._report(time.monotonic_ns(), all=True)
        self._dialogue.hurry(time.monotonic_ns())
        end = time.monotonic_ns() + round(self.settings.linger * _NS)
        while self._dialogue.waiting_outcomes and time.monotonic_ns() < end:
            self._send(line, self._dialogue.due(time.monotonic_ns()))
            line.wait(0.01)
            self._hear(line)
        goodbye = self._dialogue.goodbye()
        if goodbye is not None:
            self._send(line, [goodbye])


def _dialogue_of(agent: str, settings: ClientSettings) -> Dialogue | DialogueV1:
    if settings.protocol == "v1":
        return DialogueV1(agent, every=settings.every, patience=settings.patience)
    return Dialogue(
        agent, time.time_ns(), os.urandom(16), every=settings.every, patience=settings.patience,
        clock=wire.boot_id(), log=settings.outcomes,
    )  # fmt: skip
